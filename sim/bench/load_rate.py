"""`triptych results load`: bytes a cycle that LOAD brings, over the memory's latency, on the chip's RTL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import ChipConfig, chip_config
from triptych.golden.quartdepth.chip.isa import Engine, Opcode, Trap
from triptych.sim.bench.ledger import Label, table
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import MemoryTiming, run_program

LATENCIES = (40, 100, 200)
BANDWIDTH = MemoryTiming().bytes_per_cycle
BASE = 1 << 16
"""Where what is loaded lies; the program lies at 0."""


@dataclass(frozen=True)
class Copies:
    """So many LOADs of `rows` rows of `row_bytes` bytes, `gap` bytes apart in memory."""

    name: str
    loads: int
    rows: int
    row_bytes: int
    gap: int = 0

    @property
    def instructions(self) -> list[Instruction]:
        """The program, HALT last."""
        stride = self.row_bytes + self.gap
        fields = {"rows": self.rows, "row_bytes": self.row_bytes, "spad_row": self.row_bytes, "dram_row": stride}
        found = [Instruction(Opcode.LOAD, {"dram": BASE + n * self.rows * stride, **fields}) for n in range(self.loads)]
        return [*found, Instruction(Opcode.HALT)]

    @property
    def bytes(self) -> int:
        """That they move."""
        return self.loads * self.rows * self.row_bytes


SHAPES = (
    Copies("one run of 16 KiB", 16, 1, 16384),
    Copies("runs of 2 KiB", 128, 1, 2048),
    Copies("rows of 384 bytes, apart", 16, 40, 384, 64),
)


@dataclass(frozen=True)
class Rate:
    """cycles: between the first LOAD's retirement and the last one's. bytes_per_cycle: of those behind the first."""

    cycles: int
    bytes_per_cycle: float


def measure(config: ChipConfig, copies: Copies, latency: int) -> Rate:
    """LOADs alone, one behind the other, on RTL. Raises TriptychError when the chip traps."""
    image = np.zeros(BASE + copies.bytes + copies.loads * copies.rows * copies.gap, np.uint8)
    code = b"".join(i.encode() for i in copies.instructions)
    image[: len(code)] = np.frombuffer(code, np.uint8)
    run = run_program(config, image, 0, copies.loads + 1, timing=MemoryTiming(latency))
    if run.trap is not Trap.NONE:
        raise TriptychError(f"LOADs of {copies.name} trapped: {run.trap.name}")
    ends = run.retirements[run.retirements[:, 1] == Engine.LOAD, 0]
    cycles = int(ends[-1] - ends[0])
    return Rate(cycles, copies.bytes * (copies.loads - 1) / copies.loads / cycles)


def most(config: ChipConfig) -> float:
    """Bytes a cycle that can come: the memory's, or a beat a cycle."""
    return min(BANDWIDTH, float(config.depth))


HISTORY = """\
Before this, LOAD had two bursts of 64 words under way: 19.17, 19.17 and 13.39 bytes a cycle of `paper` in one run,
15.97, 12.41 and 7.73 of `small`. One burst of 32 words less than now gives 16.25 (`paper`) and 15.38 (`small`) at 200.
Longer bursts hide no more than as many words in short ones, and a fetch waits behind all of them. A LOAD of 2 KiB
shares the bus with its own 64 bytes of program."""


def load_rows(progress: Callable[[str, int, int], None]) -> str:
    """The section of docs/results.md."""
    rows = []
    for name in ("paper", "small"):
        config = chip_config(name)
        for copies in SHAPES:
            progress(f"{name}: LOADs, {copies.name}", 0, 0)
            rates = [measure(config, copies, latency).bytes_per_cycle for latency in LATENCIES]
            shares = [f"{r:.2f} ({r / most(config):.1%})" for r in rates]
            under_way = f"{config.load_bursts} x 32"
            rows.append([name, copies.name, under_way, f"{most(config):.1f}", *shares, Label.RTL_SIMULATED.value])
    header = ["chip", "LOADs", "words under way", "most", *(f"latency {n}" for n in LATENCIES), "label"]
    text = (
        f"Bytes a cycle in LOADs alone, one behind the other, from a memory of {BANDWIDTH} bytes a cycle; a word "
        "a cycle is the most that the port of a chip moves. By `triptych results load`."
    )
    return f"## LOAD\n{text}\n\n{table(header, rows)}\n\n{HISTORY}"
