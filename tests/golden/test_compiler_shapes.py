"""Odd shapes: one layer, random sizes, formats and chips; machine equals PyTorch integers.

The same networks run on RTL elsewhere. Sizes are 1, primes, tails of words, lanes and blocks, and more than the
scratchpad of `tiny` (16 KiB) holds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.ops.conv2d import QConv2d
from triptych.golden.quartdepth.vectors.single import (
    conv2d,
    conv_transpose,
    depthwise,
    matmul,
    random_codes,
    with_int8_weights,
)

CODES = [Format.INT8, Format.UINT4, Format.TABLE4]
formats = st.sampled_from(CODES)
outputs = st.sampled_from([*CODES, Format.INT16])
chips = st.sampled_from(["tiny", "tiny", "small", "paper"])
sides = st.sampled_from([1, 2, 3, 5, 8, 13, 31, 47])
channels = st.sampled_from([1, 2, 7, 8, 15, 16, 17, 33, 64, 71])
seeds = st.integers(0, 10_000)
few = settings(max_examples=20, derandomize=True, print_blob=False)


def check(network: Network, chip: str, seed: int) -> None:
    compiled = compile_network(network, chip_config(chip))
    codes = random_codes(network, seed)
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


def chain(shape: tuple[int, int, int], out: int, kernel: int, stride: int, middle: Format, seed: int) -> Network:
    """A 1x1 convolution of `shape` into as many channels, then one into `out` 16-bit ones."""
    h, w, c = shape
    first = conv2d(shape, c, (1, 1), (1, 1), (0, 0), Format.INT8, middle, seed=seed)
    pad = (kernel // 2, kernel // 2)
    last = conv2d((h, w, c), out, (kernel, kernel), (stride, stride), pad, middle, Format.INT16, seed=seed)
    (head,), (tail,) = first.layers, last.layers
    maps = {"x": first.maps["x"], "m": first.maps["y"], "y": last.maps["y"]}
    assert isinstance(tail, QConv2d)
    return Network("x", "y", maps, [replace(head, name="m"), replace(tail, source="m")])


@few
@given(
    st.tuples(sides, sides, channels), channels, st.integers(1, 5), st.integers(1, 5), st.integers(1, 3),
    st.integers(1, 3), st.data(), formats, outputs, chips, seeds,
)  # fmt: skip
def test_convolutions(
    shape: tuple[int, int, int], out: int, kh: int, kw: int, sy: int, sx: int, data: st.DataObject, source: Format,
    output: Format, chip: str, seed: int,
) -> None:  # fmt: skip
    pad = data.draw(st.tuples(st.integers(0, kh - 1), st.integers(0, kw - 1)), label="padding")
    assume(shape[0] + 2 * pad[0] >= kh and shape[1] + 2 * pad[1] >= kw)
    assume(chip != "tiny" or kh * kw * shape[2] <= 9 * 71)
    check(conv2d(shape, out, (kh, kw), (sy, sx), pad, source, output, seed=seed), chip, seed)


@few
@given(st.tuples(sides, sides, channels), channels, st.sampled_from([1, 3]), formats, formats, chips, seeds)
def test_residuals(
    shape: tuple[int, int, int], out: int, kernel: int, source: Format, output: Format, chip: str, seed: int
) -> None:
    half = (kernel // 2, kernel // 2)
    check(conv2d(shape, out, (kernel, kernel), (1, 1), half, source, output, residual=True, seed=seed), chip, seed)


@few
@given(
    st.sampled_from([1, 3, 17, 64, 129, 500]), st.sampled_from([1, 5, 16, 33, 97, 600]),
    st.sampled_from([1, 8, 9, 31, 100]), formats, outputs, chips, seeds,
)  # fmt: skip
def test_products(rows: int, inner: int, cols: int, source: Format, output: Format, chip: str, seed: int) -> None:
    check(matmul(rows, inner, cols, source, output, seed), chip, seed)


@few
@given(
    st.tuples(sides, sides, channels), st.integers(1, 2), st.integers(1, 2), st.integers(0, 2), formats, outputs, chips,
    seeds,
)  # fmt: skip
def test_depthwise(
    shape: tuple[int, int, int], sy: int, sx: int, pad: int, source: Format, output: Format, chip: str, seed: int
) -> None:
    assume(shape[0] + 2 * pad >= 3 and shape[1] + 2 * pad >= 3)
    check(depthwise(shape, (sy, sx), (pad, pad), source, output, seed), chip, seed)


@few
@given(
    st.tuples(st.integers(1, 13), st.integers(1, 13), channels), channels,
    st.sampled_from([(2, 2, 0, 0), (3, 2, 1, 1), (3, 2, 1, 0), (4, 2, 1, 0), (5, 3, 2, 1), (3, 3, 0, 0), (2, 1, 1, 0)]),
    formats, outputs, chips, seeds,
)  # fmt: skip
def test_transposed(
    shape: tuple[int, int, int], out: int, pool: tuple[int, int, int, int], source: Format, output: Format, chip: str,
    seed: int,
) -> None:  # fmt: skip
    k, s, p, e = pool
    assume(all((n - 1) * s - 2 * p + k + e >= 1 for n in shape[:2]))
    check(conv_transpose(shape, out, (k, k), (s, s), (p, p), (e, e), source, output, seed), chip, seed)


@few
@given(
    st.tuples(sides, sides, st.sampled_from([1, 4, 7, 8, 9, 16, 20])), st.integers(1, 4), st.sampled_from([1, 2, 3, 5]),
    st.integers(1, 2), st.sampled_from([Format.INT8, Format.UINT4]), chips, seeds,
)  # fmt: skip
def test_last_convolution_of_few_channels(
    shape: tuple[int, int, int], out: int, kernel: int, stride: int, middle: Format, chip: str, seed: int
) -> None:
    """Several output pixels share the columns, and input pixels may share a word."""
    network = chain(shape, out, kernel, stride, middle, seed)
    check(network, chip, seed)


def test_columns_are_shared() -> None:
    """Eight pixels of one channel and two of eight input channels a word, on `small`."""
    compiled = compile_network(chain((6, 16, 8), 1, 3, 1, Format.INT8, 0), chip_config("small"))
    fold = compiled.plan.layout.fold
    assert fold is not None
    assert (fold.count, fold.per_cell, fold.reach, fold.step) == (8, 2, 6, 4)


@few
@given(
    st.tuples(sides, sides, st.sampled_from([1, 7, 8, 16, 17, 33])), st.sampled_from([1, 8, 15, 33]),
    st.sampled_from(["dense", "residual", "depthwise", "transposed", "product", "last"]),
    outputs, chips, seeds,
)  # fmt: skip
def test_int8_weights(shape: tuple[int, int, int], out: int, kind: str, output: Format, chip: str, seed: int) -> None:
    """Every kind of product takes the array's two passes, depthwise ones with a band of zeros."""
    source = Format.INT8
    network = {
        "dense": lambda: conv2d(shape, out, (3, 3), (2, 1), (1, 1), source, output, seed=seed),
        "residual": lambda: conv2d(shape, out, source=source, output=source, residual=True, seed=seed),
        "depthwise": lambda: depthwise(shape, (1, 2), (1, 1), source, output, seed),
        "transposed": lambda: conv_transpose(shape, out, source=source, output=output, seed=seed),
        "product": lambda: matmul(shape[0] * shape[1], shape[2], out, source, output, seed),
        "last": lambda: chain(shape, out, 3, 1, Format.INT8, seed),
    }[kind]()
    network = with_int8_weights(network, seed)
    check(network, chip, seed)
    modes = [row.mode for row in compile_network(network, chip_config(chip)).layers]
    assert set(modes) - {"vector"} == {"w8a8"}  # pixels side by side in a cell are copied


@pytest.mark.parametrize("source", [Format.UINT4, Format.TABLE4])
def test_int8_weights_take_no_codes(source: Format) -> None:
    network = with_int8_weights(conv2d((4, 4, 8), 8, source=source))
    with pytest.raises(CompileError, match="int8 weights cannot read 4-bit codes"):
        compile_network(network, chip_config("tiny"))


def test_larger_than_the_scratchpad() -> None:
    """Rows, columns and output channels all have to be tiled on `tiny`; a row alone is more than its scratchpad."""
    for network in (
        conv2d((37, 41, 64), 40, seed=1),
        conv2d((3, 700, 32), 72, (1, 5), (1, 2), (0, 2), Format.UINT4, seed=2),
        depthwise((5, 301, 64), seed=3),
        conv_transpose((9, 120, 48), 33, (2, 2), (2, 2), (0, 0), (0, 0), seed=4),
    ):
        compiled = compile_network(network, chip_config("tiny"))
        assert len(compiled.plan.clusters[-1].tiles) > 1
        codes = random_codes(network, 0)
        assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))
