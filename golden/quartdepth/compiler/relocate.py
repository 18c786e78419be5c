"""Copies of maps that one of their readers needs in other elements of the cells than they lie in: exact to the code.

What meets element by element has to lie alike. Where a map cannot lie so, for one because it is part of a concatenation
whose parts leave gaps, the array moves its channels: a 1x1 convolution whose weights are ones and zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Addend, Format, Multiply, SourceA, WeightFormat
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.fold import Fold
from triptych.golden.quartdepth.compiler.job_work import JobWork
from triptych.golden.quartdepth.compiler.jobs import Job, Walk, Weights, expand, folded_bias, spread
from triptych.golden.quartdepth.compiler.lowering import Factors, Layout, Lowerable, Wish
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import CompileError, Place
from triptych.golden.quartdepth.network.integers import QMaps
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import Residual

ONE = (1 << 14, 14)  # multiplier and shift


@dataclass(frozen=True, eq=False)
class Copy(Lowerable):
    """The codes of `source`, of so many channels."""

    on_mxu = True

    source: str
    channels: int

    def run(self, maps: QMaps) -> Ints:
        return maps.codes(self.source)

    def mode(self, layout: Layout) -> str:
        return "w4a8" if layout.places[self.source].qparams.format is Format.INT8 else "w4a4"

    @property
    def factors(self) -> Factors:
        multiplier, shift = ONE
        return Factors(np.full(self.channels, multiplier, np.int16), np.full(self.channels, shift, np.uint8))

    def work(self, layout: Layout, config: ChipConfig) -> JobWork:
        source, output = layout.places[self.source], layout.places[self.name]
        grid = (output.storage.rows, output.storage.cols)
        eye = np.eye(self.channels, dtype=np.int8)[:, :, None, None]
        bias = folded_bias(np.zeros(self.channels, dtype=np.int32), source, eye, (1, 2, 3))
        here, there = (Walk(place, (0, 0), (1, 1), grid) for place in (source, output))
        weights = Weights(expand(eye, source, output), WeightFormat.INT4)
        return JobWork(self, [Job(here, there, None, grid, weights=weights, bias=spread(bias, output))])

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        word: dict[str, int] = {"src_a": SourceA.ACC, "addend": Addend.BIAS, "mul": Multiply.PARAM, "zp_param": 1}
        return microcode.program({**word, **microcode.store(maps, self.name, slots, *maps[self.name].qparams.clamp)})


def with_copies(
    network: Network, layers: list[Lowerable], places: dict[str, Place], fold: Fold | None
) -> tuple[Network, list[Lowerable], dict[str, Wish]]:
    """The network whose elementwise operands lie as their results do, or without gaps, and the wishes of the copies for
    that; without copies where they lie so already. Raises CompileError where a fold costs a copy: it is not worth
    that."""
    out: list[Lowerable] = []
    wishes: dict[str, Wish] = {}
    maps = dict(network.maps)
    for layer in layers:
        own = places[layer.name]
        for source in dict.fromkeys(layer.sources):
            place = places[source]
            plain = own.patch == place.patch == (1, 1) and not (place.clear or own.clear)
            gaps = layer.dense and place.elements != len(place.positions)
            apart = source in layer.aligned and not np.array_equal(place.positions, own.positions)
            if plain and (gaps or apart):
                if fold is not None and layer.name in (fold.layer, fold.source):
                    raise CompileError(f"'{layer.name}' folds, and '{source}' lies in other channels of its cells")
                copy = Copy(f"{source}@{layer.name}", source, maps[source].shape.channels)
                maps[copy.name] = maps[source]
                wishes[copy.name] = Wish(np.arange(copy.channels) if layer.dense else own.positions)
                out.append(copy)
                layer = reading(layer, source, copy.name)
        out.append(layer)
    return replace(network, maps=maps, layers=list(out)), out, wishes


def reading(layer: Lowerable, old: str, new: str) -> Lowerable:
    """The layer with one of its sources renamed."""
    changes: dict[str, Any] = {}
    for field in layer.reads:
        value = getattr(layer, field)
        if isinstance(value, Residual) and value.source == old:
            changes[field] = replace(value, source=new)
        elif value == old:
            changes[field] = new
    return replace(layer, **changes)
