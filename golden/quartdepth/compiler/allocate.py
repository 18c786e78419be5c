"""Scratchpad space: first fit over lifetimes, in several orders."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

TRIES = 24  # random orders after the two sensible ones


@dataclass(eq=False)
class Buffer:
    """`size` bytes of scratchpad from step `first` to step `last`, both included; `address` once it is placed.

    home: the step that needs it first. Before that, from `first` on, it only makes early loads and writes possible.
    """

    name: str
    size: int
    first: int
    last: int
    home: int
    address: int = -1

    @property
    def early(self) -> bool:
        """Takes room before it must."""
        return self.first < self.home


def place(buffers: Sequence[Buffer], capacity: int, align: int) -> Buffer | None:
    """Gives every buffer an address, a multiple of `align`; buffers that live at the same time do not overlap.

    Each goes to the lowest free address; large and long-lived ones first, then large ones first, then orders near the
    latter, always the same. Returns None when an order found room for all, else the first buffer that one left out.
    """
    area = sorted(buffers, key=lambda b: (-b.size * (b.last - b.first + 1), b.first, b.name))
    missing = _first_fit(area, capacity, align)
    if missing is None or _full(buffers, capacity):
        return missing
    rng = random.Random(0)
    weights = dict.fromkeys(buffers, 1.0)
    for _ in range(TRIES + 1):
        order = sorted(buffers, key=lambda b: (-b.size * weights[b], b.first, b.name))
        if _first_fit(order, capacity, align) is None:
            return None
        weights = {b: rng.uniform(0.5, 2.0) for b in buffers}
    return missing


def _full(buffers: Sequence[Buffer], capacity: int) -> bool:
    """At some step there are more bytes than room: no order can help."""
    change: dict[int, int] = {}
    for b in buffers:
        change[b.first] = change.get(b.first, 0) + b.size
        change[b.last + 1] = change.get(b.last + 1, 0) - b.size
    used = 0
    for step in sorted(change):
        used += change[step]
        if used > capacity:
            return True
    return False


def _first_fit(order: Sequence[Buffer], capacity: int, align: int) -> Buffer | None:
    placed: list[Buffer] = []
    for buffer in order:
        others = [b for b in placed if b.first <= buffer.last and buffer.first <= b.last]
        address = 0
        for other in sorted(others, key=lambda b: b.address):
            if address + buffer.size <= other.address:
                break
            address = max(address, -(-(other.address + other.size) // align) * align)
        if address + buffer.size > capacity:
            return buffer
        buffer.address = address
        placed.append(buffer)
    return None
