"""Attention whose queries, keys and values would fill a scratchpad: several of fewer heads, joined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.ops import attention
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.vectors.single import random_codes


class Attends(nn.Module):
    """Over all pixels."""

    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.qkv, self.last = nn.Conv2d(3, 8, 1), nn.Linear(8, 3 * heads * dim), nn.Linear(heads * dim, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, _, h, w = x.shape
        t = self.first(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(t).reshape(1, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = self.last(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y.transpose(1, 2).reshape(1, 5, h, w)


@pytest.mark.parametrize(
    ("heads", "dim", "most", "parts"),
    [(4, 16, 2000, 4), (6, 8, 3000, 2), (3, 32, 4000, 3), (4, 12, 2500, 2), (3, 8, 9999, 1)],
)
def test_heads_in_parts(heads: int, dim: int, most: int, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads of any size, whose results lie with gaps in the joined map."""
    monkeypatch.setattr(attention, "MOST_BYTES", most)
    torch.manual_seed(0)
    module, x = Attends(heads, dim).eval(), torch.rand(1, 3, 5, 6)
    graph = capture(module, x)
    assert sum(isinstance(layer, attention.Attention) for layer in graph.layers) == parts
    with torch.no_grad():
        torch.testing.assert_close(graph.run(x), module(x), rtol=1e-4, atol=1e-5)
    network = quantize(graph, [x], "w4a8")  # type: ignore[arg-type]
    codes = random_codes(network, 1)
    for chip in ("tiny", "small", "paper"):
        compiled = compile_network(network, chip_config(chip))
        assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


def test_results_that_go_to_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The joined map does not stay in the scratchpad: each part leaves it from a buffer of its own."""
    monkeypatch.setattr(attention, "MOST_BYTES", 9000)
    torch.manual_seed(0)
    x = torch.rand(1, 3, 12, 14)
    network = quantize(capture(Attends(4, 16).eval(), x), [x], "w4a8")  # type: ignore[arg-type]
    compiled = compile_network(network, chip_config("tiny"))
    places = compiled.plan.layout.places
    parts = [layer.name for layer in network.layers if isinstance(layer, attention.QAttention)]
    assert len(parts) == 4
    assert not compiled.plan.lives[places[parts[0]].storage.name].resident
    codes = random_codes(network, 1)
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


def test_depth_anything_at_its_own_size_is_cut_by_head() -> None:
    """1,370 tokens of six heads of 64 take a megabyte and a half."""
    layer = attention.Attention("a", "q", "k", "v", heads=6, head_dim=64, scale=0.125, patch=(1, 1))
    assert attention._parts(layer, attention.Shape(1, 1370, 384)) == 6
    assert attention._parts(layer, attention.Shape(1, 325, 384)) == 1
