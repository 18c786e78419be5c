"""`triptych fastcar study`: what replay and DRS buy, by the cycle model, beside the closed form.

Scope of every figure: the decoder layers of LLaMA-7B (W4A8, int8 KV), one token of every row; embedding, head and the
depth transformer are outside. Positions: 1151, the mean of frames 2 to 8 of 256 tokens, where replay is possible.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path

from triptych.golden.fastcar.config import LLAMA_7B, Policy
from triptych.golden.files import check_writable, write
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.build.sources import ROOT
from triptych.sim.fastcar.boards import BOARDS, PJ_PER_MAC, Board
from triptych.sim.fastcar.calibration import drs_gain as drs_gain_on_rtl
from triptych.sim.fastcar.calibration import measure
from triptych.sim.fastcar.performance import (
    Schedule,
    closed_form,
    dense_cycles,
    expected_cycles,
    kv_share,
    mlp_share,
    weight_efficiency,
    word_interval,
)
from triptych.sim.fastcar.record import board_runs, lane_runs, token_bytes
from triptych.sim.view.origin import origin
from triptych.sim.view.runfile import ENDING, save
from triptych.sim.view.runs import FpgaRun, SpeedPoint

PICTURES = ROOT / "docs" / "img"
POSITION = 1151
LAYERS = 32
HEAD = 32000 * 4096
"""Weights of LLaMA-7B's output head, counted in tokens a second only."""
BATCHES = (1, 2, 4, 8, 16, 32)
SKIPS = tuple(i / 20 for i in range(20))
RIDGES = (1, 2, 4, 8, 16, 32)
SINK = 4
DROPS = "bound lanes, but empty passes left out: a part of DRS, not the closed form's off"

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


