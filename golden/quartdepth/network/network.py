"""The integer network: what the quantiser yields, the compiler lowers and the executor runs.

Pictures are height x width pixels with channels, stored as codes. Every layer makes the picture of its own name.
All arithmetic of a layer is integer and given here to the bit in terms of docs/numerics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.layers import Patches, Regrid, Shape

_LIMITS = {Format.INT8: (-128, 127), Format.UINT4: (0, 15), Format.TABLE4: (0, 15), Format.INT16: (-32768, 32767)}


@dataclass(frozen=True)
class Code:
    """What the numbers of a picture mean: `x = scale * (q - zero)`, for TABLE4 `x = scale * table.entries[q]`.

    unit: TABLE4 only: `table` encodes int16 values of `x / unit`. A TABLE4 picture's scale may be folded channel by
    channel into its neighbours (LogNP); `scale` is then what is left. narrow: symmetric INT8 only: the codes are in
    -7..7 (keys of attention, which then take one pass of the array as int4 weights do).
    """

    format: Format
    scale: float
    zero: int = 0
    table: CodeTable | None = None
    unit: float = 1.0
    narrow: bool = False

    def __post_init__(self) -> None:
        lo, hi = _LIMITS[self.format]
        if not lo <= self.zero <= hi or (self.format is Format.TABLE4 and self.zero):
            raise ValueError(f"the zero point {self.zero} is no {self.format.name} code (TABLE4 has none)")
        if self.narrow and (self.format is not Format.INT8 or self.zero):
            raise ValueError("only symmetric INT8 codes can be narrow")
        if (self.table is None) == (self.format is Format.TABLE4):
            raise ValueError("a TABLE4 picture, and no other, has a code table")
        if self.table is not None and 0 not in self.table.entries:
            raise ValueError("a code table must have an entry 0: it stands for padding")

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest code."""
        return (-7, 7) if self.narrow else _LIMITS[self.format]

    @property
    def codes(self) -> range:
        """All codes."""
        lo, hi = self.limits
        return range(lo, hi + 1)

    @property
    def step(self) -> float:
        """What one unit of the value that a layer hands to its encoder, or stores, is worth."""
        return self.unit if self.format is Format.TABLE4 else self.scale

    @property
    def clamp(self) -> tuple[int, int]:
        """Limits of that value."""
        return _LIMITS[Format.INT16] if self.format is Format.TABLE4 else self.limits

    @property
    def pad(self) -> int:
        """The code of zero."""
        return self.zero if self.table is None else self.table.entries.index(0)

    @property
    def bits(self) -> int:
        """Bits of a stored code."""
        return {Format.INT8: 8, Format.UINT4: 4, Format.TABLE4: 4, Format.INT16: 16}[self.format]

    def store(self, values: Ints) -> Ints:
        """Codes of already clamped values."""
        return values if self.table is None else self.table.encode(np.clip(values, -32768, 32767)).astype(np.int64)

    def read(self, codes: Ints) -> Ints:
        """What the engines see: the code itself, or the table's entry."""
        return codes if self.table is None else self.table.decode(codes).astype(np.int64)

    def meaning(self, codes: Ints) -> Ints:
        """`x / scale`, exact."""
        return self.read(codes) - self.zero

    def encode(self, x: NDArray[np.float64]) -> Ints:
        """Codes of real numbers, rounded to nearest."""
        lo, hi = self.clamp
        return self.store(np.clip(np.floor(x / self.step + 0.5).astype(np.int64) + self.zero, lo, hi))

    def decode(self, codes: Ints) -> NDArray[np.float64]:
        """The real numbers that codes stand for."""
        return (self.scale * self.meaning(codes)).astype(np.float64)


@dataclass(frozen=True)
class Picture:
    """Shape and code of a picture."""

    shape: Shape
    code: Code


@dataclass(frozen=True)
class Scale:
    """Fixed-point factor: `v -> rs(v * multiplier, shift)`."""

    multiplier: int
    shift: int


@dataclass(frozen=True)
class Residual:
    """`rs((B + add) * multiplier, shift)`, added before the clamp; B from picture `source`."""

    source: str
    add: int
    scale: Scale


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer; `name` is also the name of the picture that it makes. `reads`: the fields that name pictures."""

    reads: ClassVar[tuple[str, ...]] = ("source",)

    name: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The pictures read, the residual last."""
        residual: Residual | None = getattr(self, "residual", None)
        names = tuple(getattr(self, f) for f in self.reads)
        return names if residual is None else (*names, residual.source)

    def macs(self, network: Network) -> int:
        """Multiply-accumulates by the shape of the layer, padding counted."""
        return 0


@dataclass(frozen=True, eq=False)
class Convolution(Layer):
    """Dense or depthwise convolution, linear layer (1x1), or transposed convolution.

    `acc = sum (q - zero) w` with `zero` the source's; `Y = sat32(rs(wrap32(acc + bias) * multiplier, shift))` by
    output channel; `V = clamp(Y + output zero, lo, hi)`, then the output's encoder. With a residual `Y` and it are in
    units of `2^-fraction`: `V = clamp(rs(sat32(Y + residual), fraction) + output zero, lo, hi)`. With `gelu`:
    `Y = rs(GELU(sat16(Y)) * gelu.multiplier, gelu.shift)`, no residual. regrid: of a linear layer's input.
    weight: int8 in -8..7, [o, i, kh, kw]; depthwise [c, 1, 3, 3]; transposed [i, o, kh, kw].
    """

    source: str
    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int16]
    shift: NDArray[np.uint8]
    lo: int
    hi: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    depthwise: bool = False
    transposed: bool = False
    extra: tuple[int, int] = (0, 0)
    residual: Residual | None = None
    fraction: int = 0
    gelu: Scale | None = None
    regrid: Regrid | None = None

    def macs(self, network: Network) -> int:
        place = network.pictures[self.source if self.transposed else self.name].shape
        return len(place) * self.weight.size


