"""Pixels of one map or of several in another order: windows of attention and back, tokens joined with tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.emitter import Emitter
from triptych.golden.quartdepth.compiler.geometry import Piece, PieceKey, Rect, Tile
from triptych.golden.quartdepth.compiler.jobs import alike
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import CompileError, Place
from triptych.golden.quartdepth.compiler.work import AtHand, Pair, Work
from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.integers import QMaps, apply, read
from triptych.golden.quartdepth.network.layer import FloatLayer, Maps, Observe, QLayer, Quantising
from triptych.golden.quartdepth.network.operation import Declined, Example, Operation
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.requantise import rescaling
from triptych.golden.quartdepth.network.qparams import LARGEST_FACTOR, Scale, fixed_point
from triptych.golden.quartdepth.network.shapes import Shape


@dataclass(frozen=True, eq=False)
class Gather(FloatLayer):
    """Pixel i of the result, counted row by row, is pixel `pixel[i]` of map `parts[part[i]]`; a map of `grid`."""

    reads = ("parts",)

    parts: tuple[str, ...]
    part: Tensor  # [n]
    pixel: Tensor  # [n]
    grid: Pair

    def output_shape(self, shape: Shape) -> Shape:
        return Shape(*self.grid, shape.channels)

    def run(self, maps: Maps, observe: Observe) -> Tensor:
        sources = [maps[name].flatten(2) for name in self.parts]
        batch = max(len(s) for s in sources)
        starts = torch.tensor([0, *(s.shape[2] for s in sources[:-1])], device=self.pixel.device).cumsum(0)
        whole = torch.cat([s.expand(batch, -1, -1) for s in sources], 2)
        return whole[:, :, self.pixel + starts[self.part]].unflatten(2, self.grid)

    @property
    def copies(self) -> tuple[str, ...]:
        return self.parts

    @property
    def shares_gain(self) -> tuple[str, ...]:
        return self.parts

    @property
    def adds(self) -> bool:
        return len(self.parts) > 1

    def quantise(self, q: Quantising) -> list[QLayer]:
        out = q.qparams(self.name)
        scales, offsets = [], []
        for name in self.parts:
            source = q.qparams(name)
            factor = min(source.scale / out.step, LARGEST_FACTOR)
            scales.append(fixed_point(factor, f"'{self.name}': the rescaling"))
            offsets.append(-source.zero)
        multiplier = np.array([s.multiplier for s in scales], dtype=np.int16)
        shift, add = np.array([s.shift for s in scales], dtype=np.uint8), np.array(offsets, dtype=np.int32)
        part, pixel = (v.cpu().numpy().astype(np.int32) for v in (self.part, self.pixel))
        lo, hi = q.limits(self.name, False)
        return [QGather(self.name, self.parts, part, pixel, self.grid, add, multiplier, shift, lo, hi)]


@dataclass(frozen=True, eq=False)
class QGather(Lowerable):
    """Pixel i, counted row by row, is pixel `pixel[i]` of map p = `part[i]`:
    `V = clamp(rs((A + add[p]) * multiplier[p], shift[p]) + output zero, lo, hi)`, then the output's encoder."""

    alike = True

    reads = ("parts",)

    parts: tuple[str, ...]
    part: NDArray[np.int32]
    pixel: NDArray[np.int32]
    grid: Pair
    add: NDArray[np.int32]
    multiplier: NDArray[np.int16]
    shift: NDArray[np.uint8]
    lo: int
    hi: int

    def scale(self, part: int) -> Scale:
        """Of a part's codes."""
        return Scale(int(self.multiplier[part]), int(self.shift[part]))

    def run(self, maps: QMaps) -> Ints:
        qparams, rows = maps.qparams(self.name), []
        for part, name in enumerate(self.parts):
            codes = read(maps, name)
            y = apply(codes.reshape(-1, codes.shape[2]) + int(self.add[part]), self.scale(part))
            rows.append(np.clip(y + qparams.zero, self.lo, self.hi))
        starts = np.cumsum([0, *(len(r) for r in rows[:-1])])
        picked = np.concatenate(rows)[self.pixel + starts[self.part]]
        return qparams.store(picked.reshape(*self.grid, -1))

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> GatherWork:
        output = layout.places[self.name]
        sources = alike(self.name, layout, output, *self.parts)
        if output.patch != (1, 1):
            raise CompileError(f"'{self.name}': sequences at positions of a patch can only pass through linear layers")
        return GatherWork(self, output, sources)

    def programs(self, maps: FeatureMaps, slots: Slots) -> list[Program]:
        """One for each part."""
        return [
            microcode.program(
                rescaling(maps, slots, self.name, name, int(self.add[part]), self.scale(part), self.lo, self.hi)
            )
            for part, name in enumerate(self.parts)
        ]


