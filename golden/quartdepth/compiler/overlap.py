"""Layers whose products feed the VPU faster than it takes them, between layers before them that do the opposite.

One after the other, each leaves an engine idle: a 1x1 convolution the MXU, a 3x3 one the VPU. The products of the one
are spread over those of the other, each as soon as its operands are there. What reads their results can begin earlier,
too. Attention stays as it is: the VPU is busy with a block's powers for longer than two accumulator banks can bridge,
whatever stands between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Opcode
from triptych.golden.quartdepth.compiler.interleave import Clock, Scheduled, mxu_cycles, vpu_cycles

MUCH = 1.25  # times the MXU's cycles
SPREAD = 10  # so many times the time that the VPU takes longer, it should have left in what lies before
WAIT = 64  # cycles that the array may wait for one of these: a bank is not read at once
REACH = 400  # units that a layer looks back at most


@dataclass(eq=False)
class _Unit:
    """An instruction, or a MATMUL and its VECTOR, which stay together. mxu, vpu: their cycles."""

    entries: list[Scheduled]
    mxu: int
    vpu: int

    @property
    def step(self) -> int:
        return self.entries[0].op.step

    def conflicts(self, later: _Unit) -> bool:
        return any(a.effects.conflicts(b.effects) for a in self.entries for b in later.entries)


def overlap(listed: Sequence[Scheduled], config: ChipConfig) -> list[Scheduled]:
    """The same instructions in another order; right when run in order, like `listed`."""
    units = _units(listed, config)
    for step in _slow_steps(units):
        mine = [n for n, unit in enumerate(units) if unit.step == step and unit.mxu]
        first, last = mine[0], mine[-1]
        start = _start(units, first, SPREAD * sum(units[n].vpu - units[n].mxu for n in mine))
        units[start : last + 1] = _merge(units[start : last + 1], step, config)
    return [entry for unit in units for entry in unit.entries]


def _units(listed: Sequence[Scheduled], config: ChipConfig) -> list[_Unit]:
    units: list[_Unit] = []
    for n, entry in enumerate(listed):
        if n and listed[n - 1].op.instruction.opcode is Opcode.MATMUL:
            units[-1].entries.append(entry)
            units[-1].vpu = vpu_cycles(entry.op, config)
        else:
            units.append(_Unit([entry], mxu_cycles(entry.op, config), vpu_cycles(entry.op, config)))
    return units


def _slow_steps(units: list[_Unit]) -> list[int]:
    """Steps in order whose VECTORs, of a microword each, take much longer than their products."""
    excess: dict[int, float] = {}
    several: set[int] = set()
    for unit in units:
        if unit.mxu:
            excess[unit.step] = excess.get(unit.step, 0.0) + unit.vpu - MUCH * unit.mxu
            if len(unit.entries[1].op.program) > 1:
                several.add(unit.step)
    return [step for step, cycles in sorted(excess.items()) if cycles > 0 and step not in several]


def _start(units: list[_Unit], first: int, wanted: int) -> int:
    """From where on the VPU has so much time left until `first`."""
    start = first
    while start and wanted > 0 and first - start < REACH:
        start -= 1
        wanted -= units[start].mxu - units[start].vpu
    return start


def _merge(units: list[_Unit], step: int, config: ChipConfig) -> list[_Unit]:
    """The step's and the others', both in their order: one of the step's as soon as the array could begin with it about
    when it could with the next of the others."""
    others = [(n, unit) for n, unit in enumerate(units) if unit.step != step]
    clock = Clock(config)
    out: list[_Unit] = []
    done: list[int] = []  # when the VPU is, with each of the others

    def start(unit: _Unit, ready: int) -> int:
        return clock.start(unit.entries[0].op, ready) if unit.mxu else 0

    def put(unit: _Unit, ready: int) -> None:
        out.append(unit)
        if unit.mxu:
            clock.pair(unit.entries[0].op, unit.entries[1].op, ready)
        else:
            clock.vpu += unit.vpu

    for place, unit in enumerate(units):
        if unit.step != step:
            continue
        needs = [k for k, (n, other) in enumerate(others) if n < place and other.conflicts(unit)]
        while len(done) < len(others) and others[len(done)][0] < place:
            other = others[len(done)][1]
            if other.mxu and len(done) > max(needs, default=-1):
                ready = max((done[k] for k in needs), default=0)
                if start(unit, ready) <= start(other, 0) + WAIT:
                    break
            put(other, 0)
            done.append(clock.vpu)
        put(unit, max((done[k] for k in needs), default=0))
    return out + [unit for _, unit in others[len(done) :]]
