"""What the study and generated videos leave for the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from triptych.golden.fastcar import drs
from triptych.golden.fastcar.config import LLAMA_7B, Policy
from triptych.sim.fastcar.boards import BOARDS, Board
from triptych.sim.fastcar.devices import DEVICES
from triptych.sim.fastcar.performance import Schedule, expected_cycles, weight_efficiency
from triptych.sim.fastcar.utilization import step_parts
from triptych.sim.label import Label
from triptych.sim.view.runs import (
    BoardRun,
    LaneRun,
    LaneSpan,
    Part,
    Resources,
    TokenBytes,
)

ROWS, LANES, OUTPUTS = 16, 4, 16
COMPUTING = (6, 13)  # of an example in which seven rows of eight replay
SKIPS = (0.0, 0.5, 0.8)


def board_runs(mapped: Sequence[str]) -> list[BoardRun]:
    """Every board: what the lanes take of its DSPs, by the model; of those in `mapped`, what Yosys maps of the twins
    (minutes, once). Raises TriptychError where it fails."""
    return [
        BoardRun(
            name, DEVICES[name], _mapped(board) if name in mapped else _modelled(board), board.peak_bytes_per_second,
            board.peak_bytes_per_second * weight_efficiency(board),
        )
        for name, board in BOARDS.items()
    ]  # fmt: skip


def _modelled(board: Board) -> list[Part]:
    each = Resources(dsps=board.lane_dsp // board.clusters)
    return [Part("lanes of a cluster", board.clusters, each, Label.ESTIMATED.value)]


def _mapped(board: Board) -> list[Part]:
    return [
        Part(name, count, Resources(u.luts, u.flops, u.dsps, u.blocks, u.urams), Label.YOSYS_MAPPED.value)
        for name, count, u in step_parts(board)
    ]


def lane_runs() -> list[LaneRun]:
    """An example window of weights: 16 rows of which two compute, on four lanes, with DRS and without."""
    bits = sum(1 << row for row in COMPUTING)
    index = [row in COMPUTING for row in range(ROWS)]
    on = drs.assignments(bits, LANES, OUTPUTS)
    bound = [range(first, first + LANES) for first in range(0, ROWS, LANES)]
    every = [[drs.Assignment(r - p.start, r, 0, OUTPUTS) for r in p if index[r]] for p in bound]
    dropped = drs.static_assignments(bits, ROWS, LANES, OUTPUTS)
    return [
        LaneRun(Schedule.DRS.value, LANES, index, list(_spans(on, None))),
        LaneRun(Schedule.STATIC_DROP.value, LANES, index, list(_spans(dropped, None))),
        LaneRun(Schedule.STATIC.value, LANES, index, list(_spans(every, OUTPUTS))),
    ]


def _spans(passes: list[list[drs.Assignment]], length: int | None) -> Iterator[LaneSpan]:
    """Pass behind pass; each as long as its longest part, or `length`."""
    at = 0
    for work in passes:
        for a in work:
            yield LaneSpan(a.lane, a.row, at, at + a.end - a.begin)
        at += length if length is not None else max(a.end - a.begin for a in work)


def token_bytes(position: int) -> list[TokenBytes]:
    """Bytes of a layer's step for one row, by board and skip ratio."""
    found = []
    for name, board in BOARDS.items():
        for skip in SKIPS:
            step = expected_cycles(LLAMA_7B, board, rows=1, skip=skip, policy=Policy.PER_SAMPLE, position=position)
            found.append(TokenBytes(name, skip, step.weight_bytes, step.skipped_bytes, step.other_bytes))
    return found
