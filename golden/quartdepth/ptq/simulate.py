"""A float network with the integer network's rounding in it: batched and differentiable.

What the method optimises on. It is no second definition: products and sums are floats, softmax and LayerNorm exact;
pictures carry the codes and weights the rounding of the integer network, which has the last word in every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.layers import Add, Attention, Conv, FloatGraph, FloatLayer, Transposed
from triptych.golden.quartdepth.network.network import Code

Pictures = dict[str, Tensor]
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


def fake_quantise(x: Tensor, code: Code) -> Tensor:
    """What x means after the picture's code; the gradient passes where the code does not saturate."""
    if code.format is Format.INT16:
        return x
    if code.table is None:
        lo, hi = code.limits
        q = torch.floor(x.detach() / code.scale + 0.5) + code.zero
        return pass_through(x, (q.clamp(lo, hi) - code.zero) * code.scale, (q >= lo) & (q <= hi))
    entries = torch.tensor(code.table.entries, dtype=x.dtype, device=x.device) * code.scale
    thresholds = torch.tensor(code.table.thresholds, dtype=x.dtype, device=x.device)
    v = torch.floor(x.detach() / code.unit + 0.5).clamp(-32768, 32767)
    rounded = entries[torch.bucketize(v.contiguous(), thresholds, right=True)]
    return pass_through(x, rounded, (x >= entries.min()) & (x <= entries.max()))


def run_layer(
    layer: FloatLayer, pictures: Pictures, weights: Weights | None = None, sums: Sums | None = None
) -> Tensor:
    """The picture that a layer makes, [B,C,H,W], before its code; with other weights if given. `sums` is shown what
    goes into an activation function."""
    if isinstance(layer, Conv | Transposed):
        y = product(layer, pictures[layer.source], weights)
        if isinstance(layer, Conv) and layer.residual is not None:
            y = y + pictures[layer.residual]
        if sums is not None:
            sums(layer.name, y)
        return layer.activate(y)
    if isinstance(layer, Attention):
        return _attend(layer, pictures)
    return layer.run(pictures, lambda name, tensor: None)


def product(layer: Conv | Transposed, x: Tensor, weights: Weights | None = None) -> Tensor:
    """Weights times input plus bias: the layer before residual and activation."""
    w, b = (layer.weight, layer.bias) if weights is None else (weights.weight, weights.bias)
    return layer.product(x, w, b)


def _attend(layer: Attention, pictures: Pictures) -> Tensor:
    (py, px), (b, _, h, w) = layer.patch, pictures[layer.query].shape

    def split(name: str) -> Tensor:  # [B, p, q, heads, tokens, head size]
        x = pictures[name].reshape(b, layer.heads, layer.head_dim, h // py, py, w // px, px)
        return x.permute(0, 4, 6, 1, 3, 5, 2).flatten(4, 5)

    q, k, v = (split(name) for name in layer.sources)
    x = (q @ k.transpose(-1, -2) * layer.scale).softmax(-1) @ v
    x = x.unflatten(4, (h // py, w // px)).permute(0, 3, 6, 4, 1, 5, 2)
    return x.reshape(b, layer.heads * layer.head_dim, h, w)


def simulate(
    graph: FloatGraph, image: Tensor, codes: Mapping[str, Code] | None = None,
    weights: Mapping[str, Weights] | None = None, observe: Callable[[str, Tensor], Tensor | None] | None = None,
    sums: Sums | None = None,
) -> Tensor:  # fmt: skip
    """The output for images [B,C,H,W]; codes and weights by name, without them in float.

    `observe(name, picture)` may return a replacement; `sums`: see `run_layer`.
    """
    left = {name: 0 for name in graph.shapes}
    for layer in graph.layers:
        for source in layer.sources:
            left[source] += 1
    pictures: Pictures = {graph.input: image, **constants(graph, image, codes)}
    for layer in graph.layers:
        y = run_layer(layer, pictures, (weights or {}).get(layer.name), sums)
        if codes is not None:
            y = fake_quantise(y, codes[layer.name])
        if observe is not None:
            seen = observe(layer.name, y)
            y = y if seen is None else seen
        pictures[layer.name] = y
        for source in layer.sources:
            left[source] -= 1
            if not left[source] and source != graph.output:
                pictures.pop(source, None)
    return pictures[graph.output]


def constants(graph: FloatGraph, image: Tensor, codes: Mapping[str, Code] | None = None) -> Pictures:
    """The graph's constants, one for each image, coded if there are codes."""
    held = {name: value.to(image).expand(len(image), -1, -1, -1) for name, value in graph.constants.items()}
    return held if codes is None else {name: fake_quantise(value, codes[name]) for name, value in held.items()}


def is_sum(layer: FloatLayer) -> bool:
    """A layer whose operands and result must share one unit by channel."""
    return isinstance(layer, Add) or (isinstance(layer, Conv) and layer.residual is not None)
