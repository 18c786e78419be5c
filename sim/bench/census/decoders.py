"""What the census' decoders share: a backbone's maps, usual blocks, a U-Net."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.sim.bench.census.entry import Entry

FAMILY = "published depth networks"


def encoder(name: str, **terms: Any) -> nn.Module:
    """Feature maps of a `timm` backbone, random weights."""
    from triptych.sim.bench.census.torchvision_stub import install

    install()
    import timm

    made: nn.Module = timm.create_model(name, features_only=True, pretrained=False, **terms)
    return made


def widths(model: nn.Module) -> list[int]:
    """Channels of a backbone's maps."""
    return list(model.feature_info.channels())


def resnet18() -> nn.Module:
    """ResNet-18, a fourth of its width."""
    return encoder("resnet18", channels=(16, 32, 64, 128), stem_width=16)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)
    )


def twice(x: Tensor, mode: str = "nearest") -> Tensor:
    """Twice the size."""
    return F.interpolate(x, scale_factor=2, mode=mode, align_corners=False if mode == "bilinear" else None)


class UNet(nn.Module):
    """A backbone, and of its maps a depth map: bilinear doublings, concatenations, two convolutions a level."""

    def __init__(self, backbone: nn.Module, width: int = 16, channels_last: bool = False) -> None:
        super().__init__()
        self.backbone, self.channels_last = backbone, channels_last
        below, *skips = widths(backbone)[::-1]
        self.levels = nn.ModuleList()
        for skip in skips:
            self.levels.append(nn.Sequential(conv(below + skip, width), conv(width, width)))
            below = width
        self.head = nn.Conv2d(below, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.backbone(x)
        if self.channels_last:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        y, *skips = maps[::-1]
        for level, skip in zip(self.levels, skips, strict=True):
            if y.shape[-1] != skip.shape[-1]:
                y = F.interpolate(y, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            y = level(torch.cat([y, skip], 1))
        depth: Tensor = self.head(y)
        return depth


def listed(module: str, made: Mapping[str, tuple[int, str, Callable[[], nn.Module]]]) -> Iterator[Entry]:
    """Entries of published networks: by name the photo's side, the class and what makes it."""
    for name, (side, source, build) in made.items():
        yield Entry(name, FAMILY, f"census.{module}.{source}", (side, side), True, lambda build=build: build().eval())
