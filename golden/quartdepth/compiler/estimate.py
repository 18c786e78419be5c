"""How long a program takes, by a simple clock of the four engines: for choosing and comparing. The chip's cycles are
what RTL says.

Every instruction starts when its engine is free and what it waits for has retired; a VECTOR that reads accumulators
runs beside its MATMUL, one accumulator bank behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Engine, Opcode
from triptych.golden.quartdepth.compiler.interleave import Scheduled, mxu_cycles, vpu_cycles

LATENCY = 40  # cycles to the memory's first beat
BANDWIDTH = 19.2  # bytes a cycle
START = 10  # cycles from one instruction of an engine to the next


def estimated_cycles(scheduled: Sequence[Scheduled], config: ChipConfig) -> int:
    """Cycles of the whole program. scheduled: in order, `wait_*` set."""
    retired: dict[Engine, list[float]] = {engine: [0.0] for engine in Engine}
    began = bank = 0.0  # of the last MATMUL
    fed = False
    for entry in scheduled:
        i, engine = entry.op.instruction, entry.engine
        waits = (retired[e][i[f"wait_{e.name.lower()}"]] for e in Engine if e is not engine)
        start = max(retired[engine][-1] + START, *waits)
        if engine is Engine.MXU:
            cycles: float = mxu_cycles(entry.op, config)
            began, bank = start, cycles * min(1.0, i["block"] / (i["out_h"] * i["out_w"]))
        elif engine is Engine.VPU:
            cycles = vpu_cycles(entry.op, config)
        else:
            cycles = LATENCY + i["rows"] * i["row_bytes"] / min(BANDWIDTH, config.depth)
        end = start + cycles
        if engine is Engine.VPU and fed:
            end = max(max(retired[engine][-1] + START, began + bank) + cycles, retired[Engine.MXU][-1] + bank)
        retired[engine].append(end)
        fed = i.opcode is Opcode.MATMUL
    return round(max(times[-1] for times in retired.values()))
