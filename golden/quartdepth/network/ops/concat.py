"""Concatenation along channels: its parts are written into channel ranges of one map."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, QMaps, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation, Stage
from triptych.golden.quartdepth.network.ops.requantise import requantised
from triptych.golden.quartdepth.network.qparams import FeatureMap

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Concat(FloatLayer):
    """Channels of all sources, one after the other."""

    reads = ("parts",)

    parts: tuple[str, ...]

    @property
    def joins(self) -> tuple[str, ...]:
        return self.parts

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return torch.cat([maps[p] for p in self.parts], 1)

    def quantise(self, q: Quantising) -> list[QLayer]:
        """A part that has not the result's code is made once more, in that code."""
        out: list[QLayer] = []
        parts = []
        for i, part in enumerate(self.parts):
            if q.qparams(part) is not q.qparams(self.name):
                name = f"{self.name}.{i}"
                q.maps[name] = FeatureMap(q.maps[part].shape, q.qparams(self.name))
                out.append(requantised(name, part, q))
                part = name
            parts.append(part)
        return [*out, QConcat(self.name, tuple(parts))]


@dataclass(frozen=True, eq=False)
class QConcat(Lowerable):
    """Channels of all parts, one after the other; every part has the code of the result."""

    reads = ("parts",)

    parts: tuple[str, ...]

    @property
    def joins(self) -> tuple[str, ...]:
        return self.parts

    def run(self, maps: QMaps) -> Ints:
        return np.concatenate([maps.codes(part) for part in self.parts], axis=2)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> None:
        return None


def capture(c: Capture, node: Node) -> View:
    """aten.cat of maps along channels."""
    values = [c.values[n.name] for n in node.args[0]]  # type: ignore[union-attr,index]
    if c.arg(node, 1, 0) not in (1, -3) or not all(isinstance(v, View) and v.index.ndim == 4 for v in values):
        raise Declined("maps can be concatenated along channels only")
    sources = tuple(c.whole_map(v) for v in values)
    first = c.shapes[sources[0]]
    shape = replace(first, channels=sum(c.shapes[s].channels for s in sources))
    return c.add(Concat(c.name(node), sources), shape)


def flatten(graph: FloatGraph) -> FloatGraph:
    """A concatenation that only another one reads becomes part of it."""
    readers = graph.readers()
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


class _Joined(nn.Module):
    def __init__(self, widths: tuple[int, int]) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(3, width, 1) for width in widths)
        self.last = nn.Conv2d(sum(widths) + 3, 5, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.cat([torch.cat([self.one(x), self.two(x).relu()], 1), x], 1))
        return y


def example(rng: random.Random) -> Example:
    """Two convolutions and the photo, nested."""
    return Example(_Joined((rng.choice([1, 7, 8, 20]), rng.choice([3, 16]))), (3, rng.randint(2, 9), rng.randint(2, 9)))


OPERATION = Operation(
    title="Concatenation",
    forms="`cat` of maps along channels; nested ones become one",
    widths="any; all parts have the result's code",
    mapping="no instruction: every part is written into its range of the cells. What others read too is converted by "
    "the VPU (`Requantise`)",
    limits="along channels alone; a map is part of one concatenation; a depthwise or elementwise layer cannot read one "
    "whose parts do not fill whole groups of lanes",
    cost="none",
    example=example,
    aten={aten.cat.default: capture},
    floats=(Concat,),
    integers=(QConcat,),
    rewrites=((Stage.JOIN, flatten),),
)
