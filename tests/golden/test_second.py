"""Golden against a second implementation that was written from docs/numerics.md alone (tests/second)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.kit.random_program import random_program
from tests.second import arithmetic
from tests.second.chip import Chip, signature
from triptych.golden.quartdepth.arithmetic import functions, numerics
from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.chip.codec import Instruction, Microword, disassemble
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.chip.isa import (
    MICROWORD,
    Destination,
    Field,
    Kind,
    Multiply,
    Opcode,
    SourceA,
    Space,
    Trap,
)
from triptych.golden.quartdepth.chip.machine import Machine
from triptych.golden.quartdepth.chip.memory import Memory

INT48 = st.integers(-(1 << 47), (1 << 47) - 1)
INT16 = st.integers(-(1 << 15), (1 << 15) - 1)
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)  # a smaller seed is no smaller program


@given(INT48, st.integers(-64, 300))
@settings(max_examples=400)
def test_rounding_shift(value: int, count: int) -> None:
    """Also of counts beyond the range, and of values as wide as they come."""
    assert int(numerics.rs(np.int64(value), np.int64(count))) == arithmetic.rounding_shift(value, count)


@given(INT48)
@settings(max_examples=300)
def test_narrowing(value: int) -> None:
    one = np.array([value])
    assert int(numerics.wrap32(one)[0]) == arithmetic.wrap32(value)
    assert int(numerics.sat16(one)[0]) == arithmetic.saturate(value, 16)
    assert int(numerics.sat32(one)[0]) == arithmetic.saturate(value, 32)


@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=1, max_size=40), st.integers(0, 1 << 22))
@settings(max_examples=100)
def test_signatures(words: list[int], first: int) -> None:
    """Of words of any integer type, wherever they begin."""
    data = b"".join((w & 0xFFFFFFFF).to_bytes(4, "little") for w in words)
    for held in (np.array(words, np.int64), np.array(words, np.int32), np.frombuffer(data, np.uint32)):
        assert numerics.signature(held, first + np.arange(len(words))) == signature([(4 * first, data)])


@given(st.lists(st.integers(-16, 15), min_size=16, max_size=16), st.lists(INT16, min_size=15, max_size=15), INT16)
@settings(max_examples=200)
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
@settings(max_examples=8, derandomize=True, phases=UNSHRUNK)
def test_random_programs(name: str, seed: int) -> None:
    """Every signature is the same, and in the end scratchpad and memory, byte by byte."""
    assert differences(name, seed, 100 if name == "tiny" else 30) == ""


@pytest.mark.slow
@given(st.sampled_from(["tiny", "small"]), st.integers(0, 1 << 30))
@settings(max_examples=150, phases=UNSHRUNK)
def test_many_random_programs(name: str, seed: int) -> None:
    assert differences(name, seed, 40) == ""


def ends(field: Field) -> st.SearchStrategy[int]:
    """Any value of a microword's field, its ends and the neighbours of zero above all."""
    if field.enum is not None:
        return st.sampled_from([int(m) for m in field.enum])
    low, high = (-(1 << field.width - 1), (1 << field.width - 1) - 1) if field.signed else (0, (1 << field.width) - 1)
    return st.one_of(st.sampled_from([low, max(low, -1), 0, 1, high]), st.integers(low, high))


@st.composite
def vector_words(draw: st.DrawFn) -> dict[str, int]:
    """Fields of a legal VECTOR microword that reads the scratchpad."""
    word = {field.name: draw(ends(field)) for field in MICROWORD}
    word |= {"kind": Kind.VECTOR, "src_a": SourceA.SPAD, "reduce": draw(st.sampled_from([0, 1, 2])), "rs_d": 3}
    word |= {name: draw(st.sampled_from([0, 1, 2])) for name in ("fmt_a", "fmt_b", "rs_a", "rs_m")}
    if draw(st.integers(0, 3)):  # most words show what they compute
        word |= {
            "lo": -(1 << 15),
            "hi": (1 << 15) - 1,
            "dst": Destination.INT16,
            "encode": 0,
            "zp_param": 0,
            "out_add": 0,
        }
        word |= {"z_s": draw(st.integers(0, 15)), "b_s": draw(st.integers(0, 17)), "imm_s": draw(st.integers(0, 17))}
        word |= {"a_shl": draw(st.integers(0, 15)), "addend": draw(st.sampled_from([0, 0, 3]))}
        word |= {"mul": draw(st.sampled_from([0, 2, 3, 5, 5])), "side": draw(st.sampled_from([0, 1, 1, 2, 3]))}
    word["fn"] = 0 if word["mul"] == Multiply.B else draw(st.sampled_from([0, 1, 2]))
    return word


@given(vector_words(), st.integers(0, 1 << 20), st.integers(1, 20))
@settings(max_examples=150, derandomize=True)
def test_any_microword(word: dict[str, int], seed: int, n: int) -> None:
    """One VECTOR over random bytes: every field to its ends, where sums saturate and wrap."""
    config = CONFIGS["tiny"]
    rng = np.random.default_rng(seed)
    memory = Memory(1 << 13)
    memory.data[:] = rng.integers(0, 256, memory.size)
    tables = b"".join(
        rng.integers(0, 256, 16, np.uint8).tobytes()
        + np.sort(rng.integers(-(1 << 15), 1 << 15, 15)).astype("<i2").tobytes().ljust(48, b"\0")
        for _ in range(config.tables)
    )
    scalars = Microword({"src_a": SourceA.SPAD, "lo": -32768, "hi": 32767, "reduce": 1}).fields
    words = [Microword({**scalars, "rs_d": k, "fmt_a": k % 2}) for k in range(4)] + [Microword(word)]
    for at, data in ((0x1000, tables), (0x1800, b"".join(w.encode() for w in words))):
        memory.place(at, data)

    def load(dram: int, size: int, space: Space) -> Instruction:
        return Instruction(Opcode.LOAD, {"dram": dram, "rows": 1, "row_bytes": size, "space": space})

    vector = {"prog_len": len(words), "h": 2, "w": 3, "n": n, "block": 4, "wait_load": 3, "param": 0xC00}
    vector |= {"a_row": 192, "a_pix": 64, "b": 0x400, "b_row": 128, "b_pix": 48, "d": 0x800, "d_row": 256, "d_pix": 64}
    program = [
        load(0, 0x1000, Space.SPAD), load(0x1000, len(tables), Space.TABLE),
        load(0x1800, -(-32 * len(words) // config.depth) * config.depth, Space.PROG),
        Instruction(Opcode.VECTOR, vector), Instruction(Opcode.HALT, {}),
    ]  # fmt: skip
    chip = Chip(config, bytearray(memory.data.tobytes()))
    machine = Machine(config)
    result = machine.run(program, memory)
    assert result.trap is Trap.NONE, result.detail
    for record in sorted(result.retired, key=lambda r: r.pc):
        assert chip.run(record.instruction) == record.signature
    assert bytes(chip.spad) == machine.state.spad.tobytes()


@given(INT16)
@settings(max_examples=300)
def test_functions_of_16_bits(y: int) -> None:
    """To within one unit of the last place, by float64."""
    exact = min(32767.0, 2.0 ** (15 - max(0, -y) / 1024))
    assert abs(int(functions.lookup("EXP2N", y)) - exact) <= 1
    x = y / 2048
    assert abs(int(functions.lookup("GELU", y)) - 2048 * x * (1 + math.erf(x / math.sqrt(2))) / 2) <= 1


@given(st.integers(-(1 << 31), (1 << 31) - 1))
@settings(max_examples=300)
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
