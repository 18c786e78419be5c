"""Pixels in another order, as channels, as sequences of attention: in tiles, on chips that do not hold them whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.chip.config import ChipConfig, chip_config
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.ops.attention import QAttention
from triptych.golden.quartdepth.network.ops.gather import Gather, QGather, rectangles
from triptych.golden.quartdepth.network.ops.turn import Turn
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors.single import random_codes


def exact(module: nn.Module, shape: tuple[int, int, int], *configs: ChipConfig) -> FloatGraph:
    """The captured graph, which is the module, and whose integers run on the machine."""
    module, x = module.eval(), torch.rand(1, *shape)
    graph = capture(module, x)
    with torch.no_grad():
        torch.testing.assert_close(graph.run(x).reshape(module(x).shape), module(x), rtol=1e-4, atol=1e-5)
    for widths in (Widths.W4A8, Widths.W4A4):
        network = quantize(graph, [x], widths)
        codes = random_codes(network, 1)
        for config in configs:
            compiled = compile_network(network, config)
            assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))
    return graph


class Windowed(nn.Module):
    """A convolution within windows, one a row."""

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.first, self.last = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 1)
        self.within = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        y, n = self.first(x), self.window
        c, h, w = y.shape[1:]
        t = y.roll((-1, -2), (2, 3)).reshape(c, h // n, n, w // n, n).transpose(2, 3).reshape(1, c, -1, n * n)
        t = self.within(t).relu().reshape(c, h // n, w // n, n, n).transpose(2, 3).reshape(1, c, h, w)
        z: Tensor = self.last(y + t.roll((1, 2), (2, 3)))
        return z


@pytest.mark.parametrize(("window", "height", "width"), [(3, 6, 9), (4, 24, 32)])
def test_windows_and_back(window: int, height: int, width: int) -> None:
    """The larger map is more than the scratchpad of `tiny` holds: its windows come in tiles of their own."""
    torch.manual_seed(window)
    graph = exact(Windowed(19, window), (3, height, width), chip_config("tiny"), chip_config("small"))
    assert sum(isinstance(layer, Gather) for layer in graph.layers) == 2


def test_turned_in_tiles() -> None:
    """Tiles begin within words of the source."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.mix, self.last = nn.Conv2d(3, 200, 1), nn.Linear(90, 90), nn.Conv2d(200, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            z: Tensor = self.last(self.mix(self.first(x).flatten(2)).relu().unflatten(2, x.shape[2:]))
            return z

    torch.manual_seed(0)
    narrow = replace(chip_config("tiny"), spad_words=2048)
    graph = exact(Mixed(), (3, 9, 10), narrow, chip_config("paper"))
    assert sum(isinstance(layer, Turn) for layer in graph.layers) == 2


class Shifted(nn.Module):
    """Attention of windows with a bias by head and a mask by window, queries of more words than one."""

    def __init__(self, heads: int, dim: int, window: int, count: int, alike: bool) -> None:
        super().__init__()
        self.heads, self.window, n = heads, window, window * window
        self.first, self.qkv, self.last = nn.Conv2d(3, 8, 1), nn.Linear(8, 3 * heads * dim), nn.Linear(heads * dim, 4)
        self.bias = nn.Parameter(2 * torch.randn(1 if alike else count, heads, n, n))
        self.mask = nn.Parameter(torch.where(torch.rand(count, 1, n, n) < 0.4, -100.0, 0.0) * (1 - torch.eye(n)))

    def forward(self, x: Tensor) -> Tensor:
        y, n = self.first(x), self.window
        c, h, w = y.shape[1:]
        t = y.reshape(c, h // n, n, w // n, n).permute(1, 3, 2, 4, 0).reshape(-1, n * n, c)
        q, k, v = self.qkv(t).reshape(len(t), n * n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mask = self.bias if len(self.bias) == 1 else self.bias + self.mask
        t = self.last(nn.functional.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))
        return t.reshape(h // n, w // n, n, n, 4).permute(4, 0, 2, 1, 3).reshape(1, 4, h, w)


@pytest.mark.parametrize(
    ("heads", "dim", "window", "alike"), [(1, 8, 4, False), (2, 12, 3, False), (3, 20, 2, True), (2, 16, 5, False)]
)
def test_windows_of_attention(heads: int, dim: int, window: int, alike: bool) -> None:
    """Biases by window lie in memory, and come with its queries."""
    torch.manual_seed(heads)
    shape = (3, 2 * window, 3 * window)
    module = Shifted(heads, dim, window, 6, alike)
    exact(module, shape, chip_config("tiny"), chip_config("small"), chip_config("paper"))


def test_what_is_hidden_has_no_weight() -> None:
    """Whatever the values of hidden keys are, in integers too."""
    torch.manual_seed(3)
    module, x = Shifted(1, 8, 4, 6, False).eval(), torch.rand(1, 3, 8, 12)
    network = quantize(capture(module, x), [x], Widths.W8A8)
    (attends,) = (layer for layer in network.layers if isinstance(layer, QAttention))
    assert attends.bias is not None
    codes, fmap = network.constants[attends.bias.source], network.maps[attends.bias.source]
    hidden = module.mask[:, 0].transpose(1, 2).numpy(force=True) < -50  # [windows, keys, queries]
    assert (codes.transpose(0, 2, 1)[hidden] == -128).all()
    assert (codes.transpose(0, 2, 1)[~hidden] > -128).all()
    exact = fmap.qparams.decode(codes).transpose(0, 2, 1)[~hidden]
    bias = module.bias[:, 0].transpose(1, 2).numpy(force=True)[~hidden]
    assert np.abs(exact - bias).max() <= fmap.qparams.scale * 0.51


def test_walks_cover_all_points() -> None:
    """As few as a window has rows, steps never negative."""
    pixel = np.arange(24 * 12).reshape(6, 4, 3, 4).transpose(0, 2, 1, 3).ravel()
    found = list(rectangles([0] * len(pixel), (16 * pixel).tolist(), list(range(0, 32 * len(pixel), 32)), 10**6))
    assert len(found) <= 6 * 3
    points = [
        (r.first + i * r.over + j * r.by, r.begin + i * r.down + j * r.right)
        for r in found for i in range(r.rows) for j in range(r.cols)
    ]  # fmt: skip
    assert points == list(zip(range(0, 32 * len(pixel), 32), (16 * pixel).tolist(), strict=True))
    assert min(min(r.over, r.by, r.down, r.right) for r in found) >= 0


def test_tokens_of_several_maps_and_constants() -> None:
    """Register tokens behind the class token; the parts share the result's code."""

    class Registers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 12, 1), nn.Linear(12, 4)
            self.tokens = nn.Parameter(torch.randn(1, 5, 12))

        def forward(self, x: Tensor) -> Tensor:
            t = self.first(x).flatten(2).transpose(1, 2)
            t = torch.cat([self.tokens[:, :1], self.tokens[:, 1:], t.relu(), t[:, :1]], 1)
            z: Tensor = self.last(t)[:, 5:-1].transpose(1, 2).unflatten(2, x.shape[2:])
            return z

    torch.manual_seed(1)
    graph = exact(Registers(), (3, 4, 5), chip_config("tiny"), chip_config("paper"))
    network = quantize(graph, [torch.rand(1, 3, 4, 5)], Widths.W4A8)
    (gather,) = (layer for layer in network.layers if isinstance(layer, QGather))
    assert len(gather.parts) == 4
    assert sum(network.maps[p].qparams is network.maps[gather.name].qparams for p in gather.parts) >= 3
