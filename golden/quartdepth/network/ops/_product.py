"""What all layers with weights share in integers: the rule of a product, and how its weights are quantised."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.quartdepth.arithmetic.functions import gelu
from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs, sat16, sat32, wrap32
from triptych.golden.quartdepth.chip.isa import Addend, Format, Function, Multiply, Side, SourceA, WeightFormat
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.lowering import Factors, Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.pack import weight_format
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish
from triptych.golden.quartdepth.network.layer import Activation, QLayer, Quantising, Rounded, Weighted
from triptych.golden.quartdepth.network.ops._pointwise import (
    GELU_BOTTOM,
    GELU_STEP,
    GELU_TERMS,
    GELU_TOP,
    new_map,
    quantised_terms,
)
from triptych.golden.quartdepth.network.qparams import (
    LARGEST_FACTOR,
    QuantizeError,
    Residual,
    Scale,
    fixed_point,
)

MAX_BIAS = 1 << 30
MAX_REDUCTION = 1 << 21  # products an accumulator can take without overflow (docs/numerics.md)


@dataclass(frozen=True, eq=False)
class QProduct(Lowerable):
    """A layer with weights: `acc = sum (q - zero) w` with `zero` the source's; by output channel
    `Y = sat32(rs(wrap32(acc + bias) * multiplier, shift))`; `V = clamp(Y + output zero, lo, hi)`, then the output's
    encoder. With a residual `Y` and it are in units of `2^-fraction`:
    `V = clamp(rs(sat32(Y + residual), fraction) + output zero, lo, hi)`. With `gelu`:
    `Y = rs(GELU(sat16(Y)) * gelu.multiplier, gelu.shift)`, no residual. weight: int8."""

    reads = ("source", "residual")
    on_mxu = True
    packs = True

    source: str
    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int16]
    shift: NDArray[np.uint8]
    lo: int
    hi: int
    residual: Residual | None = None
    fraction: int = 0
    gelu: Scale | None = None

    @abstractmethod
    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """`acc` for maps and weights as float64, exact below 2^53."""

    def run(self, maps: QMaps) -> Ints:
        meaning = maps.qparams(self.source).meaning(maps.codes(self.source))
        x = torch.from_numpy(np.ascontiguousarray(meaning, dtype=np.float64)).permute(2, 0, 1)[None]
        acc = (
            self.sums(x, torch.from_numpy(self.weight.astype(np.float64)))[0].permute(1, 2, 0).numpy().astype(np.int64)
        )
        v = wrap32(acc + self.bias).astype(np.int64)
        y = sat32(rs(v * self.multiplier.astype(np.int64), self.shift))
        if self.gelu is not None:
            y = apply(gelu(sat16(y)), self.gelu)
        return finish(maps, self.name, y, self.lo, self.hi, self.residual, self.fraction)

    @property
    def aligned(self) -> tuple[str, ...]:
        return () if self.residual is None else (self.name, self.residual.source)

    @property
    def factors(self) -> Factors:
        return Factors(self.multiplier, self.shift)

    def mode(self, layout: Layout) -> str:
        if weight_format(self.weight) is WeightFormat.INT8:
            return "w8a8"
        return "w4a8" if layout.places[self.source].qparams.format is Format.INT8 else "w4a4"

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        word: dict[str, int] = {"src_a": SourceA.ACC, "addend": Addend.BIAS, "mul": Multiply.PARAM, "zp_param": 1}
        if self.gelu is not None:
            word |= {"fn": Function.GELU, "side": Side.SCALE_F, "b_m": self.gelu.multiplier, "b_s": self.gelu.shift}
        second = microcode.add(self.residual, self.fraction, maps, slots)
        return microcode.program({**word, **second, **microcode.store(maps, self.name, slots, self.lo, self.hi)})


def quantised_layers(layer: Weighted, q: Quantising, made: Callable[..., QProduct]) -> list[QLayer]:
    """A layer with weights in integers; `made` takes the fields of `QProduct`. A GELU whose argument leaves the
    function's 16 bits on the images is taken of the stored sum, piece by piece."""
    if layer.activation is not Activation.GELU or (top := q.ranges[layer.name][1]) <= GELU_TOP:
        return [made(**quantised_product(layer, q))]
    before = replace(layer, name=f"{layer.name}.sum", activation=Activation.NONE)
    new_map(q, before.name, layer.name, GELU_BOTTOM, top)
    sums = made(**quantised_product(before, q, q.rounded(layer.name)))
    return [sums, *quantised_terms(layer.name, before.name, GELU_TERMS, q, (GELU_BOTTOM, top))]


def quantised_product(layer: Weighted, q: Quantising, given: Rounded | None = None) -> dict[str, Any]:
    """The fields of `QProduct` for a layer: weights symmetric, one scale an output channel, min-max or as a method
    rounded them (`given`, or for the layer's name). Raises QuantizeError for a layer whose sums could overflow 32 bits,
    or weights that do not fit."""
    w = layer.weight.double().numpy()
    bias = layer.bias.double().numpy()
    products = w.size // w.shape[layer.output_axis]
    if products >= MAX_REDUCTION:
        raise QuantizeError(f"'{layer.name}' sums {products} products; 32 bits hold {MAX_REDUCTION - 1}")
    source, step, fraction = q.qparams(layer.source), q.qparams(layer.name).step, 0
    axes = tuple(a for a in range(w.ndim) if a != layer.output_axis)
    shape = [-1 if a == layer.output_axis else 1 for a in range(w.ndim)]
    # a channel of tiny weights takes a coarser scale, so that its bias fits
    smallest = np.maximum(np.abs(bias) / (source.scale * MAX_BIAS / 2), 1e-12)
    scale = np.maximum(np.abs(w).max(axes) / q.weight_top, smallest)
    codes = np.rint(w / scale.reshape(shape))
    given = given or q.rounded(layer.name)
    if given is not None:
        codes, bias = given.codes.double().numpy(), given.bias.double().numpy()
        scale = given.scale.double().numpy()
        if codes.shape != w.shape or np.abs(codes).max() > q.weight_top or not (scale > 0).all():
            raise QuantizeError(f"'{layer.name}': the given weights are no codes of this layer")
        fine = scale
        scale = np.maximum(fine, np.abs(bias) / (source.scale * MAX_BIAS / 2))
        codes = np.rint(codes * (fine / scale).reshape(shape))
    residual = after = None
    if layer.residual is not None:
        step, fraction = q.unit(layer.name, layer.residual)
        residual = q.residual(layer.residual, layer.name, step)
    if layer.activation is Activation.GELU:
        if layer.residual is not None:
            raise QuantizeError(f"'{layer.name}': GELU cannot take a residual")
        after = fixed_point(min(GELU_STEP / step, LARGEST_FACTOR), f"'{layer.name}': the rescaling after GELU")
        step = GELU_STEP
    # a channel whose smallest sum fills the output's range saturates at any factor: the largest one does
    real = np.minimum(source.scale * scale / step, LARGEST_FACTOR)
    factors = [fixed_point(f, f"'{layer.name}': the output rescaling") for f in real]
    lo, hi = q.limits(layer.name, layer.relu, layer.ceiling)
    return dict(
        name=layer.name,
        source=layer.source,
        weight=codes.astype(np.int8),
        bias=np.rint(bias / (source.scale * scale)).astype(np.int32),
        multiplier=np.array([f.multiplier for f in factors], dtype=np.int16),
        shift=np.array([f.shift for f in factors], dtype=np.uint8),
        lo=lo,
        hi=hi,
        residual=residual,
        fraction=fraction,
        gelu=after,
    )
