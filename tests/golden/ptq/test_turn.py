"""Maps turned by orthogonal matrices: the float network stays, and one side alone does not go unnoticed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from tests.kit.vit import captured, photo, tiny_vit, wide
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Weighted
from triptych.golden.quartdepth.network.ops.attention import Attention
from triptych.golden.quartdepth.network.ops.channel_scale import ChannelScale
from triptych.golden.quartdepth.network.ops.layer_norm import LayerNorm
from triptych.golden.quartdepth.ptq import polish
from triptych.golden.quartdepth.ptq.fisher import estimate
from triptych.golden.quartdepth.ptq.polish import with_gains
from triptych.golden.quartdepth.ptq.recipe import Recipe, measure, run
from triptych.golden.quartdepth.ptq.simulate import simulate
from triptych.golden.quartdepth.ptq.turn import Turn, flat, keeping_mean, merged, possible, turned

# Sums of at most 1,440 float32 products in another order, through some 40 layers: 40 x sqrt(1440) x 2^-24 of a value.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@cache
def network() -> tuple[FloatGraph, torch.Tensor]:
    graph = with_gains(wide(captured(tiny_vit())))
    assert graph.patches is not None
    return graph, torch.cat([graph.patches.arrange(photo(seed)) for seed in range(3)])


def of(kind: type) -> list:
    return [layer for layer in network()[0].layers if isinstance(layer, kind)]


def test_matrices_are_orthogonal_and_even() -> None:
    for size in (1, 2, 3, 12, 64, 384):
        for matrix in (flat(size), keeping_mean(size)):
            assert torch.allclose(matrix @ matrix.T, torch.eye(size, dtype=torch.float64), atol=1e-12)
        ones = torch.ones(size, dtype=torch.float64)
        assert torch.allclose(keeping_mean(size) @ ones, ones, atol=1e-12)
    assert float(flat(64).abs().max()) == pytest.approx(1 / 8)
    assert float(keeping_mean(384).abs().max()) < 6 / 384**0.5


def test_what_can_be_turned() -> None:
    groups = {name: turn.maps for turn in possible(network()[0]) for name in turn.maps}
    for layer in of(LayerNorm):
        assert groups[layer.name] == groups[layer.source] == groups[of(LayerNorm)[0].name]  # the residual stream is one
    for layer in of(Attention):
        assert groups[layer.query] == {layer.query, layer.key}
        assert groups[layer.value] == {layer.value, layer.name}
    graph = network()[0]
    activated = {x.name for x in graph.weighted if x.activation.value != "none"}
    assert activated
    assert not groups.keys() & (activated | {graph.input, *graph.outputs})


def test_the_network_stays() -> None:
    graph, batch = network()
    turns = possible(graph)
    held = {layer.name: layer for layer in turned(graph, turns).weighted}
    assert all(not torch.allclose(held[x.query].weight, _made(x.query).weight) for x in of(Attention))
    assert torch.allclose(simulate(turned(graph, turns), batch), simulate(graph, batch), **CLOSE)


def _made(name: str) -> Weighted:
    return next(layer for layer in network()[0].weighted if layer.name == name)


@pytest.mark.parametrize("left", ["key", "name", "source"])
def test_a_side_that_is_forgotten_shows(left: str) -> None:
    """Planted: the layer that makes or reads a turned map keeps its weights."""
    graph, batch = network()
    layer = of(LayerNorm)[-1] if left == "source" else of(Attention)[0]
    forgotten = getattr(layer, left)
    turns = [Turn(turn.maps - {forgotten}, turn.matrix) for turn in possible(graph)]
    assert not torch.allclose(simulate(turned(graph, turns), batch), simulate(graph, batch), **CLOSE)


def test_a_matrix_that_moves_the_mean_shows() -> None:
    graph, batch = network()
    stream = next(turn for turn in possible(graph) if of(LayerNorm)[0].name in turn.maps)
    wrong = replace(stream, matrix=flat(len(stream.matrix)))
    assert not torch.allclose(simulate(turned(graph, [wrong]), batch), simulate(graph, batch), **CLOSE)


def test_what_is_known_of_some_turned_maps() -> None:
    """Put together from none and all, it is what the network of these maps has itself."""
    graph, batch = network()
    turns = possible(graph)
    some = turns[::2]

    def known(g: FloatGraph) -> tuple:
        return measure(g, batch, 0, lambda: None), estimate(g, batch, 1, 0, lambda: None)

    names = {name for turn in some for name in turn.maps}
    stats, fisher = merged(graph, names, known(graph), known(turned(graph, turns)))
    wanted_stats, wanted_fisher = known(turned(graph, some))
    for ours, theirs in (
        (stats.samples, wanted_stats.samples), (stats.moments, wanted_stats.moments),
        (fisher.maps, wanted_fisher.maps), (fisher.layers, wanted_fisher.layers),
    ):  # fmt: skip
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert torch.allclose(value, theirs[name], rtol=1e-2, atol=1e-4 * float(theirs[name].abs().max())), name


@pytest.mark.slow
def test_the_method_turns_what_stands_out() -> None:
    """A residual stream with one large channel: the method turns it, and the integer network is nearer for it."""
    graph, batch = network()
    names = next(turn.maps for turn in possible(graph) if of(LayerNorm)[0].name in turn.maps)
    gain = torch.ones(len(graph.constants["pretrained.add.constant"][0]))
    gain[5] = 12.0
    layers = [
        replace(x, weight=x.weight * gain[:, None, None, None], bias=x.bias * gain)
        if isinstance(x, Weighted) and x.name in names else x
        for x in graph.layers
    ]  # fmt: skip
    constants = {n: c * gain[:, None, None] if n in names else c for n, c in graph.constants.items()}
    standing_out = replace(graph, layers=layers, constants=constants)
    said: list[str] = []
    result = run(standing_out, list(batch.split(1)), Recipe("w4a4", "compensate"), lambda text, a, b: said.append(text))
    assert "what to turn" in said
    network_ = result.network
    weights = {layer.name: layer for layer in network_.layers}
    assert weights.keys() >= {x.query for x in of(Attention)}
    assert any(p.qparams.packed for p in network_.maps.values())


def test_a_factor_of_its_own_has_to_be_worth_its_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a layer of its own takes away is weighed; what goes into a layer that is there anyway is not."""
    graph, batch = network()
    stats, fisher = measure(graph, batch, 0, lambda: None), estimate(graph, batch, 1, 0, lambda: None)
    own = {layer.name for layer in of(ChannelScale)}
    free = {layer.value for layer in of(Attention)}
    narrow = own | free | {layer.name for layer in of(Attention)}

    def used(worth: float) -> set[str]:
        monkeypatch.setattr(polish, "WORTH", worth)
        gains, _, _ = polish.choose(graph, stats, fisher, narrow, {polish.Kind.UNIFORM}, (0.0, 1.0), lambda: None)
        return {name for name, gain in gains.items() if bool((gain != 1).any())}

    least, most = used(0.0), used(0.999)
    assert least & own
    assert not most & own
    assert most & free == least & free
