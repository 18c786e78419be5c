"""The chip around stub engines under cocotb: instructions for the stubs, registers, the trace, random programs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteMaster

from tests.kit.axi_memory import Behaviour
from tests.rtl.bench import AxiMemory, lite_bus, start
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import ENGINE_OF, INSTRUCTION_BYTES, Engine, Opcode, Space, Trap
from triptych.sim.rtl.cycle_classes import CLASSES
from triptych.sim.rtl.orders import ReadOrder
from triptych.sim.rtl.registers.register_map import REGISTERS

CONFIG = chip_config("tiny")
PROGRAM = 0x1F40  # not at the start of a page, so that fetches run across 4 KiB
DATA = 0x8000
FRONT_END = 4
WAITS = ("wait_load", "wait_mxu", "wait_vpu", "wait_store")
HALT = Instruction(Opcode.HALT, {})


def load(dram: int = DATA, words: int = 2, **fields: int) -> Instruction:
    """A LOAD of `words` words to the scratchpad's start unless fields say otherwise."""
    size = words * CONFIG.depth
    return Instruction(Opcode.LOAD, {"dram": dram, "rows": 1, "row_bytes": size, "space": Space.SPAD} | fields)


def store(dram: int = DATA + 0x4000, words: int = 2, **fields: int) -> Instruction:
    """A STORE of `words` words from the scratchpad's start unless fields say otherwise."""
    return Instruction(Opcode.STORE, {"dram": dram, "rows": 1, "row_bytes": words * CONFIG.depth} | fields)


def matmul(cycles: int = 5, **fields: int) -> Instruction:
    """What the stub takes so many cycles for."""
    ones = (
        "in_h",
        "in_w",
        "kernel_h",
        "kernel_w",
        "stride_y",
        "stride_x",
        "last_elems",
        "out_h",
        "out_w",
        "block",
        "n",
    )
    return Instruction(Opcode.MATMUL, dict.fromkeys(ones, 1) | {"chunks": cycles} | fields)


def vector(cycles: int = 5, **fields: int) -> Instruction:
    """What the stub takes so many cycles for."""
    return Instruction(Opcode.VECTOR, {"prog_len": 1, "h": cycles, "w": 1, "n": 2, "block": 1} | fields)


