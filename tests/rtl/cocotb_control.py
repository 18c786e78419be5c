"""The chip around stub engines: programs, tokens, every trap, counters, registers, interrupt."""

from __future__ import annotations

from collections import Counter
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles

from tests.rtl.control_kit import (
    CONFIG,
    DATA,
    FRONT_END,
    PROGRAM,
    WAITS,
    load,
    make,
    matmul,
    random_program,
    store,
    vector,
)
from triptych.golden.quartdepth.arithmetic.numerics import signature
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import SPAD_BANKS
from triptych.golden.quartdepth.chip.isa import ENGINE_OF, INSTRUCTION_BYTES, Engine, Space, Trap
from triptych.sim.rtl.registers.register_map import REGISTERS


@cocotb.test()
async def identification(dut: Any) -> None:
    chip = await make(dut)
    sizes = REGISTERS["SIZES"].unpack(await chip.read("SIZES"))
    expected = {
        "depth": CONFIG.depth,
        "cols": CONFIG.cols,
        "rows": CONFIG.rows,
        "banks": SPAD_BANKS,
        "queue": CONFIG.queue,
    }
    assert sizes == expected
    assert (await chip.read("ID")).to_bytes(4, "big") == b"QDPT"
    assert await chip.read("SPAD") == CONFIG.spad_words
    stores = REGISTERS["STORES"].unpack(await chip.read("STORES"))
    assert stores == {"prog_words": CONFIG.prog_words, "tables": CONFIG.tables}
    for r in REGISTERS.values():  # what can be written reads back, what cannot stays
        before = await chip.read(r.name)
        assert before == r.pack() or any(f.reset is None for f in r.fields)
        if r.name == "CONTROL" or r.width == 64:
            continue
        value = chip.rng.getrandbits(32)
        await chip.write(r.name, value)
        writable = sum(f.mask for f in r.fields if f.writable)
        assert await chip.read(r.name) == (before & ~writable) | (value & writable), r.name
    assert (await chip.status())["idle"]


@cocotb.test()
async def programs_to_halt(dut: Any) -> None:
    chip = await make(dut)
    for length in (0, 1, 40, 80):
        program = random_program(chip.rng, length)
        await chip.run(program)
        status = await chip.status()
        assert status["done"]
        assert not status["trapped"]
        assert await chip.read("TRAP") == 0
        # In order within an engine, each exactly once, never before its tokens.
        for e in Engine:
            pcs = [pc for pc, i in enumerate(program) if ENGINE_OF[i.opcode] is e]
            assert [pc for _, x, pc in chip.issues if x is e] == pcs
            assert [pc for _, x, pc, _ in chip.retirements if x is e] == pcs
        for cycle, _, pc in chip.issues:
            before = Counter(e for at, e, _, _ in chip.retirements if at < cycle)
            for e, name in zip(Engine, WAITS, strict=True):
                assert before[e] >= program[pc][name], f"pc {pc} started before its tokens"
        for _, e, pc, value in chip.retirements:
            i = program[pc]
            if e is Engine.MXU:
                assert value == i["act"]
            elif e is Engine.VPU:
                assert value == i["a"]
            elif e is Engine.LOAD:
                words = np.frombuffer(chip.memory.read(i["dram"], i["row_bytes"]), "<u4")
                assert value == int(signature(words, np.arange(len(words))))
        await chip.clear()


@cocotb.test()
async def decode_traps_wait_for_earlier_instructions(dut: Any) -> None:
    chip = await make(dut)
    slow = [matmul(300), vector(200), load(words=16), store(words=16)]
    cases: list[tuple[Trap, Instruction | bytes]] = [
        (Trap.ILLEGAL_OPCODE, bytes(INSTRUCTION_BYTES)),
        (Trap.ILLEGAL_OPCODE, bytes([6]) + bytes(INSTRUCTION_BYTES - 1)),
        (Trap.ILLEGAL_FIELD, load(rows=0)),
        (Trap.ILLEGAL_FIELD, matmul(block=CONFIG.rows + 1)),
        (Trap.ILLEGAL_FIELD, vector(prog=CONFIG.prog_words - 1, prog_len=2)),
        (Trap.ALIGNMENT, store(dram=DATA + 8)),
        (Trap.ALIGNMENT, matmul(act=8)),
    ]
    for cause, bad in cases:
        await chip.run([*slow, bad, matmul(1)])
        assert await chip.trap() == (cause, len(slow), FRONT_END)
        assert len(chip.retirements) == len(slow)
        await chip.clear()
        await chip.run(slow)
        assert (await chip.status())["done"]
        await chip.clear()


