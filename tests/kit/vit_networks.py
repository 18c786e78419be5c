"""Integer networks of a small ViT, for tests of compiler, machine and chip."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch

from tests.kit.vit import captured, photo, tiny_vit
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.layer import QLayer
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.ops.channel_scale import QChannelScale
from triptych.golden.quartdepth.network.ops.conv2d import QConv2d
from triptych.golden.quartdepth.network.ops.layer_norm import QLayerNorm
from triptych.golden.quartdepth.network.qparams import FeatureMap
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors import single


@cache
def small_vit(bits: Widths) -> tuple[Network, Ints]:
    """The integer network of a small ViT and the codes of a photo."""
    graph = captured(tiny_vit())
    assert graph.patches is not None
    network = quantize(graph, [graph.patches.arrange(photo())], bits)
    pixels = (photo(2)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return network, image_codes(network, pixels)


def with_factors(network: Network, fmt: Format) -> Network:
    """Factors by channel behind every LayerNorm and GELU, into `fmt`: where polishing may put them."""
    rng = np.random.default_rng(4)
    layers: list[QLayer] = []
    maps = dict(network.maps)
    polished: dict[str, str] = {}
    for layer in network.layers:
        if isinstance(layer, QConv2d) and layer.source in polished:
            layer = replace(layer, source=polished[layer.source])
        layers.append(layer)
        if isinstance(layer, QLayerNorm) or (isinstance(layer, QConv2d) and layer.gelu is not None):
            name, shape = f"{layer.name}.polished", maps[layer.name].shape
            qparams = maps[layer.name].qparams
            maps[name] = FeatureMap(shape, single.random_code(fmt, rng))
            size = (shape.height, shape.width, shape.channels)
            factors = single.polished(size, qparams.format, fmt, len(layers)).layers[0]
            assert isinstance(factors, QChannelScale)
            layers.append(replace(factors, name=name, source=layer.name, add=-qparams.zero))
            polished[layer.name] = name
    assert polished
    return replace(network, layers=layers, maps=maps)
