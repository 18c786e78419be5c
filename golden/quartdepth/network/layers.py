"""Layers of a depth network in floating point, over pictures (height x width pixels with channels).

Every layer reads pictures by name and makes the picture of its own name. Tokens are pixels: a linear layer is a 1x1
convolution, attention names its sequences by the patch whose positions they are (MobileViT).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

Observe = Callable[[str, Tensor], None]
Rename = Callable[[str], str]
L = TypeVar("L", bound="FloatLayer")


@dataclass(frozen=True)
class Shape:
    """Height, width and channels of a picture."""

    height: int
    width: int
    channels: int

    def __len__(self) -> int:
        """Pixels."""
        return self.height * self.width


@dataclass(frozen=True)
class Regrid:
    """A picture's pixels, counted row by row, without the first `skip`, as a map of height x width: tokens of a vision
    transformer without its class token, at their places in the photo."""

    skip: int
    height: int
    width: int

    def apply(self, x: Tensor) -> Tensor:
        """[B,C,h,w] -> [B,C,height,width]."""
        return x.flatten(2)[:, :, self.skip :].unflatten(2, (self.height, self.width))


@dataclass(frozen=True)
class Patches:
    """The input as tokens: rows x columns patches of size x size photo pixels, each one pixel of the input picture,
    which is one row high and begins with an all-zero pixel, the place of a class token."""

    size: int
    rows: int
    cols: int

    def arrange(self, photo: Tensor, zero: float = 0.0) -> Tensor:
        """[B,c,rows size,cols size] -> [B,c size^2,1,1 + rows cols], channel (c, y, x). Raises ValueError."""
        if photo.shape[-2:] != (self.rows * self.size, self.cols * self.size):
            wanted = f"{self.rows * self.size} x {self.cols * self.size}"
            raise ValueError(f"the photo must be {wanted}, not {photo.shape[-2]} x {photo.shape[-1]}")
        tokens = F.unfold(photo, self.size, stride=self.size)
        return F.pad(tokens, (1, 0), value=zero)[:, :, None]


@dataclass(frozen=True, eq=False)
class FloatLayer(ABC):
    """A layer; `name` is also the name of the picture that it makes. `reads`: the fields that name pictures."""

    reads: ClassVar[tuple[str, ...]] = ("source",)

    name: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The pictures read."""
        return tuple(getattr(self, f) for f in self.reads if getattr(self, f) is not None)

    def rename(self: L, new: Rename) -> L:
        """The same layer with its sources renamed."""
        return replace(self, **{f: new(getattr(self, f)) for f in self.reads if getattr(self, f) is not None})

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of the picture made when the first source has `shape`."""
        return shape

    @abstractmethod
    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        """The picture made, [1,C,H,W] float32; `observe(name, tensor)` is shown inner tensors of interest."""


@dataclass(frozen=True, eq=False)
class Conv(FloatLayer):
    """Convolution (dense or depthwise 3x3) or, 1x1, a linear layer; then `+ residual`, then ReLU or GELU.

    regrid: a linear layer's input is rearranged before.
    """

    reads = ("source", "residual")

    source: str
    weight: Tensor  # [o, i, kh, kw]; depthwise [c, 1, 3, 3]
    bias: Tensor
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    depthwise: bool = False
    residual: str | None = None
    relu: bool = False
    gelu: bool = False
    regrid: Regrid | None = None

    @property
    def pointwise(self) -> bool:
        """A linear layer over the channels of a pixel."""
        return self.weight.shape[2:] == (1, 1) and self.stride == (1, 1) and self.padding == (0, 0)

    def output_shape(self, shape: Shape) -> Shape:
        if self.regrid is not None:
            return Shape(self.regrid.height, self.regrid.width, self.weight.shape[0])
        h = (shape.height + 2 * self.padding[0] - self.weight.shape[2]) // self.stride[0] + 1
        w = (shape.width + 2 * self.padding[1] - self.weight.shape[3]) // self.stride[1] + 1
        return Shape(h, w, self.weight.shape[0])

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        y = self.product(pictures[self.source], self.weight, self.bias)
        if self.residual is not None:
            y = y + pictures[self.residual]
        return self.activate(y)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's sum for other weights of its shape, before residual and activation."""
        groups = self.weight.shape[0] if self.depthwise else 1
        x = x if self.regrid is None else self.regrid.apply(x)
        return F.conv2d(x, weight, bias, self.stride, self.padding, groups=groups)

    def activate(self, y: Tensor) -> Tensor:
        """ReLU or GELU, or neither."""
        return F.gelu(y) if self.gelu else y.relu() if self.relu else y


@dataclass(frozen=True, eq=False)
class Transposed(FloatLayer):
    """Transposed convolution, then ReLU."""

    source: str
    weight: Tensor  # [i, o, kh, kw]
    bias: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    extra: tuple[int, int]  # output padding
    relu: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        h = (shape.height - 1) * self.stride[0] - 2 * self.padding[0] + self.weight.shape[2] + self.extra[0]
        w = (shape.width - 1) * self.stride[1] - 2 * self.padding[1] + self.weight.shape[3] + self.extra[1]
        return Shape(h, w, self.weight.shape[1])

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        return self.activate(self.product(pictures[self.source], self.weight, self.bias))

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's sum for other weights of its shape, before the activation."""
        return F.conv_transpose2d(x, weight, bias, self.stride, self.padding, self.extra)

    def activate(self, y: Tensor) -> Tensor:
        """ReLU, or nothing."""
        return y.relu() if self.relu else y


@dataclass(frozen=True, eq=False)
class Relu(FloatLayer):
    """A ReLU that could not be fused."""

    source: str

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        return pictures[self.source].relu()


