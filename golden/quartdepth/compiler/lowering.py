"""What the compiler asks of a quantised layer: where its maps want to lie, and the work that it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.fold import Fold, Plain
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import InputWindows, Place, Storage
from triptych.golden.quartdepth.compiler.work import Work
from triptych.golden.quartdepth.network.layer import QLayer
from triptych.golden.quartdepth.network.network import Network


@dataclass(frozen=True)
class Wish:
    """How a map has to lie. positions: element of each channel. patch: positions whose sequences lie one behind the
    other. elements: at least so many in a cell; what lies between channels is then zero."""

    positions: NDArray[np.int64]
    patch: tuple[int, int] = (1, 1)
    elements: int = 0


@dataclass(frozen=True)
class Factors:
    """Parameters by output channel: `rs(X * multiplier, shift)`. zero: zero points, if not the map's for all."""

    multiplier: NDArray[np.int16]
    shift: NDArray[np.uint8]
    zero: NDArray[np.int8] | None = None


@dataclass(frozen=True, eq=False)
class Lowerable(QLayer, ABC):
    """A quantised layer that runs on the chip."""

    on_mxu: ClassVar[bool] = False  # it has products
    leads: ClassVar[bool] = False  # it runs tile by tile with the layers that read it, if all of them `follow`
    packs: ClassVar[bool] = False  # pixels of its map may share a word
    alike: ClassVar[bool] = False  # all its maps lie in their cells in one way
    dense: ClassVar[bool] = False  # nothing lies between the channels of what it reads

    @abstractmethod
    def work(self, layout: Layout, config: ChipConfig) -> Work | None:
        """What it does; None for a layer that needs no instruction. Raises CompileError where its maps' places do not
        fit, or for what is beyond the chip's fields."""

    @abstractmethod
    def mode(self, layout: Layout) -> str:
        """Of the MXU, for the record: w4a8, w4a4, w8a8, depthwise, attention, or vector."""

    def rates(self, layout: Layout) -> tuple[str, ...]:
        """Modes at whose rates its products run, an equal part of them at each."""
        return (self.mode(layout),)

    def program(self, maps: FeatureMaps, slots: Slots) -> Program:
        """Microwords of the work's VECTORs. Only a layer that is jobs is asked; attention assembles its own and a
        concatenation has none."""
        raise NotImplementedError(f"'{self.name}' is no jobs")

    def program_of(self, job: int, maps: FeatureMaps, slots: Slots) -> Program:
        """Microwords of one of the work's jobs, where they are not all the same."""
        return self.program(maps, slots)

    @property
    def factors(self) -> Factors | None:
        """Parameters by output channel, if it has any."""
        return None

    @property
    def aligned(self) -> tuple[str, ...]:
        """Its maps whose channels must lie in their cells in one way."""
        return (self.name, *self.sources) if self.alike else ()

    def fitted(self) -> Lowerable:
        """The same layer in the form that the array takes."""
        return self

    @property
    def plain(self) -> Plain | None:
        """The layer as a dense convolution of its first source, to which a residual may be added; None if it is any
        other."""
        return None

    def as_plain(self, plain: Plain) -> Lowerable:
        """The same layer with another convolution, of as many output channels. Only a layer that has a `plain` one is
        asked."""
        raise NotImplementedError(f"'{self.name}' is no plain convolution")

    def wishes(self, config: ChipConfig) -> dict[str, Wish]:
        """How maps that it reads or makes have to lie."""
        return {}

    def follows(self, source: str) -> bool:
        """Whether every point of its map needs just that point of `source`, one of its sources, and no other of its
        operands is `source`."""
        return False


@dataclass(frozen=True, eq=False)
class Layout:
    """The network that is compiled, and the place of each of its maps."""

    network: Network
    layers: list[Lowerable]
    places: dict[str, Place]
    windows: InputWindows | None
    fold: Fold | None

    @property
    def storages(self) -> dict[str, Storage]:
        """By name."""
        return {p.storage.name: p.storage for p in self.places.values()}
