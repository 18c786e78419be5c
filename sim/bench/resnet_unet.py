"""A ResNet-18 of full width under a U-Net decoder: the depth network that everybody writes first."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (64, 64, 128, 256, 512)
DECODER = (256, 128, 64, 32, 16)


class _Basic(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.skip = nn.Identity() if stride == 1 and inputs == outputs else skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.skip(x))


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


class ResNetUNet(nn.Module):
    """[1,3,H,W] -> [1,1,H,W], sides multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList()
        for n, (before, width) in enumerate(pairwise(WIDTHS)):
            self.stages.append(nn.Sequential(_Basic(before, width, 1 if n == 0 else 2), _Basic(width, width, 1)))
        self.levels, below = nn.ModuleList(), WIDTHS[-1]
        for width, skip in zip(DECODER, (*WIDTHS[-2::-1], 0), strict=True):
            self.levels.append(nn.Sequential(*_conv(below + skip, width), *_conv(width, width)))
            below = width
        self.head = nn.Conv2d(below, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.stem(x)]
        y = self.pool(maps[0])
        for stage in self.stages:
            y = stage(y)
            maps.append(y)
        for level, skip in zip(self.levels, [*maps[-2::-1], None], strict=True):
            y = F.interpolate(y, scale_factor=2, mode="bilinear")
            y = level(y if skip is None else torch.cat([y, skip], 1))
        depth: Tensor = self.head(y)
        return depth
