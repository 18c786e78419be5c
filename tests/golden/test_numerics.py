"""The integer primitives against Python's unbounded integers, and by hand where the page states a tie or a limit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.golden.quartdepth.arithmetic.numerics import (
    byte_pairs,
    pack_nibbles,
    rs,
    sat16,
    sat32,
    signature,
    unpack_nibbles,
    wrap32,
)

words = st.integers(-(1 << 47), (1 << 47) - 1)


def test_rounding_shift_by_hand() -> None:
    assert [int(rs(v, 1)) for v in (-3, -2, -1, 0, 1, 2, 3)] == [-1, -1, 0, 0, 1, 1, 2]  # ties towards plus infinity
    assert [int(rs(v, 2)) for v in (-6, -2, 2, 5, 6)] == [-1, 0, 1, 1, 2]
    assert int(rs(5, 0)) == int(rs(5, -3)) == 5
    assert int(rs((1 << 47) - 1, 60)) == int(rs((1 << 47) - 1, 47)) == 1


@given(words, st.integers(-64, 127))
def test_rounding_shift(v: int, s: int) -> None:
    count = min(max(s, 0), 47)
    assert int(rs(v, s)) == (v * 2 + (1 << count)) // (2 << count) if count else int(rs(v, s)) == v


@given(words)
def test_saturation_and_wrapping(v: int) -> None:
    assert int(sat16(v)) == min(max(v, -32768), 32767)
    assert int(sat32(v)) == min(max(v, -(2**31)), 2**31 - 1)
    assert int(wrap32(v)) == (v + 2**31) % 2**32 - 2**31


def test_saturation_by_hand() -> None:
    assert sat16([32767, 32768, -32768, -32769]).tolist() == [32767, 32767, -32768, -32768]
    assert sat32([2**31 - 1, 2**31, -(2**31) - 1]).tolist() == [2**31 - 1, 2**31 - 1, -(2**31)]
    assert wrap32([2**31, -(2**31) - 1]).tolist() == [-(2**31), 2**31 - 1]


def test_nibbles_by_hand() -> None:
    assert pack_nibbles([1, 2, -1, -8]).tolist() == [0x21, 0x8F]
    assert unpack_nibbles(np.array([0x21, 0x8F], np.uint8)).tolist() == [1, 2, 15, 8]
    assert unpack_nibbles(np.array([0x21, 0x8F], np.uint8), signed=True).tolist() == [1, 2, -1, -8]
    with pytest.raises(ValueError, match="pairs"):
        pack_nibbles([1, 2, 3])


@given(st.lists(st.integers(-8, 7), min_size=2, max_size=16).filter(lambda v: len(v) % 2 == 0))
def test_nibbles_round_trip(elements: list[int]) -> None:
    assert unpack_nibbles(pack_nibbles(elements), signed=True).tolist() == elements
    assert unpack_nibbles(pack_nibbles(elements)).tolist() == [e & 15 for e in elements]


def test_byte_pairs_reads_the_low_nibble_first() -> None:
    entries = np.arange(-8, 8, dtype=np.int8)
    assert byte_pairs(entries)[np.array([0xF0, 0x17], np.uint8)].view(np.int8).tolist() == [-8, 7, -1, -7]


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), min_size=1, max_size=8))
def test_signature(pairs: list[tuple[int, int]]) -> None:
    total = 0
    for word, index in pairs:
        mixed, count = word ^ index, index % 32
        total += int((f"{mixed:032b}" * 2)[count : count + 32], 2)
    got = signature(np.array([w for w, _ in pairs], np.uint32), np.array([a for _, a in pairs]))
    assert got == total % 2**32