@dataclass(frozen=True, eq=False)
class Add(FloatLayer):
    """A sum that could not be fused, then ReLU."""

    reads = ("source", "other")

    source: str
    other: str
    relu: bool = False

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        y = pictures[self.source] + pictures[self.other]
        return y.relu() if self.relu else y


@dataclass(frozen=True, eq=False)
class Gain(FloatLayer):
    """A factor by channel: where polishing finds no linear layer to fold into."""

    source: str
    gain: Tensor  # [c]

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        return pictures[self.source] * self.gain[:, None, None]


@dataclass(frozen=True, eq=False)
class Affine(FloatLayer):
    """`x * gain + offset` by channel: BatchNorm, until it is folded into the layer before it or becomes one."""

    source: str
    gain: Tensor  # [c]
    offset: Tensor  # [c]

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        return pictures[self.source] * self.gain[:, None, None] + self.offset[:, None, None]


@dataclass(frozen=True, eq=False)
class Enlarge(FloatLayer):
    """Twice the size along one axis (2: rows, 3: columns), bilinear between pixel centres, edges held."""

    source: str
    axis: int

    def output_shape(self, shape: Shape) -> Shape:
        if self.axis == 2:
            return replace(shape, height=2 * shape.height)
        return replace(shape, width=2 * shape.width)

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        x = pictures[self.source]
        first, last = x.narrow(self.axis, 0, 1), x.narrow(self.axis, -1, 1)
        before = torch.cat([first, x.narrow(self.axis, 0, x.shape[self.axis] - 1)], self.axis)
        after = torch.cat([x.narrow(self.axis, 1, x.shape[self.axis] - 1), last], self.axis)
        pair = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], self.axis + 1)
        return pair.flatten(self.axis, self.axis + 1)


@dataclass(frozen=True, eq=False)
class Concat(FloatLayer):
    """Channels of all sources, one after the other."""

    parts: tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        return self.parts

    def rename(self, new: Rename) -> Concat:
        return replace(self, parts=tuple(new(p) for p in self.parts))

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        return torch.cat([pictures[p] for p in self.parts], 1)


@dataclass(frozen=True, eq=False)
class LayerNorm(FloatLayer):
    """Normalisation over the channels of a pixel."""

    source: str
    gamma: Tensor
    beta: Tensor
    eps: float

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        x = pictures[self.source]
        centred = x - x.mean(1, keepdim=True)
        observe(f"{self.name}/centred", centred)
        y = centred * (centred.square().mean(1, keepdim=True) + self.eps).rsqrt()
        return y * self.gamma[None, :, None, None] + self.beta[None, :, None, None]


@dataclass(frozen=True, eq=False)
class Attention(FloatLayer):
    """softmax(scale q k^T) v per sequence and head; sequence (p, q) holds the pixels (py a + p, px b + q).

    `channels`: first channel of queries, keys and values in their pictures. narrow: four bits do for the keys.
    """

    reads = ("query", "key", "value")

    query: str
    key: str
    value: str
    heads: int
    head_dim: int
    scale: float
    patch: tuple[int, int]
    channels: tuple[int, int, int] = (0, 0, 0)
    narrow: bool = True

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        q, k, v = (self._split(pictures[name]) for name in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) * self.scale
        observe(f"{self.name}/scores", scores)
        return self._join(scores.softmax(-1) @ v, pictures[self.query].shape)

    def _split(self, x: Tensor) -> Tensor:
        """[1,C,H,W] -> [sequences, heads, tokens, head size]."""
        (py, px), (_, _, h, w) = self.patch, x.shape
        x = x.reshape(self.heads, self.head_dim, h // py, py, w // px, px)
        return x.permute(3, 5, 0, 2, 4, 1).reshape(py * px, self.heads, -1, self.head_dim)

    def _join(self, x: Tensor, shape: torch.Size) -> Tensor:
        (py, px), (_, _, h, w) = self.patch, shape
        x = x.reshape(py, px, self.heads, h // py, w // px, self.head_dim)
        return x.permute(2, 5, 3, 0, 4, 1).reshape(1, self.heads * self.head_dim, h, w)


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """Layers in running order. `shapes` holds every picture, the input's and the constants' too; constants are pictures
    [1,C,H,W] that no layer makes. patches: what the input picture is made of, if not the photo itself."""

    input: str
    output: str
    shapes: dict[str, Shape]
    layers: list[FloatLayer]
    constants: dict[str, Tensor] = field(default_factory=dict)
    patches: Patches | None = None

    @property
    def device(self) -> torch.device:
        """Where weights lie."""
        return next(v.device for layer in self.layers for v in vars(layer).values() if isinstance(v, Tensor))

    def to(self, device: torch.device) -> FloatGraph:
        """The same layers with their tensors elsewhere."""

        def moved(layer: FloatLayer) -> FloatLayer:
            tensors: dict[str, Any] = {f: v.to(device) for f, v in vars(layer).items() if isinstance(v, Tensor)}
            return replace(layer, **tensors)

        constants = {name: value.to(device) for name, value in self.constants.items()}
        return replace(self, layers=[moved(layer) for layer in self.layers], constants=constants)

    def run(self, image: Tensor, observe: Observe = lambda name, tensor: None) -> Tensor:
        """The output for an input of [1,C,H,W] float32; `observe` is shown every picture and inner tensor."""
        pictures = {self.input: image, **self.constants}
        for name, picture in pictures.items():
            observe(name, picture)
        with torch.no_grad():
            for layer in self.layers:
                pictures[layer.name] = layer.run(pictures, observe)
                observe(layer.name, pictures[layer.name])
        return pictures[self.output]
