"""`python -m triptych.sim.fastcar.step_study`: a whole step in RTL beside its model, tokens a second, what DRS buys.

Writes the section `fastcar-step` of docs/results.md. Cycles are the RTL's, seconds are cycles over the board's assumed
clock.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

from triptych.golden.fastcar.config import ALWAYS_REPLAY, LLAMA_7B, Chooser, Controls, LayerConfig, Policy
from triptych.golden.fastcar.random_layer import random_layer, random_rows
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.build import cache
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.boards import Board, board
from triptych.sim.fastcar.image import DeviceState, Program
from triptych.sim.fastcar.performance import closed_form, kv_share, mlp_share, word_interval
from triptych.sim.fastcar.step_model import StepMachine, StepWork, layer_cycles, step_cycles
from triptych.sim.fastcar.step_rtl import Fault, Memory, StepSize, Token, run_steps

LAYER = LayerConfig(width=512, ffn=1376, heads=4, kv_heads=4, head_dim=128, frame_tokens=64, context=4096)
"""An eighth of LLaMA-7B in every direction but the head's and the context's."""
SIZE = StepSize.of(LAYER, lanes=4, words=16, depth=512, checked=False)
KV260 = StepSize(
    lanes=16, words=16, width=4096, ffn=11008, head_dim=128, head_words=64, tokens=4096, depth=512, checked=False,
)  # fmt: skip
VOCABULARY = 32000
LAYERS = 32
PHASES = ("idle", "setup", "turns", "rows", "result", "flush", "done", "stopped", "cycles")
"""What is not a layer's."""


def machine(size: StepSize, memory: Memory) -> StepMachine:
    """The model's parameters of a size and a memory."""
    return StepMachine(
        size.lanes, size.words, size.chain, size.group, size.vector, size.depth, memory.rate, memory.latency
    )


def board_memory(target: Board) -> Memory:
    """A cluster's share of the board's DRAM, as `dram.py` times it."""
    return Memory(latency=round(target.latency * target.clock_mhz / 1e3), rate=1 / word_interval(target))


@lru_cache(maxsize=2)
def _program(config: LayerConfig, size: StepSize) -> Program:
    return Program.pack(config, [random_layer(config, 1)], size.limits)


def run_point(config: LayerConfig, size: StepSize, work: StepWork, memory: Memory, policy: Policy) -> dict[str, int]:
    """Cycles by phase, and `cycles` in all, of a layer's step on the RTL (cached by content).

    Exactly `work.computing` rows compute: their chains are at the cap. Policies that decide together must have whole
    groups of them. Raises TriptychError when it does not run.
    """
    key = cache.fingerprint([], size.build().key(), repr((config, work, memory, policy)))
    return cache.value("steps", key, lambda: _run_point(config, size, work, memory, policy))


def _run_point(config: LayerConfig, size: StepSize, work: StepWork, memory: Memory, policy: Policy) -> dict[str, int]:
    program = _program(config, size)
    controls = Controls(
        threshold=ALWAYS_REPLAY, policy=policy, chooser=work.chooser, chain_cap=1, window=work.window, sink=work.sink
    )
    program.steer([controls])
    state = DeviceState.empty(config, 1, work.rows)
    state.chains[0, : work.computing] = 1
    token = Token(random_rows(config, work.rows, 3), work.position, work.scheduling)
    made = run_steps(size, program, state, [token], memory, executable=size.build().executable())[0]
    if made.fault is not Fault.NONE or made.counters["index"].bit_count() != work.computing:
        raise TriptychError(f"the step went wrong: {made.fault.name}, index {made.counters['index']:#x}")
    return {**made.phases, "cycles": made.cycles}


@dataclass(frozen=True)
class Point:
    """A step on the RTL and in the model, in cycles."""

    work: StepWork
    memory: Memory
    policy: Policy
    measured: int
    modelled: float

    @property
    def error(self) -> float:
        """Relative, positive where the model is slow."""
        return self.modelled / self.measured - 1


