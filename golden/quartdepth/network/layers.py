"""Layers of a depth network in floating point, over pictures (height x width pixels with channels).

Every layer reads pictures by name and makes the picture of its own name. Tokens are pixels: a linear layer is a 1x1
convolution, attention names its sequences by the patch whose positions they are (MobileViT).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

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
    """Convolution (dense or depthwise 3x3) or, 1x1, a linear layer; then `+ residual`, then ReLU."""

    reads = ("source", "residual")

    source: str
    weight: Tensor  # [o, i, kh, kw]; depthwise [c, 1, 3, 3]
    bias: Tensor
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    depthwise: bool = False
    residual: str | None = None
    relu: bool = False

    @property
    def pointwise(self) -> bool:
        """A linear layer over the channels of a pixel."""
        return self.weight.shape[2:] == (1, 1) and self.stride == (1, 1) and self.padding == (0, 0)

    def output_shape(self, shape: Shape) -> Shape:
        h = (shape.height + 2 * self.padding[0] - self.weight.shape[2]) // self.stride[0] + 1
        w = (shape.width + 2 * self.padding[1] - self.weight.shape[3]) // self.stride[1] + 1
        return Shape(h, w, self.weight.shape[0])

    def run(self, pictures: dict[str, Tensor], observe: Observe) -> Tensor:
        groups = self.weight.shape[0] if self.depthwise else 1
        y = F.conv2d(pictures[self.source], self.weight, self.bias, self.stride, self.padding, groups=groups)
        if self.residual is not None:
            y = y + pictures[self.residual]
        return y.relu() if self.relu else y


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
        x = pictures[self.source]
        y = F.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding, self.extra)
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

    `channels`: first channel of queries, keys and values in their pictures.
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
    """Layers in running order. `shapes` holds every picture, the input's too."""

    input: str
    output: str
    shapes: dict[str, Shape]
    layers: list[FloatLayer]

    def run(self, image: Tensor, observe: Observe = lambda name, tensor: None) -> Tensor:
        """The output for an input of [1,C,H,W] float32; `observe` is shown every picture and inner tensor."""
        pictures = {self.input: image}
        observe(self.input, image)
        with torch.no_grad():
            for layer in self.layers:
                pictures[layer.name] = layer.run(pictures, observe)
                observe(layer.name, pictures[layer.name])
        return pictures[self.output]
