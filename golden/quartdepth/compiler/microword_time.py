"""What the time of a VECTOR depends on: of each microword its operands, lanes and parameters."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from triptych.golden.quartdepth.chip.codec import Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Format, Kind, Multiply, Side, SourceA

Program = tuple[bytes, ...]
"""A VECTOR's microwords."""


class Timed(NamedTuple):
    """What a microword's time depends on. vector: of that kind. full: it runs on the full lanes alone. reads: operands
    from the scratchpad."""

    vector: bool
    full: bool
    reads: int
    parameters: bool
    bits: tuple[int, int]  # of an element of each operand


@cache
def timed(program: Program) -> tuple[Timed, ...]:
    """Microwords of a VECTOR."""
    out = []
    for data in program:
        word = Microword.decode(data)
        vector = word["kind"] == Kind.VECTOR
        first = word["src_a"] == SourceA.SPAD
        second = word["side"] in (Side.ADD_B, Side.MAX_B) or word["mul"] == Multiply.B
        parameters = word["addend"] == Addend.BIAS or word["mul"] == Multiply.PARAM or bool(word["zp_param"])
        bits = tuple(8 if word[f"fmt_{operand}"] == Format.INT8 else 4 for operand in "ab")
        full = parameters or word["side"] != Side.NONE or word["mul"] == Multiply.B or bool(word["encode"])
        out.append(Timed(vector, vector and full, vector * (first + second), vector and parameters, (bits[0], bits[1])))
    return tuple(out)


def slices(word: Timed, config: ChipConfig, lanes: int) -> int:
    """Cycles that a microword takes for a group of columns. lanes: of the VPU."""
    share = config.full_lanes / config.lanes if word.full else 1
    return -(-config.cols // round(lanes * share)) if word.vector else 1
