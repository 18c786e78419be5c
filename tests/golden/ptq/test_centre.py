"""Maps that lose their mean: the float network stays, offsets land in zero points, nothing else moves."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from tests.kit.vit import captured, photo, tiny_vit, wide
from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.ops.attention import Attention
from triptych.golden.quartdepth.network.ops.channel_scale import ChannelScale
from triptych.golden.quartdepth.network.ops.layer_norm import LayerNorm, QLayerNorm
from triptych.golden.quartdepth.network.qparams import QParams, QuantizeError, uniform_qparams
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.centre import centred, offset_codes
from triptych.golden.quartdepth.ptq.model_file import ModelFile, content
from triptych.golden.quartdepth.ptq.polish import with_gains
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, Result, run
from triptych.golden.quartdepth.train.four_bits import Learner, Lessons


@cache
def network() -> tuple[FloatGraph, torch.Tensor]:
    graph = with_gains(wide(captured(tiny_vit())))
    assert graph.patches is not None
    return graph, torch.cat([graph.patches.arrange(photo(seed)) for seed in range(3)])


def _maps(graph: FloatGraph, x: torch.Tensor) -> dict[str, torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}
    seen["out"] = graph.run(x, seen.__setitem__)
    return seen


@cache
def quantised() -> Result:
    graph = wide(captured(tiny_vit()))
    assert graph.patches is not None
    shots = [graph.patches.arrange(photo(seed)) for seed in range(2)]
    return run(graph, shots, Recipe(Widths.W4A4, Method.LOGNP, centre=True, alphas=(0.5,)), lambda *_: None)


def _pixels(seed: int) -> np.ndarray:
    return (photo(seed)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def test_the_float_network_stays_and_its_maps_lose_their_mean() -> None:
    graph, x = network()
    before = _maps(graph, x)
    means = {name: y.mean((0, 2, 3)) for name, y in before.items()}
    other, gone = centred(graph, means)
    after = _maps(other, x)
    torch.testing.assert_close(after["out"], before["out"], rtol=1e-4, atol=1e-5)
    norms = {layer.name for layer in graph.layers if isinstance(layer, LayerNorm)}
    attention = {n for layer in graph.layers if isinstance(layer, Attention) for n in (layer.value, layer.name)}
    assert set(gone.values()) == norms
    assert not any(isinstance(x, ChannelScale) and x.source in norms for x in other.layers)
    for name in norms | attention:
        lost = means[name]
        if name in attention:  # what attention makes loses the mean of its values
            lost = next(means[x.value] for x in graph.layers if isinstance(x, Attention) and name in (x.value, x.name))
        torch.testing.assert_close(after[name], before[name] - lost[:, None, None], rtol=1e-4, atol=1e-5)
    for name in after.keys() - norms - attention - {"out"}:
        torch.testing.assert_close(after[name], before[name], rtol=1e-3, atol=1e-4)


def test_what_something_else_reads_keeps_its_mean() -> None:
    """A map that a sum reads too, or a factor that is not one, or the output."""
    graph, x = network()
    means = {name: y.mean((0, 2, 3)) for name, y in _maps(graph, x).items()}
    first = next(layer for layer in graph.layers if isinstance(layer, LayerNorm))
    scaled = [
        replace(y, gain=y.gain * 2) if isinstance(y, ChannelScale) and y.source == first.name else y
        for y in graph.layers
    ]
    kept, _ = centred(replace(graph, layers=scaled), means)
    assert not next(y for y in kept.layers if y.name == first.name).beta.any()  # type: ignore[attr-defined]
    value = next(y for y in graph.layers if isinstance(y, Attention)).value
    twice = [replace(y, key=value) if isinstance(y, Attention) and y.value == value else y for y in graph.layers]
    both = replace(graph, layers=twice)
    before, after = _maps(both, x), _maps(centred(both, means)[0], x)
    torch.testing.assert_close(after[value], before[value], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("table", [False, True])
def test_a_code_in_a_coarser_unit_means_the_same(table: bool) -> None:
    q = uniform_qparams(-3.0, 4.0, Format.UINT4)
    if table:
        entries = (-16, -12, -9, -7, -5, -3, -2, -1, 0, 1, 2, 3, 5, 8, 12, 15)
        q = QParams(Format.TABLE4, 0.2, 0, CodeTable(entries, tuple(range(-14000, 15001, 2000))), 0.0002)
    graph, _ = network()
    norm = next(layer for layer in graph.layers if isinstance(layer, LayerNorm))
    layers = [replace(x, beta=torch.full_like(x.beta, -1.5)) if x is norm else x for x in graph.layers]
    codes = offset_codes(replace(graph, layers=layers), {norm.name: q, "another": q})
    assert codes["another"] is q
    made = codes[norm.name]
    assert made.table is not None
    assert 1.5 / made.unit <= 100
    x = np.random.default_rng(0).normal(0, 2, 20000)
    a, b = q.decode(q.encode(x)), made.decode(made.encode(x))
    far = np.abs(a - b) > 1e-9
    assert far.mean() < 0.04  # those within half a unit of a threshold
    assert (np.abs(a - b) <= 3.1 * max(q.scale, 0.4)).all()


def test_a_network_with_offsets_is_the_same_on_the_machine() -> None:
    net = quantised().network
    norms = [layer for layer in net.layers if isinstance(layer, QLayerNorm)]
    assert norms
    assert all(layer.zeros is not None and len(set(layer.zeros.tolist())) > 8 for layer in norms)
    codes = image_codes(net, _pixels(20))
    wanted = net.run_integer(codes)
    for name in ("tiny", "paper"):
        compiled = compile_network(net, chip_config(name))
        assert (run_on_machine(compiled, codes, noise=3) == wanted).all(), name
    still = [replace(x, zeros=np.roll(x.zeros, 1)) if x is norms[0] else x for x in net.layers]  # type: ignore[arg-type]
    assert (replace(net, layers=still).run_integer(codes) != wanted).any()
    assert b'"zeros"' in content(ModelFile(net, None, {}))[0]


def test_steps_that_become_fine_still_leave_offsets_zero_points() -> None:
    """Teaching moves the step of a LayerNorm's code; the integers get a unit in which its offsets are zero points."""
    result = quantised()
    maps = result.network.maps
    codes = {name: maps[name].qparams for name in result.graph.shapes if name in maps}
    learner = Learner(result.graph, result.rounded, codes, Lessons(steps=1), Widths.W4A4.weight_top)
    norms = [layer for layer in result.graph.layers if isinstance(layer, LayerNorm)]
    with torch.no_grad():
        for layer in norms:
            learner.logs[layer.name].fill_(-1.5)
    assert result.graph.patches is not None
    net = learner.network([result.graph.patches.arrange(photo(7))])
    for layer in norms:
        made, taught = net.maps[layer.name].qparams, learner.codes_now()[layer.name]
        assert made.scale == taught.scale
        assert made.unit > taught.unit
    assert net.run_integer(image_codes(net, _pixels(20))).any()


def test_offsets_that_are_no_zero_points_are_refused() -> None:
    graph = captured(tiny_vit())
    assert graph.patches is not None
    x = graph.patches.arrange(photo(1))
    norm = next(layer for layer in graph.layers if isinstance(layer, LayerNorm))
    layers = [replace(y, beta=torch.full_like(y.beta, -500.0)) if y is norm else y for y in graph.layers]
    codes = {norm.name: uniform_qparams(-1.0, 1.0, Format.INT8)}
    with pytest.raises(QuantizeError, match=f"'{norm.name}': its offsets"):
        quantize(replace(graph, layers=layers), [x], Widths.W4A8, codes)
