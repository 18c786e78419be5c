"""What a frame costs in energy: parts of the chip by OpenSTA's power in windows of RTL's switching, one for each kind
of layer, weighted by RTL's counters; memories by stated figures. All of it is estimated.

How often each register changes is measured on RTL (`switching`), how often the gates between them do follows (`gates`);
a part takes what OpenSTA says for the mean rate of its nets, each weighted by its load. Wires are placed, not routed;
clock tree and glitches are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triptych.golden import store
from triptych.golden.files import scratch
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.network.network import Network
from triptych.sim.build import cache
from triptych.sim.errors import TriptychError
from triptych.sim.model.gates import net_rates
from triptych.sim.model.liberty import Library
from triptych.sim.model.mapped import Step
from triptych.sim.model.process import FAKERAM, Process
from triptych.sim.model.sta import check_sta, lengths, run_sta
from triptych.sim.model.switching import Window, measure, rates, windows
from triptych.sim.model.timing import Placed, check_library, key_of, placed
from triptych.sim.rtl.run import RtlRun, run_program

ACTIVITY = 0.2  # changes a cycle, at which OpenSTA is asked: power is linear in it
PERIOD = 1e-9  # s, for the conversion of power to energy a cycle

SRAM_PJ_BIT = 3.5664 / 32
"""Of fakeram45_1024x32: its clock pin's internal power, in the library's unit of energy (1 fJ), by bits of a word."""

DRAM_PJ_BYTE = 32.0
"""Stated: 4 pJ a bit, LPDDR4."""


@dataclass(frozen=True)
class PartEnergy:
    """rates: changes a cycle of its nets, weighted by load, in each window. pj: a cycle in each window. mj: a frame."""

    name: str
    rates: list[float]
    pj: list[float]
    mj: float


@dataclass(frozen=True)
class EnergyReport:
    """A frame. network: its name. memories: mJ by kind. registers: share of them that RTL knows by name. like: the
    chip whose switching was measured."""

    config: str
    library: str
    network: str
    macs: int
    cycles: int
    windows: list[Window]
    parts: list[PartEnergy]
    memories: dict[str, float]
    registers: float
    like: str

    @property
    def mj(self) -> float:
        """mJ of a frame, DRAM included."""
        return sum(part.mj for part in self.parts) + sum(self.memories.values())

    @property
    def gmac_j(self) -> float:
        """GMAC a joule."""
        return self.macs / 1e9 / (self.mj / 1e3)

    @property
    def chip_gmac_j(self) -> float:
        """GMAC a joule without DRAM."""
        return self.macs / 1e9 / ((self.mj - self.memories["DRAM"]) / 1e3)


def memory_bytes(run: RtlRun, config: ChipConfig) -> float:
    """Bytes that memories on the chip move in a frame, at least: copies once, a word a step of the array and a row of
    accumulators read and written, an element's operand a step of the VPU."""
    engines = run.counters
    array = engines["MXU"]["active"] * (config.depth + 8 * config.cols)
    vector = engines["VPU"]["active"] * 2 * config.cols
    return float(run.bytes_read + run.bytes_written + array + vector)


def powers(chip: Placed) -> tuple[list[float], list[float]]:
    """pJ a cycle of every part: what a change of every net adds, and what the clock and leakage take without one.
    Raises TriptychError when OpenSTA stops."""
    with scratch() as held:
        files = chip.write(held)
        commands = []
        for number, activity in enumerate((0.0, ACTIVITY)):
            commands.append(f"set_power_activity -input -activity {activity} -duty 0.5")
            commands.append(f"set_power_activity -global -activity {activity} -duty 0.5")
            for part in range(len(chip.flat.parts)):
                commands.append(f"puts {{POWER {number} {part}}}")
                commands.append(f"catch {{report_power -digits 6 -instances [get_cells p{part}_*]}}")
        text = run_sta(held, files, PERIOD / chip.library.time, commands)
    still, moved = parse_powers(text, 2, len(chip.flat.parts))
    return [(m - s) / ACTIVITY for m, s in zip(moved, still, strict=True)], still


def part_rates(chip: Placed, of_nets: NDArray[np.float64]) -> list[float]:
    """Mean changes a cycle of the nets that each part drives, weighted by what they load: wire and pins."""
    flat = chip.flat
    load = lengths(flat, chip.placement) * chip.process.capacitance
    for cell in flat.cells:
        for pin, net in cell.nets.items():
            if isinstance(net, int):
                load[net] += chip.library.cells[cell.kind].pins[pin].capacitance
    weight, moved = np.zeros(len(flat.parts)), np.zeros(len(flat.parts))
    for cell in flat.cells:
        for pin in chip.library.cells[cell.kind].outputs:
            if isinstance(output := cell.nets.get(pin), int):
                weight[cell.part] += load[output]
                moved[cell.part] += load[output] * of_nets[output]
    return [float(m / w) if w else 0.0 for m, w in zip(moved, weight, strict=True)]


