"""Layer by layer through the network: compensation, then rounding, each on the already quantised prefix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import FloatLayer, Rounded, Weighted
from triptych.golden.quartdepth.network.qparams import QParams
from triptych.golden.quartdepth.ptq.compensate import Sums, compensate
from triptych.golden.quartdepth.ptq.matrix import CHUNK, joined
from triptych.golden.quartdepth.ptq.rounding import Metric, best_scales, fisher_rounding, nearest
from triptych.golden.quartdepth.ptq.simulate import Maps, Weights, constants, fake_quantise, product, run_layer

HELD_OUT = 4  # every so many-th image judges what the others propose
DAMPINGS = (0.01, 0.1, 1.0)  # the paper's first


@dataclass(frozen=True)
class Steps:
    """What is done to a layer. fisher: rounding by Fisher, else to nearest. annealing: steps of AdaRound."""

    compensate: bool
    fisher: bool
    weight_top: int = 7
    annealing: int = 0


@dataclass(frozen=True)
class LayerRecord:
    """For the record: damping chosen (inf: none helped), share of the sum's error on held-out images that compensation
    left, objective of the rounding to nearest and of the rounding chosen."""

    layer: str
    damping: float
    left: float
    nearest: float
    chosen: float


def weights_of(layer: Weighted, rounded: Rounded) -> Weights:
    """What the integer weights mean."""
    return Weights(rounded.codes * layer.by_output(rounded.scale), rounded.bias)


def quantise_layers(
    graph: FloatGraph, images: Tensor, codes: Mapping[str, QParams], gradients: Mapping[str, Tensor], steps: Steps,
    done: dict[str, Rounded], tick: Callable[[str, LayerRecord], None],
) -> dict[str, Rounded]:  # fmt: skip
    """Rounded weights of every layer. `done`: those of a run that was cut off; `tick` gets each new one."""
    left = {name: 0 for name in graph.shapes}
    for layer in graph.layers:
        for source in layer.sources:
            left[source] += 1
    exact: Maps = {graph.input: images, **constants(graph, images)}
    coded: Maps = {graph.input: fake_quantise(images, codes[graph.input]), **constants(graph, images, codes)}
    for layer in graph.layers:
        weights = None
        if isinstance(layer, Weighted):
            if layer.name not in done:
                rounded, record = _one(layer, exact, coded, gradients[layer.name], steps)
                done[layer.name] = rounded
                tick(layer.name, record)
            weights = weights_of(layer, done[layer.name])
        exact[layer.name] = _batched(layer, exact, None)
        coded[layer.name] = fake_quantise(_batched(layer, coded, weights), codes[layer.name])
        for source in layer.sources:
            left[source] -= 1
            if not left[source]:
                exact.pop(source, None)
                coded.pop(source, None)
    return done


def _batched(layer: FloatLayer, maps: Maps, weights: Weights | None) -> Tensor:
    """`run_layer` over chunks: attention's scores of all images at once would not fit."""
    count = len(maps[layer.sources[0]])
    return torch.cat(
        [run_layer(layer, {s: maps[s][i : i + CHUNK] for s in layer.sources}, weights) for i in range(0, count, CHUNK)]
    )


def _one(layer: Weighted, exact: Maps, coded: Maps, gradient: Tensor, steps: Steps) -> tuple[Rounded, LayerRecord]:
    fit, held = _sums(layer, exact, coded)
    weight, bias = layer.to_matrix(layer.weight).double(), layer.bias.double().reshape(len(fit.cross), -1)
    damping, left = float("inf"), 1.0
    if steps.compensate:
        change, damping = compensate(fit, held, DAMPINGS)
        left = float(held.left(change) / held.error.clamp(min=1e-30))
        weight, bias = weight + change[:, :, :-1], bias + change[:, :, -1]
    both = fit + held
    places = both.moment[:, -1, -1]  # the ones' own sum
    metric = Metric.damped(gradient.double(), both.moment[:, :-1, :-1] / len(coded[layer.source]))
    scale = best_scales(weight, metric, steps.weight_top)
    plain = nearest(weight, scale, steps.weight_top)
    q = plain
    if steps.fisher:
        q = fisher_rounding(weight, scale, metric, steps.weight_top, steps.annealing)
    if steps.compensate:  # the mean of what rounding changes goes into the bias
        mean = both.moment[:, :-1, -1] / places[:, None]
        bias = bias + ((weight - scale * q) @ mean[:, :, None])[:, :, 0]
    record = LayerRecord(
        layer.name, damping, left,
        float(metric.of(weight - scale * plain)), float(metric.of(weight - scale * q)),
    )  # fmt: skip
    codes = layer.from_matrix(q).float()
    return Rounded(codes, scale.reshape(-1).float(), bias.reshape(-1).float()), record


def _sums(layer: Weighted, exact: Maps, coded: Maps) -> tuple[Sums, Sums]:
    """Of the images that fit, and of those held out."""
    count = len(coded[layer.source])
    parts: list[list[Sums]] = [[], []]
    held = [i for i in range(count) if i % HELD_OUT == HELD_OUT - 1] or [count - 1]
    fit = [i for i in range(count) if i not in held] or held
    for which, chosen in enumerate((fit, held)):
        for i in range(0, len(chosen), CHUNK):
            index = chosen[i : i + CHUNK]
            error = product(layer, exact[layer.source][index]) - product(layer, coded[layer.source][index])
            if layer.residual is not None:
                error = error + exact[layer.residual][index] - coded[layer.residual][index]
            parts[which].append(Sums.of(joined(layer, coded[layer.source][index]), layer.outputs(error)))
    total = []
    for sums in parts:
        first = sums[0]
        for more in sums[1:]:
            first = first + more
        total.append(first)
    return total[0], total[1]
