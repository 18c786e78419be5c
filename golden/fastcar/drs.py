"""Dynamic Resource Scheduling: who computes, and on which lane (FastCar, section on hardware; docs/fastcar.md).

The index register has one bit a row: 0 replays, 1 computes. All functions are exact integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar.config import MAX_LANES, MAX_ROWS, Policy

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Assignment:
    """Lane `lane` computes outputs `begin..end-1` of row `row`."""

    lane: int
    row: int
    begin: int
    end: int


def groups(policy: Policy, rows: int) -> list[range]:
    """The rows that decide together: each, pairs (2i, 2i+1; a last row without partner alone), or all."""
    if not 1 <= rows <= MAX_ROWS:
        raise ValueError(f"a batch has 1..{MAX_ROWS} rows, not {rows}")
    size = {Policy.PER_SAMPLE: 1, Policy.PAIR: 2}.get(policy, rows)
    return [range(first, min(first + size, rows)) for first in range(0, rows, size)]


def replay_bits(tas: Any, threshold: int, may_replay: Any, policy: Policy) -> Bools:
    """Which rows replay, bool[rows].

    tas: int64[rows]; may_replay: bool[rows], a frame lies behind the row and its chain is not at the cap.
    A group replays when each of its rows may, and: ALL: each row's TAS > threshold; the others: the sum of the
    group's TAS > threshold times its rows (PER_SAMPLE: one row; PAIR, MEAN: their mean against the threshold).
    """
    tas = np.asarray(tas, dtype=np.int64)
    may = np.asarray(may_replay, dtype=bool)
    replay = np.zeros(len(tas), dtype=bool)
    for group in groups(policy, len(tas)):
        members = tas[group.start : group.stop]
        if policy is Policy.ALL:
            want = bool((members > threshold).all())
        else:
            want = int(members.sum()) > threshold * len(group)
        replay[group.start : group.stop] = want and bool(may[group.start : group.stop].all())
    return replay


def index_register(replay: Any) -> int:
    """The 32-bit index register: bit b is 1 when row b computes; bits above the batch are 0."""
    return sum(1 << row for row, replays in enumerate(replay) if not replays)


def computing_rows(index: int) -> list[int]:
    """The compaction table: the computing rows, in order."""
    return [row for row in range(MAX_ROWS) if index >> row & 1]


def mapping(index: int, lanes: int) -> list[int | None]:
    """The mapping table: the lane of each of the 32 rows, round-robin over computing rows; None replays.

    Raises ValueError for a number of lanes outside 1..32.
    """
    _check_lanes(lanes)
    table: list[int | None] = [None] * MAX_ROWS
    for rank, row in enumerate(computing_rows(index)):
        table[row] = rank % lanes
    return table


def assignments(index: int, lanes: int, outputs: int) -> list[list[Assignment]]:
    """DRS on: the passes over a weight matrix, each a list of what the lanes do.

    A pass takes the next `m = min(lanes, rows left)` computing rows. Lane k works for the pass's row `k % m`, so that
    spare lanes split rows: row i has `parts = (lanes - 1 - i) // m + 1` lanes, lane k is its part `k // m`, and a part
    is `ceil(outputs / parts)` outputs (the last ones fewer, perhaps none: then the lane idles and has no entry).
    Raises ValueError for a number of lanes outside 1..32.
    """
    _check_lanes(lanes)
    rows = computing_rows(index)
    passes = []
    for first in range(0, len(rows), lanes):
        taken = rows[first : first + lanes]
        m = len(taken)
        work = []
        for lane in range(lanes):
            part, i = divmod(lane, m)
            size = -(-outputs // ((lanes - 1 - i) // m + 1))
            begin, end = min(outputs, part * size), min(outputs, (part + 1) * size)
            if begin < end:
                work.append(Assignment(lane, taken[i], begin, end))
        passes.append(work)
    return passes


def static_assignments(index: int, rows: int, lanes: int, outputs: int) -> list[list[Assignment]]:
    """DRS off: row b is bound to lane `b % lanes` in pass `b // lanes`; the lane of a replaying row idles.

    A pass in which no row computes costs nothing and is left out.
    """
    _check_lanes(lanes)
    passes = []
    for first in range(0, rows, lanes):
        bound = range(first, min(first + lanes, rows))
        work = [Assignment(row - first, row, 0, outputs) for row in bound if index >> row & 1]
        if work:
            passes.append(work)
    return passes


def _check_lanes(lanes: int) -> None:
    if not 1 <= lanes <= MAX_LANES:
        raise ValueError(f"lanes must be in 1..{MAX_LANES}, not {lanes}")