def parse_powers(text: str, runs: int, parts: int) -> list[list[float]]:
    """Totals of what `report_power -instances` printed behind the marks, in pJ a cycle."""
    found = [[0.0] * parts for _ in range(runs)]
    number = r"([\d.]+(?:e[+-]?\d+)?)"
    for run, part, body in re.findall(r"POWER (\d+) (\d+)\n(.*?)(?=POWER |DONE)", text, re.DOTALL):
        rows = re.findall(rf"^\s*{number}\s+{number}\s+{number}\s+{number}\s+p\d+_c\d+$", body, re.MULTILINE)
        found[int(run)][int(part)] = sum(float(row[3]) for row in rows) * PERIOD * 1e12
    return found


class Frame(NamedTuple):
    """A program with its photo in place, what RTL made of it, and windows in it."""

    compiled: Compiled
    image: NDArray[np.uint8]
    run: RtlRun
    windows: list[Window]


def _frame(network: Network, codes: NDArray[np.int64], config: ChipConfig, step: Step) -> Frame:
    compiled = compile_network(network, config)
    image = np.frombuffer(compiled.memory(codes), np.uint8)
    step(f"a frame on RTL of {config.name}", 0, 0)
    run = run_program(config, image, compiled.prog_base, len(compiled.instructions), watchdog=1 << 31)
    if run.trap is not Trap.NONE:
        raise TriptychError(f"the chip trapped: {run.trap.name} at instruction {run.trap_pc}")
    return Frame(compiled, image, run, windows(compiled, run))


def measure_energy(
    config: ChipConfig, library: Sequence[Path], step: Step, name: str, network: Network, codes: NDArray[np.int64],
    like: ChipConfig | None = None,
) -> EnergyReport:  # fmt: skip
    """A frame `codes` [h, w, c] of `network`, called `name`. like: a smaller chip whose registers' switching stands for
    this one's, by their names and the kind of layer; without, its own. Kept where nothing changed. Raises NoSta,
    TriptychError."""
    check_sta()
    cells, process = check_library(library)
    mark = hashlib.sha256(store.pack(network) + codes.tobytes()).hexdigest()
    key = cache.fingerprint([], key_of(config, library), mark, name, like)

    def make() -> EnergyReport:
        frame = _frame(network, codes, config, step)
        shown = frame if like is None else _frame(network, codes, like, step)
        return _measured(cells, process, step, name, frame, shown)

    found: EnergyReport = cache.value("energy", f"{config.name}-{key}", make)
    return found


def _measured(cells: Library, process: Process, step: Step, name: str, frame: Frame, shown: Frame) -> EnergyReport:
    """shown: the frame whose switching is measured."""
    compiled, run, config = frame.compiled, frame.run, frame.compiled.config
    cycles = {window.kind: window.cycles for window in frame.windows}
    chosen = [replace(window, cycles=cycles.get(window.kind, 0.0)) for window in shown.windows]
    chip = placed(config, cells, process, step)
    seen = []
    for number, window in enumerate(chosen):
        step(f"switching in {window.layer}", number, len(chosen))
        registers, known = rates(chip.flat, cells, measure(shown.compiled, shown.image, window))
        seen.append((part_rates(chip, net_rates(chip.flat, cells, registers)), known))
    step("OpenSTA", 0, 0)
    moving, still = powers(chip)
    parts = []
    for number, part in enumerate(chip.flat.parts):
        each = [found[number] for found, _ in seen]
        pj = [still[number] + moving[number] * rate for rate in each]
        mj = sum(w.cycles * p for w, p in zip(chosen, pj, strict=True)) * 1e-9
        parts.append(PartEnergy(part, each, pj, mj))
    scale = process.node / FAKERAM
    memories = {
        "SRAM": 8 * memory_bytes(run, config) * SRAM_PJ_BIT * scale * 1e-9,
        "DRAM": (run.bytes_read + run.bytes_written) * DRAM_PJ_BYTE * 1e-9,
    }
    return EnergyReport(
        config.name, cells.name, name, compiled.network.macs, run.cycles, chosen, parts, memories, seen[0][1],
        shown.compiled.config.name,
    )  # fmt: skip
