"""Attention: softmax(scale q k^T) v by sequence and head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.layer import FloatLayer
from triptych.golden.quartdepth.network.operation import Declined, Operation, Stage
from triptych.golden.quartdepth.network.ops import _scores
from triptych.golden.quartdepth.network.ops._attention_example import example
from triptych.golden.quartdepth.network.ops._attention_layers import Attention as Attention
from triptych.golden.quartdepth.network.ops._attention_layers import QAttention as QAttention
from triptych.golden.quartdepth.network.ops._scores import HIDDEN, HIDES, Scores, arrange, hidden, scores_of
from triptych.golden.quartdepth.network.ops.concat import Concat
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.gather import Gather
from triptych.golden.quartdepth.network.ops.normalise import Normalise
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten
_VIEWS = (
    aten.reshape.default, aten.view.default, aten._unsafe_view.default, aten.permute.default, aten.transpose.int,
    aten.unsqueeze.default, aten.squeeze.dim, aten.flatten.using_ints, aten.unflatten.int, aten.expand.default,
)  # fmt: skip
NARROW_HEAD = 16  # of the head size up to which four-bit keys save time: they lie in one word of a scratchpad
MOST_BYTES = 400 << 10  # of queries, keys and values at a time: half the scratchpad of `paper`


def product(c: Capture, node: Node) -> Any:
    """aten.matmul of queries and keys, or of their softmax and values."""
    a, b = c.arg(node, 0), c.arg(node, 1)
    if isinstance(a, View) and isinstance(b, View):
        return scores_of(a, _turned(b), name=c.name(node))
    if isinstance(a, Scores) and a.softmax and not a.turned and isinstance(b, View):
        return _attention(c, node, a, b)
    if isinstance(b, Scores) and b.softmax and b.turned and isinstance(a, View):
        return _turned(_attention(c, node, b, _turned(a)))
    raise Declined("a product of two maps must be part of softmax(q k^T) v")


def _turned(view: View) -> View:
    return View(view.fmap, view.index.transpose(-1, -2))


def sdpa(c: Capture, node: Node) -> View:
    """aten.scaled_dot_product_attention, its mask a constant."""
    q, k, v = (c.view(c.arg(node, i)) for i in range(3))
    mask = c.arg(node, 3)
    if (mask is not None and not isinstance(mask, Tensor)) or float(c.arg(node, 4, 0.0)):
        raise GraphError("attention can have a mask that is a constant, and no dropout")
    factor: Any = node.kwargs.get("scale")
    scores = scores_of(q, k, q.index.shape[-1] ** -0.5 if factor is None else float(factor))
    if c.arg(node, 5, False):
        scores = scores.biased(hidden(torch.ones(scores.size, dtype=torch.bool).tril()))
    if mask is not None and bool((hidden(mask) != 0).any()):
        scores = scores.biased(hidden(mask))
    return _attention(c, node, scores, v)


def _attention(c: Capture, node: Node, scores: Scores, value: View) -> View:
    name = c.name(node)
    found = arrange(c, name, scores, value)
    heads, dim = found.channels[0].shape
    bias = None
    if found.bias is not None:
        bias = f"{name}.bias"
        seen = torch.where(found.bias <= HIDES, HIDDEN, found.bias)
        constant = seen.flatten(2).permute(2, 0, 1)[None].contiguous()
        _, width, rows, queries = constant.shape
        c.shapes[bias], c.constants[bias] = Shape(rows, queries, width), constant
    one = bool((found.scales == found.scales[0]).all())
    factor, scales = (float(found.scales[0]), None) if one else (1.0, found.scales)
    narrow = dim <= NARROW_HEAD
    layer = Attention(
        name, *found.maps, heads, dim, factor, found.patch, found.channels, scales, bias=bias, narrow=narrow
    )
    c.add(layer, replace(c.shapes[found.maps[0]], channels=heads * dim))
    return View(name, found.index.reshape(*scores.lead, *found.index.shape[1:]))


def split_projections(graph: FloatGraph) -> FloatGraph:
    """One linear layer each for queries, keys and values, so that each has its own scale and place; and several
    attentions of fewer heads, whose results are joined, where those of all heads would fill a scratchpad."""
    layers: list[FloatLayer] = []
    made = {layer.name: layer for layer in graph.layers}
    shapes, constants = dict(graph.shapes), dict(graph.constants)
    for layer in graph.layers:
        if not isinstance(layer, Attention):
            layers.append(layer)
            continue
        parts = layer.heads if _by_head(layer, made) else _parts(layer, shapes[layer.query])
        heads = layer.heads // parts
        for part in range(parts):
            suffix, rows = f".{part}" if parts > 1 else "", slice(part * heads, (part + 1) * heads)
            names = []
            for place, source in enumerate((layer.query, layer.key, layer.value)):
                picked = _picked(layer, place, shapes[source].channels)[rows].flatten()
                gain = torch.ones(len(picked))
                if place == 0 and layer.scales is not None and heads > 1:
                    gain = layer.scales[rows].repeat_interleave(layer.head_dim)
                names.append(_own(layers, made, shapes, source, f"{'qkv'[place]}{suffix}", picked, gain))
            query, key, value = names
            own = replace(
                layer, name=f"{layer.name}{suffix}", query=query, key=key, value=value, channels=None, scales=None,
                heads=heads,
            )  # fmt: skip
            if layer.scales is not None and heads == 1:
                own = replace(own, scale=layer.scale * float(layer.scales[rows]))
            if layer.bias is not None and parts > 1:
                own = replace(own, bias=f"{layer.bias}{suffix}")
                whole = graph.constants[layer.bias].unflatten(1, (layer.heads, -1))[:, rows].flatten(1, 2)
                constants[f"{layer.bias}{suffix}"] = whole
                shapes[f"{layer.bias}{suffix}"] = replace(shapes[layer.bias], channels=whole.shape[1])
            layers.append(own)
            shapes[own.name] = replace(shapes[layer.name], channels=heads * layer.head_dim)
        if parts > 1:
            layers.append(Concat(layer.name, tuple(f"{layer.name}.{part}" for part in range(parts))))
            if layer.bias is not None:
                del constants[layer.bias], shapes[layer.bias]
    return replace(graph, layers=layers, shapes=shapes, constants=constants)


def _by_head(layer: Attention, made: dict[str, FloatLayer]) -> bool:
    """Heads are normalised, each by itself."""
    for source in (layer.query, layer.key, layer.value):
        before = made.get(source)
        while isinstance(before, Gather) and len(before.parts) == 1:
            before = made.get(before.parts[0])
        if isinstance(before, Normalise) and before.groups > 1:
            return layer.heads > 1
    return False


def _picked(layer: Attention, place: int, channels: int) -> Tensor:
    """Channels [heads, head size] of queries, keys or values."""
    if layer.channels is None:
        return torch.arange(channels).reshape(layer.heads, layer.head_dim)
    return layer.channels[place]


def _own(
    layers: list[FloatLayer], made: dict[str, FloatLayer], shapes: dict[str, Shape], source: str, role: str,
    picked: Tensor, gain: Tensor,
) -> str:  # fmt: skip
    """The map of some channels of another one (-1: zero), times a factor each: of a linear layer of its own."""
    layer, name = made.get(source), f"{source}.{role}"
    shapes[name] = replace(shapes[source], channels=len(picked))
    if isinstance(layer, Gather) and len(layer.parts) == 1:
        before = _own(layers, made, shapes, layer.parts[0], f"{role}.{layer.name}", picked, gain)
        layers.append(replace(layer, name=name, parts=(before,)))
        return name
    if isinstance(layer, Normalise) and layer.groups > 1 and bool((gain == gain[0]).all()):
        size = shapes[source].channels // layer.groups
        first = int(picked[0]) // size * size
        if len(picked) == size and torch.equal(picked, first + torch.arange(size)):
            ones = torch.ones_like(gain)
            before = _own(layers, made, shapes, layer.source, f"{role}.{layer.name}", picked, ones)
            layers.append(replace(layer, name=name, source=before, groups=1))
            return name
    gain = torch.where(picked < 0, 0.0, gain)
    rows = picked.clamp(min=0)
    if isinstance(layer, Conv2d) and not layer.depthwise:
        weight = layer.weight[rows] * gain[:, None, None, None]
        layers.append(replace(layer, name=name, weight=weight, bias=layer.bias[rows] * gain))
    else:
        weight = torch.zeros(len(rows), shapes[source].channels, 1, 1)
        weight[torch.arange(len(rows)), rows, 0, 0] = gain
        layers.append(Conv2d(name, source, weight, torch.zeros(len(rows))))
    return name


def _parts(layer: Attention, shape: Shape) -> int:
    """Into how many attentions of as many heads each it is cut: as few as leave queries, keys and values of a sequence
    within `MOST_BYTES`. Sequences at positions of a patch stay whole: only linear layers can read them."""
    tokens = len(shape) // (layer.patch[0] * layer.patch[1])
    if layer.patch != (1, 1):
        return 1
    fitting = (
        n for n in range(1, layer.heads + 1)
        if layer.heads % n == 0 and 3 * tokens * layer.head_dim * layer.heads // n <= MOST_BYTES
    )  # fmt: skip
    return next(fitting, layer.heads)


OPERATION = Operation(
    title="Attention",
    forms="`scaled_dot_product_attention`, or `softmax(q k^T * scale + bias) v` in any order of its factors, scaled by "
    "a number or one for each head; over all pixels, those at each position of a patch, or any sequences (windows, "
    "shifted ones, tokens of a part); keys of another map, fewer or more; bias and masks that are constants, by head "
    "and sequence; values of another head size; queries, keys and values from linear layers, joint or apart, or from "
    "anything else",
    widths="queries INT8; keys and values int4 (as INT8 in -8..7) where they are narrow, else INT8 in two passes; or "
    "queries TABLE4 and keys int4, two a byte; any output",
    mapping="by sequence, head and block of R queries, fewer where the scores of two blocks would take more than half "
    "of the scratchpad (heads in several layers, joined, where all would fill one): scores and row maxima, powers of "
    "two and row sums, reciprocals; "
    "then the values, drained times the reciprocal. Keys and values stay, queries may pass by in tiles. The "
    "scores of the next block are computed before the values of this one are mixed; row scalars alternate "
    "between two pairs of registers",
    limits="no mask, not causal; keys and values of one sequence and two blocks of scores in the scratchpad; what "
    "reads it is linear",
    cost="(words of a key x passes + 2 ceil(tokens / D)) cycles a query and C keys (packed keys: half as many words); "
    "softmax 2 ceil(tokens / C) of the VPU",
    example=example,
    aten={
        aten.scaled_dot_product_attention.default: sdpa,
        aten.matmul.default: product,
        aten.bmm.default: product,
        **dict.fromkeys((aten.mul.Tensor, aten.div.Tensor, aten.mul_.Tensor, aten.div_.Tensor), _scores.scale),
        **dict.fromkeys((aten.add.Tensor, aten.add_.Tensor), _scores.add),
        **dict.fromkeys((aten.softmax.int, aten._softmax.default), _scores.softmax),
        aten.masked_fill.Scalar: _scores.fill,
        **dict.fromkeys(_VIEWS, _scores.rearrange),
    },
    floats=(Attention,),
    integers=(QAttention,),
    rewrites=((Stage.SPLIT, split_projections),),
)
