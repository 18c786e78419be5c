"""Modules that take one way of several: the way of each image, calibrated on images of one way alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.widths import Widths


class Routed(nn.Module):
    """The brightest channel of the image says which head reads it."""

    def __init__(self, ways: int, choices: int = 1) -> None:
        super().__init__()
        self.choices, self.first = choices, nn.Conv2d(3, ways, 1, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(ways, 3)[:, :, None, None])
        self.heads = nn.ModuleList(nn.Conv2d(3, 2, 1) for _ in range(ways))
        for n, head in enumerate(self.heads):
            nn.init.constant_(head.bias, 3.0 * n - 2.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        votes = self.first(x).mean((2, 3))
        y = torch.zeros(1, 2, *x.shape[2:])
        for _ in range(self.choices):
            y = y + self.heads[int(torch.argmax(votes, dim=-1).squeeze().item())](x)
        return y


def bright(channel: int) -> Tensor:
    """A dark image, one channel of which is bright."""
    image = torch.randint(0, 60, (1, 3, 5, 4)).float() / 255
    image[:, channel] += 0.6
    return image


def graph_of(net: nn.Module) -> FloatGraph:
    return capture(net, bright(0))


@pytest.mark.parametrize("ways", [2, 3])
@pytest.mark.parametrize("calibrated", [0, 1])
def test_every_image_takes_its_own_way(ways: int, calibrated: int) -> None:
    torch.manual_seed(ways)
    net = Routed(ways).eval()
    graph = graph_of(net)
    network = quantize(graph, [bright(calibrated) for _ in range(3)], Widths.W8A8)
    for channel in range(ways):
        image = bright(channel)
        with torch.no_grad():
            wanted = net(image)
        torch.testing.assert_close(graph.run(image), wanted, rtol=1e-4, atol=1e-4)
        pixels = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        got = network.maps[network.output].qparams.decode(network.run_integer(image_codes(network, pixels)))
        assert np.abs(got - wanted[0].permute(1, 2, 0).numpy()).max() < 0.5  # heads are 3 apart


def test_two_choices_are_refused_in_one_line() -> None:
    with pytest.raises(GraphError, match="the module makes 2 choices; one can be followed") as error:
        graph_of(Routed(2, choices=2))
    assert "\n" not in str(error.value)
