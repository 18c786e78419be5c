"""dma_store on subordinates that take addresses and data in every order that AXI4 allows."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from tests.rtl.bench import start
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.isa import Opcode


def content(word: int, depth: int) -> int:
    """What the scratchpad holds at a word."""
    return int.from_bytes(bytes((7 * word + 13 * i) % 251 for i in range(depth)), "little")


@dataclass
class Subordinate:
    """Takes addresses when `address` says so of itself, data when `data` does; answers when it has both.

    memory: words by address. taken: bursts whose address, beats and ends of bursts that were taken.
    """

    dut: Any
    address: Callable[[Subordinate], bool]
    data: Callable[[Subordinate], bool]
    depth: int
    memory: dict[int, int] = field(default_factory=dict)
    bursts: list[tuple[int, int]] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    ends: int = 0
    answered: int = 0
    offered: bool = False  # data is on the bus in this cycle

    async def run(self) -> None:
        dut = self.dut
        last = 0  # beats of the bursts before the one under way
        while True:
            await FallingEdge(dut.clk_i)
            self.offered = dut.w_valid_o.value == 1
            dut.aw_ready_i.value = self.address(self)
            dut.w_ready_i.value = self.data(self)
            answer = self.answered < min(self.ends, len(self.bursts))
            dut.b_valid_i.value = answer
            await ReadOnly()
            if dut.aw_valid_o.value == 1 and dut.aw_ready_i.value == 1:
                self.bursts.append((int(dut.aw_addr_o.value), int(dut.aw_len_o.value) + 1))
            if dut.w_valid_o.value == 1 and dut.w_ready_i.value == 1:
                assert int(dut.w_strb_o.value) == (1 << self.depth) - 1
                self.beats.append(int(dut.w_data_o.value))
                if dut.w_last_o.value == 1:
                    self.ends += 1
            if answer:
                address, length = self.bursts[self.answered]
                for i in range(length):
                    self.memory[address + i * self.depth] = self.beats[last + i]
                last += length
                self.answered += 1


async def scratchpad(dut: Any, depth: int) -> None:
    """Grants every read."""
    dut.rgnt_i.value = 1
    while True:
        await FallingEdge(dut.clk_i)
        await ReadOnly()
        word = int(dut.raddr_o.value) if dut.rreq_o.value == 1 else None
        await RisingEdge(dut.clk_i)
        if word is not None:
            dut.rdata_i.value = content(word, depth)


async def copies(dut: Any, address: Callable[[Subordinate], bool], data: Callable[[Subordinate], bool]) -> None:
    """Three STOREs of several bursts each, to their end."""
    depth = int(dut.Depth.value)
    for name in ("stop_i", "instr_valid_i", "token_wait_i", "aw_ready_i", "w_ready_i", "b_valid_i", "b_error_i"):
        getattr(dut, name).value = 0
    await start(dut)
    cocotb.start_soon(scratchpad(dut, depth))
    bus = Subordinate(dut, address, data, depth)
    cocotb.start_soon(bus.run())
    expected: dict[int, int] = {}
    waiting: deque[int] = deque()
    for k, (rows, words) in enumerate(((1, 5), (3, 2), (2, 19))):
        dram, size = 0x2000 * (k + 1) - 0x40, words * depth
        fields = {"dram": dram, "dram_row": 0x400, "rows": rows, "row_bytes": size}
        fields |= {"spad": 40 * k * depth, "spad_row": size}
        for row in range(rows):
            for i in range(words):
                expected[fields["dram"] + row * 0x400 + i * depth] = content(40 * k + row * words + i, depth)
        waiting.append(int.from_bytes(Instruction(Opcode.STORE, fields).encode(), "little"))
    retired = 0
    total = len(waiting)
    for _ in range(3000):
        await FallingEdge(dut.clk_i)
        dut.instr_valid_i.value = bool(waiting)
        if waiting:
            dut.instr_i.value = waiting[0]
        await ReadOnly()
        if waiting and dut.instr_ready_o.value == 1:
            waiting.popleft()
        retired += dut.retire_o.value == 1
        if retired == total:
            break
    assert retired == total, f"hangs after {len(bus.bursts)} addresses and {len(bus.beats)} beats"
    await FallingEdge(dut.clk_i)
    assert bus.memory == expected
    assert all(a % 4096 + n * depth <= 4096 for a, n in bus.bursts)


@cocotb.test()
async def address_waits_for_data(dut: Any) -> None:
    """AWREADY comes only while the burst's data is offered or was taken (AXI4, A3.3.1: a subordinate may wait)."""
    await copies(dut, lambda s: s.offered or s.ends > len(s.bursts), lambda s: s.ends <= len(s.bursts))


@cocotb.test()
async def address_after_the_last_beat(dut: Any) -> None:
    """A burst's address is taken when all its data was."""
    await copies(dut, lambda s: s.ends > len(s.bursts), lambda s: s.ends == len(s.bursts))


@cocotb.test()
async def data_after_the_address(dut: Any) -> None:
    """A burst's data is taken when its address was."""
    await copies(dut, lambda s: True, lambda s: s.ends < len(s.bursts))


@cocotb.test()
async def any_order(dut: Any) -> None:
    """Ready comes and goes at random, on both channels."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await copies(dut, lambda s: rng.random() < 0.3, lambda s: rng.random() < 0.5)
