"""`triptych fastcar study`: what replay and dynamic resource scheduling buy, by the cycle model, beside the closed form.

Scope of every figure: the decoder layers of LLaMA-7B (W4A8, int8 KV), one token of every row; embedding, head and the
depth transformer are outside. Positions: 1151, the mean of frames 2 to 8 of 256 tokens, where replay is possible.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

from golden.fastcar.config import LLAMA_7B, Policy
from sim.fastcar.boards import BOARDS, Board
from sim.fastcar.performance import (
    Schedule,
    closed_form,
    dense_cycles,
    expected_cycles,
    kv_share,
    mlp_share,
    weight_efficiency,
    word_interval,
)
from sim.ledger import write_text

POSITION = 1151
LAYERS = 32
HEAD = 32000 * 4096
"""Weights of LLaMA-7B's output head, counted in tokens a second only."""
BATCHES = (1, 2, 4, 8, 16, 32)
SKIPS = tuple(i / 20 for i in range(20))
RIDGES = (1, 2, 4, 8, 16, 32)
SINK = 4

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """One point. window 0: attention over all keys, as the dense layer that it is compared with always has."""

    board: str
    rows: int
    skip: float
    policy: Policy = Policy.PER_SAMPLE
    schedule: Schedule = Schedule.DRS
    window: int = 0
    position: int = POSITION
    lanes: int = 0  # 0: the board's

    def machine(self) -> Board:
        """The board, with other lanes if the case says so."""
        board = BOARDS[self.board]
        return replace(board, lanes=self.lanes) if self.lanes else board


@dataclass(frozen=True)
class Result:
    """m, k, ridge_batch: as in the closed form (k of the dense layer). cycles: of a layer. closed: its speed-up.
    mlp_cycles: of the projections that replay can skip. joules: a token of the whole batch, all layers, assumed pJ."""

    case: Case
    m: float
    k: float
    ridge_batch: float
    dense_cycles: float
    cycles: float
    mlp_cycles: float
    speedup: float
    closed: float
    joules: float
    dense_joules: float


def evaluate(case: Case) -> Result:
    """The model and the closed form at one point."""
    board, sink = case.machine(), SINK if case.window else 0
    dense = dense_cycles(LLAMA_7B, board, rows=case.rows, position=case.position)
    step = expected_cycles(
        LLAMA_7B, board, rows=case.rows, skip=case.skip, policy=case.policy, position=case.position,
        window=case.window, sink=sink, schedule=case.schedule,
    )  # fmt: skip
    m, k = mlp_share(LLAMA_7B), kv_share(LLAMA_7B, case.position + 1)
    local = kv_share(LLAMA_7B, case.window + sink) if case.window else k
    formula = closed_form(
        m, local, board.ridge_batch, rows=case.rows, skip=case.skip, policy=case.policy, schedule=case.schedule
    )
    whole = closed_form(m, k, board.ridge_batch, rows=case.rows, skip=0.0)
    return Result(
        case, m, k, board.ridge_batch, dense.cycles, step.cycles, step.mlp, dense.cycles / step.cycles,
        whole / formula, LAYERS * step.joules(board), LAYERS * dense.joules(board),
    )  # fmt: skip


def drs_gain(case: Case, off: Schedule) -> float:
    """Time of the MLP with lanes bound to rows over the time under DRS."""
    return evaluate(replace(case, schedule=off)).mlp_cycles / evaluate(case).mlp_cycles


def bound_gain(rows: int, skip: float) -> float:
    """The closed form of that gain where lanes are the bound, (1 - s^B) / (1 - s)."""
    return (1 - skip**rows) / (1 - skip)


def tokens_per_second(board: Board, position: int) -> float:
    """LLaMA-7B whole, head included, one row, dense, without TAS or ring."""
    layer = dense_cycles(LLAMA_7B, board, rows=1, position=position).cycles
    head = HEAD / 2 / board.width / board.clusters * word_interval(board)
    return board.clock_mhz * 1e6 / (LAYERS * layer + head)


