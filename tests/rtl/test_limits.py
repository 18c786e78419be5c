"""Ends of what a program may hold, on chip and machine: instructions of an engine, code tables of a small chip."""

from __future__ import annotations

from dataclasses import replace

import pytest

from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import CONFIGS, ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    ActFormat,
    Destination,
    Engine,
    Format,
    Multiply,
    Opcode,
    Side,
    SourceA,
    Space,
    Trap,
)
from triptych.golden.quartdepth.chip.machine import Machine
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import CONTROL, StoredProgram
from triptych.sim.rtl.run import MemoryTiming, run_program

SMALL = CONFIGS["small"]
BASE = 0x1000
HALT = Instruction(Opcode.HALT)


def both(config: ChipConfig, program: list[Instruction], data: bytes = b"") -> tuple[Trap, int, int]:
    """Trap, pc and engine, the same on chip and machine."""
    encoded = {id(i): i.encode() for i in program}  # the longest hold one instruction many times
    code = b"".join(encoded[id(i)] for i in program)
    memory = Memory(1 << (BASE + len(code)).bit_length())
    memory.place(0, data)
    memory.place(BASE, code)
    chip = run_program(
        config, memory.data, BASE, len(program), timing=MemoryTiming(2, 64.0), watchdog=100_000, power_on=3
    )
    golden = Machine(config).run(StoredProgram(memory, BASE, len(program)), memory)
    assert (chip.trap, len(chip.retirements)) == (golden.trap, len(golden.retired))
    if chip.trap is not Trap.NONE:
        assert (chip.trap_pc, chip.trap_engine) == (golden.pc, golden.engine)
    return golden.trap, golden.pc, int(golden.engine)


@pytest.mark.slow
def test_a_token_count_never_wraps() -> None:
    """65,535 instructions of an engine are counted and waited for; the next one is refused."""
    copy = {"dram": 0, "rows": 1, "row_bytes": SMALL.depth}
    most = (1 << 16) - 1
    program = [Instruction(Opcode.LOAD, {**copy, "space": Space.SPAD})] * most
    last = Instruction(Opcode.STORE, {**copy, "dram": 0x800, "wait_load": most})
    assert both(SMALL, [*program, last, HALT])[0] is Trap.NONE
    assert both(SMALL, [*program, program[0], HALT]) == (Trap.ILLEGAL_FIELD, most, CONTROL)


FEW = replace(SMALL, name="few", tables=5)


@pytest.mark.slow
@pytest.mark.parametrize("table", [4, 5, 7])
def test_tables_that_a_chip_does_not_have(table: int) -> None:
    """Refused where they are used, and nowhere else: not another table under their number."""
    refused = table >= FEW.tables
    matmul = dict.fromkeys(
        ("in_h", "in_w", "kernel_h", "kernel_w", "stride_y", "stride_x", "chunks", "last_elems", "out_h", "out_w",
         "block", "n"), 1,
    )  # fmt: skip
    coded = Instruction(Opcode.MATMUL, {**matmul, "act_format": ActFormat.TABLE4, "code_table": table})
    plain = Instruction(Opcode.MATMUL, {**matmul, "act_format": ActFormat.INT8, "code_table": table})
    drain = Instruction(Opcode.VECTOR, {"prog": 0, "prog_len": 1, "h": 1, "w": 1, "n": 1, "block": 1, "wait_load": 1})
    word: dict[str, int] = {"src_a": SourceA.ACC, "dst": Destination.INT8}

    def run(first: list[Instruction], word: dict[str, int], vector: dict[str, int]) -> tuple[Trap, int, int]:
        load = Instruction(Opcode.LOAD, {"dram": 0, "rows": 1, "row_bytes": 32, "space": Space.PROG})
        return both(FEW, [load, *first, Instruction(Opcode.VECTOR, vector), HALT], Microword(word).encode())

    assert run([coded], word, drain.fields)[0] is (Trap.ILLEGAL_FIELD if refused else Trap.NONE)
    assert run([plain], word, drain.fields)[0] is Trap.NONE
    spad = {**word, "src_a": SourceA.SPAD}
    used = [
        {**spad, "fmt_a": Format.TABLE4, "table_a": table},
        {**spad, "side": Side.ADD_B, "fmt_b": Format.TABLE4, "table_b": table},
        {**spad, "side": Side.MAX_B, "fmt_b": Format.TABLE4, "table_b": table},
        {**spad, "mul": Multiply.B, "fmt_b": Format.TABLE4, "table_b": table},
        {**spad, "encode": 1, "table_e": table, "dst": Destination.NIBBLE},
    ]
    for microword in used:
        trap, _, engine = run([], microword, drain.fields)
        assert (trap, engine) == ((Trap.ILLEGAL_FIELD, Engine.VPU) if refused else (Trap.NONE, CONTROL))
    unused = {**spad, "table_a": table, "table_b": table, "table_e": table}
    assert run([], unused, drain.fields)[0] is Trap.NONE
