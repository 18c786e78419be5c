"""The method on a vision transformer of the real one's structure: w behind LayerNorm, GELU and attention."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.kit.vit import captured, photo, tiny_vit
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.ops.attention import Attention
from triptych.golden.quartdepth.network.ops.channel_scale import ChannelScale, QChannelScale
from triptych.golden.quartdepth.network.quantize import image_codes
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq import polish
from triptych.golden.quartdepth.ptq.fisher import estimate
from triptych.golden.quartdepth.ptq.polish import fold, groups, with_gains, without_idle_gains
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, Result, run
from triptych.golden.quartdepth.ptq.work import Work

RECIPE = Recipe(Widths.W4A4, Method.FULL, teaching=20, alphas=(0.0, 1.0))


def _quiet(text: str, done: int, total: int) -> None:
    pass


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Its many small products lose more than they gain on two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def graph() -> FloatGraph:
    return captured(tiny_vit())


def _pixels(seeds: range) -> list[np.ndarray]:
    return [(photo(seed)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy() for seed in seeds]


def _input(graph: FloatGraph, pixels: np.ndarray) -> torch.Tensor:
    assert graph.patches is not None
    return graph.patches.arrange(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)


def _error(graph: FloatGraph, result: Result) -> float:
    qparams, total = result.network.maps[result.network.output].qparams, 0.0
    for pixels in _pixels(range(100, 106)):
        got = qparams.decode(result.network.run_integer(image_codes(result.network, pixels)))[:, :, 0]
        total += float(np.abs(got - graph.run(_input(graph, pixels))[0, 0].numpy()).mean())
    return total


def test_gains_change_nothing_until_they_are_folded(graph: FloatGraph) -> None:
    polished, x = with_gains(graph), _input(graph, _pixels(range(1))[0])
    names = [layer.name for layer in polished.layers if isinstance(layer, ChannelScale)]
    assert len(names) == 4 * 3 + 4  # two norms and a GELU a block, the norm of every tap
    gains = {}
    for i, members in enumerate(groups(polished)):
        w = torch.rand(polished.shapes[members[0]].channels, generator=torch.Generator().manual_seed(i)) + 0.5
        gains.update(dict.fromkeys(members, w))
    assert {layer.name for layer in graph.layers if isinstance(layer, Attention)} <= set(gains)
    folded = fold(polished, gains)
    seen: dict[str, torch.Tensor] = {}
    torch.testing.assert_close(folded.run(x, seen.__setitem__), graph.run(x), rtol=1e-4, atol=1e-5)
    exact: dict[str, torch.Tensor] = {}
    graph.run(x, exact.__setitem__)
    for name in names:
        wanted = exact[name.removesuffix(".gain")] / gains[name][:, None, None]
        torch.testing.assert_close(seen[name], wanted, rtol=1e-3, atol=1e-4)


def test_idle_gains_leave_no_layer(graph: FloatGraph) -> None:
    polished = with_gains(graph)
    plain, idle = without_idle_gains(polished, {})
    assert [layer.name for layer in plain.layers] == [layer.name for layer in graph.layers]
    assert [layer.sources for layer in plain.layers] == [layer.sources for layer in graph.layers]
    assert len(idle) == len(polished.layers) - len(graph.layers)


@pytest.mark.slow
@pytest.mark.parametrize("worth", [polish.WORTH, 0.0])
def test_the_method_lessens_the_error(graph: FloatGraph, worth: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Factors by channel that need a layer of their own are not worth it here, and do not hurt where they are taken."""
    monkeypatch.setattr(polish, "WORTH", worth)
    inputs = [_input(graph, pixels) for pixels in _pixels(range(4))]
    work = Work()  # the stages that both share are done once
    results = {
        method: run(graph, inputs, dataclasses.replace(RECIPE, method=method), _quiet, work)
        for method in (Method.MINMAX, Method.LOGNP, Method.FULL)
    }
    errors = {method: _error(graph, result) for method, result in results.items()}
    assert errors[Method.LOGNP] < errors[Method.MINMAX]
    assert errors[Method.FULL] < 0.7 * errors[Method.MINMAX]
    assert any(isinstance(layer, QChannelScale) for layer in results[Method.LOGNP].network.layers) == (worth == 0)


def test_fisher_sees_the_sum_before_gelu(graph: FloatGraph) -> None:
    """A gradient at the sum is that at the map times GELU's slope: where the bias is far below zero, nothing."""
    layers = []
    for layer in graph.layers:
        if layer.name == "pretrained.blocks.1.mlp.fc1":
            layer = dataclasses.replace(layer, bias=layer.bias - 100)  # type: ignore[attr-defined]
        layers.append(layer)
    dead = dataclasses.replace(graph, layers=layers)
    inputs = torch.cat([_input(graph, pixels) for pixels in _pixels(range(2))])
    fisher = estimate(dead, inputs, 1, 0, lambda: None)
    assert float(fisher.layers["pretrained.blocks.1.mlp.fc1"].abs().max()) == 0
    assert float(fisher.maps["pretrained.blocks.1.mlp.fc1"].max()) > 0
    assert float(fisher.layers["pretrained.blocks.0.mlp.fc1"].abs().max()) > 0
