"""Scratchpad space: first fit over lifetimes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(eq=False)
class Buffer:
    """`size` bytes of scratchpad from step `first` to step `last`, both included; `address` once it is placed."""

    name: str
    size: int
    first: int
    last: int
    address: int = -1


def place(buffers: Iterable[Buffer], capacity: int, align: int) -> Buffer | None:
    """Gives every buffer an address, a multiple of `align`; buffers that live at the same time do not overlap.

    Large and long-lived ones first, each at the lowest free address. Returns the first buffer that found no room, or
    None when all did.
    """
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: (-b.size * (b.last - b.first + 1), b.first, b.name)):
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
