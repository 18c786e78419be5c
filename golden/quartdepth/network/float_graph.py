"""A network in floating point: layers in running order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from triptych.golden.quartdepth.network.findings import Finding
from triptych.golden.quartdepth.network.layer import FloatLayer, Observe, Weighted
from triptych.golden.quartdepth.network.shapes import Patches, Shape


class GraphError(ValueError):
    """The module holds something that the chip's layers cannot express; the message names the node. findings: one by
    one, where they are known."""

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """Layers in running order. `shapes` holds every map, the input's and the constants' too; constants are maps
    [1,C,H,W] that no layer makes. patches: what the input map is made of, if not the photo itself. output: the first
    map that the module returns; further: the others by their keys or numbers. returned: of each output the shape
    of the module's tensor, whose elements are the map's in order; None, or nothing: [1,C,H,W]."""

    input: str
    output: str
    shapes: dict[str, Shape]
    layers: list[FloatLayer]
    constants: dict[str, Tensor] = field(default_factory=dict)
    patches: Patches | None = None
    further: dict[str, str] = field(default_factory=dict)
    returned: tuple[tuple[int, ...] | None, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """All maps that the module returns."""
        return (self.output, *self.further.values())

    def with_outputs(self, renamed: Mapping[str, str]) -> FloatGraph:
        """Other maps stand for the outputs of these names."""
        further = {key: renamed.get(name, name) for key, name in self.further.items()}
        return replace(self, output=renamed.get(self.output, self.output), further=further)

    @property
    def device(self) -> torch.device:
        """Where weights lie."""
        return next(v.device for layer in self.layers for v in vars(layer).values() if isinstance(v, Tensor))

    @property
    def weighted(self) -> list[Weighted]:
        """The layers with weights."""
        return [layer for layer in self.layers if isinstance(layer, Weighted)]

    def to(self, device: torch.device) -> FloatGraph:
        """The same layers with their tensors elsewhere."""

        def moved(layer: FloatLayer) -> FloatLayer:
            tensors: dict[str, Any] = {f: v.to(device) for f, v in vars(layer).items() if isinstance(v, Tensor)}
            return replace(layer, **tensors)

        constants = {name: value.to(device) for name, value in self.constants.items()}
        return replace(self, layers=[moved(layer) for layer in self.layers], constants=constants)

    def readers(self) -> dict[str, int]:
        """How often each map is read; outputs once more."""
        count = dict.fromkeys(self.shapes, 0)
        for layer in self.layers:
            for source in layer.sources:
                count[source] += 1
        for name in self.outputs:
            count[name] += 1
        return count

    def run(self, image: Tensor, observe: Observe = lambda name, tensor: None) -> Tensor:
        """The first output map [1,C,H,W] for an input of [1,C,H,W] float32; `observe` is shown every map and inner
        tensor."""
        maps = {self.input: image, **self.constants}
        for name, made in maps.items():
            observe(name, made)
        with torch.no_grad():
            for layer in self.layers:
                maps[layer.name] = layer.run(maps, observe)
                observe(layer.name, maps[layer.name])
        return maps[self.output]