def video_speedup(case: Case, frames: int = 8, tokens: int = 256) -> float:
    """The first frame, which cannot replay, counted in."""
    first = replace(case, position=tokens // 2, skip=0.0)
    later = evaluate(replace(case, position=tokens + tokens * (frames - 1) // 2 - 1))
    dense = evaluate(replace(first, window=0)).dense_cycles
    local = evaluate(first).cycles if case.window else dense
    return (dense + (frames - 1) * later.dense_cycles) / (local + (frames - 1) * later.cycles)


def cases() -> Iterator[Case]:
    """Every point of the study's table."""
    for board, rows, skip, schedule in product(BOARDS, BATCHES, SKIPS, Schedule):
        yield Case(board, rows, skip, schedule=schedule)
    for board, rows, skip, policy, window in product(BOARDS, (1, 2, 4, 8), SKIPS, Policy, (0, 256, 16)):
        if policy is not Policy.PER_SAMPLE or window:
            yield Case(board, rows, skip, policy, window=window)
    for rows, skip, lanes, schedule in product(BATCHES, (0.5, 0.8, 0.9), RIDGES, Schedule):
        yield Case("U280", rows, skip, schedule=schedule, lanes=lanes)


def table_csv(results: list[Result]) -> str:
    """One line a point."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [n for n in asdict(results[0]) if n != "case"]
    writer.writerow(["board", "rows", "skip", "policy", "schedule", "window", "position", "lanes", *names])
    for r in results:
        c = r.case
        head = [c.board, c.rows, c.skip, c.policy.name, c.schedule.value, c.window, c.position, c.machine().lanes]
        writer.writerow([*head, *(f"{getattr(r, n):.6g}" for n in names)])
    return out.getvalue()


@dataclass(frozen=True)
class Target:
    """A figure that the project aimed at. scope: what it counts. closed: the closed form's figure, if it has one."""

    name: str
    board: str
    rows: int
    skip: float
    policy: str
    k: float
    ridge_batch: float
    value: float
    closed: float
    aim: float
    scope: str

    @property
    def met(self) -> bool:
        """At or above the aim."""
        return self.value >= self.aim


def targets() -> list[Target]:
    """The aimed figures, as the model has them."""
    found = []

    def speed(case: Case, aim: float, name: str, scope: str) -> None:
        r = evaluate(case)
        found.append(
            Target(name, case.board, case.rows, case.skip, case.policy.name, r.k, r.ridge_batch, r.speedup, r.closed,
                   aim, scope)
        )  # fmt: skip

    for board in BOARDS:
        speed(Case(board, 1, 0.8), 1.9, "speed-up, replay", "a step of frames 2 to 8, all keys")
    for board, policy, rows in product(BOARDS, (Policy.PER_SAMPLE, Policy.PAIR), (1, 2)):
        if (policy is Policy.PAIR) == (rows == 2):
            case = Case(board, rows, 0.8, policy, window=16)
            speed(case, 2.3, "speed-up, replay and local-16", f"the same, {SINK} sink keys")
    for board, skip in product(("U50", "U280"), (0.5, 0.8)):
        case = Case(board, 32, skip)
        r = evaluate(case)
        formula = bound_gain(32, skip)
        gain = drs_gain(case, Schedule.STATIC)
        found.append(
            Target("DRS on over off", board, 32, skip, "PER_SAMPLE", r.k, r.ridge_batch, gain, formula, 0.9 * formula,
                   "MLP cycles; off: every pass runs unless all rows replay")
        )  # fmt: skip
    for name, board in BOARDS.items():
        found.append(
            Target("weight stream, share of pin rate", name, 1, 0.0, "", 0.0, board.ridge_batch,
                   weight_efficiency(board), 1.0, 0.9, f"{board.timing.name}, bursts of {board.burst_bytes} bytes")
        )  # fmt: skip
    kv260 = BOARDS["KV260"]
    for position in (127, 511, 1023):
        k = kv_share(LLAMA_7B, position + 1)
        m = mlp_share(LLAMA_7B)
        layer = closed_form(m, k, kv260.ridge_batch, rows=1, skip=0.0)
        weights = LAYERS * (LLAMA_7B.width * (LLAMA_7B.width * 4 + 3 * LLAMA_7B.ffn)) / 2
        bound = kv260.peak_bytes_per_second / (weights * layer + HEAD / 2)
        found.append(
            Target("tokens a second", "KV260", 1, 0.0, "", k, kv260.ridge_batch, tokens_per_second(kv260, position),
                   bound, 5.3, f"32 layers and head, token {position + 1}; closed: at pin rate")
        )  # fmt: skip
    return found


def run_study(out: Path, progress: Progress = lambda _: None) -> list[Target]:
    """Writes table, figures and targets into `out`; returns the targets. Raises TriptychError when it cannot write."""
    from sim.fastcar.study_figures import draw_figures

    progress("the model over boards, batches, skip ratios, policies")
    results = [evaluate(c) for c in cases()]
    write_text(out / "study.csv", table_csv(results))
    aimed = targets()
    described = [asdict(t) | {"met": t.met} for t in aimed]
    write_text(out / "study.json", json.dumps(described, indent=1) + "\n")
    progress("figures")
    draw_figures(results, out)
    return aimed
