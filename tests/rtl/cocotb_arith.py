"""arith_pkg against docs/numerics.md in Python's unbounded integers, and against the golden model's functions."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from triptych.golden.quartdepth.arithmetic import numerics

EDGES = [0, 1, -1, 2, 3, -2, -3, 32767, 32768, -32768, -32769, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1]
EDGES += [2**46, 2**46 - 1, -(2**46), 2**47 - 1, -(2**47)]


def rounding_shift(value: int, count: int) -> int:
    """rs(value, count) as the page says it."""
    count = min(max(count, 0), 47)
    return value if count == 0 else (value + (1 << (count - 1))) >> count


async def _shift(dut: Any, value: int, count: int) -> None:
    dut.value_i.value = value
    dut.count_i.value = count
    for least in (-(2**31), -(2**15)):
        dut.to16_i.value = int(least == -(2**15))
        await Timer(1, unit="ns")
        shifted = rounding_shift(value, count)
        assert dut.rshift_o.value.to_signed() == shifted, (value, count)
        assert dut.rshift_sat_o.value.to_signed() == min(max(shifted, least), -least - 1), (value, count, least)


@cocotb.test()
async def shifts(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    for value in EDGES:
        for count in (*range(-2, 50), -512, 511, 255, 256):
            await _shift(dut, value, count)
    for _ in range(4000):
        bits = rng.randrange(1, 49)
        await _shift(dut, rng.getrandbits(bits) - (1 << (bits - 1)), rng.randrange(-4, 52))
    values = np.array([rng.getrandbits(47) - (1 << 46) for _ in range(200)])
    for value, golden in zip(values.tolist(), numerics.rs(values, 13).tolist(), strict=True):
        assert golden == rounding_shift(value, 13)


@cocotb.test()
async def saturation(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    for value in EDGES + [rng.getrandbits(48) - (1 << 47) >> rng.randrange(40) for _ in range(2000)]:
        dut.value_i.value = value
        await Timer(1, unit="ns")
        assert dut.sat16_o.value.to_signed() == min(max(value, -(2**15)), 2**15 - 1)
        assert dut.sat32_o.value.to_signed() == min(max(value, -(2**31)), 2**31 - 1)


@cocotb.test()
async def products(dut: Any) -> None:
    """Every factor, each with an edge and a random number; every edge with every edge."""
    rng = random.Random(cocotb.RANDOM_SEED)
    small = [value for value in EDGES if -(2**31) <= value < 2**31]
    factors = [value for value in small if -(2**15) <= value < 2**15]
    pairs = [(x, f) for x in small for f in factors]
    for f in range(-(2**15), 2**15):
        pairs += [(small[f % len(small)], f), (rng.getrandbits(32) - (1 << 31), f)]
    for x, factor in pairs:
        dut.value_i.value = x
        dut.factor_i.value = factor
        await Timer(1, unit="ns")
        assert dut.times32_o.value.to_signed() == x * factor, (x, factor)
        short = (x & 0x1FFFF) - ((x & 0x10000) << 1)
        assert dut.times17_o.value.to_signed() == short * factor, (short, factor)


@cocotb.test()
async def banks_and_signatures(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    for _ in range(2000):
        word, index = rng.getrandbits(32), rng.getrandbits(32)
        dut.value_i.value = word
        dut.index_i.value = index
        await Timer(1, unit="ns")
        assert int(dut.bank_o.value) == (index ^ index >> 2 ^ index >> 4) & 3
        golden = numerics.signature(np.array([word], dtype=np.uint32), np.array([index]))
        assert int(dut.signature_o.value) == int(golden)
