"""A small vision transformer with random weights, for tests."""

from dataclasses import replace

import torch

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.ops.attention import Attention
from triptych.golden.quartdepth.zoo.random_weights import random_weights
from triptych.golden.quartdepth.zoo.vit import DepthVit, DptConfig, VitConfig

ROWS, COLS = 4, 6
SMALL = VitConfig(dim=32, depth=4, heads=2, grid=5, taps=(0, 1, 2, 3))
HEAD = DptConfig(features=16, channels=(8, 8, 16, 16))


def tiny_vit(seed: int = 3) -> DepthVit:
    """A ViT of the real one's structure with random weights, its class token, positions and gains too."""
    torch.manual_seed(seed)
    model = random_weights(DepthVit(SMALL, HEAD))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "output_conv2.2" in name:  # depths are positive and differ from pixel to pixel
                p.copy_(torch.full_like(p, 1.5) if name.endswith("bias") else 20 * p)
    return model


def photo(seed: int = 1) -> torch.Tensor:
    return torch.rand(1, 3, 14 * ROWS, 14 * COLS, generator=torch.Generator().manual_seed(seed))


def captured(model: DepthVit) -> FloatGraph:
    """Its layers for photos of ROWS x COLS patches."""
    return capture(model, torch.zeros(1, 3, 14 * ROWS, 14 * COLS))


def wide(graph: FloatGraph) -> FloatGraph:
    """The same network, its heads treated as larger ones are: eight bits, unless a method chooses others."""
    layers = [replace(layer, narrow=False) if isinstance(layer, Attention) else layer for layer in graph.layers]
    return replace(graph, layers=layers)