@cocotb.test()
async def engine_traps_stop_at_once(dut: Any) -> None:
    chip = await make(dut)
    end = CONFIG.spad_words * CONFIG.depth
    cases = [
        (Trap.RANGE, load(spad=end), Engine.LOAD),
        (Trap.RANGE, load(space=Space.PROG, spad=CONFIG.prog_words * 32), Engine.LOAD),
        (Trap.RANGE, load(space=Space.TABLE, spad=CONFIG.tables * 64 - CONFIG.depth), Engine.LOAD),
        (Trap.RANGE, store(spad=end - CONFIG.depth), Engine.STORE),
        (Trap.RANGE, matmul(pad_value=255), Engine.MXU),
        (Trap.ALIGNMENT, vector(a_row=0xFFFFFC), Engine.VPU),
    ]
    for cause, bad, engine in cases:
        slow = matmul(2000) if engine is Engine.VPU else vector(2000)
        await chip.run([load(), slow, bad, load(), store()])
        assert await chip.trap() == (cause, 2, engine)
        assert all(pc != 1 for _, _, pc, _ in chip.retirements), "the long instruction must have been stopped"
        await chip.clear()
        await chip.run([matmul(3), load(), store()])
        assert (await chip.status())["done"]
        await chip.clear()


@cocotb.test()
async def programs_anywhere_in_memory(dut: Any) -> None:
    """PROG_BASE of every size, a program across every carry, to the last byte of memory and over it."""
    chip = await make(dut, stall=0.0, latency=0)
    program = [load(), matmul(3), vector(2), store(), load(words=3)]
    bases = [(1 << k) - 3 * INSTRUCTION_BYTES for k in range(12, 33)] + [1 << k for k in range(16, 32)]
    for base in [*bases, 0, (1 << 32) - 6 * INSTRUCTION_BYTES]:
        await chip.run(program, base=base)
        assert (await chip.status())["done"], hex(base)
        assert len(chip.retirements) == len(program)


@cocotb.test()
async def the_oldest_of_many_instructions(dut: Any) -> None:
    """The watchdog names an instruction by its place in the program, whatever the carry between it and others."""
    chip = await make(dut, stall=0.0, latency=0)
    chip.memory.silent = [range(DATA + 0x3000, DATA + 0x3100)]
    for k in (8, 10):
        hangs = (1 << k) - 6
        program = [vector(1) for _ in range(hangs)] + [load(DATA + 0x3000)] + [vector(1) for _ in range(8)]
        program += [matmul(1, wait_load=1), matmul(2, wait_load=1)]
        await chip.run(program, watchdog=300, base=0xFFE000)
        assert await chip.trap() == (Trap.WATCHDOG, hangs, Engine.LOAD)
        await chip.write("CONTROL", clear=1)
        chip.memory.speak()
        await chip.clear()
        chip.memory.silent = [range(DATA + 0x3000, DATA + 0x3100)]


