"""Integer networks of a small ViT, for tests of compiler, machine and chip."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch

from tests.kit.vit import COLS, ROWS, photo, tiny_vit
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.network import Convolution, Layer, Network, Normalise, Picture, Polish
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors import single
from triptych.golden.quartdepth.zoo.vit_graph import build_graph


@cache
def small_vit(bits: Widths) -> tuple[Network, Ints]:
    """The integer network of a small ViT and the codes of a photo."""
    graph = build_graph(tiny_vit(), ROWS, COLS)
    assert graph.patches is not None
    network = quantize(graph, [graph.patches.arrange(photo())], bits)
    pixels = (photo(2)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return network, image_codes(network, pixels)


def with_factors(network: Network, fmt: Format) -> Network:
    """Factors by channel behind every LayerNorm and GELU, into `fmt`: where polishing may put them."""
    rng = np.random.default_rng(4)
    layers: list[Layer] = []
    pictures = dict(network.pictures)
    polished: dict[str, str] = {}
    for layer in network.layers:
        if isinstance(layer, Convolution) and layer.source in polished:
            layer = replace(layer, source=polished[layer.source])
        layers.append(layer)
        if isinstance(layer, Normalise) or (isinstance(layer, Convolution) and layer.gelu is not None):
            name, shape = f"{layer.name}.polished", pictures[layer.name].shape
            code = pictures[layer.name].code
            pictures[name] = Picture(shape, single.random_code(fmt, rng))
            size = (shape.height, shape.width, shape.channels)
            factors = single.polished(size, code.format, fmt, len(layers)).layers[0]
            assert isinstance(factors, Polish)
            layers.append(replace(factors, name=name, source=layer.name, add=-code.zero))
            polished[layer.name] = name
    assert polished
    return replace(network, layers=layers, pictures=pictures)
