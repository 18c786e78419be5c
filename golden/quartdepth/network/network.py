"""The integer network: what the quantiser yields, the compiler lowers and `run_integer` runs.

All arithmetic of a layer is integer, given to the bit where its operation stands (`ops/`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.network.layer import QLayer
from triptych.golden.quartdepth.network.qparams import FeatureMap, QParams
from triptych.golden.quartdepth.network.shapes import Patches


@dataclass(frozen=True, eq=False)
class Network:
    """Integer layers in running order; `maps` holds every feature map, the input's and the output's too. constants:
    codes [h, w, c] of maps that no layer makes. patches: what the input map is made of, if not the photo itself.
    output: the first map that the module returns; further: the others by their keys or numbers."""

    input: str
    output: str
    maps: dict[str, FeatureMap]
    layers: Sequence[QLayer] = field(default_factory=list)
    constants: dict[str, Ints] = field(default_factory=dict)
    patches: Patches | None = None
    further: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        made = {self.input, *self.constants}
        for layer in self.layers:
            for source in layer.sources:
                if source not in made:
                    raise ValueError(f"layer '{layer.name}' reads '{source}' before it is made")
            if layer.name in made or layer.name not in self.maps:
                raise ValueError(f"layer '{layer.name}' makes a map twice, or one of unknown shape")
            made.add(layer.name)
        for output in self.outputs:
            if output not in made:
                raise ValueError(f"no layer makes the output '{output}'")
        for name, codes in self.constants.items():
            self.check_codes(name, codes)

    def check_codes(self, name: str, codes: Ints) -> None:
        """Raises ValueError unless `codes` [h, w, c] have the map's shape and are all codes of it."""
        shape, (lo, hi) = self.maps[name].shape, self.maps[name].qparams.limits
        what = "the input" if name == self.input else f"'{name}'"
        if np.shape(codes) != (shape.height, shape.width, shape.channels):
            wanted = f"{shape.height} x {shape.width} x {shape.channels}"
            raise ValueError(f"{what} must be {wanted}, not {' x '.join(map(str, np.shape(codes)))}")
        if not np.issubdtype(np.asarray(codes).dtype, np.integer):
            raise ValueError(f"the codes of {what} must be whole numbers, not {np.asarray(codes).dtype}")
        if codes.min() < lo or codes.max() > hi:
            raise ValueError(f"the codes of {what} must be in {lo}..{hi}, not {codes.min()}..{codes.max()}")

    @property
    def outputs(self) -> tuple[str, ...]:
        """All maps that the module returns."""
        return (self.output, *self.further.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(layer.macs(self.maps) for layer in self.layers)

    def readers(self, name: str) -> list[QLayer]:
        """The layers that read a map."""
        return [layer for layer in self.layers if name in layer.sources]

    def run_integer(self, codes: Ints, observe: Callable[[str, Ints], None] | None = None) -> Ints:
        """Codes [h, w, c], int64, of the first output for input codes [h, w, c]; `observe(name, codes)` is
        shown every map made.

        Layer by layer in exact integers, without the chip: the third witness beside machine and RTL. Raises ValueError
        when the input's shape or range is wrong.
        """
        self.check_codes(self.input, codes)
        made = _Made(self.maps, {self.input: codes.astype(np.int64), **self.constants})
        for layer in self.layers:
            made.held[layer.name] = layer.run(made)
            if observe is not None:
                observe(layer.name, made.held[layer.name])
        return made.held[self.output]

    def run_outputs(self, codes: Ints) -> dict[str, Ints]:
        """Codes [h, w, c] of all outputs by their maps. Raises ValueError as `run_integer`."""
        seen: dict[str, Ints] = {self.input: codes.astype(np.int64)}
        self.run_integer(codes, seen.__setitem__)
        return {name: seen[name] for name in self.outputs}


@dataclass(frozen=True)
class _Made:
    maps: dict[str, FeatureMap]
    held: dict[str, Ints]

    def codes(self, name: str) -> Ints:
        return self.held[name]

    def qparams(self, name: str) -> QParams:
        return self.maps[name].qparams