def works() -> list[tuple[StepWork, Memory, Policy]]:
    """Batches 1 to 32, contexts to 4,096, every chooser and policy, memories down to half a word a cycle."""
    plain, board_like, slow = Memory(latency=40), Memory(latency=60, rate=0.953), Memory(latency=100, rate=0.57)
    found = [
        (StepWork(rows, position, computing), plain, Policy.PER_SAMPLE)
        for rows in (1, 2, 4, 8, 16, 32)
        for position in (20, 500)
        for computing in ((rows,) if position < LAYER.frame_tokens else (rows, rows // 5))
    ]
    found += [
        (StepWork(rows, 300, computing, chooser), memory, policy)
        for number, chooser in enumerate(Chooser)
        for rows, computing, policy in ((6, 2, Policy.PAIR), (3, 3, Policy.ALL), (4, 0, Policy.MEAN))
        for memory in ((board_like, slow)[number % 2],)
    ]
    found += [
        (StepWork(1, 4095, 1), board_like, Policy.PER_SAMPLE), (StepWork(4, 3000, 1), slow, Policy.PER_SAMPLE),
        (StepWork(2, 4000, 0, Chooser.VALUE), plain, Policy.PAIR),
        (StepWork(16, 900, 5, Chooser.HEADS, 256, 16), board_like, Policy.PER_SAMPLE),
        (StepWork(8, 300, 2, scheduling=False), plain, Policy.PER_SAMPLE),
        (StepWork(8, 300, 0, scheduling=False), slow, Policy.PER_SAMPLE),
    ]  # fmt: skip
    return found


def calibrate(chosen: Sequence[tuple[StepWork, Memory, Policy]]) -> list[Point]:
    """The points on the RTL and in the model. Raises TriptychError when the RTL does not build or run."""
    points = []
    for work, memory, policy in chosen:
        made = run_point(LAYER, SIZE, work, memory, policy)
        modelled = step_cycles(LAYER, machine(SIZE, memory), work)
        points.append(Point(work, memory, policy, made["cycles"], modelled))
    return points


def layer_of(made: dict[str, int]) -> int:
    """Cycles of the layer alone."""
    return sum(cycles for phase, cycles in made.items() if phase not in PHASES)


def head_cycles(target: Board) -> float:
    """Of LLaMA-7B's head, int4, streamed like a projection's weights."""
    return VOCABULARY * LLAMA_7B.width / 2 / target.width * word_interval(target)


def tokens_a_second(target: Board, layer: float, step: float) -> float:
    """Of 32 layers, what a step takes beside them, and the head, for one row."""
    return target.clock_mhz * 1e6 / (LAYERS * layer + step + head_cycles(target))


def pin_rate(target: Board, context: int) -> float:
    """Tokens a second if DRAM gave its pin rate: weights, head, keys and values."""
    c = LLAMA_7B
    weights = 2 * c.width * (c.q_width + c.kv_width) + 3 * c.width * c.ffn
    moved = LAYERS * (weights / 2 + 2 * c.kv_width * context) + VOCABULARY * c.width / 2
    return target.peak_bytes_per_second / moved


def llama_rows(contexts: Sequence[tuple[int, float]]) -> list[list[str]]:
    """LLaMA-7B, one row, dense, on the KV260's size: cycles of a layer on the RTL, tokens a second, the aims."""
    target = board("KV260")
    memory = board_memory(target)
    rows = []
    for context, aim in contexts:
        work = StepWork(1, context - 1, 1)
        made = run_point(LLAMA_7B, KV260, work, memory, Policy.PER_SAMPLE)
        layer = layer_of(made)
        rate = tokens_a_second(target, layer, made["cycles"] - layer)
        model = layer_cycles(LLAMA_7B, machine(KV260, memory), work)
        most = pin_rate(target, context)
        rows.append([
            str(context), f"{layer:,}", f"{model / layer - 1:+.2%}", f"{rate:.3f}", f"{most:.2f}", f"{rate / most:.1%}",
            f"{aim:g}", "yes" if rate >= aim else "no", Label.RTL_SIMULATED.value,
        ])  # fmt: skip
    return rows


def replay_rows(skip: float = 0.8, position: int = 1151) -> list[list[str]]:
    """LLaMA-7B on the KV260, one row, RTL: dense over a row that replays with `skip`, with all keys and with a window.

    position: the mean of frames 2 to 8.
    """
    target = board("KV260")
    memory = board_memory(target)
    m, k, ridge = mlp_share(LLAMA_7B), kv_share(LLAMA_7B, position + 1), target.ridge_batch
    dense = 0
    rows = []
    for name, window, sink, aim in (("all keys", 0, 0, 1.9), ("window 16, sink 4", 16, 4, 2.3)):
        works = [StepWork(1, position, n, window=window, sink=sink) for n in (0, 1)]
        replayed, computed = (layer_of(run_point(LLAMA_7B, KV260, w, memory, Policy.PER_SAMPLE)) for w in works)
        dense = dense or computed
        gain = dense / (skip * replayed + (1 - skip) * computed)
        local = kv_share(LLAMA_7B, window + sink) if window else k
        closed = closed_form(m, k, ridge, rows=1, skip=0.0) / closed_form(m, local, ridge, rows=1, skip=skip)
        rows.append([
            name, f"{skip:g}", f"{k:.3f}", f"{computed:,}", f"{replayed:,}", f"{gain:.3f}x", f"{closed:.3f}x",
            f"{aim:g}x", "yes" if gain >= aim else "no", Label.RTL_SIMULATED.value,
        ])  # fmt: skip
    return rows


def scheduling_rows(skips: Sequence[float], rows: int = 16) -> list[list[str]]:
    """DRS off over on: whole steps of the RTL, rows on four lanes, every number of computing rows, binomially."""
    memory = Memory(latency=40)
    position = 100
    on, off = [], []
    for n in range(rows + 1):
        on.append(run_point(LAYER, SIZE, StepWork(rows, position, n), memory, Policy.PER_SAMPLE))
    bound = run_point(LAYER, SIZE, StepWork(rows, position, rows, scheduling=False), memory, Policy.PER_SAMPLE)
    off = [on[0], *[bound] * rows]

    def mean(kinds: list[dict[str, int]], skip: float, phases: Sequence[str]) -> float:
        chances = [comb(rows, n) * (1 - skip) ** n * skip ** (rows - n) for n in range(rows + 1)]
        return sum(p * sum(k[name] for name in phases) for p, k in zip(chances, kinds, strict=True))

    found = []
    whole = [name for name in on[0] if name not in PHASES]
    mlp = ("mlp_gain", "hidden", "down")
    for skip in skips:
        ratio = {name: mean(off, skip, ph) / mean(on, skip, ph) for name, ph in (("mlp", mlp), ("whole", whole))}
        found.append([
            str(rows), f"{skip:g}", f"{ratio['mlp']:.2f}x", f"{(1 - skip**rows) / (1 - skip):.2f}x",
            f"{ratio['whole']:.2f}x", Label.RTL_SIMULATED.value,
        ])  # fmt: skip
    return found


def body(points: Sequence[Point], llama: list[list[str]], replayed: list[list[str]], scheduled: list[list[str]]) -> str:
    """The section."""
    errors = [abs(p.error) for p in points]
    worst = max(points, key=lambda p: abs(p.error))
    w = worst.work
    chosen = [p for p in points if p.work.position >= LAYER.frame_tokens][::4]
    shown = [
        [
            str(p.work.rows), str(p.work.position), str(p.work.computing), p.work.chooser.name, p.policy.name,
            f"{p.memory.rate:g}", f"{p.measured:,}", f"{p.modelled:,.0f}", f"{p.error:+.2%}", Label.RTL_SIMULATED.value,
        ]
        for p in chosen
    ]  # fmt: skip
    return "\n".join([
        "## FastCar: a whole step in RTL",
        f"`fastcar_step`, by `python -m triptych.sim.fastcar.step_study`. The model of a step against the RTL over "
        f"{len(points)} steps of a layer (width {LAYER.width}, MLP {LAYER.ffn}, {LAYER.heads} heads of "
        f"{LAYER.head_dim}, four lanes; batches 1 to 32, positions to 4,095, every chooser and policy, DRS on and off, "
        f"memories of 1, .953 and .57 words a cycle): mean error {sum(errors) / len(errors):.2%}, worst "
        f"{max(errors):.2%} ({w.rows} rows, {w.computing} computing, position {w.position}, {worst.measured:,} cycles "
        "measured). `rtl-simulated`; every fourth of those with a frame behind them:",
        "",
        table(["rows", "position", "compute", "chooser", "policy", "words a cycle", "RTL", "model", "error", "label"],
              shown),
        "",
        "LLaMA-7B W4A8, int8 KV, one row, dense, on the KV260's size (16 lanes, 300 MHz assumed, DRAM as `dram.py` "
        f"times it): a layer's cycles on the RTL, {LAYERS} times, beside them the step's own and the head's stream "
        "(int4, as a projection). *of pins*: of the rate at which the pins could move weights, head, keys and values.",
        "",
        table(
            ["context", "cycles a layer", "model", "tokens a second", "pins allow", "of pins", "aim", "met", "label"],
            llama,
        ),
        "",
        "80 % skipped, one row on the KV260 at position 1151 (mean of frames 2 to 8), dense with all keys over "
        "replayed; a layer's cycles where the row computes and where it replays:",
        "",
        table(
            ["attention", "s", "k", "computes", "replays", "speed-up", "closed form", "aim", "met", "label"], replayed
        ),
        "",
        "DRS off over on, whole steps: 16 rows on four lanes at position 100, every number of computing rows on the "
        "RTL, weighted binomially; off: all rows unless all replay. *MLP*: its phases alone, beside the closed form.",
        "",
        table(["B", "s", "MLP", "(1 - s^B) / (1 - s)", "whole layer", "label"], scheduled),
    ])  # fmt: skip


def main() -> int:
    """Writes the section. Returns the exit status."""
    try:
        points = calibrate(works())
        llama = llama_rows(((128, 5.45), (512, 5.3), (1024, 5.1)))
        scheduled = scheduling_rows((0.3, 0.5, 0.8))
        replace_section("fastcar-step", body(points, llama, replay_rows(), scheduled))
    except TriptychError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
