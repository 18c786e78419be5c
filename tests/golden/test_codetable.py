"""Threshold encoding equals the float formulas for every int16 input, and tables survive their byte form."""

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.golden.quartdepth.arithmetic.codetable import (
    ENTRY_MAX,
    ENTRY_MIN,
    CodeTable,
    _thresholds,
    entries_of,
    log2_formula,
    lognp_formula,
    lognp_grid,
    uniform_formula,
)

EVERY = np.arange(-32768, 32768)
REALS = EVERY.astype(np.float64)
steps = st.one_of(st.sampled_from([0.25, 0.5, 1.0, 2.0]), st.floats(0.05, 1.9))


@settings(max_examples=60)
@given(st.one_of(st.integers(1, 2000), st.floats(0.3, 2100.0)), st.integers(0, 15))
def test_uniform_is_its_formula_for_every_input(step: float, zero_point: int) -> None:
    table = CodeTable.uniform(step, zero_point)
    assert np.array_equal(table.encode(EVERY), uniform_formula(step, zero_point)(REALS))


@settings(max_examples=60)
@given(steps, st.integers(0, 15), st.sampled_from([2.0**-5, 2.0**-8, 2.0**-12]), st.floats(0.5, 1.0))
def test_lognp_is_its_formula_for_every_input(step: float, zero_point: int, unit: float, factor: float) -> None:
    octaves = step * max(14.5 - zero_point, zero_point - 0.5)
    if octaves > log2(1 + 32767 * unit):
        step *= log2(1 + 32767 * unit) / octaves * factor
    table, (_, zero) = CodeTable.lognp(step, zero_point, unit), lognp_grid(step, zero_point)
    assert np.array_equal(table.encode(EVERY), lognp_formula(step, zero_point, unit)(REALS - zero))
    assert table.entries[zero_point] == zero
    assert table.entries[0] == ENTRY_MIN
    assert ENTRY_MAX - 1 <= table.entries[15] <= ENTRY_MAX


@settings(max_examples=40)
@given(st.integers(1, 32767), steps)
def test_log2_softmax_is_its_formula_for_every_input(one: int, step: float) -> None:
    table = CodeTable.log2_softmax(one, step)
    assert np.array_equal(table.encode(EVERY), log2_formula(one, step)(REALS - ENTRY_MIN))


def test_ties_go_up() -> None:
    uniform = CodeTable.uniform(4, zero_point=8)
    assert uniform.encode([-6, -7, -2, -3, 1, 2, 5, 6]).tolist() == [7, 6, 8, 7, 8, 9, 9, 10]
    # step 2, unit 1: y = log2(1 + v) is on the tie y / step = 1/2 at v = 1, on 3/2 at v = 7
    lognp, (_, zero) = CodeTable.lognp(2.0, zero_point=10, unit=1.0), lognp_grid(2.0, 10)
    assert lognp.encode([zero + v for v in (0, 1, 6, 7)]).tolist() == [10, 11, 11, 12]
    assert lognp.encode([zero + v for v in (-1, -2, -7, -8)]).tolist() == [10, 9, 9, 8]
    # steps of two octaves: -log2(v / 64) = 1 at v = 32 is the tie between 64 and 16
    values = [ENTRY_MIN + v for v in (64, 33, 32, 31, 16)]
    assert CodeTable.log2_softmax(64, 2.0).encode(values).tolist() == [15, 15, 15, 14, 14]


def test_tables_by_hand() -> None:
    assert CodeTable.uniform(10, zero_point=3).entries == tuple(range(-3, 13))
    # 2^|c / 2| - 1 for c = -8..7, from -15 to 10.3 in 31 steps of 0.816
    scale, zero = lognp_grid(0.5, 8)
    assert (scale, zero) == (pytest.approx((15 + 2**3.5 - 1) / 31), 2)
    assert CodeTable.lognp(0.5, zero_point=8, unit=2.0**-8).entries == (
        -16, -11, -7, -4, -2, 0, 1, 1, 2, 3, 3, 4, 6, 8, 11, 15,
    )  # fmt: skip
    halves = CodeTable.log2_softmax(127).entries
    assert halves == tuple(e - 16 for e in (0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 8, 11, 16, 22, 31))


def test_lognp_inverts_the_polishing() -> None:
    """Decoding an encoded value comes back within half a step of the polished axis (plus the grid's rounding)."""
    step, zero_point, unit = 0.5, 8, 2.0**-9
    table, (scale, zero) = CodeTable.lognp(step, zero_point, unit), lognp_grid(step, zero_point)
    value = np.arange(-3000, 2400)
    back = (table.decode(table.encode(value + zero)).astype(int) - zero) * scale
    rounding = 0.5 * scale
    low = np.sign(value) * (2 ** (np.log2(1 + np.abs(value) * unit) - step / 2) - 1)
    high = np.sign(value) * (2 ** (np.log2(1 + np.abs(value) * unit) + step / 2) - 1)
    assert np.all(back >= np.minimum(low, high) - rounding - 1e-9)
    assert np.all(back <= np.maximum(low, high) + rounding + 1e-9)


@given(
    st.lists(st.integers(ENTRY_MIN, ENTRY_MAX), min_size=16, max_size=16),
    st.lists(st.integers(-32768, 32767), min_size=15, max_size=15).map(sorted),
)
def test_bytes_round_trip_and_encode_counts(entries: list[int], thresholds: list[int]) -> None:
    table = CodeTable(tuple(entries), tuple(thresholds))
    data = table.to_bytes()
    assert len(data) == 64
    assert CodeTable.from_bytes(data) == table
    samples = [*thresholds, *(max(t - 1, -32768) for t in thresholds), -32768, 32767]
    assert table.encode(samples).tolist() == [sum(v >= t for t in thresholds) for v in samples]
    assert table.decode(np.arange(16)).tolist() == entries


def test_of_an_entry_five_bits_count() -> None:
    byte = np.arange(256, dtype=np.uint8)
    assert entries_of(byte).tolist() == [*range(16), *range(-16, 0)] * 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CodeTable((0,) * 15, (0,) * 15), "16 entries"),
        (lambda: CodeTable((0,) * 16, (0,) * 16), "15 thresholds"),
        (lambda: CodeTable((0,) * 16, (1, 0, *[2] * 13)), "must not fall"),
        (lambda: CodeTable((16,) * 16, (0,) * 15), "-16..15"),
        (lambda: CodeTable.from_bytes(bytes(63)), "64 bytes, got 63"),
        (lambda: CodeTable.uniform(0, 3), "step must be positive"),
        (lambda: CodeTable.uniform(1, 16), "zero point"),
        (lambda: CodeTable.uniform(10000, 0), "no int16 input reaches"),
        (lambda: CodeTable.lognp(1, 8, 0), "unit must be positive"),
        (lambda: CodeTable.log2_softmax(0), "one must be"),
    ],
)
def test_bad_tables_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("threshold", [-32768, -32767, 0, 32766, 32767])
def test_a_threshold_may_be_any_int16(threshold: int) -> None:
    """The last one, too: the window in which a formula has the last word ends there."""

    def formula(v: np.ndarray) -> np.ndarray:
        return (v >= threshold).astype(np.int64)

    assert _thresholds([threshold - 0.5], formula, 0) == (threshold,)
