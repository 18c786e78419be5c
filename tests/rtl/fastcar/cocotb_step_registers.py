"""The AXI4-Lite shell of a step: fields, addresses, ap_ctrl's handshake, strobes, stalls on every channel."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.bench import start

START, DONE, IDLE, READY = 1, 2, 4, 8
FIELDS = range(0x10, 0x3C, 4)
ARRAYS = range(0x40, 0x98, 4)


class Lite:
    """A manager that waits at random before each handshake."""

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng

    async def pause(self) -> None:
        for _ in range(self.rng.choice((0, 0, 1, 3))):
            await FallingEdge(self.dut.clk_i)

    async def write(self, address: int, value: int, strobes: int = 15) -> None:
        dut = self.dut
        await FallingEdge(dut.clk_i)
        dut.s_axil_awaddr_i.value, dut.s_axil_wdata_i.value = address, value
        dut.s_axil_wstrb_i.value = strobes
        first, second = self.rng.sample((dut.s_axil_awvalid_i, dut.s_axil_wvalid_i), 2)
        first.value = 1
        await self.pause()
        second.value = 1
        while True:
            await RisingEdge(dut.clk_i)
            if dut.s_axil_awready_o.value and dut.s_axil_wready_o.value:
                break
        await FallingEdge(dut.clk_i)
        first.value = second.value = 0
        await self.pause()
        dut.s_axil_bready_i.value = 1
        while not dut.s_axil_bvalid_o.value:
            await FallingEdge(dut.clk_i)
        assert dut.s_axil_bresp_o.value == 0
        await RisingEdge(dut.clk_i)
        await FallingEdge(dut.clk_i)
        dut.s_axil_bready_i.value = 0

    async def read(self, address: int) -> int:
        dut = self.dut
        await FallingEdge(dut.clk_i)
        dut.s_axil_araddr_i.value, dut.s_axil_arvalid_i.value = address, 1
        while True:
            await RisingEdge(dut.clk_i)
            if dut.s_axil_arready_o.value:
                break
        await FallingEdge(dut.clk_i)
        dut.s_axil_arvalid_i.value = 0
        await self.pause()
        assert dut.s_axil_rvalid_o.value == 1
        value = int(dut.s_axil_rdata_o.value)
        dut.s_axil_rready_i.value = 1
        await RisingEdge(dut.clk_i)
        await FallingEdge(dut.clk_i)
        dut.s_axil_rready_i.value = 0
        return value


async def make(dut: Any) -> Lite:
    for name in ("awvalid", "wvalid", "arvalid", "bready", "rready"):
        getattr(dut, f"s_axil_{name}_i").value = 0
    dut.done_i.value, dut.idle_i.value = 0, 1
    for name in ("fault", "index", "computed", "replayed", "delivered", "skipped", "cycles"):
        getattr(dut, f"{name}_i").value = 0
    await start(dut)
    return Lite(dut, random.Random(cocotb.RANDOM_SEED))


@cocotb.test()
async def what_is_written_reads_back(dut: Any) -> None:
    lite = await make(dut)
    wanted = {}
    for _ in range(120):
        address = lite.rng.choice((*FIELDS, *ARRAYS))
        value, strobes = lite.rng.getrandbits(32), lite.rng.choice((15, 15, 1, 6, 0))
        mask = sum(255 << 8 * b for b in range(4) if strobes >> b & 1)
        wanted[address] = wanted.get(address, 0) & ~mask | value & mask
        await lite.write(address, value, strobes)
    for address in (*FIELDS, *ARRAYS):
        assert await lite.read(address) == wanted.get(address, 0), hex(address)
    # The last array's address is the lowest field of shape_o: 40 bits of two words.
    await lite.write(0x90, 0x12345680)
    await lite.write(0x94, 0xAB)
    assert int(dut.shape_o.value) & (1 << 40) - 1 == 0xAB12345680


@cocotb.test()
async def a_write_waits_until_the_last_one_is_answered(dut: Any) -> None:
    """Or one answer would stand for two."""
    lite = await make(dut)
    await FallingEdge(dut.clk_i)
    dut.s_axil_awaddr_i.value, dut.s_axil_wdata_i.value, dut.s_axil_wstrb_i.value = 0x10, 5, 15
    dut.s_axil_awvalid_i.value = dut.s_axil_wvalid_i.value = 1
    await FallingEdge(dut.clk_i)
    dut.s_axil_awaddr_i.value, dut.s_axil_wdata_i.value = 0x14, 6
    for _ in range(5):
        await RisingEdge(dut.clk_i)
        assert (dut.s_axil_bvalid_o.value, dut.s_axil_awready_o.value, dut.s_axil_wready_o.value) == (1, 0, 0)
    await FallingEdge(dut.clk_i)
    dut.s_axil_bready_i.value = 1
    answers = 0
    for _ in range(6):
        await RisingEdge(dut.clk_i)
        answers += int(dut.s_axil_bvalid_o.value)
        taken = bool(dut.s_axil_awready_o.value)
        await FallingEdge(dut.clk_i)
        if taken:
            dut.s_axil_awvalid_i.value = dut.s_axil_wvalid_i.value = 0
    dut.s_axil_bready_i.value = 0
    assert answers == 2
    assert [await lite.read(a) for a in (0x10, 0x14)] == [5, 6]


@cocotb.test()
async def ap_ctrl(dut: Any) -> None:
    """Start is a pulse and only when idle; done stays until it is read; a running step keeps its registers."""
    lite = await make(dut)
    starts = []

    async def watch() -> None:
        while True:
            await RisingEdge(dut.clk_i)
            starts.append(int(dut.start_o.value))

    cocotb.start_soon(watch())
    await lite.write(0x10, 3)
    assert await lite.read(0) == IDLE
    await lite.write(0, START, strobes=14)
    assert sum(starts) == 0
    await lite.write(0, START)
    assert sum(starts) == 1
    dut.idle_i.value = 0
    await lite.write(0, START)
    await lite.write(0x10, 9)
    assert sum(starts) == 1
    assert await lite.read(0x10) == 3
    assert await lite.read(0) == 0
    await FallingEdge(dut.clk_i)
    dut.done_i.value = 1
    await FallingEdge(dut.clk_i)
    dut.done_i.value, dut.idle_i.value = 0, 1
    assert await lite.read(0) == DONE | IDLE | READY
    assert await lite.read(0) == IDLE


@cocotb.test()
async def what_a_step_tells(dut: Any) -> None:
    lite = await make(dut)
    dut.fault_i.value, dut.index_i.value = 9, 0xDEADBEEF
    dut.computed_i.value, dut.skipped_i.value = 77, 1 << 31
    dut.cycles_i.value = sum((1000 + p) << 32 * p for p in range(24))
    assert [await lite.read(a) for a in (0xA0, 0xA4, 0xA8, 0xB4)] == [9, 0xDEADBEEF, 77, 1 << 31]
    assert [await lite.read(0x100 + 4 * p) for p in range(24)] == [1000 + p for p in range(24)]
