"""What spares a compiler work changes nothing: spans found once, counts before emission, no search for cycles."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format, Opcode
from triptych.golden.quartdepth.compiler.compile import compile_network, no_search_for_cycles
from triptych.golden.quartdepth.compiler.effects import grid_words, words_of
from triptych.golden.quartdepth.compiler.emit import too_many
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.vectors.single import conv2d


@given(
    at=st.integers(0, 300), y=st.tuples(st.integers(0, 4), st.integers(1, 5)), row=st.integers(0, 200),
    x=st.tuples(st.integers(0, 4), st.integers(1, 5)), pixel=st.integers(0, 40), length=st.integers(1, 40),
    unit=st.sampled_from([1, 8, 32]),
)  # fmt: skip
@example(at=31, y=(0, 2), row=64, x=(0, 1), pixel=1, length=2, unit=32)  # from the end of a word into the next
def test_words_of_a_grid_of_pixels(
    at: int, y: tuple[int, int], row: int, x: tuple[int, int], pixel: int, length: int, unit: int
) -> None:
    """Byte by byte, wherever it begins: also where the same grid was asked for at another place before."""
    rows, columns = (range(first, first + count) for first, count in (y, x))
    for shift in (0, 1, unit, unit + 1):
        touched = {
            (at + shift + r * row + c * pixel + byte) // unit for r in rows for c in columns for byte in range(length)
        }
        for ys, xs in ((rows, columns), (np.array(rows), np.array(columns))):
            assert words_of(grid_words(at + shift, ys, row, xs, pixel, length, unit)).tolist() == sorted(touched)


def test_vectors_are_counted_before_they_are_made() -> None:
    """All of a convolution's; so many are not too many, one less are."""
    config = chip_config("tiny")
    compiled = compile_network(conv2d((24, 40, 40), 24, (3, 3), (1, 1), (1, 1), Format.UINT4), config)
    made = sum(i.opcode is Opcode.VECTOR for i in compiled.instructions)
    assert made > 20
    assert not too_many(compiled.plan, config, made, 1)
    assert too_many(compiled.plan, config, made - 1, 1)


def test_a_compiler_leaves_the_search_for_cycles_as_it_was() -> None:
    """Also where it refuses."""
    assert gc.isenabled()
    with no_search_for_cycles():
        assert not gc.isenabled()
        with no_search_for_cycles():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(CompileError):
        compile_network(Network("x", "x", {}, []), chip_config("tiny"))
    assert gc.isenabled()
