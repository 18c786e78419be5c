"""Scheduling: every computing row is mapped once, no replayed row ever, order is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.golden.fastcar import drs
from triptych.golden.fastcar.config import Policy

REGISTER = st.integers(0, 2**32 - 1)
LANES = st.integers(1, 32)


@given(REGISTER, LANES)
def test_mapping_is_round_robin_over_computing_rows(index: int, lanes: int) -> None:
    table = drs.mapping(index, lanes)
    assert [row for row in range(32) if table[row] is not None] == drs.computing_rows(index)
    assert [lane for lane in table if lane is not None] == [n % lanes for n in range(index.bit_count())]


@given(REGISTER, LANES, st.integers(1, 100))
def test_assignments_cover_every_output_once(index: int, lanes: int, outputs: int) -> None:
    covered: dict[int, list[int]] = {}
    order = []
    for work in drs.assignments(index, lanes, outputs):
        assert len({a.lane for a in work}) == len(work) <= lanes
        for a in work:
            assert 0 <= a.lane < lanes
            covered.setdefault(a.row, []).extend(range(a.begin, a.end))
        order += sorted({a.row for a in work})
    rows = drs.computing_rows(index)
    assert order == rows  # each in one pass, in order
    assert {row: sorted(o) for row, o in covered.items()} == {row: list(range(outputs)) for row in rows}


@given(REGISTER, LANES)
def test_first_part_of_a_row_is_on_its_mapped_lane(index: int, lanes: int) -> None:
    table = drs.mapping(index, lanes)
    for work in drs.assignments(index, lanes, 64):
        for a in work:
            if a.begin == 0:
                assert table[a.row] == a.lane


@given(REGISTER, st.integers(1, 32), LANES)
def test_static_lanes_never_serve_another_row(index: int, rows: int, lanes: int) -> None:
    index &= (1 << rows) - 1
    passes = drs.static_assignments(index, rows, lanes, 10)
    assert [a.row for work in passes for a in work] == drs.computing_rows(index)
    assert all(a.lane == a.row % lanes for work in passes for a in work)
    assert len(drs.assignments(index, lanes, 10)) <= len(passes)


@given(st.lists(st.integers(-(2**28), 2**28), min_size=1, max_size=32), st.data())
def test_decisions(tas: list[int], data: st.DataObject) -> None:
    rows = len(tas)
    threshold = data.draw(st.sampled_from([*tas, 0, 5]))
    may = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    replay = {policy: drs.replay_bits(tas, threshold, may, policy).tolist() for policy in Policy}
    assert replay[Policy.PER_SAMPLE] == [t > threshold and m for t, m in zip(tas, may, strict=True)]
    assert replay[Policy.ALL] == [all(t > threshold for t in tas) and all(may)] * rows
    assert replay[Policy.MEAN] == [sum(tas) > rows * threshold and all(may)] * rows
    for b in range(rows):
        pair = range(b & ~1, min((b & ~1) + 2, rows))
        wants = sum(tas[i] for i in pair) > threshold * len(pair) and all(may[i] for i in pair)
        assert replay[Policy.PAIR][b] == wants
    index = drs.index_register(np.array(replay[Policy.PAIR]))
    assert [row for row in range(rows) if not replay[Policy.PAIR][row]] == drs.computing_rows(index)


def test_limits() -> None:
    with pytest.raises(ValueError, match=r"1\.\.32 rows"):
        drs.groups(Policy.PAIR, 33)
    with pytest.raises(ValueError, match=r"1\.\.32"):
        drs.mapping(1, 33)
