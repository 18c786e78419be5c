"""What a layer is, whatever its operation: the contract that capture, quantiser, method and compiler rely on.

A layer reads feature maps (height x width pixels with channels) by name and makes the map of its own name. Tokens are
pixels: a linear layer is a 1x1 convolution, attention names its sequences by the patch whose positions they are.
A `FloatLayer` computes real numbers, a `QLayer` integers (its codes' meaning: `QParams`). What each operation does
stands in its own file in `ops/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.network.integers import QMaps
from triptych.golden.quartdepth.network.qparams import FeatureMap, QParams, Residual
from triptych.golden.quartdepth.network.shapes import Shape

Maps = Mapping[str, Tensor]
Observe = Callable[[str, Tensor], None]
Rename = Callable[[str], str]
Range = tuple[float, float]
L = TypeVar("L", bound="Layer")
F = TypeVar("F", bound="FloatLayer")


class Activation(Enum):
    """A function that a layer may take of its own sum, at no cost."""

    NONE = "none"
    RELU = "relu"
    GELU = "gelu"


class Need(Enum):
    """What a layer asks of a map that it reads. NARROW: symmetric, and four bits do
    unless all is wanted in eight."""

    ANY = "any"
    EIGHT_BITS = "eight bits"
    SYMMETRIC = "symmetric"
    NARROW = "narrow"


@dataclass(frozen=True)
class Stationary:
    """A map that stands on the weights' side of the array: in four bits it takes one pass instead of two. counter: a
    map whose channels can take the inverse of its factors by channel; empty if its factors are those of the layer's own
    map. shifts: what is added to all of its pixels alike changes nothing, and it has no zero point. streams: the
    counter is what streams, and four bits of it save steps where the map has them."""

    fmap: str
    counter: str = ""
    shifts: bool = False
    streams: bool = False


@dataclass(frozen=True)
class Turns:
    """Maps, its sources or its own, that one orthogonal matrix over their channels may turn together while the layer
    computes the same. mean: only a matrix that keeps the vector of ones. block: only one of blocks of so many channels;
    0: any."""

    maps: tuple[str, ...]
    mean: bool = False
    block: int = 0


@dataclass(frozen=True)
class Rounded:
    """Weights of a layer as a method rounded them: `weight ~ codes * scale` by output channel. codes: the shape of the
    layer's weight, whole numbers in -top..top; scale [outputs], positive; bias [outputs]."""

    codes: Tensor
    scale: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer; `name` is also the name of the map that it makes. `reads`: the fields that name maps (a name, names, a
    `Residual` or None)."""

    reads: ClassVar[tuple[str, ...]] = ("source",)

    name: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The maps read, a residual last."""
        names: list[str] = []
        for field in self.reads:
            value = getattr(self, field)
            if isinstance(value, Residual):
                names.append(value.source)
            elif value is not None:
                names += [value] if isinstance(value, str) else value
        return tuple(names)

    @property
    def joins(self) -> tuple[str, ...]:
        """The maps that the layer's map consists of, channels one after the other; () for a layer that computes."""
        return ()


class Quantising(Protocol):
    """What the quantiser tells a layer: codes of all maps, calibrated ranges, rounded weights."""

    ranges: Mapping[str, Range]
    maps: dict[str, FeatureMap]

    @property
    def weight_top(self) -> int:
        """Largest weight code."""

    def qparams(self, name: str) -> QParams:
        """Of a map."""

    def limits(self, name: str, relu: bool, ceiling: float | None = None) -> tuple[int, int]:
        """Of the value that a layer hands to the encoder of map `name`; from zero on with `relu`, up to a ceiling."""

    def unit(self, name: str, *operands: str) -> tuple[float, int]:
        """Unit of a sum of maps that makes map `name`, and bits that it is finer than what its code is made from."""

    def residual(self, source: str, name: str, unit: float) -> Residual:
        """Map `source` as second operand of the sum that makes map `name`, in a unit."""

    def rounded(self, name: str) -> Rounded | None:
        """Weights that a method has rounded for a layer."""


