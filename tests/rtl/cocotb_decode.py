"""decode against the golden decoder: every opcode, every field at and beyond its limits, random words."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.bench import stalls, start
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import ChipConfig, chip_config
from triptych.golden.quartdepth.chip.isa import (
    ENGINE_OF,
    FIELDS,
    HEADER,
    INSTRUCTION_BYTES,
    ActFormat,
    Field,
    Opcode,
    Trap,
)
from triptych.golden.quartdepth.chip.program import TrapError, decode


def golden_cause(data: bytes, config: ChipConfig) -> Trap:
    """What the golden decoder says."""
    try:
        decode(data, config)
    except TrapError as error:
        return error.cause
    return Trap.NONE


def legal(rng: random.Random, opcode: Opcode, config: ChipConfig) -> Instruction:
    """A random instruction that decodes."""
    units = {"1": 1, "word": config.depth, "lanes": config.depth, "half": config.cols // 2}
    values: dict[str, int] = {}
    for f in FIELDS[opcode][1:]:
        top = (1 << f.width) - 1
        value = rng.choice((0, top, rng.getrandbits(f.width))) // units[f.unit] * units[f.unit]
        if f.enum is not None:
            value = rng.choice(list(f.enum))
        values[f.name] = max(value, f.minimum * units[f.unit] if f.minimum is not None else 0)
    if opcode is Opcode.MATMUL:
        values |= {"weight_format": rng.randrange(3), "block": rng.randrange(1, config.rows + 1)}
        values |= {"last_elems": rng.randrange(1, config.depth + 1), "code_table": rng.randrange(config.tables)}
        values["depthwise"] = int(not values["weight_format"]) and rng.randrange(2)
        values["transpose"] = int(values["weight_format"] > 0) and rng.randrange(2)
        if values["weight_format"]:
            values["act_format"] = ActFormat.INT8
        if values["depthwise"]:
            values |= {"kernel_h": 3, "kernel_w": 3, "chunks": -(-values["n"] // config.depth)}
            values["block"] = rng.randrange(1, config.rows * config.cols // config.depth + 1)
    if opcode is Opcode.VECTOR:
        values["block"] = rng.randrange(1, config.rows + 1)
        values["prog"] = rng.randrange(config.prog_words)
        values["prog_len"] = rng.randrange(1, min(15, config.prog_words - values["prog"]) + 1)
    return Instruction(opcode, values)


def edges(f: Field, config: ChipConfig) -> Iterator[int]:
    """Values of a field around everything that the decoder compares it with."""
    top = (1 << f.width) - 1
    near = {0, 1, 2, 3, 4, top, top - 1, config.depth, config.cols, config.rows, config.prog_words}
    near |= {config.cols // 2, config.rows * config.cols // config.depth, 3 * config.depth, config.tables}
    yield from sorted({v + d for v in near for d in (-1, 0, 1) if 0 <= v + d <= top})


def stimuli(rng: random.Random, config: ChipConfig) -> Iterator[bytes]:
    """Everything that is decoded."""
    for opcode in range(256):
        yield bytes([opcode]) + rng.randbytes(INSTRUCTION_BYTES - 1)
        yield bytes([opcode]) + bytes(INSTRUCTION_BYTES - 1)
    for opcode in FIELDS:
        for _ in range(40):
            yield legal(rng, opcode, config).encode()
        for f in FIELDS[opcode][len(HEADER) :]:
            for value in edges(f, config):
                base = legal(rng, opcode, config)
                base[f.name] = value
                yield base.encode()
    for _ in range(300):  # two rules broken at once: the order of causes
        base = legal(rng, rng.choice(list(ENGINE_OF)), config)
        for f in rng.sample(FIELDS[base.opcode][len(HEADER) :], 2):
            base[f.name] = rng.choice(list(edges(f, config)))
        yield base.encode()


@cocotb.test()
async def same_cause_as_golden(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    config = replace(chip_config(os.environ["CHIP"]), tables=int(os.environ["TABLES"]))
    causes = dict.fromkeys(Trap, 0)
    dut.stop_i.value = 1
    dut.valid_i.value = dut.error_i.value = 0
    dut.push_ready_i.value = 0
    await start(dut)
    for data in stimuli(rng, config):
        await FallingEdge(dut.clk_i)
        dut.stop_i.value = 0
        dut.valid_i.value = 1
        dut.error_i.value = failed = rng.random() < 0.02
        dut.instr_i.value = int.from_bytes(data, "little")
        await FallingEdge(dut.clk_i)
        cause = Trap.BUS_FETCH if failed else golden_cause(data, config)
        causes[cause] += 1
        opcode = data[0]
        halts = cause is Trap.NONE and opcode == Opcode.HALT
        assert dut.busy_o.value == 1
        assert Trap(int(dut.cause_o.value)) is cause, (
            f"{data.hex()} {Opcode(opcode) if opcode in set(Opcode) else opcode}"
        )
        assert dut.trap_o.value == (cause is not Trap.NONE)
        assert dut.halt_o.value == halts
        queue = 1 << ENGINE_OF[Opcode(opcode)] if cause is Trap.NONE and not halts else 0
        assert int(dut.push_valid_o.value) == queue
        assert int(dut.instr_o.value) == int.from_bytes(data, "little")
        dut.valid_i.value = 0
        dut.stop_i.value = 1
    assert min(causes[c] for c in (Trap.NONE, Trap.ILLEGAL_OPCODE, Trap.ILLEGAL_FIELD, Trap.ALIGNMENT)) > 100, causes


@cocotb.test()
async def order_under_stalls(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    config = replace(chip_config(os.environ["CHIP"]), tables=int(os.environ["TABLES"]))
    program = [legal(rng, rng.choice(list(ENGINE_OF)), config) for _ in range(400)]
    dut.stop_i.value = 1
    dut.error_i.value = 0
    dut.valid_i.value = 0
    dut.push_ready_i.value = 0
    await start(dut)
    sent = received = 0
    slow = stalls(rng, 0.4)
    offered = False
    while received < len(program):
        await FallingEdge(dut.clk_i)
        dut.stop_i.value = 0
        offered = offered or (sent < len(program) and not next(slow))
        dut.valid_i.value = offered
        dut.instr_i.value = int.from_bytes(program[min(sent, len(program) - 1)].encode(), "little")
        ready = rng.getrandbits(4)
        dut.push_ready_i.value = ready
        await RisingEdge(dut.clk_i)
        assert int(dut.pc_o.value) == received
        if int(dut.push_valid_o.value) & ready:
            assert int(dut.push_valid_o.value) == 1 << ENGINE_OF[program[received].opcode]
            assert int(dut.instr_o.value) == int.from_bytes(program[received].encode(), "little")
            received += 1
        if offered and dut.ready_o.value == 1:
            sent += 1
            offered = False
