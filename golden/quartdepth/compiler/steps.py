"""Layers as steps: their work, and weights packed in groups of output channels."""

from __future__ import annotations

from dataclasses import dataclass

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.compiler.work import Group, Work


@dataclass(frozen=True, eq=False)
class Step:
    """A layer that does something; `index` is its place among them."""

    index: int
    layer: Lowerable
    work: Work
    groups: list[Group]

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest group."""
        return max((len(g.data) for g in self.groups), default=0)


def make_steps(layout: Layout, config: ChipConfig, group_bytes: int, least_bytes: int) -> list[Step]:
    """Steps of all layers; weights are split into groups of at most `group_bytes`, or of one column tile if that takes
    no more than `least_bytes`. Raises CompileError for layers beyond the chip's fields or memory."""
    steps: list[Step] = []
    for layer in layout.layers:
        work = layer.work(layout, config)
        if work is None:
            continue
        for source in layer.sources:
            if layout.places[source].qparams.format is Format.INT16:
                raise CompileError(f"'{layer.name}' reads '{source}': INT16 is for the output alone")
        steps.append(Step(len(steps), layer, work, work.groups(config, group_bytes, least_bytes)))
    return steps