@dataclass(frozen=True, eq=False)
class FloatLayer(Layer, ABC):
    """A layer in floating point."""

    def rename(self: F, new: Rename) -> F:
        """The same layer with its sources renamed."""
        changes: dict[str, Any] = {}
        for field in self.reads:
            value = getattr(self, field)
            if value is not None:
                changes[field] = new(value) if isinstance(value, str) else tuple(new(v) for v in value)
        return replace(self, **changes)

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of the map made when the first source has `shape`."""
        return shape

    @abstractmethod
    def run(self, maps: Maps, observe: Observe) -> Tensor:
        """The map made, [B,C,H,W] float32, differentiable; `observe(name, tensor)` is shown inner tensors that the
        quantiser needs ranges of."""

    @abstractmethod
    def quantise(self, q: Quantising) -> list[QLayer]:
        """The layer in integers; the last one makes this layer's map. Raises QuantizeError."""

    # Fusion: what the layer takes over from those behind it, or gives away

    def with_activation(self, activation: Activation) -> FloatLayer | None:
        """The same layer that takes `activation` of its result; None if it cannot."""
        return None

    def with_ceiling(self, ceiling: float) -> FloatLayer | None:
        """The same layer whose result is clamped to 0..ceiling; None if it cannot."""
        return None

    def with_residual(self, source: str) -> FloatLayer | None:
        """The same layer that adds map `source` to its sum; None if it cannot."""
        return None

    def with_affine(self, gain: Tensor, offset: Tensor) -> FloatLayer | None:
        """The same layer whose result is multiplied and moved by channel; None if it cannot."""
        return None

    def with_input_affine(self, gain: Tensor, offset: Tensor) -> FloatLayer | None:
        """The same layer for an input to which gain and offset by channel have not been applied; None if it cannot."""
        return None

    def into(self, before: FloatLayer) -> FloatLayer | None:
        """`before`, which makes one of this layer's sources and which nothing else reads, doing this layer's work as
        well; None if it cannot."""
        return None

    # Quantisation

    @property
    def products(self) -> tuple[str, ...]:
        """The maps that are multiplied by weights: narrow codes there save time."""
        return ()

    @property
    def stationary(self) -> tuple[Stationary, ...]:
        """The maps that the array holds while another one streams, where they may have four bits."""
        return ()

    def need(self, source: str) -> Need:
        """What is asked of the code of a source."""
        return Need.ANY

    @property
    def copies(self) -> tuple[str, ...]:
        """The maps whose values make up the layer's map, unchanged: what is asked of its code is asked of theirs."""
        return self.joins

    # The method: w by channel (LogNP), which maps share

    @property
    def shares_gain(self) -> tuple[str, ...]:
        """The sources whose w must be that of the map made."""
        return ()

    @property
    def no_gain(self) -> tuple[str, ...]:
        """The maps, its own or sources, that cannot have a w."""
        return ()

    @property
    def wants_gain_behind(self) -> bool:
        """Whether a factor by channel has to stand behind the layer if its map is to have a w."""
        return False

    def regained(self: F, source: Tensor, own: Tensor) -> F:
        """The same layer (exactly, in real numbers) when its first source holds x / `source` and its map shall hold
        y / `own`, factors by channel."""
        return self

    # The method: orthogonal changes of the channels (Hadamard)

    @property
    def turns(self) -> tuple[Turns, ...]:
        """Which of its maps may be turned; those that are not named may not."""
        return ()

    def turned(self: F, matrices: Mapping[str, Tensor]) -> F:
        """The same layer (exactly, in real numbers) when its maps of these names hold a matrix [C,C] times x."""
        return self

    @property
    def adds(self) -> bool:
        """Its operands and its map must share one unit by channel."""
        return False


class Ungained(FloatLayer):
    """Reads one map in eight bits; factors by channel (LogNP's w) stop at it, in front and behind."""

    source: str

    def need(self, source: str) -> Need:
        return Need.EIGHT_BITS

    @property
    def no_gain(self) -> tuple[str, ...]:
        return self.source, self.name