@dataclass(frozen=True, eq=False)
class Rescale(Layer):
    """Elementwise: `Y = sat32(rs((A + add) * multiplier, shift))`, then as for a convolution."""

    source: str
    add: int
    scale: Scale
    lo: int
    hi: int
    residual: Residual | None = None
    fraction: int = 0


@dataclass(frozen=True, eq=False)
class Polish(Layer):
    """By channel `V = clamp(sat32(rs((A + add) * multiplier, shift)) + output zero, lo, hi)`, then encoded."""

    source: str
    add: int
    multiplier: NDArray[np.int16]
    shift: NDArray[np.uint8]
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class Double(Layer):
    """Twice the rows (axis 0) or columns (axis 1): every pixel makes one towards each neighbour, edges held.

    `V = clamp(rs(rs((A + add) * near) + rs((B + add) * far), fraction) + output zero, lo, hi)`, A the pixel, B the
    neighbour (at the edge A itself), then encoded.
    """

    source: str
    axis: int
    add: int
    near: Scale
    far: Scale
    fraction: int
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class Normalise(Layer):
    """LayerNorm without gain: integers of docs/numerics.md, by pixel.

    `mean = sat32(rs(sum A * mean.multiplier, mean.shift))` in Q6; `X = (A << 6) - mean`;
    `total = sum clamp(rs(sat16(X)^2, square_shift))`; `{e, m} = rsqrt(total + eps)`;
    `Y = sat32(rs(X * m, e + fraction))`; `V = clamp(rs(sat16(Y) * out.multiplier, out.shift) + zero, lo, hi)`.
    """

    source: str
    mean: Scale
    square_shift: int
    eps: int
    fraction: int
    out: Scale
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class Attend(Layer):
    """Attention by sequence (positions of `patch`) and head; query and key have zero point 0.

    `x = clamp(rs(q.k * score) + score_zero)` int8; `e = clamp(rs(EXP2N(sat16(rs((x - max x) * exponent))) * weight),
    0, 127)`; `{e', m} = recip(sum e)`; `Y = sat32(rs((sum e v) * m, e' + fraction))`;
    `V = clamp(rs(sat16(Y) * out) + zero, lo, hi)`.
    """

    reads = ("query", "key", "value")

    query: str
    key: str
    value: str
    heads: int
    head_dim: int
    patch: tuple[int, int]
    score: Scale
    score_zero: int
    exponent: Scale
    weight: Scale
    fraction: int
    out: Scale
    zero: int
    lo: int
    hi: int

    def macs(self, network: Network) -> int:
        shape = network.pictures[self.query].shape
        tokens = len(shape) // (self.patch[0] * self.patch[1])
        return 2 * len(shape) * tokens * self.heads * self.head_dim


@dataclass(frozen=True, eq=False)
class Join(Layer):
    """Channels of all parts, one after the other; every part has the code of the result."""

    parts: tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        return self.parts


@dataclass(frozen=True, eq=False)
class Network:
    """Integer layers in running order; `pictures` holds every picture, the input's and the output's too. constants:
    codes [h, w, c] of pictures that no layer makes. patches: what the input picture is made of, if not the photo
    itself."""

    input: str
    output: str
    pictures: dict[str, Picture]
    layers: list[Layer] = field(default_factory=list)
    constants: dict[str, Ints] = field(default_factory=dict)
    patches: Patches | None = None

    def __post_init__(self) -> None:
        made = {self.input, *self.constants}
        for layer in self.layers:
            for source in layer.sources:
                if source not in made:
                    raise ValueError(f"layer '{layer.name}' reads '{source}' before it is made")
            if layer.name in made or layer.name not in self.pictures:
                raise ValueError(f"layer '{layer.name}' makes a picture twice, or one of unknown shape")
            made.add(layer.name)
        if self.output not in made:
            raise ValueError(f"no layer makes the output '{self.output}'")
        for name, codes in self.constants.items():
            self.check_codes(name, codes)

    def check_codes(self, picture: str, codes: Ints) -> None:
        """Raises ValueError unless `codes` [h, w, c] have the picture's shape and are all codes of it."""
        shape, (lo, hi) = self.pictures[picture].shape, self.pictures[picture].code.limits
        what = "the input" if picture == self.input else f"'{picture}'"
        if np.shape(codes) != (shape.height, shape.width, shape.channels):
            wanted = f"{shape.height} x {shape.width} x {shape.channels}"
            raise ValueError(f"{what} must be {wanted}, not {' x '.join(map(str, np.shape(codes)))}")
        if not np.issubdtype(np.asarray(codes).dtype, np.integer):
            raise ValueError(f"the codes of {what} must be whole numbers, not {np.asarray(codes).dtype}")
        if codes.min() < lo or codes.max() > hi:
            raise ValueError(f"the codes of {what} must be in {lo}..{hi}, not {codes.min()}..{codes.max()}")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(layer.macs(self) for layer in self.layers)

    def readers(self, picture: str) -> list[Layer]:
        """The layers that read a picture."""
        return [layer for layer in self.layers if picture in layer.sources]

    def run_integer(self, codes: Ints, observe: Callable[[str, Ints], None] | None = None) -> Ints:
        """Output codes [h, w, c] for input codes [h, w, c], layer by layer, without the machine."""
        from triptych.golden.quartdepth.network.execute import run

        return run(self, codes, observe)
