"""Networks of a shape, for cycles alone: random weights, made-up ranges, no photo.

What the chip does, and how long it takes, depends on sizes and widths, not on values; so nothing is calibrated and a
network of 5 TMAC is made in the time that its weights take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import Quantizer
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.zoo.meter import METER, fuse
from triptych.golden.quartdepth.zoo.vit import DepthVit, DptConfig, VitConfig


class _Made(Mapping[str, tuple[float, float]]):
    """A range for every map; that of the input is what images have."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __getitem__(self, name: str) -> tuple[float, float]:
        return (0.0, 1.0) if name == self.source else (-4.0, 4.0)

    def __iter__(self) -> Iterator[str]:
        return iter((self.source,))

    def __len__(self) -> int:
        return 1


def made(model: nn.Module, size: tuple[int, int], widths: Widths) -> Network:
    """The integer network of a model of images [height, width]."""
    graph = capture(model.eval(), torch.zeros(1, 3, *size))
    return Quantizer(graph, _Made(graph.input), widths, {}, set(), {}).run()


def depth_vit(backbone: VitConfig, head: DptConfig, size: tuple[int, int], widths: Widths) -> Network:
    """A ViT encoder with DPT head for images [height, width], multiples of its patch."""
    torch.manual_seed(1)
    return made(DepthVit(backbone, head), size, widths)


def meter(size: tuple[int, int], widths: Widths) -> Network:
    """METER-XXS for images [height, width], multiples of 32."""
    torch.manual_seed(1)
    return made(fuse(METER().eval()), size, widths)
