"""Instructions survive encoding, text and back; what does not fit is refused; generated files have not drifted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.golden.quartdepth.chip import codec, generate, isa
from triptych.golden.quartdepth.chip.codec import EncodingError, Instruction, Microword


def _values(fields: tuple[isa.Field, ...]) -> st.SearchStrategy[dict[str, int]]:
    def field(f: isa.Field) -> st.SearchStrategy[int]:
        if f.signed:
            return st.integers(-(1 << (f.width - 1)), (1 << (f.width - 1)) - 1)
        return st.integers(0, (1 << f.width) - 1)

    return st.fixed_dictionaries({f.name: field(f) for f in fields if f.name != "opcode"}).map(
        lambda d: {k: v for k, v in d.items() if v}
    )


instructions = st.sampled_from(isa.Opcode).flatmap(lambda op: _values(isa.FIELDS[op]).map(lambda v: Instruction(op, v)))


@given(instructions)
def test_instruction_round_trips(instruction: Instruction) -> None:
    assert Instruction.decode(instruction.encode()) == instruction
    assert codec.assemble(codec.disassemble(instruction)) == [instruction]


@given(_values(isa.MICROWORD).map(Microword))
def test_microword_round_trips(word: Microword) -> None:
    assert Microword.decode(word.encode()) == word


def test_fields_do_not_overlap() -> None:
    for fields in (*isa.FIELDS.values(), isa.MICROWORD):
        bits = [b for f in fields for b in range(f.lo, f.lo + f.width)]
        assert len(bits) == len(set(bits)) == fields[-1].lo + fields[-1].width


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LAOD rows=1", "line 1: no instruction 'LAOD'"),
        ("LOAD rwos=1", "not name=value"),
        ("\nLOAD rows=many", "line 2: rows takes a number"),
        ("LOAD rows=65536", "does not fit in 16 bits"),
    ],
)
def test_bad_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(EncodingError, match=message):
        codec.assemble(text)


def test_bad_bytes_are_refused() -> None:
    with pytest.raises(EncodingError, match="no instruction has opcode 0"):
        codec.decode_program(bytes(64))
    with pytest.raises(EncodingError, match="multiple of 64"):
        codec.decode_program(bytes(65))
    with pytest.raises(EncodingError, match="has no field"):
        Instruction(isa.Opcode.HALT, {"rows": 1}).encode()


def test_generated_files_have_not_drifted() -> None:
    assert generate.main(["--check"]) == 0