@lru_cache(maxsize=8192)
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
    """A figure that the project aimed at. closed: the closed form's figure, aim: what was aimed at, each 0
    if there is none. scope: what it counts."""

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

    def __str__(self) -> str:
        where = f"{self.board} B={self.rows} s={self.skip:g} {self.policy}".rstrip()
        aim = f", aim {self.aim:.3g}: {'met' if self.met else 'NOT met'}" if self.aim else ""
        return f"{self.name}: {self.value:.3f} ({where}; {self.scope}){aim}"


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
        for off, scope in ((Schedule.STATIC, "every pass runs unless all replay"), (Schedule.STATIC_DROP, DROPS)):
            found.append(
                Target("DRS on over off", board, 32, skip, "PER_SAMPLE", r.k, r.ridge_batch, drs_gain(case, off),
                       formula, 0.9 * formula, f"MLP cycles; off: {scope}")
            )  # fmt: skip
    for name, machine in BOARDS.items():
        found.append(
            Target("weight stream, share of pin rate", name, 1, 0.0, "", 0.0, machine.ridge_batch,
                   weight_efficiency(machine), 1.0, 0.9, f"{machine.timing.name}, {machine.burst_bytes}-byte bursts")
        )  # fmt: skip
    for skip, window, cited in ((0.8, 0, 1.76), (0.87, 16, 2.13)):
        case = Case("U280", 1, skip, window=window)
        r = evaluate(case)
        scope = f"8 frames, the first without replay; the paper: {cited}x, cited"
        found.append(
            Target("speed-up of a video", case.board, 1, skip, "PER_SAMPLE", r.k, r.ridge_batch, video_speedup(case),
                   0.0, 0.0, f"{scope}, {f'local-{window}' if window else 'all keys'}")
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


def target_rows(found: list[Target]) -> str:
    """The targets as a Markdown table."""
    header = ["figure", "board", "B", "s", "policy", "k", "B0", "model", "closed form", "aim", "met", "scope", "label"]
    rows = []
    for t in found:
        aim, met = (f"{t.aim:.3g}", "yes" if t.met else "no") if t.aim else ("", "")
        rows.append([
            t.name, t.board, str(t.rows), f"{t.skip:g}", t.policy, f"{t.k:.3f}", f"{t.ridge_batch:.1f}",
            f"{t.value:.3f}", f"{t.closed:.3f}" if t.closed else "", aim, met, t.scope, Label.ESTIMATED.value,
        ])  # fmt: skip
    return table(header, rows)


def energy_rows() -> str:
    """Energy a token, by the assumed pJ, dense and with 80 % of the MLPs replayed."""
    rows = []
    for name, board in BOARDS.items():
        r = evaluate(Case(name, 1, 0.8))
        rows.append([
            name, f"{board.timing.pj_per_bit:g}", f"{r.dense_joules * 1e3:.0f}", f"{r.joules * 1e3:.0f}",
            f"{r.dense_joules / r.joules:.2f}x", Label.ESTIMATED.value,
        ])  # fmt: skip
    return table(["board", "pJ a bit, assumed", "dense mJ", "replay mJ", "saved", "label"], rows)


def write_results(found: list[Target], out: Path) -> None:
    """Writes the sections of docs/results.md, the twins' cycles measured anew, and the pictures of the docs.

    Raises TriptychError when the twins do not build.
    """
    points = measure(out)
    errors = [abs(p.error) for p in points]
    worst = max(points, key=lambda p: abs(p.error))
    calibration = (
        f"Engine cycles of the model against the RTL over {len(points)} products (batches 1 to 32, two sizes of the "
        f"core, three word rates, three shapes): mean error {sum(errors) / len(errors):.2%}, worst {max(errors):.1%} "
        f"({worst.outputs} x {worst.inputs}, {worst.rows} rows, {worst.measured} cycles measured). `rtl-simulated`"
    )
    skips = (0.3, 0.5, 0.7, 0.8)
    on_rtl = [
        ["32", f"{skip:g}", "3.7", f"{gain:.2f}x", f"{bound_gain(32, skip):.2f}x", Label.RTL_SIMULATED.value]
        for skip, gain in drs_gain_on_rtl(out, skips).items()
    ]
    body = "\n".join([
        "## FastCar: what replay and DRS buy, by the cycle model",
        f"Decoder layers of LLaMA-7B, W4A8, int8 KV; position {POSITION} (mean of frames 2 to 8) unless said. s: skip "
        "ratio, k: KV bytes a row over a layer's weight bytes, B0: ridge batch of the lanes built. "
        "By `triptych fastcar study --results`.",
        "", target_rows(found), "", calibration + ".", "",
        "DRS on the RTL: 32 rows on four lanes, a 160 x 448 product for every number of computing rows, weighted "
        "binomially; off: every pass runs unless all rows replay:", "",
        table(["B", "s", "B0", "off over on", "(1 - s^B) / (1 - s)", "label"], on_rtl), "",
        "Published: KV260, LLaMA2-7B W4, 5 tokens a second at 85 % of the DRAM bound; U280, HBM, 425 of 460 GB/s "
        "(Shuhai, arXiv 2005.04324). `cited`.", "",
        f"Energy a token at B = 1, s = 0.8, memory and products only, {PJ_PER_MAC:g} pJ a W4A8 product assumed:", "",
        energy_rows(),
    ])  # fmt: skip
    replace_section("fastcar-study", body)
    for name in ("speedup", "drs", "policies", "ridge"):
        picture = PICTURES / f"fastcar_{name}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / f"{name}.png", picture)


def study_run(points: Sequence[Result], mapped: Sequence[str]) -> FpgaRun:
    """The study's record: its points with all keys and the boards' own lanes."""
    speedups = [
        SpeedPoint(
            c.board, c.rows, c.skip, c.policy.name, c.schedule.value, c.window, r.speedup, r.closed, r.mlp_cycles
        )
        for r in points
        if not (c := r.case).window and not c.lanes
    ]  # fmt: skip
    return FpgaRun(
        "FastCar study", origin(), boards=board_runs(mapped), speedups=speedups, lanes=lane_runs(),
        traffic=token_bytes(POSITION),
    )  # fmt: skip


def run_study(
    out: Path, results: bool = False, progress: Progress = lambda _: None, mapped: Sequence[str] = ()
) -> list[Target]:
    """Writes table, figures, targets and record into `out` (study.csv, study.json, *.svg, *.png, study.run.json);
    returns the targets.

    results: also write docs/results.md and docs/img. mapped: boards whose twins Yosys maps for the record. Raises
    TriptychError when a place cannot be written.
    """
    from triptych.sim.fastcar.study_figures import draw_figures

    check_writable(out)
    progress("the model over boards, batches, skip ratios, policies")
    points = [evaluate(c) for c in cases()]
    write(out / "study.csv", table_csv(points))
    found = targets()
    described = [asdict(t) | {"met": t.met} for t in found]
    write(out / "study.json", json.dumps(described, indent=1) + "\n")
    progress("figures")
    draw_figures(points, out)
    if mapped:
        progress(f"the twins of {', '.join(mapped)} by Yosys (minutes, once)")
    save(study_run(points, mapped), out / f"study{ENDING}")
    if results:
        progress("the model against the RTL")
        write_results(found, out)
    return found
