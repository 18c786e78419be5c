"""FIFO against a deque, with stalls on both sides and flushes."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.bench import stalls, start


@cocotb.test()
async def order_and_capacity(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    depth, width = int(dut.Depth.value), int(dut.Width.value)
    dut.valid_i.value = dut.ready_i.value = dut.flush_i.value = 0
    await start(dut)
    model: deque[int] = deque()
    offer: int | None = None
    full = popped = 0
    slow_in, slow_out = stalls(rng, 0.4), stalls(rng, 0.5)
    for cycle in range(4000):
        await FallingEdge(dut.clk_i)
        if cycle % 1000 == 500:
            slow_in, slow_out = stalls(rng, rng.random()), stalls(rng, rng.random())
        flush = rng.random() < 0.005
        dut.flush_i.value = flush
        if offer is None and not next(slow_in):
            offer = rng.getrandbits(width)
        dut.valid_i.value = offer is not None
        dut.data_i.value = offer or 0
        dut.ready_i.value = ready = not next(slow_out)
        await RisingEdge(dut.clk_i)
        assert dut.ready_o.value == (len(model) < depth)
        assert dut.valid_o.value == bool(model)
        if model:
            assert int(dut.data_o.value) == model[0]
        full += len(model) == depth
        taken = offer is not None and len(model) < depth
        if model and ready:
            model.popleft()
            popped += 1
        if flush:
            model.clear()
        elif taken:
            assert offer is not None
            model.append(offer)
            offer = None
    assert full > 50
    assert popped > 500
