"""Convolutions for the generated tests."""

from __future__ import annotations

import random

from torch import Tensor, nn
from torch.nn import functional as F

from triptych.golden.quartdepth.network.operation import Example


def example(rng: random.Random) -> Example:
    """Dense or depthwise, in groups, dilated."""
    if rng.random() < 0.4:
        return _grouped_example(rng)
    if rng.random() < 0.15:
        return Example(_Pieces(rng.choice([4, 9])), (3, 2 * rng.randint(2, 4), 4 * rng.randint(1, 3)))
    if rng.random() < 0.1:
        patch = nn.Conv2d(5, 7, (8, 3), (8, 3))
        return Example(nn.Sequential(nn.Conv2d(3, 5, 1), patch), (3, rng.randint(8, 17), rng.randint(3, 7)))
    channels, kernel = rng.choice([1, 3, 7, 16, 21]), (rng.randint(1, 5), rng.randint(1, 5))
    stride, padding = (
        (rng.randint(1, 3), rng.randint(1, 3)),
        (rng.randint(0, kernel[0] - 1), rng.randint(0, kernel[1] - 1)),
    )
    shape = (rng.choice([1, 3, 8, 17]), rng.randint(5, 13), rng.randint(5, 13))
    first = nn.Conv2d(shape[0], channels, kernel, stride, padding, bias=rng.random() < 0.7)
    if rng.random() < 0.3:
        return Example(
            nn.Sequential(nn.Conv2d(3, shape[0], 1), nn.Conv2d(shape[0], shape[0], 3, 1, 1, groups=shape[0])),
            (3, *shape[1:]),
        )
    return Example(first, shape)


class _Pieces(nn.Module):
    """Pieces of a map, as several images."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.patch = nn.Conv2d(3, 4, 1), nn.Conv2d(4, channels, (2, 1), (2, 1))
        self.last = nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        pieces = F.unfold(self.first(x), (4, 2), stride=(2, 2)).unflatten(1, (4, 4, 2)).permute(0, 4, 1, 2, 3)[0]
        y: Tensor = self.last(
            self.patch(pieces).flatten(2).transpose(1, 2).flatten(0, 1).transpose(0, 1)[None, :, None]
        )
        return y


def _grouped_example(rng: random.Random) -> Example:
    groups, each = rng.choice([1, 2, 3, 8]), rng.choice([1, 1, 3])
    kernel, dilation = (rng.choice([1, 3, 5]), rng.choice([1, 3, 5])), (rng.randint(1, 2), rng.randint(1, 2))
    padding = "same" if rng.random() < 0.5 else (rng.randint(0, 2), rng.randint(0, 2))
    inner = nn.Conv2d(groups * each, groups * rng.choice([1, each]), kernel, 1, padding, dilation, groups)
    return Example(nn.Sequential(nn.Conv2d(3, groups * each, 1), inner), (3, rng.randint(9, 14), rng.randint(13, 16)))
