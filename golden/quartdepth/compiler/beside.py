"""Two taps of a kernel in one step.

A step takes a word. Where a map's channels fill half of one at most, each pixel's cell holds the next pixel's channels
too: a kernel of three columns then takes two steps a row instead of three. The VPU copies them, beside the products of
the layer that makes the map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Destination, Format, Multiply, SourceA
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.fold import Fold, Plain
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import Job, Walk
from triptych.golden.quartdepth.compiler.joined import Joined
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.pack import elements_per_step
from triptych.golden.quartdepth.compiler.places import round_up
from triptych.golden.quartdepth.compiler.relocate import reading
from triptych.golden.quartdepth.network.integers import QMaps
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import FeatureMap


@dataclass(frozen=True, eq=False)
class Neighbours(Lowerable):
    """Of each pixel of `source` the one to its right; the code of zero behind the last."""

    source: str

    def run(self, maps: QMaps) -> Ints:
        codes = maps.codes(self.source)
        return np.pad(codes[:, 1:], ((0, 0), (0, 1), (0, 0)), constant_values=maps.qparams(self.source).pad)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        source, output = layout.places[self.source], layout.places[self.name]
        rows, cols = output.storage.rows, output.storage.cols
        here, right, there = (Walk(p, (0, n), (1, 1), (rows, cols)) for p, n in ((source, 0), (source, 1), (output, 0)))
        last = Job(here, there, None, (rows, cols), first=(0, cols - 1))
        copies = [Job(replace(right, dims=(rows, cols - 1)), there, None, (rows, cols - 1))] if cols > 1 else []
        return JobWork(self, [last, *copies])

    def program_of(self, job: int, maps: FeatureMaps, slots: Slots) -> Program:
        """The last column, then codes as they are."""
        qparams = maps[self.name].qparams
        few = qparams.bits == 4
        fields: dict[str, int] = {
            "src_a": SourceA.SPAD,
            "fmt_a": Format.UINT4 if few else Format.INT8,
            "lo": 0 if few else -128,
            "hi": 15 if few else 127,
            "dst": Destination.NIBBLE if few else Destination.INT8,
        }
        return microcode.program(fields if job else {**fields, "mul": Multiply.IMM, "out_add": qparams.pad})


def with_neighbours(
    network: Network, layers: list[Lowerable], config: ChipConfig, apart: frozenset[str], fold: Fold | None
) -> tuple[Network, list[Lowerable]]:
    """The network whose convolutions read pairs of pixels where that takes fewer steps. apart: joined maps whose parts
    must start at whole words."""
    out: list[Lowerable] = []
    maps = dict(network.maps)
    for layer in layers:
        plain, name = layer.plain, layer.sources[0]
        pairs = f"{name}@pairs"
        if plain is not None and pairs not in apart and _fits(network, layers, layer, plain, config, fold):
            fmap, right = maps[name], Neighbours(f"{name}@right", name)
            maps[right.name] = fmap
            maps[pairs] = FeatureMap(replace(fmap.shape, channels=2 * fmap.shape.channels), fmap.qparams)
            out += [right, Joined(pairs, (name, right.name))]
            layer = reading(layer.as_plain(_paired(plain)), name, pairs)
        out.append(layer)
    return replace(network, maps=maps, layers=list(out)), out


def _fits(
    network: Network, layers: list[Lowerable], layer: Lowerable, plain: Plain, config: ChipConfig, fold: Fold | None
) -> bool:
    """The map is one that only this layer reads, and that nothing else wants to lie in some way."""
    name = layer.sources[0]
    fmap, kernel = network.maps[name], plain.weight.shape[3]
    taken: Mapping[str, int] = {n: 1 for other in layers for n in (*other.joins, *other.wishes(config), *other.aligned)}
    own = fold is None or layer.name != fold.layer
    made = any(other.name == name and not other.joins for other in layers)
    alone = network.readers(name) == [layer] and layer.sources.count(name) == 1 and name not in network.outputs
    few = 2 * round_up(fmap.shape.channels, config.cols) <= elements_per_step(fmap.qparams.format, config)
    taps = kernel > 2 and plain.stride[1] == 1 and plain.padding[1] <= kernel - 2
    return own and made and alone and few and taps and name not in taken and fmap.qparams.format is not Format.INT16


def _paired(plain: Plain) -> Plain:
    """Cell x holds pixels x and x + 1: all taps but the last are the first pixel's, the last is the other one's."""
    o, i, kh, kw = plain.weight.shape
    weight = np.zeros((o, 2 * i, kh, kw - 1), dtype=np.int8)
    weight[:, :i] = plain.weight[..., :-1]
    weight[:, i:, :, -1] = plain.weight[..., -1]
    return replace(plain, weight=weight)