class Rectangle(NamedTuple):
    """Output points first + i * over + j * by, i in [0, rows), j in [0, cols), which are input points (of one part)
    begin + i * down + j * right."""

    part: int
    first: int
    over: int
    by: int
    begin: int
    down: int
    right: int
    rows: int
    cols: int


def rectangles(part: Sequence[int], begin: Sequence[int], first: Sequence[int], most: int) -> Iterator[Rectangle]:
    """The points in order as few affine walks, of at most `most` points each. begin, first: places of input and output
    of each point; steps of them are never negative."""
    at, n = 0, len(part)

    def run(at: int, right: int, by: int, most: int) -> int:
        end = at + 1
        while (
            end < n and end - at < most and part[end] == part[at]
            and begin[end] - begin[end - 1] == right and first[end] - first[end - 1] == by
        ):  # fmt: skip
            end += 1
        return end - at

    while at < n:
        right = by = 0
        if at + 1 < n and part[at + 1] == part[at]:
            right, by = begin[at + 1] - begin[at], first[at + 1] - first[at]
        if right < 0 or by <= 0:
            right = by = 0
        cols = run(at, right, by, most) if by else 1
        rows, down, over, following = 1, 0, 0, at + cols
        while following + cols <= n and (rows + 1) * cols <= most and part[following] == part[at]:
            steps = begin[following] - begin[following - cols], first[following] - first[following - cols]
            same = cols == 1 or run(following, right, by, cols) == cols
            if min(steps) < 0 or not same or (rows > 1 and steps != (down, over)):
                break
            (down, over), rows, following = steps, rows + 1, following + cols
        yield Rectangle(part[at], first[at], over, by, begin[at], down, right, rows, cols)
        at += rows * cols


