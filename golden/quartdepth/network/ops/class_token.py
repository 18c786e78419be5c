"""Class token: a learned token in front of the photo's patches, as vision transformers have it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation, Stage
from triptych.golden.quartdepth.network.ops.add import Add
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.gather import Gather
from triptych.golden.quartdepth.network.qparams import QuantizeError
from triptych.golden.quartdepth.network.shapes import Patches, Shape

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class ClassToken(FloatLayer):
    """A token in front of a map's pixels: a map one row high, until it is embedded."""

    source: str
    token: Tensor  # [c]

    def output_shape(self, shape: Shape) -> Shape:
        return Shape(1, 1 + len(shape), shape.channels)

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        x = maps[self.source].flatten(2)
        return torch.cat([self.token[None, :, None].expand(len(x), -1, 1), x], 2)[:, :, None]

    def quantise(self, q: Quantising) -> list[QLayer]:
        raise QuantizeError(f"'{self.name}': a class token must be embedded")


def capture(c: Capture, node: Node) -> View:
    """aten.cat of one constant token and all pixels as tokens, in order."""
    values = [c.values[n.name] for n in node.args[0]]  # type: ignore[union-attr,index]
    what = "a constant can be joined with tokens only as the one class token in front of all of them"
    if len(values) != 2 or not isinstance(values[0], Tensor) or not isinstance(values[1], View):
        raise Declined(what)
    token, view = values
    channels = c.shapes[view.fmap].channels
    wanted = torch.arange(len(c.shapes[view.fmap]) * channels).reshape(1, -1, channels)
    if c.arg(node, 1, 0) not in (1, -2) or token.shape != (1, 1, channels) or not torch.equal(view.index, wanted):
        raise Declined(what)
    layer = ClassToken(c.name(node), view.fmap, token.flatten().float())
    c.add(layer)
    tokens = len(c.shapes[layer.name])
    return View(layer.name, torch.arange(tokens * channels).reshape(1, tokens, channels))


def embed(graph: FloatGraph) -> FloatGraph:
    """The photo enters as its patches, the first of them zero: the convolution that reads them is a linear layer, which
    makes its bias of the first one; what the token differs from that is a constant that is added."""
    readers, made = graph.readers(), {layer.name: layer for layer in graph.layers}
    layers: list[FloatLayer] = []
    shapes, constants, patches = dict(graph.shapes), dict(graph.constants), graph.patches
    for layer in graph.layers:
        if isinstance(layer, ClassToken):
            conv = made.get(layer.source)
            if not isinstance(conv, Conv2d) or not _patchwise(conv, graph) or readers[conv.name] != 1:
                layers.append(_gathered(layer, shapes, constants))
                continue
            rows, cols = shapes[conv.name].height, shapes[conv.name].width
            patches = Patches(conv.stride[0], rows, cols)
            weight = conv.weight.flatten(1)[:, :, None, None]
            layers[layers.index(conv)] = linear = replace(conv, weight=weight, stride=(1, 1))
            shapes[graph.input] = Shape(1, 1 + rows * cols, weight.shape[1])
            shapes[conv.name] = shapes[layer.name]
            constant = f"{layer.name}.token"
            shapes[constant] = shapes[layer.name]
            first = (layer.token - linear.bias)[None, :, None, None]
            constants[constant] = torch.nn.functional.pad(first, (0, rows * cols))
            layer = Add(layer.name, linear.name, constant)
        layers.append(layer)
    return replace(graph, layers=layers, shapes=shapes, constants=constants, patches=patches)


def _gathered(layer: ClassToken, shapes: dict[str, Shape], constants: dict[str, Tensor]) -> Gather:
    """Behind anything else: the constant token and the map's pixels."""
    constant, pixels = f"{layer.name}.token", torch.arange(len(shapes[layer.source]))
    shapes[constant] = Shape(1, 1, len(layer.token))
    constants[constant] = layer.token[None, :, None, None]
    part, zero = torch.cat([torch.zeros(1), torch.ones(len(pixels))]).long(), torch.zeros(1, dtype=torch.int64)
    return Gather(layer.name, (constant, layer.source), part, torch.cat([zero, pixels]), (1, 1 + len(pixels)))


def _patchwise(conv: Conv2d, graph: FloatGraph) -> bool:
    """It reads each pixel of the photo once, square by square, and nothing else reads the photo."""
    size = conv.stride[0]
    square = conv.weight.shape[2:] == conv.stride == (size, size) and conv.padding == (0, 0) and not conv.depthwise
    shape = graph.shapes[graph.input]
    whole = shape.height % size == 0 and shape.width % size == 0
    alone = graph.readers()[graph.input] == 1 and conv.source == graph.input
    return square and whole and alone and conv.residual is None


class _Embedded(nn.Module):
    def __init__(self, size: int, channels: int, tokens: int, whole: bool) -> None:
        super().__init__()
        self.whole = whole
        self.proj = nn.Conv2d(3, channels, size, size)
        self.token = nn.Parameter(torch.randn(1, 1, channels))
        self.positions = nn.Parameter(torch.randn(1, 1 + tokens, channels))
        self.last, self.head = nn.Linear(channels, 5), nn.Conv2d(5, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.proj((x - 0.5) / 0.25)
        t = torch.cat([self.token, y.flatten(2).transpose(1, 2)], 1) + self.positions
        z: Tensor = self.last(t).transpose(1, 2)
        return z[:, :, None] if self.whole else self.head(z[:, :, 1:].unflatten(2, y.shape[2:]))


def example(rng: random.Random) -> Example:
    """Patches, token and positions; then all tokens, or the map without the first."""
    size, rows, cols = rng.choice([2, 7, 14]), rng.randint(1, 4), rng.randint(1, 4)
    module = _Embedded(size, rng.choice([8, 17]), rows * cols, rng.random() < 0.5)
    return Example(module, (3, size * rows, size * cols))


OPERATION = Operation(
    title="Class token",
    forms="`cat` of one constant token and the tokens of the photo's patches; positions added to them; a map of the "
    "tokens without the first",
    widths="as a linear layer and a sum",
    mapping="the photo enters as its patches, the first of them zero (`Patches`), so that the patch embedding is a "
    "linear layer; token and positions are one constant that is added. Tokens are the pixels of a map one row "
    "high; a linear layer lays them out as a map again (`Regrid`)",
    limits="one token, in front; the patches are squares that cover the photo, and nothing else reads it",
    cost="that of the linear layer and the sum",
    example=example,
    aten={aten.cat.default: capture},
    floats=(ClassToken,),
    rewrites=((Stage.AFFINE, embed),),
    photo=True,
)
