"""What a frame costs in energy: parts of the chip by OpenSTA's power, weighted by RTL's counters; memories by stated
figures. All of it is estimated.

Switching is not simulated on the netlist: registers and inputs toggle at a stated rate while their part works, and
OpenSTA spreads that through the gates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych.golden.files import scratch
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors import single
from triptych.sim.errors import TriptychError
from triptych.sim.model import shapes
from triptych.sim.model.mapped import Step
from triptych.sim.model.process import FAKERAM
from triptych.sim.model.sta import check_sta, run_sta
from triptych.sim.model.timing import Placed, check_library, placed
from triptych.sim.rtl.run import RtlRun, run_program

TOGGLE = 0.2
"""Changes a cycle of a register or an input of a part that works. Stated."""

PERIOD = 1e-9  # s, for the conversion of power to energy a cycle

SRAM_PJ_BIT = 3.5664 / 32
"""Of fakeram45_1024x32: its clock pin's internal power, in the library's unit of energy (1 fJ), by bits of a word."""

DRAM_PJ_BYTE = 32.0
"""Stated: 4 pJ a bit, LPDDR4."""


@dataclass(frozen=True)
class PartEnergy:
    """busy: share of cycles at work. pj_busy, pj_idle: a cycle. mj: a frame."""

    name: str
    busy: float
    pj_busy: float
    pj_idle: float
    mj: float


@dataclass(frozen=True)
class EnergyReport:
    """A frame. memories: mJ by kind."""

    config: str
    library: str
    macs: int
    cycles: int
    parts: list[PartEnergy]
    memories: dict[str, float]

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


def busy_shares(run: RtlRun, parts: Sequence[str]) -> dict[str, float]:
    """Share of cycles in which each part works, by the engines' counters: tables with the array that they feed, the
    scratchpad with whichever engine moves most, control always."""
    active = {engine: classes["active"] / run.cycles for engine, classes in run.counters.items()}
    shares = {"u_mxu": active["MXU"], "u_vpu": active["VPU"], "u_load": active["LOAD"], "u_store": active["STORE"],
              "u_tables": active["MXU"], "u_spad": max(active.values()), "u_read_arbiter": active["LOAD"],
              "u_csr": 1.0, "u_front_end": 1.0}  # fmt: skip
    return {part: shares.get(part, 0.0) for part in parts}


def memory_bytes(run: RtlRun, config: ChipConfig) -> float:
    """Bytes that memories on the chip move in a frame, at least: copies once, a word a step of the array and a row of
    accumulators read and written, an element's operand a step of the VPU."""
    engines = run.counters
    array = engines["MXU"]["active"] * (config.depth + 8 * config.cols)
    vector = engines["VPU"]["active"] * 2 * config.cols
    return float(run.bytes_read + run.bytes_written + array + vector)


def powers(chip: Placed, step: Step) -> tuple[list[float], list[float]]:
    """pJ a cycle of every part, at work and waiting. Raises TriptychError when OpenSTA stops."""
    with scratch() as held:
        files = chip.write(held)
        commands = []
        for state, activity in (("busy", TOGGLE), ("idle", 0.0)):
            commands.append(f"set_power_activity -input -activity {activity} -duty 0.5")
            commands.append(f"set_power_activity -global -activity {activity} -duty 0.5")
            for part in range(len(chip.flat.parts)):
                commands.append(f"puts {{POWER {state} {part}}}")
                commands.append(f"catch {{report_power -digits 6 -instances [get_cells p{part}_*]}}")
        step("OpenSTA", 0, 0)
        text = run_sta(held, files, PERIOD / chip.library.time, commands)
    return parse_powers(text, len(chip.flat.parts))


def parse_powers(text: str, parts: int) -> tuple[list[float], list[float]]:
    """Totals of what `report_power -instances` printed behind the marks, in pJ a cycle."""
    found = {"busy": [0.0] * parts, "idle": [0.0] * parts}
    number = r"([\d.]+(?:e[+-]?\d+)?)"
    for state, part, body in re.findall(r"POWER (busy|idle) (\d+)\n(.*?)(?=POWER |DONE)", text, re.DOTALL):
        rows = re.findall(rf"^\s*{number}\s+{number}\s+{number}\s+{number}\s+p\d+_c\d+$", body, re.MULTILINE)
        found[state][int(part)] = sum(float(row[3]) for row in rows) * PERIOD * 1e12
    return found["busy"], found["idle"]


def measure_energy(
    config: ChipConfig, library: Sequence[Path], step: Step, network: Network | None = None
) -> EnergyReport:
    """A frame of `network`, METER-XXS W4A4 unless another is given. Raises NoSta, TriptychError."""
    check_sta()
    cells, process = check_library(library)
    step("making the network", 0, 0)
    network = network or shapes.meter((192, 256), Widths.W4A4)
    compiled = compile_network(network, config)
    image = np.frombuffer(compiled.memory(single.random_codes(network, 1)), np.uint8)
    run = run_program(config, image, compiled.prog_base, len(compiled.instructions))
    if run.trap is not Trap.NONE:
        raise TriptychError(f"the chip trapped: {run.trap.name} at instruction {run.trap_pc}")
    chip = placed(config, cells, process, step)
    busy, idle = powers(chip, step)
    shares = busy_shares(run, chip.flat.parts)
    parts = [
        PartEnergy(name, shares[name], b, i, run.cycles * (shares[name] * b + (1 - shares[name]) * i) * 1e-9)
        for name, b, i in zip(chip.flat.parts, busy, idle, strict=True)
    ]
    scale = process.node / FAKERAM
    memories = {
        "SRAM": 8 * memory_bytes(run, config) * SRAM_PJ_BIT * scale * 1e-9,
        "DRAM": (run.bytes_read + run.bytes_written) * DRAM_PJ_BYTE * 1e-9,
    }
    return EnergyReport(config.name, cells.name, network.macs, run.cycles, parts, memories)
