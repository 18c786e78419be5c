"""A start takes the program that the registers name then; later writes are for the next start."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import ClockCycles

from tests.rtl.control_kit import PROGRAM, load, make, matmul, random_program, store
from triptych.golden.quartdepth.chip.isa import INSTRUCTION_BYTES


@cocotb.test()
async def registers_written_in_mid_run_are_for_the_next_run(dut: Any) -> None:
    chip = await make(dut)
    program = random_program(chip.rng, 40)
    await chip.start(program)
    await chip.write("PROG_COUNT", 3)  # the end was passed, or would come too early
    await chip.write("PROG_BASE", PROGRAM ^ 0x1000)
    await ClockCycles(dut.clk_i, 100)
    await chip.write("PROG_COUNT", (1 << 20) - 1)
    await chip.end()
    assert (await chip.status())["done"]
    assert len(chip.retirements) == len(program)
    await chip.run(program[:5])  # registers as written now


@cocotb.test()
async def a_start_that_waits_keeps_its_program(dut: Any) -> None:
    """Memory is silent: the start waits for it. What the registers say by then does not matter."""
    chip = await make(dut)
    chip.memory.silent = [range(0x8000, 0x8040)]
    await chip.start([load(0x8000), load(0x9000)])
    await ClockCycles(dut.clk_i, 200)
    await chip.write("CONTROL", clear=1)
    program = [matmul(4), store(), matmul(9)]
    await chip.start(program)
    assert not (await chip.status())["running"]
    await chip.write("PROG_BASE", PROGRAM + INSTRUCTION_BYTES)
    await chip.write("PROG_COUNT", 1)
    chip.memory.speak()
    await chip.end()
    assert (await chip.status())["done"]
    assert sorted(pc for _, _, pc, _ in chip.retirements) == [0, 1, 2]
