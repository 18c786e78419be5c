"""Integer primitives of docs/numerics.md: rounding shift, saturation, wrapping, nibbles, signatures.

Everything takes and returns NumPy arrays (or integers) and is exact; 64-bit intermediates never overflow for the
operands that the page allows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Int32s = NDArray[np.int32]
Bytes = NDArray[np.uint8]

MAX_SHIFT = 47


def rs(v: Any, s: Any) -> Ints:
    """Rounding shift, `(v + 2^(s-1)) >> s`: to nearest, ties towards plus infinity.

    v: integers of at most 48 bits. s: counts, clamped to 0..47; broadcast against v. Returns int64.
    """
    v = np.asarray(v, dtype=np.int64)
    s = np.clip(np.asarray(s, dtype=np.int64), 0, MAX_SHIFT)
    return (v + ((np.int64(1) << s) >> 1)) >> s


def sat16(v: Any) -> Ints:
    """Saturate to -2^15..2^15-1. Returns int64."""
    return np.clip(np.asarray(v, dtype=np.int64), -(1 << 15), (1 << 15) - 1)


def sat32(v: Any) -> Ints:
    """Saturate to -2^31..2^31-1. Returns int64."""
    return np.clip(np.asarray(v, dtype=np.int64), -(1 << 31), (1 << 31) - 1)


def wrap32(v: Any) -> Int32s:
    """The low 32 bits as a signed number. Returns int32."""
    return np.asarray(v).astype(np.int64).astype(np.int32)


def pack_nibbles(elements: Any) -> Bytes:
    """Two elements a byte along the last axis, the first in the low nibble: (..., 2 n) integers -> (..., n) uint8.

    Only the low four bits of an element count, so signed and unsigned ones pack alike. Raises ValueError for an
    odd count.
    """
    elements = np.asarray(elements)
    if elements.shape[-1] % 2:
        raise ValueError(f"nibbles come in pairs: pad the last axis ({elements.shape[-1]} elements) to an even length")
    low = elements.astype(np.int64) & 15
    return (low[..., 0::2] | (low[..., 1::2] << 4)).astype(np.uint8)


def unpack_nibbles(data: Any, signed: bool = False) -> NDArray[np.int8]:
    """Inverse of `pack_nibbles`: (..., n) bytes -> (..., 2 n) int8, in 0..15 or, signed, in -8..7."""
    pairs = (_SIGNED_PAIRS if signed else _UNSIGNED_PAIRS)[np.asarray(data).view(np.uint8)]
    return pairs.view(np.int8).reshape(*pairs.shape[:-1], 2 * pairs.shape[-1])


def byte_pairs(decode: NDArray[np.int8]) -> NDArray[np.uint16]:
    """For each of the 256 bytes the two int8 that its nibbles mean, as one uint16: `byte_pairs(T)[data].view(int8)`."""
    byte = np.arange(256)
    pair = np.stack([decode[byte & 15], decode[byte >> 4]], axis=-1)
    return np.ascontiguousarray(pair, dtype=np.int8).view(np.uint16).reshape(256)


_UNSIGNED_PAIRS = byte_pairs(np.arange(16, dtype=np.int8))
_SIGNED_PAIRS = byte_pairs(np.array([*range(8), *range(-8, 0)], dtype=np.int8))


def signature(words: NDArray[Any], index: NDArray[Any]) -> int:
    """`sum of rotl32(word ^ a, a & 31)` modulo 2^32 (docs/architecture.md, Counters).

    words: 32-bit words of any integer type, signed or not; index: their addresses / 4, broadcast against words.
    """
    w = words.view(np.uint32) if words.dtype.itemsize == 4 else words.astype(np.int64).astype(np.uint32)
    a = np.asarray(index).astype(np.uint32)
    count = a & np.uint32(31)
    mixed = w ^ a
    rotated = mixed << count
    mixed >>= (np.uint32(32) - count) & np.uint32(31)  # a count of zero gives the word itself twice: or'ed, no harm
    rotated |= mixed
    return int(rotated.sum(dtype=np.uint64)) & 0xFFFFFFFF
