"""Token steps on the RTL and in golden, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.hls.reference import Case, random_case
from triptych.golden.fastcar.config import Chooser, Controls
from triptych.golden.fastcar.integer import StepTrace
from triptych.sim.fastcar.step_rtl import PLAIN, Fault, Made, Memory, StepSize, Token, run_steps
from triptych.sim.rtl.orders import WriteOrder

ANY = StepSize(
    lanes=4, words=4, width=4096, ffn=256, head_dim=128, head_words=64, tokens=64, group=2, vector=8, depth=64,
    burst=16, fabric=True, lut_chains=3,
)  # fmt: skip
"""Holds every shape of `random_case`."""
OTHER = StepSize(
    lanes=3, words=16, width=1024, ffn=256, head_dim=128, head_words=8, tokens=64, group=1, vector=32, depth=128,
)  # fmt: skip
"""Not a divisor of anything, scales of two words, whole words a cycle."""


def tokens_of(case: Case, first: int, steps: int, scheduling: bool = True) -> list[Token]:
    """Random rows at the positions from `first` on."""
    return [Token(case.rows(position), position, scheduling) for position in range(first, first + steps)]


def compare(case: Case, tokens: Sequence[Token], made: Sequence[Made]) -> tuple[list[str], list[list[StepTrace]]]:
    """A line for everything that is not golden's, memory included, and golden's traces."""
    return compare_turns([case], [(0, token) for token in tokens], made)


def compare_turns(
    cases: Sequence[Case], turns: Sequence[tuple[int, Token]], made: Sequence[Made]
) -> tuple[list[str], list[list[StepTrace]]]:
    """The same of several networks that take turns."""
    found, traces = [], []
    computed = 0
    for (number, token), seen in zip(turns, made, strict=True):
        case, name = cases[number], f"network {number}, position {token.position}"
        traces.append(case.golden(token.x, token.position))
        wrong = int((seen.y != traces[-1][-1].y).sum())
        computed += sum(t.index.bit_count() for t in traces[-1]) if token.position >= case.config.frame_tokens else 0
        if seen.fault is not Fault.NONE:
            found.append(f"{name}: {seen.fault.name}")
        if wrong:
            found.append(f"{name}: {wrong} elements of y")
        if seen.counters["index"] != traces[-1][-1].index:
            found.append(f"{name}: index register {seen.counters['index']:#x}")
        if seen.counters["computed"] != computed:
            found.append(f"{name}: {seen.counters['computed']} rows computed, not {computed}")
    for number, case in enumerate(cases):
        if wrong := case.device.mismatches(case.states):
            found.append(f"network {number}, memory: {wrong} elements")
    return found, traces


def run_case(
    case: Case,
    size: StepSize,
    tokens: list[Token],
    memory: Memory = PLAIN,
    program: Path | None = None,
) -> list[str]:
    """Both, compared; the words of weights add up too."""
    made = run_steps(size, case.program, case.device, tokens, memory, executable=program, limit=3_000_000)
    found, _ = compare(case, tokens, made)
    words = made[-1].counters["delivered"] + made[-1].counters["skipped"]
    if words != len(case.program.weights) * len(tokens):
        found.append(f"{words} words of weights delivered or skipped")
    for seen in made:
        if sum(seen.phases.values()) > seen.cycles:
            found.append("phases are longer than the step")
    return found


def mixed_thresholds(case: Case, first: int, scratch: Case) -> None:
    """Thresholds at the median of what golden scores, so that some rows replay; `scratch` is another copy."""
    traces = scratch.golden(scratch.rows(first), first)
    case.controls = [replace(c, threshold=int(np.median(t.score))) for c, t in zip(case.controls, traces, strict=True)]
    case.program.steer(case.controls)


def any_case(size: StepSize, seed: int) -> tuple[Case, list[Token], Memory]:
    """`random_case` with thresholds that divide the batch, and memory that stalls every second time."""
    case, position, scheduling = random_case(size.limits, seed)
    if position >= case.config.frame_tokens and seed % 3:
        mixed_thresholds(case, position, random_case(size.limits, seed)[0])
    memory = Memory(
        latency=5 + seed % 40, rate=(1.0, 0.8)[seed % 2], stall=48 * (seed % 2), seed=seed + 1,
        writes=WriteOrder(seed // 2 % len(WriteOrder)),
    )  # fmt: skip
    return case, tokens_of(case, position, 3, scheduling), memory


def chooser_controls(chooser: Chooser) -> list[Controls]:
    """Two layers; the second sees a window."""
    return [Controls(chooser=chooser, chain_cap=3), Controls(chooser=chooser, window=5, sink=2)]