@dataclass(frozen=True, eq=False)
class GatherWork(Work):
    """The grid: pixels of the result."""

    layer: QGather
    output: Place
    sources: list[Place]

    @property
    def grid(self) -> Pair:
        return self.layer.grid

    def _points(self, tile: Tile) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Part and pixel of a tile's points."""
        window = np.s_[tile.y0 : tile.y1, tile.x0 : tile.x1]
        part, pixel = (v.reshape(self.layer.grid)[window] for v in (self.layer.part, self.layer.pixel))
        return part, pixel

    def pieces(self, tile: Tile) -> dict[PieceKey, Piece]:
        part, pixel = self._points(tile)
        out = {PieceKey("out", 0): Piece(self.output, Rect(*tile))}
        for number in np.unique(part).tolist():
            place = self.sources[number]
            row, col = np.divmod(pixel[part == number], place.storage.cols)
            rect = Rect(int(row.min()), int(row.max()) + 1, int(col.min()), int(col.max()) + 1)
            out[PieceKey("in", number)] = Piece(place, rect)
        return out

    def emit(self, emitter: Emitter, tile: Tile, at_hand: AtHand) -> None:
        part, pixel = self._points(tile)
        programs = self.layer.programs(at_hand.maps, at_hand.slots)
        row, col = np.mgrid[tile.y0 : tile.y1, tile.x0 : tile.x1]
        view = at_hand.views[PieceKey("out", 0)]
        first = (view.base + (row - view.r0) * view.pitch + (col - view.c0) * view.cell).ravel().tolist()
        begin = np.zeros(part.shape, dtype=np.int64)
        for number in np.unique(part).tolist():
            view, of = at_hand.views[PieceKey("in", number)], part == number
            row, col = np.divmod(pixel[of], self.sources[number].storage.cols)
            begin[of] = view.base + (row - view.r0) * view.pitch + (col - view.c0) * view.cell
        n = self.output.elements
        most = max(at_hand.cycles // -(-n // emitter.config.cols), 1)
        for r in rectangles(part.ravel().tolist(), begin.ravel().tolist(), first, most):
            emitter.compute(
                programs[r.part], None,
                dict(
                    h=r.rows, w=r.cols, n=n, block=emitter.config.rows,
                    a=r.begin, a_row=r.down, a_pix=r.right, d=r.first, d_row=r.over, d_pix=r.by,
                ),
            )  # fmt: skip


def gathered(c: Capture, name: str, parts: Sequence[str], part: Tensor, pixel: Tensor, grid: Pair) -> str:
    """The map of these pixels; the only part itself if they are its own in order."""
    shape = c.shapes[parts[0]]
    if len(parts) == 1 and grid == (shape.height, shape.width) and torch.equal(pixel, torch.arange(len(shape))):
        return parts[0]
    return c.add(Gather(name, tuple(parts), part, pixel, grid)).fmap


def shows(c: Capture, view: View) -> str | None:
    """The map [1,C,H,W] of a view whose pixels are pixels of its map in any order, with all or some channels."""
    if view.index.ndim != 4 or view.index.shape[0] != 1:
        return None
    _, count, height, width = view.index.shape
    rows, channels, source = view.index[0].permute(1, 2, 0).reshape(-1, count), c.shapes[view.fmap].channels, view.fmap
    pixels, kept = rows[:, 0] // channels, rows[0] % channels
    if not torch.equal(rows, pixels[:, None] * channels + kept):
        return None
    if not torch.equal(kept, torch.arange(channels)):
        source = c.add(selected(numbered(c, f"{source}.channels"), source, kept, channels)).fmap
    return gathered(c, numbered(c, f"{view.fmap}.pixels"), [source], torch.zeros_like(pixels), pixels, (height, width))


def selected(name: str, source: str, kept: Tensor, channels: int) -> Conv2d:
    """A linear layer that makes some of so many channels."""
    weight = torch.zeros(len(kept), channels, 1, 1)
    weight[torch.arange(len(kept)), kept] = 1.0
    return Conv2d(name, source, weight, torch.zeros(len(kept)))


def numbered(c: Capture, name: str) -> str:
    """A name of which there may be others already."""
    return f"{name}{sum(n.startswith(name) for n in c.shapes)}"


def joined(c: Capture, name: str, values: Sequence[View | Tensor], axis: int) -> View:
    """Concatenation of tensors that show whole pixels, with constants among them: a map one row high of all pixels in
    order of appearance."""
    if axis == next(v.index.ndim for v in values if isinstance(v, View)) - 1:
        raise Declined("maps can be concatenated along channels where they show the same pixels")
    parts: list[str] = []
    ids: list[Tensor] = []  # part and index as one number
    shape = next(v.index.shape for v in values if isinstance(v, View))
    values = [v for v in values if isinstance(v, View) or v.numel()]  # no register tokens
    values = [_complete(c, f"{name}.channels{n}", v) if isinstance(v, View) else v for n, v in enumerate(values)]
    channels = next(c.shapes[v.fmap].channels for v in values if isinstance(v, View))
    values = [v for v in values if (v if isinstance(v, Tensor) else v.index).numel()]
    for number, value in enumerate(values):
        if isinstance(value, Tensor):
            if value.shape[-1] % channels or value.ndim != len(shape) or value.dtype.is_floating_point is False:
                raise Declined("a constant that is joined with tokens must have their channels")
            fmap = f"{name}.constant{number}"
            c.shapes[fmap] = Shape(1, value.numel() // channels, channels)
            c.constants[fmap] = value.float().reshape(1, 1, -1, channels).permute(0, 3, 1, 2).contiguous()
            index = torch.arange(value.numel()).reshape(value.shape)
        else:
            fmap, index = value.fmap, value.index
        if c.shapes[fmap].channels != channels:
            raise Declined("pixels of one number of channels can be joined")
        if fmap not in parts:
            parts.append(fmap)
        ids.append(index + (parts.index(fmap) << 40))
    whole = torch.cat(ids, axis)
    part, index = whole >> 40, whole & ((1 << 40) - 1)
    pixel = (part << 40) + index // channels
    order, inverse = _in_order(pixel.flatten())
    element = (inverse * channels).reshape(whole.shape) + index % channels
    if torch.unique(element).numel() != len(order) * channels:
        raise Declined("pixels can be joined with all their channels")
    made = gathered(c, name, parts, order >> 40, order & ((1 << 40) - 1), (1, len(order)))
    return View(made, element)


def whole_pixels(c: Capture, view: View) -> bool:
    """Its last axis is all channels of a pixel."""
    channels = c.shapes[view.fmap].channels
    wanted = view.index[..., :1] // channels * channels + torch.arange(channels)
    return channels > 1 and wanted.shape == view.index.shape and torch.equal(wanted, view.index)


def trimmed(c: Capture, name: str, view: View) -> View:
    """The view, of a map that has its elements and no others, each once; they must be the same channels of some pixels.
    Raises GraphError."""
    view = _complete(c, f"{name}.channels", view)
    shape = c.shapes[view.fmap]
    if torch.equal(view.index.flatten().sort().values, torch.arange(len(shape) * shape.channels)):
        return view
    made = joined(c, f"{name}.pixels", [View(view.fmap, view.index[None])], 0)
    return View(made.fmap, made.index[0])


def _complete(c: Capture, name: str, view: View) -> View:
    """The view, of a map that has no other channels."""
    channels = c.shapes[view.fmap].channels
    kept, rank = torch.unique(view.index % channels, return_inverse=True)
    if len(kept) == channels:
        return view
    source = c.add(selected(name, view.fmap, kept, channels)).fmap
    return View(source, view.index // channels * len(kept) + rank)


def _in_order(values: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct values by their first appearance, and the place of each value among them."""
    unique, inverse = torch.unique(values, return_inverse=True)
    first = torch.full((len(unique),), len(values)).scatter_reduce(0, inverse, torch.arange(len(values)), "amin")
    order = first.argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    return unique[order], rank[inverse]


class _Ordered(nn.Module):
    def __init__(self, kind: int, channels: int, window: int) -> None:
        super().__init__()
        self.kind, self.window = kind, window
        self.first, self.last = nn.Conv2d(3, channels, 1), nn.Linear(channels, 4)
        self.inner, self.within = nn.Linear(channels, channels), nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))
        self.token = nn.Parameter(torch.randn(1, 2, channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x).permute(0, 2, 3, 1)
        _, h, w, c = y.shape
        n = self.window
        if self.kind == 0:  # windows of rolled pixels, and back
            t = y.roll((-1, -1), (1, 2)).reshape(h // n, n, w // n, n, c).transpose(1, 2).reshape(1, -1, n * n, c)
            t = self.within(t.permute(0, 3, 1, 2)).relu().permute(0, 2, 3, 1)
            y = y + t.reshape(h // n, w // n, n, n, c).transpose(1, 2).reshape(1, h, w, c).roll((1, 1), (1, 2))
        elif self.kind == 1:  # tokens before and behind, some of them dropped
            t = torch.cat([self.token, y.flatten(1, 2), self.token[:, :1]], 1)
            y = self.inner(t)[:, 2:-1].unflatten(1, (h, w)).relu()
        elif self.kind == 2:  # turned
            y = self.inner(y).transpose(1, 2)
        else:  # pixels of two maps
            t = torch.cat([y.flatten(1, 2), self.inner(y).relu().flatten(1, 2)], 1)
            y = t.flip(1)[:, : h * w].unflatten(1, (h, w))
        z: Tensor = self.last(y).permute(0, 3, 1, 2)
        return z


def example(rng: random.Random) -> Example:
    """Windows, tokens among pixels, a turned map."""
    window, kind = rng.choice([1, 2, 3]), rng.randrange(4)
    least = 1 if kind == 2 and window == 1 else 0
    shape = (3, window * rng.randint(1 + least, 3), window * rng.randint(1 + least, 3))
    return Example(_Ordered(kind, rng.choice([3, 8, 17]), window), shape)


OPERATION = Operation(
    title="Pixels in another order",
    forms="windows of a map, shifted ones and back; `cat` of tokens with tokens and constants (class and register "
    "tokens) along the sequence; any choice of whole pixels where a map or all tokens of one are needed",
    widths="INT8, UINT4 or TABLE4 into any; the code of its operand where that has no other reader",
    mapping="a VECTOR of one microword for each affine walk over pixels of both maps, a window or a run of tokens",
    limits="whole pixels: all channels of one; not of sequences at positions of a patch",
    cost="ceil(channels / C) cycles of the VPU a pixel, and an instruction a walk",
    example=example,
    floats=(Gather,),
    integers=(QGather,),
    shows=shows,
)
