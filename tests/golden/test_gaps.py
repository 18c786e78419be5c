"""What reads a concatenation whose parts do not fill whole groups of lanes: elementwise layers lie as it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.relocate import Copy
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.widths import Widths

KINDS = ("max pool", "residual", "resize", "gate", "output", "mean", "depthwise", "depthwise of parts")
COPIED = ("other parts", "product of parts")


class Gaps(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.a, self.b = nn.Conv2d(3, 5, 1), nn.Conv2d(3, 9, 3, padding=1)
        self.deep, self.own = nn.Conv2d(14, 14, 3, padding=1, groups=14), nn.Conv2d(5, 5, 3, padding=1, groups=5)
        self.first, self.second = nn.Conv2d(14, 20, 1), nn.Conv2d(20, 14, 1)
        self.beside, self.last = nn.Conv2d(3, 14, 1), nn.Conv2d(14, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.a(x), self.b(x)], 1)
        match self.kind:
            case "max pool":
                y = F.max_pool2d(y, 2)
            case "residual":
                y = y + self.beside(x)
            case "resize":
                y = F.interpolate(y, scale_factor=2, mode="bilinear")
            case "gate":
                y = y * self.beside(x).sigmoid()
            case "output":
                return F.gelu(y) + self.beside(x)
            case "depthwise":
                y = self.deep(y).relu() + self.beside(x)
            case "depthwise of parts":
                y = torch.cat([self.own(self.a(x)), self.b(x)], 1)
                y = torch.cat([self.deep(y)[:, :9], y[:, :5]], 1)
            case "other parts":  # the result is a part itself
                z = self.first(y)
                y = self.second(torch.cat([z[:, :14] + y, z[:, 14:]], 1))
            case "product of parts":
                y = y * torch.cat([y[:, 5:], y[:, :5]], 1)
            case "mean":
                y = F.silu(y.mean((2, 3), keepdim=True))
        z: Tensor = self.last(y)
        return z


@pytest.mark.parametrize("widths", [Widths.W8A8, Widths.W4A4])
@pytest.mark.parametrize("kind", KINDS + COPIED)
def test_elementwise_behind_gaps(kind: str, widths: Widths) -> None:
    torch.manual_seed((KINDS + COPIED).index(kind))
    image = torch.randint(0, 256, (1, 3, 6, 6)).float() / 255
    network = quantize(capture(Gaps(kind), image), [image], widths)
    codes = image_codes(network, (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())
    wanted = network.run_integer(codes)
    for chip in ("tiny", "small", "paper"):
        compiled = compile_network(network, chip_config(chip))
        assert np.array_equal(run_on_machine(compiled, codes, noise=3), wanted)
        assert any(isinstance(layer, Copy) for layer in compiled.plan.layout.layers) == (kind in COPIED)
