"""Networks of a shape, for cycles alone: random weights, made-up ranges, no photo.

What the chip does, and how long it takes, depends on sizes and widths, not on values; so nothing is calibrated and a
network of 5 TMAC is made in the time that its weights take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.ops._attention_layers import Attention
from triptych.golden.quartdepth.network.qparams import QParams, symmetric_qparams
from triptych.golden.quartdepth.network.quantize import Quantizer
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.levels import Levels, table_code
from triptych.golden.quartdepth.zoo.meter import METER, fuse
from triptych.golden.quartdepth.zoo.vit import Backbone, DepthVit, DptConfig, VitConfig


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


def coded_attention(graph: FloatGraph, ranges: Mapping[str, tuple[float, float]]) -> dict[str, QParams]:
    """Codes of four bits for queries (by table), keys (two a byte) and values of every attention, which the method
    gives them where Fisher error allows."""
    codes: dict[str, QParams] = {}
    for layer in graph.layers:
        if isinstance(layer, Attention):
            peak = max(-ranges[layer.query][0], ranges[layer.query][1])
            codes[layer.query] = table_code(Levels(peak / 8, 0, tuple(range(-8, 8)), 0.0), peak)
            codes[layer.key] = replace(symmetric_qparams(*ranges[layer.key], narrow=True), packed=True)
            codes[layer.value] = symmetric_qparams(*ranges[layer.value], narrow=True)
    return codes


def made(model: nn.Module, size: tuple[int, int], widths: Widths, coded: bool = False) -> Network:
    """The integer network of a model of images [height, width]. coded: queries, keys and values of four bits."""
    graph = capture(model.eval(), torch.zeros(1, 3, *size))
    ranges = _Made(graph.input)
    return Quantizer(graph, ranges, widths, coded_attention(graph, ranges) if coded else {}, set(), {}).run()


class Shallow(Backbone):
    """A backbone with fewer blocks than the head has taps: some are tapped several times, with a LayerNorm each."""

    def forward(self, x: Tensor) -> list[Tensor]:
        patch = self.cfg.patch
        tokens = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), self.patch_embed(x)], 1)
        tokens = tokens + self.positions(x.shape[2] // patch, x.shape[3] // patch)
        out = []
        for i, block in enumerate(self.blocks):
            tokens = block(tokens)
            out += [self.norm(tokens)[:, 1:] for _ in range(self.cfg.taps.count(i))]
        return out


def depth_vit(
    backbone: VitConfig, head: DptConfig, size: tuple[int, int], widths: Widths, coded: bool = False
) -> Network:
    """A ViT encoder with DPT head for images [height, width], multiples of its patch. coded: queries, keys and
    values of four bits."""
    torch.manual_seed(1)
    model = DepthVit(backbone, head)
    if len(set(backbone.taps)) < len(backbone.taps):
        model.pretrained = Shallow(backbone)
    return made(model, size, widths, coded)


def meter(size: tuple[int, int], widths: Widths) -> Network:
    """METER-XXS for images [height, width], multiples of 32."""
    torch.manual_seed(1)
    return made(fuse(METER().eval()), size, widths)