@dataclass(frozen=True, eq=False)
class Weighted(FloatLayer):
    """A layer with weights: the sum `W x + b`, then a residual, then an activation. As a matrix it is weights
    [groups, outputs, inputs] times patches [groups, inputs, places]. ceiling: of a ReLU's result."""

    reads = ("source", "residual")

    source: str
    weight: Tensor
    bias: Tensor  # [outputs]
    residual: str | None = None
    activation: Activation = Activation.NONE
    ceiling: float | None = None

    output_axis: ClassVar[int] = 0  # of the weight

    @abstractmethod
    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's sum for weights of its shape, before residual and activation."""

    @abstractmethod
    def to_matrix(self, weight: Tensor) -> Tensor:
        """[G,O,K] of a weight tensor of the layer's shape."""

    @abstractmethod
    def from_matrix(self, matrix: Tensor) -> Tensor:
        """Inverse of `to_matrix`."""

    @abstractmethod
    def patches(self, x: Tensor) -> Tensor:
        """[G,K,places] of maps [B,C,H,W]; places run over images and output pixels."""

    @abstractmethod
    def outputs(self, y: Tensor) -> Tensor:
        """[G,O,places] of the layer's output maps, places in the order of `patches`."""

    @abstractmethod
    def scaled(self, gain: Tensor) -> Tensor:
        """The weight with its input channels times `gain`."""

    @abstractmethod
    def by_input(self, gain: Tensor) -> Tensor:
        """`gain` of the input channels as it stands on the matrix' inputs: [G or 1, 1, K]."""

    @property
    def per_output_pixel(self) -> bool:
        """Whether the weights are used once for each pixel of the map made (else of the source)."""
        return True

    def macs(self, shapes: Mapping[str, Shape]) -> int:
        """Multiply-accumulates, padding counted."""
        return len(shapes[self.name if self.per_output_pixel else self.source]) * self.weight.numel()

    def by_output(self, values: Tensor) -> Tensor:
        """Values [outputs] in a shape that multiplies the weight."""
        shape = [1, 1, 1, 1]
        shape[self.output_axis] = -1
        return values.reshape(shape)

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return self.finish(self.product(maps[self.source], self.weight, self.bias), maps)

    def finish(self, y: Tensor, maps: Maps, sums: Observe | None = None) -> Tensor:
        """Residual and activation of the layer's product; `sums` is shown what goes into the activation."""
        if self.residual is not None:
            y = y + maps[self.residual]
        if sums is not None:
            sums(self.name, y)
        match self.activation:
            case Activation.RELU:
                return y.relu() if self.ceiling is None else y.clamp(0.0, self.ceiling)
            case Activation.GELU:
                return torch.nn.functional.gelu(y)
        return y

    @property
    def relu(self) -> bool:
        """ReLU is the layer's activation."""
        return self.activation is Activation.RELU

    def with_activation(self, activation: Activation) -> FloatLayer | None:
        free = self.activation is Activation.NONE and not (activation is Activation.GELU and self.residual is not None)
        return replace(self, activation=activation) if free else None

    def with_ceiling(self, ceiling: float) -> FloatLayer | None:
        if self.activation is Activation.NONE or (self.relu and self.ceiling is None):
            return replace(self, activation=Activation.RELU, ceiling=ceiling)
        return None

    def with_affine(self, gain: Tensor, offset: Tensor) -> FloatLayer | None:
        if self.activation is not Activation.NONE or self.residual is not None:
            return None
        return replace(self, weight=self.weight * self.by_output(gain), bias=self.bias * gain + offset)

    @property
    def products(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return () if self.residual is None else (self.residual,)

    @property
    def no_gain(self) -> tuple[str, ...]:
        return (self.name,) if self.wants_gain_behind or self.ceiling is not None else ()

    @property
    def wants_gain_behind(self) -> bool:
        return self.activation is Activation.GELU

    def regained(self: W, source: Tensor, own: Tensor) -> W:
        return replace(self, weight=self.scaled(source) / self.by_output(own), bias=self.bias / own)

    @property
    def turns(self) -> tuple[Turns, ...]:
        result = () if self.residual is None else (self.residual,)
        made = (Turns((self.name, *result)),) if self.activation is Activation.NONE else ()
        return (Turns((self.source,)), *made)

    def turned(self: W, matrices: Mapping[str, Tensor]) -> W:
        weight, bias = self.weight, self.bias
        for name, axis in ((self.source, 1 - self.output_axis), (self.name, self.output_axis)):
            if name in matrices:
                weight = torch.tensordot(matrices[name], weight, ([1], [axis])).movedim(0, axis)
        if self.name in matrices:
            bias = matrices[self.name] @ bias
        return replace(self, weight=weight.contiguous(), bias=bias)

    @property
    def adds(self) -> bool:
        return self.residual is not None


W = TypeVar("W", bound=Weighted)


@dataclass(frozen=True, eq=False)
class QLayer(Layer, ABC):
    """A layer in integers, given to the bit in terms of docs/numerics.md."""

    @abstractmethod
    def run(self, maps: QMaps) -> Ints:
        """Codes [h,w,c] of the map made. It knows no tiles, lanes, formats in memory or instructions."""

    def macs(self, maps: Mapping[str, FeatureMap]) -> int:
        """Multiply-accumulates by the shape of the layer, padding counted."""
        return 0
