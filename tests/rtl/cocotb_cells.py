"""clock_gate and reset_sync, in steps of a tenth of the clock's period."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import Timer

STEPS = 10  # of a period; the clock is high in the second half


@cocotb.test()
async def gate(dut: Any) -> None:
    """A high phase passes whole or not at all, by what was asked for before it."""
    rng = random.Random(cocotb.RANDOM_SEED)
    dut.clk_i.value = dut.en_i.value = dut.test_en_i.value = 0
    await Timer(1, unit="ns")
    passed = 0
    for _ in range(500):
        dut.test_en_i.value = rng.random() < 0.1
        asked = 0
        for step in range(STEPS):
            dut.clk_i.value = step >= STEPS // 2
            if step != STEPS // 2 and rng.random() < 0.3:  # any time but at the edge, where the library has its say
                dut.en_i.value = rng.randrange(2)
            await Timer(1, unit="ns")
            if step < STEPS // 2:
                asked = int(dut.en_i.value) | int(dut.test_en_i.value)
                assert dut.clk_o.value == 0
            else:
                assert dut.clk_o.value == asked
        passed += asked
    assert 100 < passed < 400


@cocotb.test()
async def synchroniser(dut: Any) -> None:
    """Falls at once, rises two edges after the pin; in test it is the pin."""
    rng = random.Random(cocotb.RANDOM_SEED)
    dut.clk_i.value = dut.rst_ni.value = dut.test_en_i.value = 0
    edges = 0
    for _ in range(4000):
        rising = dut.clk_i.value == 0 and rng.random() < 0.5
        if rising:
            dut.clk_i.value = 1
        else:
            dut.clk_i.value = 0
            if rng.random() < 0.1:
                dut.rst_ni.value = int(rng.random() < 0.7)
            dut.test_en_i.value = int(rng.random() < 0.1)
        await Timer(1, unit="ns")
        edges = 0 if dut.rst_ni.value == 0 else edges + rising
        assert dut.rst_no.value == (dut.rst_ni.value if dut.test_en_i.value == 1 else int(edges >= 2))
