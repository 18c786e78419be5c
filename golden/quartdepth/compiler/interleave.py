"""Elementwise work between products: the VPU has time left while the MXU computes, LayerNorm and copies need it.

Pairs of MATMUL and VECTOR keep their order. An elementwise VECTOR may stand anywhere between the last instruction that
it must follow and the first that must follow it. A simple clock of MXU and VPU decides: it is put in as soon as the
MXU would still not run out of accumulators while the VPU is busy with it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import ENGINE_OF, Engine, Opcode, WeightFormat
from triptych.golden.quartdepth.compiler.effects import Effects, Memory
from triptych.golden.quartdepth.compiler.emitter import Op
from triptych.golden.quartdepth.compiler.estimate import CONFLICT, RETIRE_VPU, START_VPU, TURN_VPU
from triptych.golden.quartdepth.compiler.microword_time import slices, timed

BANKS = 2  # accumulator banks that the MXU fills without the VPU
BRIDGED = 1.0  # part of an elementwise VECTOR that the MXU must be able to bridge
BRIDGED_HALVES = 0.75  # the same where many microwords take two cycles a group: to wait costs more then
LOOK = 64  # elementwise ones that wait, of which the most urgent goes first
REACH = 600  # instructions that an elementwise one may move


@dataclass
class Scheduled:
    """An instruction in its final place, and its effects."""

    op: Op
    effects: Effects

    @property
    def engine(self) -> Engine:
        return ENGINE_OF[self.op.instruction.opcode]


def mxu_cycles(op: Op, config: ChipConfig) -> int:
    """Cycles that the MXU takes for a MATMUL, stalls apart."""
    i = op.instruction
    if i.opcode is not Opcode.MATMUL:
        return 0
    pixels = i["out_h"] * i["out_w"]
    if i["depthwise"]:
        return pixels * i["chunks"] * 3 * i["stride_x"]
    steps = i["kernel_h"] * i["kernel_w"] * i["chunks"] * (2 if i["weight_format"] == WeightFormat.INT8 else 1)
    return pixels * steps * -(-i["n"] // config.cols)


def vpu_cycles(op: Op, config: ChipConfig) -> int:
    """Cycles that the VPU takes for a VECTOR whose accumulator rows are there, while the MXU reads the scratchpad."""
    i = op.instruction
    if i.opcode is not Opcode.VECTOR:
        return 0
    pixels, groups = i["h"] * i["w"], -(-i["n"] // config.cols)
    words = timed(op.program)
    wait = CONFLICT * config.cols / config.rows  # for the scratchpad
    each = sum(
        (groups * slices(word, config, config.lanes) if word.vector else 1) + groups * wait * word.reads
        for word in words
    )
    turns = -(-pixels // i["block"]) * len(words) - 1 if len(words) > 1 else 0
    return round(pixels * each + turns * TURN_VPU) + START_VPU + RETIRE_VPU


@dataclass
class _Free:
    """An elementwise VECTOR: it may stand before entries `after` + 1 ... `before` of the others."""

    entry: Scheduled
    after: int
    before: int
    cycles: int


@dataclass
class Clock:
    """When MXU and VPU are done with what has been put in, and when each free VECTOR is."""

    config: ChipConfig
    mxu: int = 0
    vpu: int = 0
    done: dict[int, int] = field(default_factory=dict)

    def bank(self, matmul: Op) -> int:
        """Cycles in which a MATMUL fills an accumulator bank."""
        i = matmul.instruction
        tiles = -(-i["n"] // (self.config.depth if i["depthwise"] else self.config.cols))
        pixels = i["out_h"] * i["out_w"]
        return mxu_cycles(matmul, self.config) * min(i["block"], pixels) // (pixels * tiles)

    def start(self, matmul: Op, ready: int) -> int:
        """When a MATMUL, its operands ready at some time, could begin."""
        return max(self.mxu, ready, self.vpu - BANKS * self.bank(matmul))

    def pair(self, matmul: Op, vector: Op, ready: int) -> None:
        """A MATMUL, its operands ready at some time, and its VECTOR."""
        start = self.start(matmul, ready)
        self.mxu = start + mxu_cycles(matmul, self.config)
        self.vpu = max(self.vpu, start + self.bank(matmul)) + vpu_cycles(vector, self.config)
        self.vpu = max(self.vpu, self.mxu + min(self.bank(matmul), self.config.rows))


def interleave(listed: Sequence[Scheduled], config: ChipConfig) -> list[Scheduled]:
    """The same instructions, elementwise ones moved; right when run in order, like `listed`."""
    fixed: list[Scheduled] = []
    free: list[_Free] = []
    for n, entry in enumerate(listed):
        fed = bool(n) and listed[n - 1].op.instruction.opcode is Opcode.MATMUL
        if entry.engine is Engine.VPU and not fed:
            free.append(_Free(entry, len(fixed) - 1, len(fixed), vpu_cycles(entry.op, config)))
        else:
            fixed.append(entry)
    needs = _bounds(fixed, free)
    return _merge(fixed, free, needs, config)


def _bounds(fixed: list[Scheduled], free: list[_Free]) -> dict[int, list[int]]:
    """Sets every free one's bounds; returns the free ones that a fixed one must follow."""
    needs: dict[int, list[int]] = {}
    for k, item in enumerate(free):
        effects = item.entry.effects
        here = item.before
        low = max(here - REACH, 0)
        item.after = next((n for n in range(here - 1, low - 1, -1) if fixed[n].effects.conflicts(effects)), low - 1)
        high = min(here + REACH, len(fixed))
        item.before = next((n for n in range(here, high) if effects.conflicts(fixed[n].effects)), high)
        # not between a MATMUL and its VECTOR
        if item.after >= 0 and fixed[item.after].op.instruction.opcode is Opcode.MATMUL:
            item.after += 1
        if 0 < item.before < len(fixed) and fixed[item.before - 1].op.instruction.opcode is Opcode.MATMUL:
            item.before -= 1
        if item.before < len(fixed):
            needs.setdefault(item.before, []).append(k)
    return needs