@cocotb.test()
async def bus_errors(dut: Any) -> None:
    chip = await make(dut)
    bad = range(DATA + 0x3000, DATA + 0x3010)
    for cause, i, engine in (
        (Trap.BUS_LOAD, load(bad.start - 32, 4), Engine.LOAD),
        (Trap.BUS_STORE, store(bad.start - 16, 2), Engine.STORE),
    ):
        chip.memory.errors = [bad]
        await chip.run([load(), store(), i, load(), store(), matmul(20)])
        assert await chip.trap() == (cause, 2, engine)
        await chip.clear()
    # The fetch of instruction 3 fails: the three before it retire first.
    at = PROGRAM + 3 * INSTRUCTION_BYTES
    for part in (0, INSTRUCTION_BYTES - 1):
        chip.memory.errors = [range(at + part // CONFIG.depth * CONFIG.depth, at + part + 1)]
        await chip.run([matmul(200), vector(300), load(), load(), load()])
        assert await chip.trap() == (Trap.BUS_FETCH, 3, FRONT_END)
        assert len(chip.retirements) == 3
        await chip.clear()
    # Behind HALT an error does not matter.
    await chip.run([matmul(2), load()])
    assert (await chip.status())["done"]


@cocotb.test()
async def program_without_halt(dut: Any) -> None:
    chip = await make(dut)
    for program in ([], [matmul(100)], [load(), matmul(3), vector(400)]):
        await chip.run(program, halt=False)
        assert await chip.trap() == (Trap.NO_HALT, len(program), FRONT_END)
        assert len(chip.retirements) == len(program)
        await chip.clear()


@cocotb.test()
async def watchdog(dut: Any) -> None:
    chip = await make(dut)
    hidden = range(DATA + 0x3000, DATA + 0x3100)
    # A LOAD whose answer never comes: the oldest unfinished instruction is named, though others wait behind it.
    chip.memory.silent = [hidden]
    await chip.run([load(), matmul(5), load(hidden.start), vector(5), matmul(5, wait_load=2)], watchdog=400)
    assert await chip.trap() == (Trap.WATCHDOG, 2, Engine.LOAD)
    await chip.write("CONTROL", clear=1)
    await ClockCycles(dut.clk_i, 50)
    status = await chip.status()
    assert not status["idle"]  # the answer is still owed
    await chip.start([matmul(7), load()])
    await ClockCycles(dut.clk_i, 100)
    assert not (await chip.status())["running"]  # a start waits for it
    chip.memory.speak()
    await chip.end()
    assert (await chip.status())["done"]
    await chip.check_counts()
    await chip.clear()
    # Waiting for tokens that never come.
    await chip.run([load(), matmul(5), vector(5, wait_mxu=2), matmul(6, wait_vpu=1)], watchdog=300)
    assert await chip.trap() == (Trap.WATCHDOG, 2, Engine.VPU)
    cycles = await chip.read("CYCLES")
    last = max(at for at, *_ in chip.retirements)
    first = min(at for at, *_ in chip.issues)
    assert 300 <= cycles <= last - first + 300 + 60
    await chip.clear()
    # A slow engine is no deadlock; retirements feed the watchdog.
    await chip.run([matmul(250), matmul(250), matmul(250)], watchdog=300)
    assert (await chip.status())["done"]
    await chip.clear()
    # Zero: never.
    await chip.run([matmul(4000)], watchdog=0)
    assert (await chip.status())["done"]
    await chip.clear()
    # The fetch itself hangs.
    chip.memory.silent = [range(PROGRAM + 128, PROGRAM + 192)]
    await chip.run([matmul(5), vector(5), matmul(5)], watchdog=200)
    assert await chip.trap() == (Trap.WATCHDOG, 2, FRONT_END)


@cocotb.test()
async def clear_aborts(dut: Any) -> None:
    chip = await make(dut)
    for _ in range(15):
        await chip.start(random_program(chip.rng, 30))
        await ClockCycles(dut.clk_i, chip.rng.randrange(200))
        await chip.clear()
        status = await chip.status()
        assert not status["running"]
        assert not status["done"]
        assert not status["trapped"]
    await chip.run([matmul(3), load(), store()])
    assert (await chip.status())["done"]
    # A second start without clear runs again; the interrupt falls with it.
    await chip.write("IRQ_ENABLE", 0)
    await ClockCycles(dut.clk_i, 2)  # the interrupt is a register
    assert dut.irq_o.value == 0
    await chip.run([matmul(3)])
    assert [pc for *_, pc, _ in chip.retirements] == [0]


@cocotb.test()
async def interrupts_have_an_enable_each(dut: Any) -> None:
    """Done and trapped, with no enable, either, or both; the line follows the enables while the state lasts."""
    chip = await make(dut)
    illegal = b"\xff" * INSTRUCTION_BYTES
    for trapped, program in ((False, [matmul(3)]), (True, [matmul(3), illegal])):
        for enables in range(4):
            await chip.start(program)
            await chip.write("IRQ_ENABLE", done=enables & 1, trapped=enables >> 1)
            for _ in range(2000):
                status = await chip.status()
                if status["done"] or status["trapped"]:
                    break
            assert (bool(status["trapped"]), bool(status["done"])) == (trapped, not trapped)
            for now in (enables, 3, 0, enables):
                await chip.write("IRQ_ENABLE", done=now & 1, trapped=now >> 1)
                await ClockCycles(dut.clk_i, 3)
                assert dut.irq_o.value == (now >> trapped & 1), f"{'trapped' if trapped else 'done'} with {now:#04b}"
            await chip.clear()