@dataclass
class Chip:
    """The chip after reset, with memory, registers and a record of its trace port."""

    dut: Any
    rng: random.Random
    memory: AxiMemory
    registers: AxiLiteMaster
    issues: list[tuple[int, Engine, int]] = field(default_factory=list)  # cycle, engine, pc
    retirements: list[tuple[int, Engine, int, int]] = field(default_factory=list)  # ..., signature
    cycle: int = 0

    async def write(self, name: str, value: int = 0, **fields: int) -> None:
        """Writes a register, whole or by fields."""
        await self.registers.write_dword(REGISTERS[name].address, REGISTERS[name].pack(**fields) if fields else value)

    async def read(self, name: str) -> int:
        """Reads a register of 32 or 64 bits."""
        r = REGISTERS[name]
        words = [await self.registers.read_dword(r.address + 4 * i) for i in range(r.width // 32)]
        return sum(word << 32 * i for i, word in enumerate(words))

    async def status(self) -> dict[str, int]:
        """Fields of STATUS."""
        return REGISTERS["STATUS"].unpack(await self.read("STATUS"))

    async def start(
        self, program: Sequence[Instruction | bytes], watchdog: int = 3000, halt: bool = True, base: int = PROGRAM
    ) -> None:
        """Puts a program into memory and starts it."""
        items = [*program, HALT] if halt else list(program)
        data = b"".join(i if isinstance(i, bytes) else i.encode() for i in items)
        # What lies behind the program would trap if it were run.
        self.memory.write(base, data + bytes(8 * INSTRUCTION_BYTES))
        self.issues.clear()
        self.retirements.clear()
        await self.write("PROG_BASE", base)
        await self.write("PROG_COUNT", len(items))
        await self.write("WATCHDOG", watchdog)
        await self.write("IRQ_ENABLE", done=1, trapped=1)
        await self.write("CONTROL", start=1)
        await ClockCycles(self.dut.clk_i, 3)

    async def end(self) -> None:
        """Waits for the interrupt."""
        for _ in range(100_000):
            if self.dut.irq_o.value == 1:
                return
            await RisingEdge(self.dut.clk_i)
        raise AssertionError("no interrupt")

    async def run(self, program: Sequence[Instruction | bytes], **options: Any) -> None:
        """Starts a program, waits for its end and checks what holds for every program."""
        await self.start(program, **options)
        await self.end()
        await self.check_counts()

    async def trap(self) -> tuple[Trap, int, int]:
        """Cause, pc and engine of the trap."""
        status = await self.status()
        assert status["trapped"]
        assert not status["running"]
        assert not status["done"]
        fields = REGISTERS["TRAP"].unpack(await self.read("TRAP"))
        return Trap(fields["cause"]), await self.read("TRAP_PC"), fields["engine"]

    async def clear(self) -> None:
        """Forgets the trap and waits until the chip is idle."""
        await self.write("CONTROL", clear=1)
        await ClockCycles(self.dut.clk_i, 3)
        assert self.dut.irq_o.value == 0
        for _ in range(2000):
            if (await self.status())["idle"]:
                return
        raise AssertionError("the chip does not fall idle")

    async def check_counts(self) -> None:
        """Every engine's classes sum to the cycles; retirements and signatures are those of the trace."""
        cycles = await self.read("CYCLES")
        assert cycles > 0
        for engine, classes in CLASSES.items():
            counts = {c: await self.read(f"{engine.name}_{c.upper()}") for c in classes}
            assert sum(counts.values()) == cycles, f"{engine.name}: {counts} in {cycles} cycles"
            signatures = [s for _, e, _, s in self.retirements if e is engine]
            assert await self.read(f"RETIRED_{engine.name}") == len(signatures)
            assert await self.read(f"SIG_{engine.name}") == (signatures[-1] if signatures else 0)
            assert await self.read(f"SIG_SUM_{engine.name}") == sum(signatures) & 0xFFFFFFFF


async def _trace(chip: Chip) -> None:
    dut = chip.dut
    while True:
        await RisingEdge(dut.clk_i)
        chip.cycle += 1
        issue, retire = int(dut.trace_issue_o.value), int(dut.trace_retire_o.value)
        for e in Engine:
            if retire >> e & 1:
                pc = int(dut.trace_retire_pc_o.value) >> 32 * e & 0xFFFFFFFF
                value = int(dut.trace_retire_sig_o.value) >> 32 * e & 0xFFFFFFFF
                chip.retirements.append((chip.cycle, e, pc, value))
            if issue >> e & 1:
                chip.issues.append((chip.cycle, e, int(dut.trace_issue_pc_o.value) >> 32 * e & 0xFFFFFFFF))


async def make(dut: Any, stall: float = 0.15, latency: int = 10) -> Chip:
    """The chip after reset."""
    rng = random.Random(cocotb.RANDOM_SEED)
    memory = AxiMemory(dut, rng, Behaviour(latency, stall, reads=rng.choice(list(ReadOrder))))
    registers = AxiLiteMaster(lite_bus(dut), dut.clk_i, dut.rst_ni, reset_active_level=False)
    registers.read_if.log.disabled = registers.write_if.log.disabled = True
    dut.test_en_i.value = 0
    await start(dut)
    chip = Chip(dut, rng, memory, registers)
    cocotb.start_soon(_trace(chip))
    return chip


def random_program(rng: random.Random, length: int) -> list[Instruction]:
    """Legal instructions with random waits on earlier ones."""
    dispatched = dict.fromkeys(Engine, 0)
    program = []
    for _ in range(length):
        i = rng.choice((
            lambda: load(DATA + 16 * rng.randrange(64), rng.randrange(1, 20)),
            lambda: store(DATA + 0x4000 + 16 * rng.randrange(64), rng.randrange(1, 20)),
            lambda: matmul(rng.randrange(1, 60), act=16 * rng.randrange(1 << 20)),
            lambda: vector(rng.randrange(1, 60), a=4 * rng.randrange(1 << 20)),
        ))()  # fmt: skip
        for engine, name in zip(Engine, WAITS, strict=True):
            i[name] = rng.choice((0, 0, dispatched[engine], max(dispatched[engine] - 1, 0)))
        dispatched[ENGINE_OF[i.opcode]] += 1
        program.append(i)
    return program
