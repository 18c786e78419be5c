"""Where pictures lie: storages of rows and cells, and the place of every picture in one.

A cell is what one pixel takes, a multiple of a scratchpad word. Joined pictures share the cells of one storage, so that
concatenation moves nothing. What attention reads and makes lies sequence by sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Format, WeightFormat
from triptych.golden.quartdepth.compiler.fold import Fold, find_fold
from triptych.golden.quartdepth.compiler.pack import weight_format
from triptych.golden.quartdepth.network.layers import Shape
from triptych.golden.quartdepth.network.network import Attend, Code, Convolution, Join, Layer, Network, Picture


class CompileError(ValueError):
    """The network cannot be compiled for this chip; the message names the layer and what to change."""


def round_up(value: int, multiple: int) -> int:
    """The next multiple at or above `value`."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Storage:
    """`rows` x `cols` cells of `cell` bytes, without gaps."""

    name: str
    rows: int
    cols: int
    cell: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.rows * self.cols * self.cell


@dataclass(frozen=True, eq=False)
class Place:
    """A picture within a storage.

    offset: bytes from the start of a cell. span: bytes from there that belong to the picture alone. positions:
    element (of the code's width) of each channel, from `offset`. patch: (1, 1), or the patch whose positions are
    sequences: row s*(h/py) + a, column b of the storage is then pixel (py a + p, px b + q), with s = px p + q.
    clear: what lies between channels must be zero (keys: the other heads of a word of queries meet it). fold: pixels
    that share a cell, in a row; positions then go through the channels of one after the other.
    """

    picture: str
    storage: Storage
    code: Code
    positions: NDArray[np.int64]
    offset: int
    span: int
    patch: tuple[int, int]
    clear: bool = False
    fold: int = 1

    @property
    def elements(self) -> int:
        """Elements from the first to the last channel."""
        return int(self.positions[-1]) + 1

    def element_bytes(self, elements: int) -> int:
        """Bytes of so many elements (an even number of 4-bit ones)."""
        return elements * self.code.bits // 8


@dataclass(frozen=True, eq=False)
class Layout:
    """The network that is compiled, and the place of each of its pictures."""

    network: Network
    places: dict[str, Place]
    windows: InputWindows | None
    fold: Fold | None

    @property
    def storages(self) -> dict[str, Storage]:
        """By name."""
        return {p.storage.name: p.storage for p in self.places.values()}


