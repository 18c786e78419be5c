"""Passes over captured layers: fewer layers, each as the chip runs it.

BatchNorm goes into the layer before it, a joint projection is split into queries, keys and values, ReLU and residual
sums move into the layer before them, and LayerNorm's gain and offset into the linear layers behind it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from triptych.golden.quartdepth.network.layers import (
    Add,
    Affine,
    Attention,
    Concat,
    Conv,
    FloatGraph,
    FloatLayer,
    LayerNorm,
    Relu,
    Transposed,
)


class GraphError(ValueError):
    """The module holds something that the chip's layers cannot express; the message names the node."""


def fuse(graph: FloatGraph) -> FloatGraph:
    """All passes, in order. Raises GraphError where LayerNorm or attention is used in a way that cannot be fused."""
    for fusion in (_fold_affine, _split_projections, _drop_unused, _fuse, _fold_layer_norm, _flatten_concat):
        graph = fusion(graph)
    return graph


def _readers(graph: FloatGraph) -> dict[str, int]:
    count = dict.fromkeys(graph.shapes, 0)
    for layer in graph.layers:
        for source in layer.sources:
            count[source] += 1
    count[graph.output] += 1
    return count


def _fold_affine(graph: FloatGraph) -> FloatGraph:
    """Factors and offsets by channel into the convolution before them. Where something else reads that one too, or
    there is none, they are a depthwise convolution that has one tap."""
    readers = _readers(graph)
    made: dict[str, FloatLayer] = {}
    shapes = dict(graph.shapes)
    renamed: dict[str, str] = {}
    for layer in graph.layers:
        layer = layer.rename(lambda name: renamed.get(name, name))
        if isinstance(layer, Affine):
            before, gain = made.get(layer.source), layer.gain
            if isinstance(before, Conv | Transposed) and readers[layer.source] == 1:
                axes = gain[:, None, None, None] if isinstance(before, Conv) else gain[:, None, None]
                bias = before.bias * gain + layer.offset
                made[before.name] = replace(before, weight=before.weight * axes, bias=bias)
                renamed[layer.name] = before.name
                readers[before.name] = readers[layer.name]
                del shapes[layer.name]
                continue
            weight = torch.zeros(len(gain), 1, 3, 3)
            weight[:, 0, 1, 1] = gain
            layer = Conv(layer.name, layer.source, weight, layer.offset, padding=(1, 1), depthwise=True)
        made[layer.name] = layer
    output = renamed.get(graph.output, graph.output)
    return replace(graph, layers=list(made.values()), output=output, shapes=shapes)


def _split_projections(graph: FloatGraph) -> FloatGraph:
    """One linear layer each for queries, keys and values, so that each has its own scale and place."""
    layers: list[FloatLayer] = []
    made = {layer.name: layer for layer in graph.layers}
    shapes = dict(graph.shapes)
    for layer in graph.layers:
        if isinstance(layer, Attention):
            width = layer.heads * layer.head_dim
            names = []
            for role, source, first in zip("qkv", (layer.query, layer.key, layer.value), layer.channels, strict=True):
                producer = made.get(source)
                if not isinstance(producer, Conv) or producer.depthwise:
                    raise GraphError(f"attention '{layer.name}': '{source}' must come from a linear layer")
                part = slice(first, first + width)
                name = f"{source}.{role}"
                layers.append(replace(producer, name=name, weight=producer.weight[part], bias=producer.bias[part]))
                shapes[name] = replace(shapes[source], channels=width)
                names.append(name)
            query, key, value = names
            layer = replace(layer, query=query, key=key, value=value, channels=(0, 0, 0))
        layers.append(layer)
    return replace(graph, layers=layers, shapes=shapes)


def _drop_unused(graph: FloatGraph) -> FloatGraph:
    layers = list(graph.layers)
    while True:
        readers = _readers(replace(graph, layers=layers))
        kept = [layer for layer in layers if readers[layer.name]]
        if len(kept) == len(layers):
            return replace(graph, layers=kept)
        layers = kept


