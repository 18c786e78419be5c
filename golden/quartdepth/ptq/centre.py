"""Maps that lose their mean over the calibration images, channel by channel, before they are coded.

What a LayerNorm makes has a mean by channel that is the same on all photos, and most of it in the first blocks of a
vision transformer. Sixteen levels that need not hold it lie closer. On the chip it costs nothing: the last microword of
a LayerNorm adds a zero point by channel instead of one for all, and the linear layers behind it take the mean into
their bias. Values lose theirs through the bias of the layer that makes them: a weighted mean of them loses as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Activation, FloatLayer, Weighted
from triptych.golden.quartdepth.network.ops._attention_layers import Attention
from triptych.golden.quartdepth.network.ops.channel_scale import ChannelScale
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.layer_norm import LayerNorm
from triptych.golden.quartdepth.network.qparams import QParams

LARGEST = 111  # zero point of a channel: 127 less the 16 that a code's own can be
ROOM = 100  # of these for the largest offset: teaching moves steps


def centred(graph: FloatGraph, means: Mapping[str, Tensor]) -> tuple[FloatGraph, dict[str, str]]:
    """The same network (exactly, in real numbers) whose maps behind LayerNorms, and values with what attention makes
    of them, are less by their mean [C], as far as linear layers alone read them. Factors behind such LayerNorms, still
    one, are gone: they would have to stand before the offset. means: of all maps. With them the maps of factors that
    are gone, and what stands for each."""
    readers: dict[str, list[FloatLayer]] = {name: [] for name in graph.shapes}
    made = {layer.name: layer for layer in graph.layers}
    for layer in graph.layers:
        for source in layer.sources:
            readers[source].append(layer)
    shift: dict[str, Tensor] = {}

    def taken(name: str) -> bool:
        """Whether a map may lose its mean: factors of one and 1x1 layers alone read it."""
        return name not in graph.outputs and bool(readers[name]) and all(
            (isinstance(r, ChannelScale) and bool((r.gain == 1).all()) and taken(r.name))
            or (isinstance(r, Conv2d) and r.pointwise and r.residual != name)
            for r in readers[name]
        )  # fmt: skip

    gone: dict[str, str] = {}
    for layer in graph.layers:
        if isinstance(layer, LayerNorm) and taken(layer.name):
            shift[layer.name] = means[layer.name]
            gone |= {r.name: layer.name for r in readers[layer.name] if isinstance(r, ChannelScale)}
        if isinstance(layer, Attention) and layer.turns and taken(layer.name):
            value = made.get(layer.value)
            plain = isinstance(value, Weighted) and value.activation is Activation.NONE and value.residual is None
            if plain and readers[layer.value] == [layer]:
                shift[layer.value] = shift[layer.name] = means[layer.value]
    layers = [
        _moved(layer.rename(lambda name: gone.get(name, name)), shift)
        for layer in graph.layers
        if layer.name not in gone
    ]
    shapes = {name: shape for name, shape in graph.shapes.items() if name not in gone}
    return replace(graph, layers=layers, shapes=shapes), gone


def _moved(layer: FloatLayer, shift: Mapping[str, Tensor]) -> FloatLayer:
    if isinstance(layer, LayerNorm) and layer.name in shift:
        return replace(layer, beta=layer.beta - shift[layer.name])
    if not isinstance(layer, Weighted):
        return layer
    bias = layer.bias
    if layer.source in shift:
        bias = bias + layer.weight[:, :, 0, 0] @ shift[layer.source]
    if layer.name in shift:
        bias = bias - shift[layer.name]
    return replace(layer, bias=bias)


def offset_codes(graph: FloatGraph, codes: Mapping[str, QParams], room: int = ROOM) -> dict[str, QParams]:
    """The codes, those of LayerNorms with an offset by table and in a unit in which it is a zero point of the chip, of
    at most `room`."""
    offsets = {
        layer.name: float(layer.beta.abs().max())
        for layer in graph.layers if isinstance(layer, LayerNorm) and bool(layer.beta.any())
    }  # fmt: skip
    return {name: _roomy(q, offsets[name] / room) if name in offsets else q for name, q in codes.items()}


def _roomy(q: QParams, least: float) -> QParams:
    """The code, by table, in a unit of at least so much."""
    if q.table is None:
        if q.format is not Format.UINT4:
            return q
        middles = [(k + 0.5 - q.zero) * q.scale for k in range(15)]
        entries, zero, old = tuple(range(-8, 8)), q.zero - 8, 0.0
    else:
        # a value is rounded to whole units before it meets a threshold
        middles = [(t - q.zero - 0.5) * q.unit for t in q.table.thresholds]
        entries, zero, old = q.table.entries, q.zero, q.unit
    unit = max(old, least, q.scale / 64)
    thresholds = tuple(min(max(math.ceil(m / unit) + zero, -32768), 32767) for m in middles)
    return QParams(Format.TABLE4, q.scale, zero, CodeTable(entries, thresholds), unit)
