"""The memory behind the chip's AXI port: bytes, and places where it answers with an error or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.arithmetic.numerics import Bytes, Ints


class Fault(Enum):
    """What is wrong with a range of memory."""

    ERROR = "error"  # SLVERR or DECERR
    HANG = "hang"  # no answer, ever


class BusError(Exception):
    """An access got an error response."""


class BusHang(Exception):
    """An access never gets its response."""


@dataclass
class Memory:
    """`size` bytes from address 0; what lies beyond answers with an error, as an interconnect does.

    data: uint8 array of `size` bytes. faults: (start, end, fault) ranges, end exclusive; the first that is hit counts.
    """

    size: int
    data: Bytes = field(init=False)
    faults: list[tuple[int, int, Fault]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1 << 32:
            raise ValueError(f"memory size must be in 1..2^32, not {self.size}")
        self.data = np.zeros(self.size, dtype=np.uint8)

    def place(self, address: int, data: bytes | NDArray[Any]) -> None:
        """Put an image there, past all faults. Raises ValueError when it does not fit."""
        flat = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else np.ascontiguousarray(data).view(np.uint8)
        flat = flat.reshape(-1)
        if not 0 <= address <= self.size - flat.size:
            raise ValueError(f"{flat.size} bytes at {address:#x} do not fit in a memory of {self.size} bytes")
        self.data[address : address + flat.size] = flat

    def read_rows(self, starts: Ints, length: int) -> Bytes:
        """Copies of `length` bytes from every start: (rows, length). Raises BusError, BusHang."""
        self._check(starts, length)
        return windows(self.data, length)[starts]

    def write_rows(self, starts: Ints, rows: Bytes) -> None:
        """Write rows (rows, length) to their starts, in order. Raises BusError, BusHang, having written nothing."""
        self._check(starts, rows.shape[1])
        windows(self.data, rows.shape[1])[starts] = rows

    def _check(self, starts: Ints, length: int) -> None:
        for start, end, fault in self.faults:
            if np.any((starts + length > start) & (starts < end)):
                raise BusHang if fault is Fault.HANG else BusError
        if np.any(starts + length > self.size):
            raise BusError


def windows(data: Bytes, length: int) -> Bytes:
    """A writable view of every run of `length` bytes: row i starts at byte i."""
    return np.lib.stride_tricks.as_strided(data, (data.size - length + 1, length), (1, 1))
