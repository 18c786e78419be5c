"""GroupNorm and InstanceNorm: normalisation over all pixels of groups of channels."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.fx import Node

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising, Ungained
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops._curve import quantised_curve
from triptych.golden.quartdepth.network.ops._mean import mean_stages
from triptych.golden.quartdepth.network.ops.add import Add
from triptych.golden.quartdepth.network.ops.affine import Affine
from triptych.golden.quartdepth.network.ops.channel_scale import ChannelScale
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.product import multiplied
from triptych.golden.quartdepth.network.qparams import FeatureMap, uniform_qparams
from triptych.golden.quartdepth.network.shapes import Shape

aten = torch.ops.aten
BEYOND = 1.5  # how far the variance may leave what calibration saw


@dataclass(frozen=True, eq=False)
class GroupNorm(Ungained):
    """`(x - mean) / sqrt(variance + eps)`, both over all pixels of a group of channels."""

    source: str
    groups: int
    eps: float

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        x = maps[self.source]
        parts = x.unflatten(1, (self.groups, -1))
        mean = parts.mean((2, 3, 4), keepdim=True)
        centred = parts - mean
        variance = centred.square().mean((2, 3, 4), keepdim=True)
        observe(f"{self.name}/centred", centred)
        steps = mean_stages(f"{self.name}.mean", self.source, _shape(x))[0]
        squares = mean_stages(f"{self.name}.squared", f"{self.name}.squares", _shape(x))[0]
        inner = {self.source: x, f"{self.name}.squares": centred.square().flatten(1, 2)}
        for layer in (*steps, *squares):
            inner[layer.name] = layer.run(inner, observe)
        observe(f"{self.name}/mean", mean)
        for layer in steps:
            observe(layer.name, inner[layer.name])
        for group in range(self.groups):
            observe(f"{self.name}/centred/{group}", centred[:, group])
            observe(f"{self.name}/variance/{group}", variance[:, group])
            for layer in squares:
                observe(f"{layer.name}/{group}", inner[layer.name].unflatten(1, (self.groups, -1))[:, group])
        return (centred * (variance + self.eps).rsqrt()).flatten(1, 2)

    def quantise(self, q: Quantising) -> list[QLayer]:
        """Mean, what is left of it, its squares and their mean, its reciprocal root, the product. Each group's standard
        deviation on the images is divided out by channel in front of the squares: all variances are about one, so that
        no group loses the bits of its own."""
        name, shape = self.name, q.maps[self.source].shape
        inner = _Inner(q)
        one = Shape(1, 1, shape.channels)
        stages, factor = mean_stages(f"{name}.mean", self.source, shape)
        last = stages[-1].name if stages else self.source
        groups = self._over_groups(f"{name}.mean", last, shape.channels, factor, torch.zeros(shape.channels))
        inner.add(*stages)
        inner.add(groups, reach=q.ranges[f"{name}/mean"])
        inner.add(Add(f"{name}.centred", self.source, groups.name, minus=True), reach=q.ranges[f"{name}/centred"])
        tops = [q.ranges[f"{name}/variance/{g}"][1] for g in range(self.groups)]
        spread = (torch.tensor(tops) + self.eps).sqrt().clamp(min=1e-9)
        each = shape.channels // self.groups
        centred = f"{name}.centred"
        if self.groups > 1:
            gain = (1 / spread).repeat_interleave(each)
            centred = f"{name}.even"
            peaks = [max(*map(abs, q.ranges[f"{name}/centred/{g}"])) for g in range(self.groups)]
            top = float((torch.tensor(peaks) / spread).max().clamp(min=1e-9))
            inner.add(ChannelScale(centred, f"{name}.centred", gain), reach=(-top, top))
        else:
            spread = torch.ones(1)
            top = max(*map(abs, q.ranges[f"{name}/centred"]))
        squares = f"{name}.squares"
        inner.set(squares, shape, (0.0, top**2))
        inner.layers.append(multiplied(squares, centred, centred, q))
        stages, factor = mean_stages(f"{name}.squared", squares, shape)
        inner.add(*stages, by=spread)
        last = stages[-1].name if stages else squares
        eps = (self.eps / spread.square()).repeat_interleave(each)
        low, high = self._variances(q, spread)
        variance = self._over_groups(f"{name}.variance", last, shape.channels, factor, eps)
        inner.add(variance, reach=(0.0, high))
        inner.set(f"{name}.root", one, (0.0, low**-0.5))
        inner.layers += quantised_curve(f"{name}.root", variance.name, lambda v: v**-0.5, q, (low, high))
        inner.layers.append(multiplied(name, centred, f"{name}.root", q))
        return inner.layers

    def _over_groups(self, name: str, source: str, channels: int, factor: float, bias: Tensor) -> Conv2d:
        """Of each channel, the mean of its group."""
        each = channels // self.groups
        group = torch.arange(channels) // each
        weight = (group[:, None] == group).float() * (factor / each)
        return Conv2d(name, source, weight[:, :, None, None], bias)

    def _variances(self, q: Quantising, spread: Tensor) -> tuple[float, float]:
        """Least and largest variance, eps with it, over the squared spread of its group."""
        seen = torch.tensor([q.ranges[f"{self.name}/variance/{g}"] for g in range(self.groups)])
        by = spread.double().square()[:, None]
        within = (seen.double() / torch.tensor([BEYOND, 1 / BEYOND]) + self.eps) / by
        return float(within.min()), float(within.max())


@dataclass
class _Inner:
    """Maps and layers in integers between source and result."""

    q: Quantising
    layers: list[QLayer] = field(default_factory=list)

    def set(self, name: str, shape: Shape, reach: tuple[float, float]) -> None:
        """The code of a map."""
        self.q.maps[name] = FeatureMap(shape, uniform_qparams(*reach, Format.INT8))

    def add(self, *layers: FloatLayer, reach: tuple[float, float] | None = None, by: Tensor | None = None) -> None:
        """Layers one after the other, of maps of `reach`; without, of what calibration saw of each, by group if its
        squares are divided by those of `by`."""
        for layer in layers:
            own = reach
            if own is None and by is not None:
                tops = (self.q.ranges[f"{layer.name}/{g}"][1] / float(s) ** 2 for g, s in enumerate(by))
                own = (0.0, max(tops))
            shape = layer.output_shape(self.q.maps[layer.sources[0]].shape)
            self.set(layer.name, shape, own or self.q.ranges[layer.name])
            self.layers += layer.quantise(self.q)


def _shape(x: Tensor) -> Shape:
    return Shape(x.shape[2], x.shape[3], x.shape[1])


def _shown(c: Capture, view: View) -> View:
    """The view, if its second axis is all channels in order and the others are all pixels, in any; else a map."""
    channels, pixels = c.shapes[view.fmap].channels, len(c.shapes[view.fmap])
    rows = view.index.movedim(1, -1).reshape(-1, view.index.shape[1])
    first = rows[:, :1]
    whole = torch.equal((first // channels)[:, 0].sort().values, torch.arange(pixels))
    if whole and torch.equal(first // channels * channels + torch.arange(channels), rows):
        return view
    made = c.whole_map(view)
    return View(made, c.whole(made))


def _norm(c: Capture, node: Node, groups: int, weight: int, eps: float) -> View:
    view = _shown(c, c.view(c.arg(node, 0)))
    channels = c.shapes[view.fmap].channels
    groups = groups or channels
    if channels % groups:
        raise GraphError(f"{channels} channels are no {groups} groups")
    gamma, beta = c.constant(node, weight), c.constant(node, weight + 1)
    name = c.name(node, weight)
    if gamma is None and beta is None:
        return c.add_alike(GroupNorm(name, view.fmap, groups, eps), view)
    unit = c.add_alike(GroupNorm(f"{name}.unit", view.fmap, groups, eps), view)
    gamma = torch.ones(channels) if gamma is None else gamma
    beta = torch.zeros(channels) if beta is None else beta
    return c.add_alike(Affine(name, unit.fmap, gamma, beta), unit)


def group_norm(c: Capture, node: Node) -> View:
    """aten.group_norm"""
    return _norm(c, node, int(c.arg(node, 1)), 2, float(c.arg(node, 4, 1e-5)))


def instance_norm(c: Capture, node: Node) -> View:
    """aten.instance_norm of the image's own statistics"""
    if not c.arg(node, 5):
        raise GraphError("an InstanceNorm of running statistics is a BatchNorm: write it as one")
    return _norm(c, node, 0, 1, float(c.arg(node, 7, 1e-5)))