class _Waiting:
    """Elementwise VECTORs that are not put in yet, in order. Of these the most urgent goes first, but for what it must
    follow. Row scalars count only if they are handed on from one to another."""

    def __init__(self, free: list[_Free]) -> None:
        self.free = free
        self.first = 0  # all before it are put in
        self.put = [False] * len(free)
        self.chosen: list[int] | None = None
        self.beyond = [item.before for item in free] + [sys.maxsize] * (LOOK + 1)  # the first bound from each one on
        for k in range(len(free) - 1, -1, -1):
            self.beyond[k] = min(self.beyond[k], self.beyond[k + 1])
        self.rows = any(Memory.ROWS in item.entry.effects.reads for item in free)

    def __bool__(self) -> bool:
        return self.first < len(self.free)

    def urgent(self) -> list[int]:
        """The one that must be in place first, of the next few, behind all that it must follow."""
        if self.chosen is None:
            near = range(self.first, min(self.first + LOOK, len(self.free)))
            last = min((k for k in near if not self.put[k]), key=lambda k: self.free[k].before)
            chosen = [last]
            for j in range(last - 1, self.first - 1, -1):
                effects = self.free[j].entry.effects
                if not self.put[j] and any(effects.conflicts(self.free[k].entry.effects, self.rows) for k in chosen):
                    chosen.append(j)
            self.chosen = chosen[::-1]
        return self.chosen

    def due(self) -> int:
        """Before which of the others one of them must be in place."""
        return min(self.free[self.urgent()[-1]].before, self.beyond[self.first + LOOK])

    def take(self, k: int) -> None:
        """It is put in: one that follows no other that waits."""
        self.put[k], self.chosen = True, None
        while self and self.put[self.first]:
            self.first += 1


def _merge(
    fixed: list[Scheduled], free: list[_Free], needs: dict[int, list[int]], config: ChipConfig
) -> list[Scheduled]:
    clock = Clock(config)
    bridged = BRIDGED if config.full_lanes == config.cols else BRIDGED_HALVES
    waiting = _Waiting(free)
    out: list[Scheduled] = []

    def put(k: int) -> None:
        waiting.take(k)
        out.append(free[k].entry)
        clock.vpu += free[k].cycles
        clock.done[k] = clock.vpu

    for n, entry in enumerate(fixed):
        matmul = entry.op.instruction.opcode is Opcode.MATMUL
        fed = bool(n) and fixed[n - 1].op.instruction.opcode is Opcode.MATMUL
        while waiting and not fed:
            k = waiting.urgent()[0]
            # later it would cost all its cycles, now only those that the MXU cannot bridge
            bridge = BANKS * clock.bank(entry.op) if matmul else 0
            wanted = min(free[k].cycles, bridge - config.rows) * bridged  # it can bridge no more
            early = matmul and free[k].after < n and clock.mxu + bridge - clock.vpu >= wanted
            if waiting.due() > n and not early:
                break
            put(k)
        out.append(entry)
        if fed:
            ready = max((clock.done[k] for k in needs.get(n - 1, []) if k in clock.done), default=0)
            clock.pair(fixed[n - 1].op, entry.op, ready)
    while waiting:
        put(waiting.urgent()[0])
    return out
