"""The bench of LOAD and STORE under cocotb: its memory, plain Python copies of what they do, random copies."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from tests.kit.axi_memory import Behaviour
from tests.kit.sparse import SparseMemory, magnitude
from tests.rtl.bench import AxiMemory, stalls, start
from triptych.golden.quartdepth.arithmetic.numerics import signature
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.isa import MICROWORD_BYTES, TABLE_BYTES, Opcode, Space, Trap

IN_FLIGHT = 4  # engine_queues'
LOW = 1 << 16  # where half of the copies lie, so that they meet


@dataclass
class Bench:
    """The bench with its memory, and copies of what the stores should hold."""

    dut: Any
    rng: random.Random
    memory: AxiMemory
    depth: int
    local: dict[Space, bytearray]
    seen: dict[Space, bytearray]  # what was written into the stores beside the scratchpad
    retired: dict[str, deque[int]] = field(default_factory=lambda: {"load": deque(), "store": deque()})

    carries: Iterator[int] = field(default_factory=lambda: cycle((24, 32, 16, 28, 20, 31, 23, 25)))
    flying: Counter[str] = field(default_factory=Counter)  # handed over, not retired

    async def issue(self, engine: str, instruction: Instruction) -> None:
        """Hands the instruction to the engine, which holds four at most, as its queue sees to it."""
        while self.flying[engine] == IN_FLIGHT:
            await RisingEdge(self.dut.clk_i)
        valid, ready = getattr(self.dut, f"{engine}_valid_i"), getattr(self.dut, f"{engine}_ready_o")
        await FallingEdge(self.dut.clk_i)
        getattr(self.dut, f"{engine}_instr_i").value = int.from_bytes(instruction.encode(), "little")
        valid.value = 1
        while True:
            await ReadOnly()
            taken = ready.value == 1
            await FallingEdge(self.dut.clk_i)
            if taken:
                break
        valid.value = 0
        self.flying[engine] += 1

    async def retirement(self, engine: str) -> int:
        """The signature of the next instruction that the engine retires."""
        for _ in range(50_000):
            if self.retired[engine]:
                return self.retired[engine].popleft()
            await RisingEdge(self.dut.clk_i)
        raise AssertionError(f"{engine} does not retire")

    async def fault(self, engine: str) -> Trap:
        """Waits for the engine's fault."""
        level = getattr(self.dut, f"{engine}_fault_o")
        for _ in range(20_000):
            if level.value == 1:
                return Trap(int(getattr(self.dut, f"{engine}_cause_o").value))
            await RisingEdge(self.dut.clk_i)
        raise AssertionError(f"{engine} does not fault")

    async def stop(self) -> None:
        """Stops the engines and waits until they are idle."""
        await FallingEdge(self.dut.clk_i)
        self.dut.stop_i.value = 1
        self.dut.load_valid_i.value = self.dut.store_valid_i.value = 0
        for _ in range(20_000):
            await FallingEdge(self.dut.clk_i)
            if self.dut.load_idle_o.value == 1 and self.dut.store_idle_o.value == 1:
                break
        else:
            raise AssertionError("the engines do not fall idle")
        assert self.dut.load_fault_o.value == 0
        assert self.dut.store_fault_o.value == 0
        self.dut.stop_i.value = 0
        self.flying.clear()

    def spad(self, word: int) -> bytes:
        """A word of the scratchpad, read behind its back."""
        bank = (word ^ word >> 2 ^ word >> 4) & 3
        value = self.dut.u_spad.gen_bank[bank].u_ram.mem[word >> 2].value
        return int(value).to_bytes(self.depth, "little")

    def take_over(self) -> None:
        """Makes the copies what the stores hold now."""
        words = range(len(self.local[Space.SPAD]) // self.depth)
        self.local[Space.SPAD][:] = b"".join(self.spad(word) for word in words)
        for space, store in self.seen.items():
            self.local[space][:] = store

    def rows(self, i: Instruction) -> list[tuple[int, int]]:
        """(memory address, local address) of every row."""
        return [(i["dram"] + n * i["dram_row"], i["spad"] + n * i["spad_row"]) for n in range(i["rows"])]

    def expect_load(self, i: Instruction) -> int:
        """Carries out a LOAD in Python and returns its signature."""
        total = 0
        store = self.local[Space(i["space"])]
        for dram, local in self.rows(i):
            data = self.memory.data.read(dram, i["row_bytes"])
            store[local : local + i["row_bytes"]] = data
            total += _signature(data, local)
        return total & 0xFFFFFFFF

    def expect_store(self, i: Instruction, memory: SparseMemory) -> int:
        """Carries out a STORE in Python, on a copy of the memory, and returns its signature."""
        total = 0
        for dram, local in self.rows(i):
            data = self.local[Space.SPAD][local : local + i["row_bytes"]]
            memory.write(dram, data)
            total += _signature(data, dram)
        return total & 0xFFFFFFFF

    def expect(self, i: Instruction) -> int:
        """The signature that a LOAD or STORE must have; a LOAD is carried out, a STORE is not."""
        return self.expect_load(i) if i.opcode is Opcode.LOAD else self.expect_store(i, SparseMemory())

    def random_copy(self, opcode: Opcode, wild: bool = True) -> Instruction:
        """A legal copy inside memory and scratchpad, often across 4 KiB, often with rows end to end; wild: now and then
        with rows far apart, or over one another."""
        rng, d = self.rng, self.depth
        space = rng.choice((Space.SPAD, Space.SPAD, Space.PROG, Space.TABLE)) if opcode is Opcode.LOAD else Space.SPAD
        words = len(self.local[space]) // d
        rows = rng.choice((1, 1, 2, 3, rng.randrange(1, 9)))
        while True:
            row_words = min(rng.choice((1, 2, 3, 5, 17, rng.randrange(1, words + 1))), words // rows)
            if row_words:
                break
            rows = 1
        spad_row = rng.choice((row_words, rng.randrange((words - row_words) // max(rows - 1, 1) + 1)))
        spad = rng.randrange(words - (rows - 1) * spad_row - row_words + 1)
        if opcode is Opcode.STORE or space is not Space.SPAD:
            gap = rng.choice((0, rng.randrange(40)))
        else:
            gap = rng.choice((0, 0, rng.randrange(300)))
        span = ((rows - 1) * (row_words + gap) + row_words) * d
        before = rng.randrange(0, min(span, 2048) + 1) // d * d
        if rng.random() < 0.5:
            dram = min(max(4096 * rng.randrange(1, 15) - before, 0), LOW - span) // d * d
        else:  # across a carry, the one out of 32 bits among them
            dram = (1 << next(self.carries)) - max(before, min(d, span - d))
        dram_row = (row_words + gap) * d if not wild or rng.random() < 0.9 else magnitude(rng, 32, d)
        fields = {"dram": dram % (1 << 32), "dram_row": dram_row, "spad": spad * d, "spad_row": spad_row * d}
        fields |= {"rows": rows, "row_bytes": row_words * d}
        if opcode is Opcode.LOAD:
            fields["space"] = space
        return Instruction(opcode, fields)


def _signature(data: bytes | bytearray, address: int) -> int:
    words = np.frombuffer(bytes(data), dtype="<u4")
    return int(signature(words, (address // 4 + np.arange(len(words))) % (1 << 30)))


async def _watch(bench: Bench) -> None:
    dut = bench.dut
    while True:
        await RisingEdge(dut.clk_i)
        for engine in ("load", "store"):
            if getattr(dut, f"{engine}_retire_o").value == 1:
                bench.flying[engine] -= 1
                bench.retired[engine].append(int(getattr(dut, f"{engine}_sig_o").value))


async def _local_writes(bench: Bench) -> None:
    dut, d = bench.dut, bench.depth
    while True:
        await RisingEdge(dut.clk_i)
        for space, name in ((Space.PROG, "prog"), (Space.TABLE, "tab")):
            if getattr(dut, f"{name}_we_o").value == 1:
                word = int(getattr(dut, f"{name}_addr_o").value)
                bench.seen[space][word * d : (word + 1) * d] = int(dut.local_wdata_o.value).to_bytes(d, "little")


async def _rivals(bench: Bench, share: float) -> None:
    """Takes the banks away from the engines: reads anywhere, writes only to the last word."""
    dut, rng = bench.dut, bench.rng
    words = len(bench.local[Space.SPAD]) // bench.depth
    busy = stalls(rng, share)
    granted = True
    while True:
        await FallingEdge(dut.clk_i)
        if granted:  # otherwise the request stands
            dut.rreq_i.value = next(busy)
            dut.raddr_i.value = rng.randrange(words)
        dut.wreq_i.value = next(busy)
        dut.waddr_i.value = words
        dut.wdata_i.value = 0
        await ReadOnly()
        granted = dut.rreq_i.value == 0 or dut.rgnt_o.value == 1


async def make(dut: Any, stall: float, latency: int = 0, **behaviour: Any) -> Bench:
    """The bench after reset."""
    rng = random.Random(cocotb.RANDOM_SEED)
    for name in ("stop_i", "load_valid_i", "store_valid_i", "token_wait_i", "rreq_i", "wreq_i"):
        getattr(dut, name).value = 0
    memory = AxiMemory(dut, rng, Behaviour(latency, stall, **behaviour))
    depth = int(dut.Depth.value)
    local = {
        Space.SPAD: bytearray((int(dut.SpadWords.value) - 1) * depth),  # the last word is the rivals'
        Space.PROG: bytearray(int(dut.ProgWords.value) * MICROWORD_BYTES),
        Space.TABLE: bytearray(int(dut.Tables.value) * TABLE_BYTES),
    }
    seen = {space: bytearray(len(local[space])) for space in (Space.PROG, Space.TABLE)}
    bench = Bench(dut, rng, memory, depth, local, seen)
    await start(dut)
    bench.take_over()
    cocotb.start_soon(_watch(bench))
    cocotb.start_soon(_local_writes(bench))
    if stall:
        cocotb.start_soon(_rivals(bench, stall))
    return bench


async def check_loads(bench: Bench, count: int) -> None:
    """Random LOADs, one behind the other: their signatures, and what the stores hold then."""
    copies = [bench.random_copy(Opcode.LOAD) for _ in range(count)]
    expected = [bench.expect_load(i) for i in copies]

    async def feed() -> None:
        for i in copies:
            await bench.issue("load", i)

    cocotb.start_soon(feed())
    for n, value in enumerate(expected):
        assert await bench.retirement("load") == value, f"LOAD {n}: {copies[n]}"
    await RisingEdge(bench.dut.clk_i)
    for word in range(len(bench.local[Space.SPAD]) // bench.depth):
        right = bench.local[Space.SPAD][word * bench.depth : (word + 1) * bench.depth]
        assert bench.spad(word) == right, f"scratchpad word {word}"
    for space, store in bench.seen.items():
        assert store == bench.local[space], space.name


async def check_stores(bench: Bench, count: int) -> None:
    """Random STOREs, one behind the other: their signatures, and what the memory holds then."""
    copies = [bench.random_copy(Opcode.STORE) for _ in range(count)]
    memory = bench.memory.data.copy()
    expected = [bench.expect_store(i, memory) for i in copies]

    async def feed() -> None:
        for i in copies:
            await bench.issue("store", i)

    cocotb.start_soon(feed())
    for n, value in enumerate(expected):
        assert await bench.retirement("store") == value, f"STORE {n}: {copies[n]}"
    differs = bench.memory.data.first_difference(memory)
    assert differs is None, f"memory at {differs:#x}"