class _Grouped(nn.Module):
    def __init__(self, channels: int, norm: nn.Module, beside: bool) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, channels, 3, padding=1), norm
        self.last, self.beside = nn.Conv2d(channels, 4, 1), beside
        for name, values in norm.named_parameters():
            nn.init.uniform_(values, *((0.5, 2) if name == "weight" else (-1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z: Tensor = self.last(self.norm(y) + y if self.beside else self.norm(y).relu())
        return z


def example(rng: random.Random) -> Example:
    """Some groups, one, or one a channel, in front of ReLU or of a sum."""
    groups, each = rng.choice([1, 2, 4]), rng.choice([2, 4, 9])
    channels = groups * each
    norm: nn.Module = nn.GroupNorm(groups, channels) if rng.random() < 0.7 else nn.InstanceNorm2d(channels, affine=True)
    return Example(_Grouped(channels, norm, rng.random() < 0.5), (3, rng.randint(3, 12), rng.randint(3, 12)))


OPERATION = Operation(
    title="GroupNorm, InstanceNorm",
    forms="`group_norm` of any number of groups, `instance_norm` of the image's own statistics",
    widths="INT8 in, any out; all between INT8",
    mapping="means over pixels as depthwise convolutions in stages of at most 7 x 7, over a group's channels as a 1x1 "
    "convolution of blocks; difference, a factor by channel, squares, product: a VECTOR each. The reciprocal root is a "
    "curve of the one pixel that is left. gamma and beta are a factor and an offset by channel",
    limits="the variance of an image within 1.5 times what calibration saw",
    cost="about 6 ceil(channels / C) cycles of the VPU a pixel, and two depthwise convolutions",
    example=example,
    aten={aten.group_norm.default: group_norm, aten.instance_norm.default: instance_norm},
    floats=(GroupNorm,),
)
