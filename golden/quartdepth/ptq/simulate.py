"""A float network with the integer network's rounding in it: batched and differentiable.

What the method optimises on. It is no second definition: products and sums are floats, softmax and LayerNorm exact;
maps carry the codes and weights the rounding of the integer network, which has the last word in every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import FloatLayer, Weighted
from triptych.golden.quartdepth.network.qparams import QParams

Maps = dict[str, Tensor]
Sums = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class Weights:
    """Weight and bias that a layer runs with instead of its own."""

    weight: Tensor
    bias: Tensor


def pass_through(x: Tensor, rounded: Tensor, inside: Tensor) -> Tensor:
    """`rounded`, with the gradient of x where `inside` and none elsewhere."""
    kept = torch.where(inside, x, x.detach())
    return kept + (rounded - kept).detach()


def fake_quantise(x: Tensor, qparams: QParams) -> Tensor:
    """What x means after the map's code; the gradient passes where the code does not saturate."""
    if qparams.format is Format.INT16:
        return x
    if qparams.table is None:
        lo, hi = qparams.limits
        q = torch.floor(x.detach() / qparams.scale + 0.5) + qparams.zero
        return pass_through(x, (q.clamp(lo, hi) - qparams.zero) * qparams.scale, (q >= lo) & (q <= hi))
    entries = (torch.tensor(qparams.table.entries, dtype=x.dtype, device=x.device) - qparams.zero) * qparams.scale
    thresholds = torch.tensor(qparams.table.thresholds, dtype=x.dtype, device=x.device)
    v = (torch.floor(x.detach() / qparams.unit + 0.5) + qparams.zero).clamp(-32768, 32767)
    rounded = entries[torch.bucketize(v.contiguous(), thresholds, right=True)]
    return pass_through(x, rounded, (x >= entries.min()) & (x <= entries.max()))


def run_layer(
    layer: FloatLayer, maps: Maps, weights: Weights | None = None, sums: Sums | None = None, inner: Sums | None = None
) -> Tensor:
    """The map that a layer makes, [B,C,H,W], before its code; with other weights if given. `sums` is shown what
    goes into an activation function, `inner` the tensors that a layer without weights holds."""
    if isinstance(layer, Weighted):
        return layer.finish(product(layer, maps[layer.source], weights), maps, sums)
    return layer.run(maps, inner or (lambda name, tensor: None))


def product(layer: Weighted, x: Tensor, weights: Weights | None = None) -> Tensor:
    """Weights times input plus bias: the layer before residual and activation."""
    w, b = (layer.weight, layer.bias) if weights is None else (weights.weight, weights.bias)
    return layer.product(x, w, b)


def simulate(
    graph: FloatGraph, image: Tensor, codes: Mapping[str, QParams] | None = None,
    weights: Mapping[str, Weights] | None = None, observe: Callable[[str, Tensor], Tensor | None] | None = None,
    sums: Sums | None = None, inner: Sums | None = None,
) -> Tensor:  # fmt: skip
    """The output for images [B,C,H,W]; codes and weights by name, without them in float.

    `observe(name, map)` may return a replacement; `sums`, `inner`: see `run_layer`.
    """
    left = {name: 0 for name in graph.shapes}
    for layer in graph.layers:
        for source in layer.sources:
            left[source] += 1
    maps: Maps = {graph.input: image, **constants(graph, image, codes)}
    for layer in graph.layers:
        y = run_layer(layer, maps, (weights or {}).get(layer.name), sums, inner)
        if codes is not None:
            y = fake_quantise(y, codes[layer.name])
        if observe is not None:
            seen = observe(layer.name, y)
            y = y if seen is None else seen
        maps[layer.name] = y
        for source in layer.sources:
            left[source] -= 1
            if not left[source] and source not in graph.outputs:
                maps.pop(source, None)
    return maps[graph.output]


def constants(graph: FloatGraph, image: Tensor, codes: Mapping[str, QParams] | None = None) -> Maps:
    """The graph's constants, one for each image, coded if there are codes."""
    held = {name: value.to(image).expand(len(image), -1, -1, -1) for name, value in graph.constants.items()}
    return held if codes is None else {name: fake_quantise(value, codes[name]) for name, value in held.items()}
