"""GroupNorm of groups whose values differ much in size: each keeps its bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.widths import Widths

SMALL = 0.1  # of one group's values over the other's


def test_a_group_of_small_values_is_normalised_as_well() -> None:
    torch.manual_seed(0)
    first, norm = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8)
    with torch.no_grad():
        for values in (first.weight, first.bias):
            values[4:] *= SMALL  # type: ignore[index]
    net = nn.Sequential(first, norm).eval()
    images = [torch.randint(0, 256, (1, 3, 11, 9)).float() / 255 for _ in range(3)]
    network = quantize(capture(net, images[0]), images, Widths.W8A8)
    pixels = (images[0][0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    got = network.maps[network.output].qparams.decode(network.run_integer(image_codes(network, pixels)))
    with torch.no_grad():
        wanted = net(images[0])[0].permute(1, 2, 0).numpy()
    for group in (np.s_[..., :4], np.s_[..., 4:]):
        size = float((got[group] * wanted[group]).sum() / (wanted[group] ** 2).sum())
        assert abs(size - 1) < 0.03
        # a tenth of eight bits' range is a little less than five bits
        assert np.linalg.norm(got[group] - wanted[group]) < 0.12 * np.linalg.norm(wanted[group])
