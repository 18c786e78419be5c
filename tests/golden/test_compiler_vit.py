"""The layers of a vision transformer and its head, compiled: machine equals PyTorch integers.

Each layer alone in random sizes and formats, then a whole small ViT with a DPT head.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.vit_networks import small_vit, with_factors
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format, Opcode, Space
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.compiler.plan import GROUP_PARTS, _plan, make_plan
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.ops.concat import QConcat
from triptych.golden.quartdepth.network.ops.conv2d import QConv2d
from triptych.golden.quartdepth.network.qparams import FeatureMap, Scale
from triptych.golden.quartdepth.network.shapes import Regrid, Shape
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors import single

CODES = [Format.INT8, Format.UINT4, Format.TABLE4]
formats = st.sampled_from(CODES)
outputs = st.sampled_from([*CODES, Format.INT16])
chips = st.sampled_from(["tiny", "tiny", "small", "paper"])
sides = st.sampled_from([1, 2, 3, 5, 8, 13, 31])
channels = st.sampled_from([1, 2, 7, 8, 15, 16, 17, 33, 64, 71])
seeds = st.integers(0, 10_000)
few = settings(max_examples=16, derandomize=True, print_blob=False)


def check(network: Network, chip: str, seed: int = 0) -> None:
    compiled = compile_network(network, chip_config(chip))
    codes = single.random_codes(network, seed)
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


@few
@given(st.sampled_from([1, 5, 37, 253]), channels, channels, formats, outputs, chips, seeds)
def test_gelu(tokens: int, inner: int, cols: int, source: Format, output: Format, chip: str, seed: int) -> None:
    check(single.gelu_linear(tokens, inner, cols, source, output, seed), chip, seed)


@few
@given(st.tuples(sides, sides), st.integers(0, 3), channels, channels, formats, outputs, chips, seeds)
def test_regrid(
    size: tuple[int, int], skip: int, inner: int, cols: int, source: Format, output: Format, chip: str, seed: int
) -> None:
    check(single.regridded(size, skip, inner, cols, source, output, seed), chip, seed)


@few
@given(st.tuples(sides, sides, channels), formats, outputs, chips, seeds)
def test_factors_by_channel(shape: tuple[int, int, int], source: Format, output: Format, chip: str, seed: int) -> None:
    check(single.polished(shape, source, output, seed), chip, seed)


@pytest.mark.parametrize("axis", [0, 1])
@few
@given(st.tuples(sides, sides, channels), formats, outputs, chips, seeds)
def test_doubling(axis: int, shape: tuple[int, int, int], source: Format, output: Format, chip: str, seed: int) -> None:
    check(single.doubled(shape, axis, source, output, seed), chip, seed)


@few
@given(st.tuples(sides, sides, channels), formats, formats, outputs, chips, seeds)
def test_constants(
    shape: tuple[int, int, int], source: Format, constant: Format, output: Format, chip: str, seed: int
) -> None:
    check(single.summed(shape, source, constant, output, seed), chip, seed)


@few
@given(
    st.sampled_from([1, 3, 16, 37, 70]), st.integers(1, 3), st.sampled_from([3, 8, 16, 20, 64]),
    st.sampled_from(["wide", "narrow", "packed"]), outputs, chips, seeds,
)  # fmt: skip
def test_attention_of_one_row_of_tokens(
    tokens: int, heads: int, head_dim: int, kind: str, output: Format, chip: str, seed: int
) -> None:
    """Keys of eight bits take two passes of the array, of four bits one, that of half as many steps where queries are
    coded."""
    if chip == "tiny" and tokens * heads * head_dim > 1500:
        chip = "small"  # keys and values have to fit
    packed = kind == "packed"
    check(single.attention(tokens, heads, head_dim, kind != "wide", output, seed, packed=packed), chip, seed)


def test_ideal_cycles_of_attention() -> None:
    """Scores of coded queries and packed keys at the full rate, values at half of it."""
    for packed, share in ((False, 1.0), (True, 0.75)):
        compiled = compile_network(single.attention(64, 2, 64, True, seed=1, packed=packed), chip_config("small"))
        (row,) = (row for row in compiled.layers if row.mode == "attention")
        assert row.ideal_cycles == row.macs / compiled.config.macs_w4a8 * share


def test_constant_keys() -> None:
    """Attention may read what no layer makes, too."""
    network = single.attention(37, 2, 12, seed=3)
    shape = network.maps["k"].shape
    codes = np.random.default_rng(1).integers(-128, 128, (shape.height, shape.width, shape.channels))
    layers = [layer for layer in network.layers if layer.name != "k"]
    check(replace(network, layers=layers, constants={"k": codes}), "small")


def test_larger_than_the_scratchpad() -> None:
    """Rows, columns and pixels of one row all have to be tiled on `tiny`."""
    for network in (
        single.doubled((37, 13, 64), 0, seed=1),
        single.doubled((5, 301, 33), 0, seed=2),
        single.doubled((37, 31, 33), 1, seed=3),
        single.doubled((1, 500, 40), 1, Format.UINT4, seed=4),
        single.polished((3, 307, 71), seed=5),
        single.regridded((17, 19), 1, 70, 24, seed=6),
        single.gelu_linear(253, 48, 96, seed=7),
        single.summed((1, 700, 40), seed=8),
    ):
        compiled = compile_network(network, chip_config("tiny"))
        assert len(compiled.plan.clusters[-1].tiles) > 1
        codes = single.random_codes(network, 0)
        assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


def test_blocks_of_fewer_queries_where_there_are_many_keys() -> None:
    """Two blocks of 16 queries' scores would take 9,728 of `tiny`'s 16,384 bytes, keys and values take 9,600."""
    network = single.attention(300, 1, 8, seed=6)
    compiled = compile_network(network, chip_config("tiny"))
    blocks = {i["block"] for i in compiled.instructions[compiled.layers[-1].first :] if i.opcode is Opcode.MATMUL}
    assert max(blocks) == 8
    codes = single.random_codes(network, 0)
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


def test_queries_in_tiles() -> None:
    """On `tiny` queries and results pass by in tiles; the keys, which went to memory, are loaded once for all."""
    network = single.attention(77, 2, 32, seed=5, inner=230)
    compiled = compile_network(network, chip_config("tiny"))
    last = compiled.plan.clusters[-1]
    assert len(last.tiles) > 2
    first = compiled.layers[-1].first
    loads = [i["spad"] for i in compiled.instructions[first:] if i.opcode is Opcode.LOAD and i["space"] == Space.SPAD]
    buffers = {operand.key.role: slots for operand, slots in last.buffers.items()}
    assert sum(loads.count(buffer.address) for buffer in buffers["key"]) <= 1
    assert sum(loads.count(buffer.address) for buffer in buffers["query"]) > 1
    codes = single.random_codes(network, 0)
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


def test_size_of_weight_groups() -> None:
    """Smaller groups leave room for the map between two layers: it never goes to memory."""
    chip = chip_config("tiny")
    network = single.mlp(32, 72, 216, seed=1)
    chosen = make_plan(network, chip)
    plans = [_plan(network, chip, chip.spad_bytes // part, True) for part in GROUP_PARTS]
    assert chosen.traffic == min(plan.traffic for plan in plans) < max(plan.traffic for plan in plans)
    check(network, "tiny")


@pytest.mark.parametrize("chip", ["tiny", "small", "paper"])
@pytest.mark.parametrize("bits", [Widths.W4A8, Widths.W4A4], ids=lambda b: b.value)
def test_whole_vit(bits: Widths, chip: str) -> None:
    network, codes = small_vit(bits)
    compiled = compile_network(network, chip_config(chip))
    expected = network.run_integer(codes)
    assert len(np.unique(expected)) > 50
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), expected)
    if chip == "tiny":
        assert any(len(c.tiles) > 1 for c in compiled.plan.clusters), "nothing streamed: this test is too small"


@pytest.mark.parametrize("fmt", [Format.UINT4, Format.TABLE4], ids=lambda f: f.name)
def test_whole_vit_polished(fmt: Format) -> None:
    network, codes = small_vit(Widths.W4A8)
    network = with_factors(network, fmt)
    compiled = compile_network(network, chip_config("small"))
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


# ---- refusals


def test_regrid_of_rows_is_refused() -> None:
    network = single.conv2d((4, 6, 8), 8, (1, 1), padding=(0, 0))
    layer = network.layers[0]
    assert isinstance(layer, QConv2d)
    network.maps["y"] = replace(network.maps["y"], shape=Shape(6, 4, 8))
    with pytest.raises(CompileError, match="only those of one row"):
        compile_network(replace(network, layers=[replace(layer, regrid=Regrid(0, 6, 4))]), chip_config("tiny"))


def test_gelu_with_residual_is_refused() -> None:
    network = single.conv2d((4, 6, 8), 8, residual=True)
    last = network.layers[-1]
    assert isinstance(last, QConv2d)
    layers = [*network.layers[:-1], replace(last, gelu=Scale(1, 0))]
    with pytest.raises(CompileError, match="GELU cannot take a residual"):
        compile_network(replace(network, layers=layers), chip_config("tiny"))


def test_constant_in_a_concatenation_is_refused() -> None:
    network = single.summed((3, 5, 8))
    shape, qparams = Shape(3, 5, 16), network.maps["c"].qparams
    maps = {**network.maps, "y": FeatureMap(shape, qparams), "x": replace(network.maps["x"], qparams=qparams)}
    join = replace(network, maps=maps, layers=[QConcat("y", ("x", "c"))])
    with pytest.raises(CompileError, match="the constant 'c' cannot be"):
        compile_network(join, chip_config("tiny"))
