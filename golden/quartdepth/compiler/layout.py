"""Decides where maps lie: storages of rows and cells, and the place of every map in one.

Joined maps share the cells of one storage, so that concatenation moves nothing. What attention reads and makes lies
sequence by sequence.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.beside import with_neighbours
from triptych.golden.quartdepth.compiler.fold import Fold, Plain, best_fold
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable, Wish
from triptych.golden.quartdepth.compiler.places import CompileError, InputWindows, Place, Storage, round_up
from triptych.golden.quartdepth.compiler.relocate import with_copies
from triptych.golden.quartdepth.network.layer import QLayer
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import FeatureMap, QParams
from triptych.golden.quartdepth.network.shapes import Shape

Pair = tuple[int, int]


def with_input_windows(
    network: Network, layers: list[Lowerable], config: ChipConfig
) -> tuple[Network, list[Lowerable], InputWindows | None]:
    """The network whose first convolution reads windows, where that takes fewer steps and no more memory."""
    readers = [layer for layer in layers if network.input in layer.sources]
    first = readers[0] if len(readers) == 1 else None
    plain = None if first is None else first.plain
    fmap = network.maps[network.input]
    if first is None or plain is None or fmap.qparams.format is not Format.INT8 or network.input in network.outputs:
        return network, layers, None
    out, channels, kernel_h, kernel_w = plain.weight.shape
    shape, size = fmap.shape, network.maps[first.name].shape
    words = [-(-n // config.depth) for n in (channels, kernel_w * channels, kernel_h * kernel_w * channels)]
    # steps of a column tile, words of memory: pixels, rows of windows, windows
    choices = [
        (kernel_h * kernel_w * words[0], len(shape) * words[0]),
        (kernel_h * words[1], shape.height * size.width * words[1]),
        (words[2], len(size) * words[2]),
    ]
    best = min((c for c in choices if c[1] <= choices[0][1]), key=lambda c: c[0])
    if best == choices[0]:
        return network, layers, None
    weight = plain.weight.transpose(0, 2, 3, 1)
    if best == choices[2]:
        kernel, stride, padding, rows = (kernel_h, kernel_w), plain.stride, plain.padding, size.height
        taken = Plain(weight.reshape(out, -1, 1, 1), (1, 1), (0, 0))
    else:
        kernel, rows = (1, kernel_w), shape.height
        stride, padding = (1, plain.stride[1]), (0, plain.padding[1])
        weight = weight.reshape(out, kernel_h, kernel_w * channels, 1).transpose(0, 2, 1, 3)
        taken = Plain(weight, (plain.stride[0], 1), (plain.padding[0], 0))
    windows = InputWindows(kernel, stride, padding, (rows, size.width))
    wide = Shape(rows, size.width, kernel[0] * kernel[1] * channels)
    layers = [layer.as_plain(taken) if layer is first else layer for layer in layers]
    maps = {**network.maps, network.input: FeatureMap(wide, fmap.qparams)}
    return replace(network, maps=maps, layers=layers), layers, windows


def find_fold(network: Network, layers: list[Lowerable], config: ChipConfig, dense: bool) -> Fold | None:
    """The fold of the layer that makes the output, if that saves steps. dense: pixels of its input may share words."""
    made = {layer.name: layer for layer in layers}
    last = made[network.output]
    plain, maker = last.plain, made.get(last.sources[0])
    if plain is None or len(last.sources) > 1 or network.readers(network.output) or maker is None or not maker.packs:
        return None
    if len(network.readers(maker.name)) > 1 or maker.name in network.outputs:
        return None
    return best_fold(last.name, maker.name, plain, network.maps, config, dense)


def lay_out(network: Network, config: ChipConfig, apart: frozenset[str], dense: bool, folding: bool) -> Layout:
    """Places for all maps. `apart`: joined maps whose parts must start at whole words, as the copy engines
    move them. `dense`: pixels may share a word. `folding`: the last convolution may fold. Raises CompileError where a
    layer cannot read or write what another one lays out."""
    layers = [_lowerable(layer).fitted() for layer in network.layers]
    network, layers, windows = with_input_windows(replace(network, layers=layers), layers, config)
    fold = find_fold(network, layers, config, dense) if folding else None
    network, layers = with_neighbours(network, layers, config, apart, fold)
    wishes: dict[str, Wish] = {}
    while True:
        places = _Layouter(network, layers, config, apart, fold, wishes).run()
        network, layers, more = with_copies(network, layers, places, fold)
        if not more:
            return Layout(network, layers, places, windows, fold)
        wishes |= more


def _lowerable(layer: QLayer) -> Lowerable:
    if not isinstance(layer, Lowerable):
        raise CompileError(f"'{layer.name}': {type(layer).__name__} has no lowering")
    return layer


class _Layouter:
    def __init__(
        self, network: Network, layers: list[Lowerable], config: ChipConfig, apart: frozenset[str], fold: Fold | None,
        wishes: dict[str, Wish],
    ) -> None:  # fmt: skip
        self.network, self.layers, self.config, self.apart, self.fold = network, layers, config, apart, fold
        self.places: dict[str, Place] = {}
        self.wanted = dict(wishes)
        self.joined = {layer.name: layer for layer in layers if layer.joins}
        self.parts = {part: layer for layer in self.joined.values() for part in layer.joins}

    def run(self) -> dict[str, Place]:
        for layer in self.layers:
            for name, wish in layer.wishes(self.config).items():
                rows = self.network.maps[name].shape.height
                self.wanted[name] = replace(wish, patch=(1, 1)) if wish.patch == (rows, 1) else wish
        self._align()
        for name in self.network.maps:
            self._place(name)
        return self.places

    def _align(self) -> None:
        """What meets the result of a concatenation, or what attention reads or makes, element by element lies in cells
        with its gaps."""
        groups: dict[str, list[str]] = {}
        for layer in self.layers:
            found = [groups.setdefault(n, [n]) for n in layer.aligned]
            union = list(dict.fromkeys(n for group in found for n in group))
            groups.update(dict.fromkeys(union, union))
        for name in list(self.wanted):
            wish = self.wanted[name]
            for other in groups.get(name, []) if wish.patch == (1, 1) else []:
                if other not in self.parts and other not in self.joined:
                    self.wanted.setdefault(other, wish)
        for name, join in self.joined.items():
            positions, _ = self._join_positions(join)
            gaps = len(positions) != int(positions[-1]) + 1
            for other in groups.get(name, []) if gaps else []:
                if other not in self.wanted and other not in self.parts and other not in self.joined:
                    self.wanted[other] = Wish(positions)

    def _place(self, name: str) -> None:
        if name in self.places:
            return
        fmap = self.network.maps[name]
        joined = self.parts.get(name) or self.joined.get(name)
        if joined is not None:
            self._join(joined)
        elif self.fold is not None and name in (self.fold.layer, self.fold.source):
            self.places[name] = self._folded(name, fmap, self.fold)
        else:
            self.places[name] = self._alone(name, fmap, self.wanted.get(name) or Wish(np.arange(fmap.shape.channels)))

    def _alone(self, name: str, fmap: FeatureMap, wish: Wish) -> Place:
        px, shape = wish.patch[1], fmap.shape
        span = max(int(wish.positions[-1]) + 1, wish.elements) * fmap.qparams.bits
        cell = round_up(-(-span // 8), self._unit(fmap.qparams))
        storage = Storage(name, shape.height * px, shape.width // px, cell)
        return Place(name, storage, fmap.qparams, wish.positions, 0, cell, wish.patch, clear=wish.elements > 0)

    def _unit(self, qparams: QParams) -> int:
        """Bytes that cells are a multiple of: a word, and a group of lanes, which the chip writes whole into INT16."""
        return max(2 * self.config.cols if qparams.format is Format.INT16 else 0, self.config.depth)

    def _folded(self, name: str, fmap: FeatureMap, fold: Fold) -> Place:
        """The last map, several pixels a cell, or the one before it, maybe several pixels a word."""
        shape, bits = fmap.shape, fmap.qparams.bits
        if name == fold.source:
            cell, count = fold.pitch * bits // 8, 1
        else:
            count = fold.count
            granule = max(self.config.cols * bits // 8, self.config.depth)
            cell = round_up(count * shape.channels * bits // 8, granule)
        storage = Storage(name, shape.height, shape.width // count, cell)
        positions = np.arange(count * shape.channels)
        return Place(name, storage, fmap.qparams, positions, 0, cell, (1, 1), fold=count)

    def _join(self, join: Lowerable) -> None:
        fmap = self.network.maps[join.name]
        bits = fmap.qparams.bits
        positions, starts = self._join_positions(join)
        start = starts.pop()
        cell = round_up(start * bits // 8, self._unit(fmap.qparams))
        storage = Storage(join.name, fmap.shape.height, fmap.shape.width, cell)
        self.places[join.name] = Place(join.name, storage, fmap.qparams, positions, 0, cell, (1, 1))
        ends = [*starts[1:], cell * 8 // bits]
        for part, first, end in zip(join.joins, starts, ends, strict=True):
            offset, span = first * bits // 8, (end - first) * bits // 8
            if part in self.places:
                raise CompileError(f"'{part}' is a part of two joined maps")
            self.places[part] = Place(part, storage, fmap.qparams, self._part_positions(part), offset, span, (1, 1))

    def _join_positions(self, join: Lowerable) -> tuple[NDArray[np.int64], list[int]]:
        """Elements of all channels, and first elements of all parts and of what lies behind them."""
        bits = self.network.maps[join.name].qparams.bits
        # whole groups of lanes, whole words where the copy engines move parts
        unit = max(self.config.cols, self.config.depth * 8 // bits if join.name in self.apart else 0)
        start = 0
        starts: list[int] = []
        positions: list[NDArray[np.int64]] = []
        for part in join.joins:
            own = self._part_positions(part)
            starts.append(start)
            positions.append(start + own)
            start += round_up(int(own[-1]) + 1, unit)
        return np.concatenate(positions), [*starts, start]

    def _part_positions(self, part: str) -> NDArray[np.int64]:
        """Elements of a part's channels from where it starts; attention leaves gaps between its heads."""
        wish = self.wanted.get(part)
        if wish is None or wish.elements:
            return np.arange(self.network.maps[part].shape.channels)
        if wish.patch != (1, 1):
            raise CompileError(f"'{part}': sequences of attention can only pass through linear layers")
        return wish.positions
