"""One planted trap at the end of a random program, alone in the chip so that what happens is determined."""

from __future__ import annotations

from tests.kit.accesses import wait
from tests.kit.random_builder import Builder
from tests.kit.random_copies import DATA, FAULTY, PROGRAM, REGION, STORED
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.isa import (
    FIELDS,
    INSTRUCTION_BYTES,
    Destination,
    Engine,
    Function,
    Multiply,
    Opcode,
    SourceA,
    Trap,
)
from triptych.golden.quartdepth.chip.memory import Fault
from triptych.golden.quartdepth.chip.program import CONTROL

HALT = Instruction(Opcode.HALT)


def plant(build: Builder, trap: Trap) -> tuple[int, int]:
    """End the program in a trap; returns pc and engine that report it."""
    end = build.config.spad_bytes
    pc, d = len(build.program), build.config.depth
    if trap is Trap.NO_HALT:
        return pc, CONTROL
    if trap is Trap.BUS_FETCH:
        at = PROGRAM + pc * INSTRUCTION_BYTES
        build.memory.faults.append((at, at + INSTRUCTION_BYTES, Fault.ERROR))
        build.program.append(HALT)
        return pc, CONTROL
    bad: Instruction | bytes
    engine: int = CONTROL
    load, store = ({"rows": 1, "row_bytes": d * build.number(1, 9), "dram": r} for r in (DATA, STORED))
    matmul = build.matmul()[0].fields
    vector = {"prog": 0, "prog_len": 1, "h": 1, "w": 1, "n": 1, "block": 1}
    copy = Microword({"src_a": SourceA.SPAD, "dst": Destination.INT8})
    if trap is Trap.ILLEGAL_OPCODE:
        bad = bytes([build.pick([0, build.number(6, 255)])]) + build.rng.bytes(INSTRUCTION_BYTES - 1)
    elif trap is Trap.ILLEGAL_FIELD:
        bad, engine = build.pick(
            [
                (Instruction(Opcode.LOAD, {**load, "space": 3}), CONTROL),
                (Instruction(Opcode.STORE, {**store, "rows": 0}), CONTROL),
                (Instruction(Opcode.MATMUL, {**matmul, _least(build, Opcode.MATMUL): 0}), CONTROL),
                (Instruction(Opcode.MATMUL, {**matmul, "block": build.config.rows + 1}), CONTROL),
                (Instruction(Opcode.MATMUL, {**matmul, "last_elems": d + 1}), CONTROL),
                (Instruction(Opcode.MATMUL, {**matmul, "weight_format": 0, "transpose": 1}), CONTROL),
                (Instruction(Opcode.VECTOR, {**vector, _least(build, Opcode.VECTOR): 0}), CONTROL),
                (Instruction(Opcode.VECTOR, {**vector, "prog": build.config.prog_words}), CONTROL),
                _with_microword(build, vector, Microword({**copy.fields, "mul": max(Multiply) + 1})),
                _with_microword(build, vector, Microword({**copy.fields, "fn": Function.RECIP})),
            ]
        )
    elif trap is Trap.ALIGNMENT:
        bad, engine = build.pick(
            [
                (Instruction(Opcode.LOAD, {**load, "spad": 1}), CONTROL),
                (Instruction(Opcode.STORE, {**store, "dram_row": d // 2}), CONTROL),
                (Instruction(Opcode.MATMUL, {**matmul, "act": d - 1}), CONTROL),
                (Instruction(Opcode.MATMUL, {**matmul, "wgt_c": d + 1}), CONTROL),
                (Instruction(Opcode.VECTOR, {**vector, "param": d + 8}), CONTROL),
                _with_microword(build, {**vector, "a": build.config.cols // 2}, copy),
            ]
        )
    elif trap is Trap.RANGE:
        outside = build.pick([end, end + d * build.number(1, 1000), (1 << 24) - d])
        bad, engine = build.pick(
            [
                (Instruction(Opcode.LOAD, {**load, "spad": outside}), Engine.LOAD),
                (Instruction(Opcode.LOAD, {**load, "spad": 1 << 16, "space": build.number(1, 2)}), Engine.LOAD),
                (Instruction(Opcode.STORE, {**store, "spad": end - d, "rows": 2, "spad_row": d}), Engine.STORE),
                (Instruction(Opcode.MATMUL, {**matmul, "act": outside, "pad_top": 0, "pad_left": 0}), Engine.MXU),
                (Instruction(Opcode.MATMUL, {**matmul, "wgt": outside}), Engine.MXU),
                _with_microword(build, {**vector, "a": outside}, copy),
                _with_microword(build, {**vector, "d": outside}, copy),
            ]
        )
    else:
        build.memory.faults.append((FAULTY, FAULTY + REGION, Fault.HANG if trap is Trap.WATCHDOG else Fault.ERROR))
        reading = Instruction(Opcode.LOAD, {**load, "dram": FAULTY + d * build.number(0, 63)})
        writing = Instruction(Opcode.STORE, {**store, "dram": FAULTY + d * build.number(0, 63)})
        if trap is Trap.WATCHDOG:
            never = Instruction(Opcode.LOAD, {**load, "wait_vpu": 0xFFFF})
            bad, engine = build.pick([(reading, Engine.LOAD), (writing, Engine.STORE), (never, Engine.LOAD)])
        else:
            bad, engine = (reading, Engine.LOAD) if trap is Trap.BUS_LOAD else (writing, Engine.STORE)
    if isinstance(bad, Instruction):  # alone, so that nothing else is half done when it traps
        for awaited, count in build.counts().items():
            wait(bad, awaited, count)
    pc = len(build.program)
    build.program += [bad, HALT]
    return pc, engine


def _least(build: Builder, opcode: Opcode) -> str:
    """A field that must not be zero."""
    return build.pick([f.name for f in FIELDS[opcode] if f.minimum is not None])


def _with_microword(build: Builder, vector: dict[str, int], word: Microword) -> tuple[Instruction, Engine]:
    return Instruction(Opcode.VECTOR, {**vector, "prog": build.prepare([word]).first}), Engine.VPU
