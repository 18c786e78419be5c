"""Golden against a second implementation that was written from docs/numerics.md alone (tests/second)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.kit.random_program import random_program
from tests.second import arithmetic
from tests.second.chip import Chip
from triptych.golden.quartdepth.arithmetic import functions, numerics
from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.chip.codec import Instruction, disassemble
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.chip.machine import Machine

INT48 = st.integers(-(1 << 47), (1 << 47) - 1)
INT16 = st.integers(-(1 << 15), (1 << 15) - 1)
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)  # a smaller seed is no smaller program


@given(INT48, st.integers(-64, 300))
@settings(max_examples=400, deadline=None)
def test_rounding_shift(value: int, count: int) -> None:
    """Also of counts beyond the range, and of values as wide as they come."""
    assert int(numerics.rs(np.int64(value), np.int64(count))) == arithmetic.rounding_shift(value, count)


@given(INT48)
@settings(max_examples=300, deadline=None)
def test_narrowing(value: int) -> None:
    one = np.array([value])
    assert int(numerics.wrap32(one)[0]) == arithmetic.wrap32(value)
    assert int(numerics.sat16(one)[0]) == arithmetic.saturate(value, 16)
    assert int(numerics.sat32(one)[0]) == arithmetic.saturate(value, 32)


@given(st.lists(st.integers(-16, 15), min_size=16, max_size=16), st.lists(INT16, min_size=15, max_size=15), INT16)
@settings(max_examples=200, deadline=None)
def test_code_tables(entries: list[int], thresholds: list[int], value: int) -> None:
    """Ties too: the value may be one of the thresholds."""
    table = CodeTable(tuple(entries), tuple(sorted(thresholds)))
    data = table.to_bytes()
    for v in (value, *thresholds):
        assert int(table.encode(np.array([v]))[0]) == arithmetic.encode(data, v)
    assert [arithmetic.entry(data, c) for c in range(16)] == table.decode(np.arange(16)).tolist()


def differences(name: str, seed: int, length: int) -> str:
    """Runs a random program by both, the chip one instruction after the other; the first whose signature differs, empty
    when none."""
    config = CONFIGS[name]
    program = random_program(config, seed, length)
    chip = Chip(config, bytearray(program.memory.data.tobytes()))
    machine = Machine(config)
    records = {r.pc: r for r in machine.run(program.stored, program.memory).retired}
    for pc, i in enumerate(program.instructions[:-1]):
        assert isinstance(i, Instruction)
        if chip.run(i) != records[pc].signature:
            return f"instruction {pc} ({disassemble(i)})"
    stores = [(chip.spad, machine.state.spad), (chip.memory, program.memory.data)]
    assert all(bytes(mine) == golden.tobytes() for mine, golden in stores), "a byte that nothing wrote"
    return f"{len(chip.rows)} rows are left" if chip.rows else ""


@given(st.sampled_from(["tiny", "tiny", "small"]), st.integers(0, 1 << 30))
@settings(max_examples=14, deadline=None, derandomize=True, phases=UNSHRUNK)
def test_random_programs(name: str, seed: int) -> None:
    """Every signature is the same, and in the end scratchpad and memory, byte by byte."""
    assert differences(name, seed, 100 if name == "tiny" else 30) == ""


@pytest.mark.slow
@given(st.sampled_from(["tiny", "small"]), st.integers(0, 1 << 30))
@settings(max_examples=150, deadline=None, phases=UNSHRUNK)
def test_many_random_programs(name: str, seed: int) -> None:
    assert differences(name, seed, 40) == ""


@given(INT16)
@settings(max_examples=300, deadline=None)
def test_functions_of_16_bits(y: int) -> None:
    """To within one unit of the last place, by float64."""
    exact = min(32767.0, 2.0 ** (15 - max(0, -y) / 1024))
    assert abs(int(functions.lookup("EXP2N", y)) - exact) <= 1
    x = y / 2048
    assert abs(int(functions.lookup("GELU", y)) - 2048 * x * (1 + math.erf(x / math.sqrt(2))) / 2) <= 1


@given(st.integers(-(1 << 31), (1 << 31) - 1))
@settings(max_examples=300, deadline=None)
def test_functions_of_32_bits(y: int) -> None:
    """The exponent exactly, the factor to within two units of its last place."""
    positive = max(y, 1)
    n = positive.bit_length() - 1
    for name, e, exact in (
        ("RECIP", 15 + n, 2.0 ** (15 + n) / positive),
        ("RSQRT", 15 + n // 2, 2.0 ** (15 + n // 2) / math.sqrt(positive)),
    ):
        pair = int(functions.lookup(name, y))
        assert pair >> 16 == e
        assert 16384 <= pair & 0xFFFF <= 32767
        assert abs((pair & 0xFFFF) - min(exact, 32767)) <= 2
