"""code_tables against the image of docs/isa.md, words written in any order."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge

from tests.rtl.bench import start
from triptych.golden.quartdepth.chip.isa import TABLE_BYTES


@cocotb.test()
async def every_byte_where_it_belongs(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    depth, tables = int(dut.Depth.value), int(dut.Tables.value)
    image = bytearray(tables * TABLE_BYTES)
    dut.tab_we_i.value = dut.test_en_i.value = 0
    await start(dut)
    for n in range(600):
        await FallingEdge(dut.clk_i)
        word, data = rng.randrange(len(image) // depth), rng.randbytes(depth)
        write = rng.random() < 0.5
        dut.tab_we_i.value = write
        dut.test_en_i.value = rng.random() < 0.2  # the clock runs on, nothing changes
        dut.tab_addr_i.value = word
        dut.tab_wdata_i.value = int.from_bytes(data, "little")
        await FallingEdge(dut.clk_i)
        dut.tab_we_i.value = 0
        if write:
            image[word * depth : (word + 1) * depth] = data
        if n % 50:
            continue
        for t in range(tables):
            table = image[t * TABLE_BYTES :][:TABLE_BYTES]
            for i in range(16):
                assert dut.decode_o[t][i].value.to_signed() == (table[i] & 31 ^ 16) - 16
            for i in range(15):
                threshold = int.from_bytes(table[16 + 2 * i : 18 + 2 * i], "little", signed=True)
                assert dut.threshold_o[t][i].value.to_signed() == threshold