def _fuse(graph: FloatGraph) -> FloatGraph:
    """ReLU into the layer before it; a sum into the later one of the convolutions that make its operands."""
    readers = _readers(graph)
    made: dict[str, FloatLayer] = {}
    order: list[str] = []
    renamed: dict[str, str] = {}  # output of a layer that was fused away -> output that now stands for it
    for layer in graph.layers:
        layer = layer.rename(lambda name: renamed.get(name, name))
        if isinstance(layer, Relu) and readers[layer.source] == 1 and layer.source in made:
            before = made[layer.source]
            if isinstance(before, Conv | Transposed | Add) and not before.relu:
                made[before.name] = replace(before, relu=True)
                renamed[layer.name] = before.name
                readers[before.name] = readers[layer.name]
                continue
        if isinstance(layer, Add):
            conv = _fusable(layer, made, order, readers)
            if conv is not None:
                other = layer.other if conv.name == layer.source else layer.source
                made[conv.name] = replace(conv, residual=other)
                order.remove(conv.name)  # it now reads `other`, which may have been made after it
                order.append(conv.name)
                renamed[layer.name] = conv.name
                readers[conv.name] = readers[layer.name]
                continue
        made[layer.name] = layer
        order.append(layer.name)
    output = renamed.get(graph.output, graph.output)
    return replace(graph, layers=[made[name] for name in order], output=output)


def _fusable(layer: Add, made: dict[str, FloatLayer], order: list[str], readers: dict[str, int]) -> Conv | None:
    candidates = []
    for name in (layer.source, layer.other):
        producer = made.get(name)
        free = isinstance(producer, Conv) and not producer.relu and producer.residual is None
        if free and readers[name] == 1 and layer.source != layer.other:
            candidates.append(producer)
    return max(candidates, key=lambda c: order.index(c.name)) if candidates else None  # type: ignore[union-attr,return-value]


def _fold_layer_norm(graph: FloatGraph) -> FloatGraph:
    """gamma and beta go into the 1x1 convolutions that read the normalised map: W diag(gamma), b + W beta."""
    norms = {layer.name: layer for layer in graph.layers if isinstance(layer, LayerNorm)}
    layers: list[FloatLayer] = []
    for layer in graph.layers:
        for source in layer.sources:
            if source in norms and not (isinstance(layer, Conv) and layer.pointwise and layer.residual != source):
                raise GraphError(f"'{layer.name}' reads LayerNorm '{source}': only linear layers can")
        if isinstance(layer, Conv) and layer.source in norms:
            norm = norms[layer.source]
            bias = layer.bias + layer.weight[:, :, 0, 0] @ norm.beta
            layer = replace(layer, weight=layer.weight * norm.gamma[None, :, None, None], bias=bias)
        layers.append(layer)
    if graph.output in norms:
        raise GraphError(f"LayerNorm '{graph.output}' makes the output: only linear layers can read it")
    unit = [
        replace(x, gamma=torch.ones_like(x.gamma), beta=torch.zeros_like(x.beta)) if isinstance(x, LayerNorm) else x
        for x in layers
    ]
    return replace(graph, layers=unit)


def _flatten_concat(graph: FloatGraph) -> FloatGraph:
    """A concatenation that only another one reads becomes part of it."""
    readers = _readers(graph)
    inner = {x.name: x for x in graph.layers if isinstance(x, Concat) and readers[x.name] == 1}
    layers: list[FloatLayer] = []
    for layer in graph.layers:
        if isinstance(layer, Concat):
            absorbed = {p for p in layer.parts if p in inner}
            parts = [inner[p].parts if p in absorbed else (p,) for p in layer.parts]
            layers = [x for x in layers if x.name not in absorbed]
            layer = replace(layer, parts=tuple(name for names in parts for name in names))
            if layer.name in inner:
                inner[layer.name] = layer
        layers.append(layer)
    return replace(graph, layers=layers)
