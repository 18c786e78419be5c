"""Pixels as channels: a map whose pixels are another one's channels, as attention over channels has its tokens."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import ActFormat, Addend, Format, Multiply, SourceA, WeightFormat
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.emitter import Emitter
from triptych.golden.quartdepth.compiler.geometry import Piece, PieceKey, Rect, Tile, even_block
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import CompileError, Place
from triptych.golden.quartdepth.compiler.work import AtHand, Pair, Work
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.integers import QMaps, apply, finish, read
from triptych.golden.quartdepth.network.layer import Maps, Observe, QLayer, Quantising, Ungained
from triptych.golden.quartdepth.network.operation import Example, Operation
from triptych.golden.quartdepth.network.ops.gather import gathered, numbered
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, FeatureMap, QParams, Scale, fixed_point
from triptych.golden.quartdepth.network.shapes import Shape

IDENTITY = 64  # channels of the constant map: at least a word of any chip
UNITS = "identity"


@dataclass(frozen=True, eq=False)
class Turn(Ungained):
    """Pixel i of the result, in one row, holds channel i of all pixels. units: a constant identity matrix."""

    reads = ("source", "units")

    source: str
    units: str

    def output_shape(self, shape: Shape) -> Shape:
        return Shape(1, shape.channels, len(shape))

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        return maps[self.source].flatten(2).transpose(1, 2)[:, :, None]

    def quantise(self, q: Quantising) -> list[QLayer]:
        q.maps[self.units] = FeatureMap(q.maps[self.units].shape, QParams(Format.INT8, 1.0))
        source = q.qparams(self.source)
        factor = min(source.scale / q.qparams(self.name).step, LARGEST_FACTOR)
        scale = fixed_point(factor, f"'{self.name}': the rescaling")
        return [QTurn(self.name, self.source, self.units, -source.zero, scale, *q.limits(self.name, False))]


@dataclass(frozen=True, eq=False)
class QTurn(Lowerable):
    """Channel n of pixel i: `V = clamp(rs((A + add) * multiplier, shift) + output zero, lo, hi)` of channel i of pixel
    n, then the output's encoder. units: an identity matrix, with which the array multiplies."""

    reads = ("source", "units")
    on_mxu = True

    source: str
    units: str
    add: int
    scale: Scale
    lo: int
    hi: int

    def run(self, maps: QMaps) -> Ints:
        codes = read(maps, self.source)
        turned = codes.reshape(-1, codes.shape[2]).T[None]
        return finish(maps, self.name, apply(turned + self.add, self.scale), self.lo, self.hi)

    def mode(self, layout: Layout) -> str:
        return "w8a8"

    def work(self, layout: Layout, config: ChipConfig) -> TurnWork:
        source, units, output = (layout.places[name] for name in (self.source, self.units, self.name))
        if source.qparams.format is not Format.INT8:
            raise CompileError(f"'{self.name}': only INT8 can be turned")
        if source.patch != (1, 1) or output.patch != (1, 1):
            raise CompileError(f"'{self.name}': sequences at positions of a patch can only pass through linear layers")
        if config.depth > IDENTITY or not np.array_equal(output.positions, np.arange(len(output.positions))):
            raise CompileError(f"'{self.name}': its result lies in cells with gaps; put a convolution between them")
        return TurnWork(self, source, units, output)

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        return microcode.program(
            {
                "src_a": SourceA.ACC, "addend": Addend.IMM, "imm_add": self.add,
                "mul": Multiply.IMM, "imm_m": self.scale.multiplier, "imm_s": self.scale.shift,
                "out_add": maps[self.name].qparams.zero,
                **microcode.store(maps, self.name, slots, self.lo, self.hi),
            }
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class TurnWork(Work):
    """The grid: pixels of the result, in a row. Rows of the identity times a word of all pixels, as attention
    multiplies queries by keys."""

    layer: QTurn
    source: Place
    units: Place
    output: Place

    @property
    def grid(self) -> Pair:
        return 1, self.output.storage.cols

    def pieces(self, tile: Tile) -> dict[PieceKey, Piece]:
        source, units = self.source.storage, self.units.storage
        return {
            PieceKey("in", 0): Piece(self.source, Rect(0, source.rows, 0, source.cols)),
            PieceKey("units", 0): Piece(self.units, Rect(0, 1, 0, units.cols)),
            PieceKey("out", 0): Piece(self.output, Rect(*tile)),
        }

    def emit(self, emitter: Emitter, tile: Tile, at_hand: AtHand) -> None:
        depth, cols = emitter.config.depth, emitter.config.cols
        program = self.layer.program(at_hand.maps, at_hand.slots)
        pixels = self.source.storage.rows * self.source.storage.cols
        first = tile.x0
        while first < tile.x1:
            position = int(self.source.positions[first])
            word = position // depth
            count = 1  # channels one behind the other in a word
            while (
                first + count < tile.x1
                and int(self.source.positions[first + count]) == position + count < (word + 1) * depth
            ):
                count += 1
            most = max(at_hand.cycles // (2 * count), 1) * cols
            for start in range(0, pixels, most):
                self._emit(emitter, at_hand, program, first, position, count, start, min(most, pixels - start))
            first += count

    def _emit(
        self, emitter: Emitter, at_hand: AtHand, program: Program, first: int, position: int, count: int, start: int,
        n: int,
    ) -> None:  # fmt: skip
        """Channels first..first + count - 1 of pixels start..start + n - 1."""
        depth, cell = emitter.config.depth, self.source.storage.cell
        source, units, out = (at_hand.views[PieceKey(role, 0)] for role in ("in", "units", "out"))
        weights = source.address(0, 0) + start * cell + position // depth * depth
        block = even_block(count, emitter.config.rows)
        picture = dict(in_h=1, in_w=count, out_h=1, out_w=count, block=block)
        matmul = dict(
            act_format=ActFormat.INT8, weight_format=WeightFormat.INT8, kernel_h=1, kernel_w=1, stride_y=1, stride_x=1,
            act=units.address(0, position % depth), act_pix=self.units.storage.cell, chunks=1, last_elems=depth, n=n,
            wgt=weights, wgt_n=emitter.config.cols * cell, wgt_t=depth, wgt_c=cell,
        )  # fmt: skip
        d = out.address(0, first) + self.output.element_bytes(start)
        vector = dict(h=1, w=count, block=block, n=n, d=d, d_pix=self.output.storage.cell)
        emitter.compute(program, picture | matmul, vector)

    def tilings(self, comfortable: bool) -> list[tuple[int, int, int]] | None:
        cols = self.grid[1]
        parts = [] if comfortable else [(1, -(-cols // (1 << k)), 1) for k in range(1, cols.bit_length() + 1)]
        return [(1, cols, 2), (1, cols, 1), *parts]


def turned(c: Capture, fmap: str) -> str:
    """The map whose pixels are the channels of another one."""
    name = f"{fmap}.turned"
    if name not in c.shapes:
        if UNITS not in c.shapes:
            c.shapes[UNITS] = Shape(1, IDENTITY, IDENTITY)
            c.constants[UNITS] = torch.eye(IDENTITY)[None, :, None]
        c.add(Turn(name, fmap, UNITS))
    return name


def shows(c: Capture, view: View) -> str | None:
    """The map [1,C,H,W] of a view each of whose pixels is one channel of the same pixels of its map."""
    if view.index.ndim != 4 or view.index.shape[0] != 1:
        return None
    _, count, height, width = view.index.shape
    channels, size = c.shapes[view.fmap].channels, len(c.shapes[view.fmap])
    rows = view.index[0].permute(1, 2, 0).reshape(-1, count)
    pixels, kept = rows[0] // channels, rows[:, 0] % channels
    if not torch.equal(rows, pixels * channels + kept[:, None]):
        return None
    source = view.fmap
    if not torch.equal(pixels, torch.arange(size)):
        source = gathered(c, numbered(c, f"{source}.pixels"), [source], torch.zeros_like(pixels), pixels, (1, count))
    made = turned(c, source)
    return gathered(c, numbered(c, f"{made}.pixels"), [made], torch.zeros_like(kept), kept, (height, width))


class _Turned(nn.Module):
    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 1)
        self.mix, self.out = nn.Linear(tokens, 9), nn.Linear(9, tokens)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z: Tensor = self.last(y + self.out(self.mix(y.flatten(2)).relu()).unflatten(2, x.shape[2:]))
        return z


def example(rng: random.Random) -> Example:
    """A linear layer over the pixels of each channel, as MLP-Mixer has it."""
    size = (rng.randint(1, 5), rng.randint(1, 5))
    return Example(_Turned(rng.choice([1, 7, 16, 33]), size[0] * size[1]), (3, *size))


OPERATION = Operation(
    title="Pixels as channels",
    forms="transposed tokens: linear layers over the sequence, attention over channels, wherever whole channels of the "
    "same pixels are needed as tokens",
    widths="INT8 into any",
    mapping="one MATMUL of rows of an identity matrix, a constant, and a word of all pixels as weights, as attention "
    "multiplies queries by keys; one microword that rescales",
    limits="not of sequences at positions of a patch; the map has to fit in the scratchpad",
    cost="2 cycles of the MXU for C pixels and one channel",
    example=example,
    floats=(Turn,),
    integers=(QTurn,),
    shows=shows,
)