@dataclass(frozen=True)
class InputWindows:
    """The input is laid out as the windows that its first convolution reads.

    An image has so few channels that its own pixels would leave most of a word empty. So whoever puts the image into
    memory puts windows there: channel `(ky * kernel[1] + kx) * channels + c` of pixel (y, x) is channel c of image
    pixel (y * stride[0] + ky - padding[0], x * stride[1] + kx - padding[1]), or the code of zero outside.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    size: tuple[int, int]  # rows and columns of windows

    def arrange(self, codes: NDArray[np.int64], pad: int) -> NDArray[np.int64]:
        """[h, w, c] -> [rows, columns, kernel[0] * kernel[1] * c]."""
        reach = [(n - 1) * s + k for n, s, k in zip(self.size, self.stride, self.kernel, strict=True)]
        after = [max(0, r - p - n) for r, p, n in zip(reach, self.padding, codes.shape, strict=False)]
        edges = [(p, a) for p, a in zip(self.padding, after, strict=True)]
        padded = np.pad(codes, (*edges, (0, 0)), constant_values=pad)
        taps = []
        for ky in range(self.kernel[0]):
            for kx in range(self.kernel[1]):
                rows = slice(ky, ky + (self.size[0] - 1) * self.stride[0] + 1, self.stride[0])
                cols = slice(kx, kx + (self.size[1] - 1) * self.stride[1] + 1, self.stride[1])
                taps.append(padded[rows, cols])
        return np.concatenate(taps, axis=2)


def with_input_windows(network: Network, config: ChipConfig) -> tuple[Network, InputWindows | None]:
    """The network whose first convolution reads windows, where that takes fewer steps and no more memory."""
    readers = network.readers(network.input)
    first = readers[0] if len(readers) == 1 else None
    picture = network.pictures[network.input]
    if not isinstance(first, Convolution) or first.depthwise or first.transposed or first.residual is not None:
        return network, None
    if first.regrid is not None:
        return network, None
    if picture.code.format is not Format.INT8 or network.input == network.output:
        return network, None
    out, channels, kernel_h, kernel_w = first.weight.shape
    shape, size = picture.shape, network.pictures[first.name].shape
    words = [-(-n // config.depth) for n in (channels, kernel_w * channels, kernel_h * kernel_w * channels)]
    # steps of a column tile, words of memory: pixels, rows of windows, windows
    choices = [
        (kernel_h * kernel_w * words[0], len(shape) * words[0]),
        (kernel_h * words[1], shape.height * size.width * words[1]),
        (words[2], len(size) * words[2]),
    ]
    best = min((c for c in choices if c[1] <= choices[0][1]), key=lambda c: c[0])
    if best == choices[0]:
        return network, None
    weight = first.weight.transpose(0, 2, 3, 1)
    if best == choices[2]:
        kernel, stride, padding, rows = (kernel_h, kernel_w), first.stride, first.padding, size.height
        layer = replace(first, weight=weight.reshape(out, -1, 1, 1), stride=(1, 1), padding=(0, 0))
    else:
        kernel, rows = (1, kernel_w), shape.height
        stride, padding = (1, first.stride[1]), (0, first.padding[1])
        weight = weight.reshape(out, kernel_h, kernel_w * channels, 1).transpose(0, 2, 1, 3)
        layer = replace(first, weight=weight, stride=(first.stride[0], 1), padding=(first.padding[0], 0))
    windows = InputWindows(kernel, stride, padding, (rows, size.width))
    wide = Shape(rows, size.width, kernel[0] * kernel[1] * channels)
    layers: list[Layer] = [layer if other is first else other for other in network.layers]
    pictures = {**network.pictures, network.input: Picture(wide, picture.code)}
    return replace(network, pictures=pictures, layers=layers), windows


def with_dense_depthwise(network: Network) -> Network:
    """The network whose depthwise convolutions with int8 weights are dense, zero off the diagonal: the array's
    depthwise mode takes int4 weights alone."""

    def dense(layer: Layer) -> Layer:
        if not isinstance(layer, Convolution) or not layer.depthwise:
            return layer
        if weight_format(layer.weight) is WeightFormat.INT4:
            return layer
        channels = np.arange(len(layer.weight))
        weight = np.zeros((len(channels), *layer.weight.shape[:1], *layer.weight.shape[2:]), dtype=np.int8)
        weight[channels, channels] = layer.weight[:, 0]
        return replace(layer, weight=weight, depthwise=False)

    return replace(network, layers=[dense(layer) for layer in network.layers])


def lay_out(network: Network, config: ChipConfig, apart: frozenset[str], dense: bool, folding: bool) -> Layout:
    """Places for all pictures. `apart`: joined pictures whose parts must start at whole words, as the copy engines
    move them. `dense`: pixels may share a word. `folding`: the last convolution may fold. Raises CompileError where a
    layer cannot read or write what another one lays out."""
    network, windows = with_input_windows(with_dense_depthwise(network), config)
    fold = find_fold(network, config, dense) if folding else None
    return Layout(network, _Layouter(network, config, apart, fold).run(), windows, fold)


class _Layouter:
    def __init__(self, network: Network, config: ChipConfig, apart: frozenset[str], fold: Fold | None) -> None:
        self.network, self.config, self.apart, self.fold = network, config, apart, fold
        self.places: dict[str, Place] = {}
        self.parts: dict[str, Join] = {}
        for layer in network.layers:
            if isinstance(layer, Join):
                self.parts.update(dict.fromkeys(layer.parts, layer))

    def run(self) -> dict[str, Place]:
        wanted: dict[str, tuple[NDArray[np.int64], tuple[int, int], int]] = {}
        for layer in self.network.layers:
            if isinstance(layer, Attend):
                wanted.update(self._attention(layer))
        for name in self.network.pictures:
            self._place(name, wanted)
        return self.places

    def _attention(self, layer: Attend) -> dict[str, tuple[NDArray[np.int64], tuple[int, int], int]]:
        depth, cols, dim = self.config.depth, self.config.cols, layer.head_dim
        channel = np.arange(layer.heads * dim)
        head, within = channel // dim, channel % dim
        first_word = head * dim // depth
        words = int(((head * dim + dim - 1) // depth - first_word).max()) + 1
        keys = head * words * depth + head * dim - first_word * depth + within
        slots = head * round_up(dim, cols) + within
        return {
            layer.query: (channel, layer.patch, 0),
            layer.key: (keys, layer.patch, layer.heads * words * depth),
            layer.value: (slots, layer.patch, 0),
            layer.name: (slots, layer.patch, 0),
        }

    def _place(self, name: str, wanted: dict[str, tuple[NDArray[np.int64], tuple[int, int], int]]) -> None:
        if name in self.places:
            return
        picture = self.network.pictures[name]
        if name in self.parts:
            self._join(self.parts[name])
            return
        made_by = {layer.name: layer for layer in self.network.layers}.get(name)
        if isinstance(made_by, Join):
            self._join(made_by)
            return
        if self.fold is not None and name in (self.fold.layer, self.fold.source):
            self.places[name] = self._folded(name, picture, self.fold)
            return
        positions, patch, at_least = wanted.get(name, (np.arange(picture.shape.channels), (1, 1), 0))
        place = self._alone(name, picture, positions, patch, at_least)
        self.places[name] = replace(place, clear=at_least > 0)

    def _alone(
        self, name: str, picture: Picture, positions: NDArray[np.int64], patch: tuple[int, int], at_least: int
    ) -> Place:
        px, shape = patch[1], picture.shape
        span = max((int(positions[-1]) + 1) * picture.code.bits, at_least * 8)
        cell = round_up(-(-span // 8), self._unit(picture.code))
        storage = Storage(name, shape.height * px, shape.width // px, cell)
        return Place(name, storage, picture.code, positions, 0, cell, patch)

    def _unit(self, code: Code) -> int:
        """Bytes that cells are a multiple of: a word, and a group of lanes, which the chip writes whole into INT16."""
        return max(2 * self.config.cols if code.format is Format.INT16 else 0, self.config.depth)

    def _folded(self, name: str, picture: Picture, fold: Fold) -> Place:
        """The last picture, several pixels a cell, or the one before it, maybe several pixels a word."""
        shape, bits = picture.shape, picture.code.bits
        if name == fold.source:
            cell, count = fold.pitch * bits // 8, 1
        else:
            count = fold.count
            granule = max(self.config.cols * bits // 8, self.config.depth)
            cell = round_up(count * shape.channels * bits // 8, granule)
        storage = Storage(name, shape.height, shape.width // count, cell)
        positions = np.arange(count * shape.channels)
        return Place(name, storage, picture.code, positions, 0, cell, (1, 1), fold=count)

    def _join(self, join: Join) -> None:
        picture = self.network.pictures[join.name]
        bits = picture.code.bits
        # whole groups of lanes, whole words where the copy engines move parts
        unit = max(self.config.cols, self.config.depth * 8 // bits if join.name in self.apart else 0)
        start = 0
        starts: list[int] = []
        positions: list[NDArray[np.int64]] = []
        for part in join.parts:
            count = self.network.pictures[part].shape.channels
            starts.append(start)
            positions.append(start + np.arange(count))
            start += round_up(count, unit)
        cell = round_up(start * bits // 8, self._unit(picture.code))
        storage = Storage(join.name, picture.shape.height, picture.shape.width, cell)
        self.places[join.name] = Place(join.name, storage, picture.code, np.concatenate(positions), 0, cell, (1, 1))
        ends = [*starts[1:], cell * 8 // bits]
        for part, first, end in zip(join.parts, starts, ends, strict=True):
            channels = np.arange(self.network.pictures[part].shape.channels)
            offset, span = first * bits // 8, (end - first) * bits // 8
            if part in self.places:
                raise CompileError(f"'{part}' is a part of two joined pictures")
            self.places[part] = Place(part, storage, picture.code, channels, offset, span, (1, 1))
