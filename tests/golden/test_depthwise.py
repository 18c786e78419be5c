"""Depthwise convolutions beyond the array's own 3x3: a band of zeros with one diagonal, step by step of channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors.single import random_codes

SHAPES = {
    "5x5": (70, 5, 1, 2), "7x7": (33, 7, 1, 3), "7x7 in steps of two": (130, 7, 2, 3), "1x1": (20, 1, 1, 0),
    "1x5": (19, (1, 5), 1, (0, 2)), "3x3 of eight bits": (70, 3, 1, 1), "wide padding": (9, 3, 1, 3),
}  # fmt: skip


@pytest.mark.parametrize("widths", [Widths.W8A8, Widths.W4A8, Widths.W4A4])
@pytest.mark.parametrize("name", SHAPES)
def test_kernels_of_any_size(name: str, widths: Widths) -> None:
    """Channels that fill no step, one, and several; other layers before and behind."""
    channels, kernel, stride, padding = SHAPES[name]
    torch.manual_seed(0)
    inner = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels)  # type: ignore[arg-type]
    module, x = (
        nn.Sequential(nn.Conv2d(3, channels, 1), nn.ReLU(), inner, nn.Conv2d(channels, 4, 1)),
        torch.rand(1, 3, 9, 11),
    )
    graph = capture(module, x)
    with torch.no_grad():
        torch.testing.assert_close(graph.run(x), module(x), rtol=1e-4, atol=1e-5)
    network = quantize(graph, [x], widths)
    codes = random_codes(network, 1)
    large = inner.weight[0].numel() > 9  # the weights of a step's channels do not fit into `tiny`
    for chip in ("small", "paper") if large else ("tiny", "small", "paper"):
        compiled = compile_network(network, chip_config(chip))
        assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


def test_weights_are_those_of_a_step() -> None:
    """As many bytes a channel as taps and a step need, however many channels there are."""
    sizes = []
    for channels in (128, 256):
        module = nn.Sequential(nn.Conv2d(3, channels, 1), nn.Conv2d(channels, channels, 5, padding=2, groups=channels))
        network = quantize(capture(module, torch.rand(1, 3, 4, 4)), [torch.rand(1, 3, 4, 4)])
        sizes.append(len(compile_network(network, chip_config("small")).image))
    assert sizes[1] < 2.2 * sizes[0]
