"""Maps that lie side by side in the cells of one storage: joining them is where they are written, and no work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.lowering import Layout, Lowerable
from triptych.golden.quartdepth.network.integers import QMaps


@dataclass(frozen=True, eq=False)
class Joined(Lowerable):
    """Channels of all parts, one after the other; every part has the code of the result."""

    reads = ("parts",)

    parts: tuple[str, ...]

    @property
    def joins(self) -> tuple[str, ...]:
        return self.parts

    def run(self, maps: QMaps) -> Ints:
        return np.concatenate([maps.codes(part) for part in self.parts], axis=2)

    def mode(self, layout: Layout) -> str:
        return "vector"

    def work(self, layout: Layout, config: ChipConfig) -> None:
        return None
