"""Short programs for the `tiny` machine, with defaults for what a test does not care about."""

import numpy as np

from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import (
    Destination,
    Opcode,
    SourceA,
    Trap,
)
from triptych.golden.quartdepth.chip.machine import Machine, Result
from triptych.golden.quartdepth.chip.memory import Memory

TINY = chip_config("tiny")  # D = 16, C = 8, R = 16, 16 KiB of scratchpad, queues of 2
END = TINY.spad_bytes
HALT = Instruction(Opcode.HALT)


def load(dram: int = 0, spad: int = 0, size: int = 16, **fields: int) -> Instruction:
    return Instruction(Opcode.LOAD, {"dram": dram, "spad": spad, "rows": 1, "row_bytes": size, **fields})


def store(dram: int, spad: int = 0, size: int = 16, **fields: int) -> Instruction:
    return Instruction(Opcode.STORE, {"dram": dram, "spad": spad, "rows": 1, "row_bytes": size, **fields})


def matmul(**fields: int) -> Instruction:
    """One pixel, one step, eight columns; INT8 by INT4."""
    ones = ["in_h", "in_w", "kernel_h", "kernel_w", "stride_y", "stride_x", "chunks", "out_h", "out_w", "block"]
    return Instruction(Opcode.MATMUL, {**dict.fromkeys(ones, 1), "last_elems": 16, "n": 8, "wgt_c": 16, **fields})


def vector(**fields: int) -> Instruction:
    """One pixel of eight channels, one microword."""
    return Instruction(Opcode.VECTOR, {"prog_len": 1, "h": 1, "w": 1, "n": 8, "block": 1, **fields})


COPY = Microword({"src_a": SourceA.SPAD, "lo": -128, "hi": 127, "dst": Destination.INT8})


def run(*program: Instruction | bytes, memory: Memory | None = None, microword: Microword | None = None) -> Result:
    chip = Machine(TINY)
    if microword is not None:
        chip.state.prog[:32] = np.frombuffer(microword.encode(), np.uint8)
    return chip.run(list(program), memory or Memory(4096))


def outcome(result: Result) -> tuple[Trap, int, int]:
    return result.trap, result.pc, result.engine
