"""counters: two reads of 32 bits give the count of one moment, whatever happens between them."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly

from tests.rtl.bench import start

COUNTERS = [c for c in range(32) if c not in (7, 15, 23, 30, 31)]


async def access(dut: Any, address: int, write: bool = False) -> int:
    """One access; what it returns."""
    await FallingEdge(dut.clk_i)
    dut.req_i.value = 1
    dut.req_is_wr_i.value = write
    dut.addr_i.value = address
    await FallingEdge(dut.clk_i)
    dut.req_i.value = 0
    await ReadOnly()
    assert dut.rd_ack_o.value == (not write)
    assert dut.wr_ack_o.value == write
    return int(dut.rd_data_o.value)


@cocotb.test()
async def halves_of_one_moment(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    for name in ("begin_i", "running_i", "req_i", "req_is_wr_i", "addr_i"):
        getattr(dut, name).value = 0
    for name in ("load", "mxu", "vpu", "store"):
        getattr(dut, f"{name}_class_i").value = 1  # all are active: counters 0, 1, 8, 16, 24 run
    await start(dut)
    await FallingEdge(dut.clk_i)
    dut.running_i.value = 1
    carried = 0
    for _ in range(200):
        counter = rng.choice((0, 1, 8, 16, 24))
        high = rng.randrange((1 << 16) - 1)
        await FallingEdge(dut.clk_i)
        dut.counts_q[counter].value = high << 32 | (1 << 32) - rng.randrange(1, 24)
        low = await access(dut, 8 * counter)
        for _ in range(rng.randrange(16)):
            await FallingEdge(dut.clk_i)
        if rng.random() < 0.3:  # a write to the block disturbs nothing
            await access(dut, 8 * rng.choice(COUNTERS), write=True)
        seen = (await access(dut, 8 * counter + 4)) << 32 | low
        # The low half was read within 24 cycles of the deposit, the count had moved by no more.
        assert (high << 32 | (1 << 32) - 24) <= seen < (high + 1 << 32) + 4, f"{seen:#x} with {high:#x}"
        assert low < 4 or seen >> 32 == high
        assert low >= 4 or seen >> 32 == high + 1
        carried += low >= 4 and int(dut.counts_q[counter].value) >> 32 == high + 1
    assert carried > 40
