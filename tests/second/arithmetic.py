"""Primitives of docs/numerics.md, code tables, and reading and writing of bytes."""

from __future__ import annotations

from collections.abc import Sequence


def signed(value: int, bits: int) -> int:
    """The low `bits` of a value, as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def wrap32(value: int) -> int:
    """32 bits of it."""
    return signed(value, 32)


def saturate(value: int, bits: int) -> int:
    """The nearest value of so many bits."""
    most = (1 << (bits - 1)) - 1
    return most if value > most else -most - 1 if value < -most - 1 else value


def rounding_shift(value: int, count: int) -> int:
    """To nearest, ties towards plus infinity; counts beyond 0..47 are the nearest of these."""
    count = 0 if count < 0 else 47 if count > 47 else count
    half, rest = divmod(value, 1 << count)
    return half + 1 if 2 * rest >= 1 << count and count else half


def entry(table: Sequence[int], code: int) -> int:
    """What a code stands for. table: the 64 bytes of a code table."""
    return signed(table[code], 5)


def encode(table: Sequence[int], value: int) -> int:
    """How many of the fifteen thresholds the value reaches."""
    return sum(value >= signed(table[16 + 2 * i] | table[17 + 2 * i] << 8, 16) for i in range(15))


def nibble(data: Sequence[int], start: int, element: int) -> int:
    """Element of a row of 4-bit elements that begins at byte `start`, unsigned."""
    byte = data[start + element // 2]
    return byte >> 4 if element % 2 else byte & 15
