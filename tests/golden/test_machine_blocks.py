"""A VECTOR on the golden machine: where it takes the whole picture at once, that is block after block, to the bit.

Streams that nearly meet, in pixels, rows and operands, and row scalars that one block leaves to the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip import machine_vpu
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import (
    Addend,
    Destination,
    Format,
    Kind,
    Multiply,
    Opcode,
    Reduce,
    Side,
    SourceA,
)
from triptych.golden.quartdepth.chip.program import decode, named
from triptych.golden.quartdepth.chip.state import ChipState

CHIP = chip_config("tiny")
SPAN = 4096  # bytes of the scratchpad in use
sides, blocks = st.integers(1, 4), st.integers(1, 12)
steps = st.integers(0, 6).map(lambda k: k * CHIP.cols)


@st.composite
def vectors(draw: st.DrawFn) -> tuple[dict[str, int], list[dict[str, int]]]:
    """Fields of the instruction, and of its microwords."""
    h, w = draw(sides), draw(sides)
    block = draw(st.one_of(blocks, st.sampled_from((h + w, h * w, max(1, h * w - 1)))))
    fields = {"h": h, "w": w, "n": draw(st.integers(1, 2 * CHIP.cols)), "block": block}
    for stream in "abd":
        fields |= {stream: 1024 + draw(steps), f"{stream}_row": draw(steps), f"{stream}_pix": draw(steps)}
    if draw(st.booleans()):  # A is written in place
        fields |= {"a": fields["d"], "a_row": fields["d_row"], "a_pix": fields["d_pix"]}
    words, written = [], draw(st.sampled_from([Destination.INT8, Destination.NIBBLE]))
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.integers(0, 3)) == 0:
            scalar = {"kind": Kind.SCALAR, "rs_a": draw(st.integers(0, 1)), "rs_d": draw(st.integers(0, 1))}
            words.append({**scalar, "imm_add": draw(st.integers(-3, 3))})
            continue
        word = {
            "kind": Kind.VECTOR, "src_a": SourceA.SPAD, "fmt_a": Format.INT8, "mul": Multiply.IMM, "imm_m": 1,
            "lo": -128, "hi": 127, "out_add": draw(st.integers(-3, 3)),
        }  # fmt: skip
        if draw(st.booleans()):
            word |= {"addend": Addend.ROW, "rs_a": draw(st.integers(0, 1))}
        if draw(st.booleans()):
            word |= {"mul": Multiply.ROW, "rs_m": draw(st.integers(0, 1))}
        if draw(st.booleans()):
            word |= {"reduce": draw(st.sampled_from([Reduce.SUM, Reduce.MAX])), "rs_d": draw(st.integers(0, 1))}
        if draw(st.booleans()):
            word |= {"side": Side.ADD_B, "fmt_b": Format.INT8, "b_m": 1}
        word["dst"] = draw(st.sampled_from([written, Destination.NONE]))
        words.append(word)
    return fields, words


def _after(fields: dict[str, int], words: list[dict[str, int]], block_by_block: bool) -> list[NDArray[Any]]:
    rng = np.random.default_rng(0)
    state = ChipState(CHIP)
    state.spad[:SPAN] = rng.integers(0, 256, SPAN, np.uint8)
    state.row_scalars[:] = rng.integers(-50, 50, state.row_scalars.shape)
    prog = b"".join(Microword(word).encode() for word in words)
    state.prog[: len(prog)] = np.frombuffer(prog, np.uint8)
    i = named(decode(Instruction(Opcode.VECTOR, {**fields, "prog_len": len(words)}).encode(), CHIP))
    run = machine_vpu._Vector(state, i, machine_vpu.microwords(state, i))
    pixels = i.h * i.w
    if block_by_block or not run.blocks_are_independent():
        for first in range(0, pixels, i.block):
            run.execute(first, min(first + i.block, pixels), ordered=True)
    else:
        run.execute(0, pixels)
    return [state.spad.copy(), state.row_scalars.copy()]


HANDED_ON = (  # nine pixels in blocks of six, the sum of the sides: the second block sees what the first has summed
    {"h": 3, "w": 3, "n": 8, "block": 6, "a": 1024, "a_row": 24, "a_pix": 8, "d": 2048, "d_row": 24, "d_pix": 8},
    [{
        "kind": Kind.VECTOR, "src_a": SourceA.SPAD, "fmt_a": Format.INT8, "addend": Addend.ROW, "mul": Multiply.IMM,
        "imm_m": 1, "lo": -128, "hi": 127, "reduce": Reduce.SUM, "dst": Destination.INT8,
    }],
)  # fmt: skip


@example(HANDED_ON)
@settings(max_examples=600, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(vectors())
def test_all_at_once_is_block_after_block(vector: tuple[dict[str, int], list[dict[str, int]]]) -> None:
    for one, other in zip(_after(*vector, False), _after(*vector, True), strict=True):
        assert np.array_equal(one, other)
