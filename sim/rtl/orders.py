"""What AXI4 leaves to a memory: which of a write's channels it waits for, and in which order it answers reads.

The same for the model in C++ (`cpp/memory_model.h`, by number) and for the one in Python (`tests/kit/axi_memory.py`).
"""

from __future__ import annotations

from enum import IntEnum


class WriteOrder(IntEnum):
    """What the memory wants to see before it takes a write's address or data (AXI4, dependencies between channels)."""

    FREE = 0  # each channel for itself
    ADDRESS_FIRST = 1  # data only after their address
    OFFERED = 2  # an address only while its data are offered, data only after their address
    DATA_FIRST = 3  # an address only after its data


class ReadOrder(IntEnum):
    """How bursts of different identifiers share the read channel; those of one identifier are always in order."""

    IN_ORDER = 0  # as they were asked for
    BY_BURST = 1  # any identifier next, bursts whole
    INTERLEAVED = 2  # any identifier next, beat by beat
