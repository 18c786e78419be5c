"""Monodepth2 (Godard et al. 2019): ResNet-18 and its decoder, with the keys of the authors' `encoder.pth` and
`depth.pth`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.golden.quartdepth.zoo.checkpoint import load_state

CHANNELS = (64, 64, 128, 256, 512)  # of the encoder's maps, finest first
DECODER = (16, 32, 64, 128, 256)
FURTHER = ("height", "width", "use_stereo")  # what encoder.pth holds besides tensors
NEAREST, FARTHEST = 0.1, 100.0  # of depth, in the authors' units


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        short = self.downsample(x) if hasattr(self, "downsample") else x
        return F.relu(y + short)


class ResNet18(nn.Module):
    """The five maps that the decoder reads, finest first. `fc` is of the pre-training; nothing reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        below = 64
        for i, width in enumerate((64, 128, 256, 512), 1):
            self.add_module(
                f"layer{i}", nn.Sequential(BasicBlock(below, width, 1 if i == 1 else 2), BasicBlock(width, width, 1))
            )
            below = width
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [F.relu(self.bn1(self.conv1(x)))]
        y = F.max_pool2d(maps[0], 3, 2, 1)
        for i in range(1, 5):
            y = self.get_submodule(f"layer{i}")(y)
            maps.append(y)
        return maps


class Encoder(nn.Module):
    """As `encoder.pth` nests it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNet18()

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.encoder((x - 0.45) / 0.225)
        return maps


class Conv3x3(nn.Module):
    """Behind a border of mirrored pixels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.conv = nn.Conv2d(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(self.pad(x))
        return y


class ConvBlock(nn.Module):
    """Convolution and ELU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Conv3x3(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.conv(x))


class Decoder(nn.Module):
    """As `depth.pth` numbers it: two blocks a level, coarsest level first, then four disparities, finest first, of
    which the finest alone is computed."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for level in range(4, -1, -1):
            below = CHANNELS[-1] if level == 4 else DECODER[level + 1]
            skip = CHANNELS[level - 1] if level else 0
            blocks += [ConvBlock(below, DECODER[level]), ConvBlock(DECODER[level] + skip, DECODER[level])]
        blocks += [Conv3x3(DECODER[scale], 1) for scale in range(4)]
        self.decoder = nn.ModuleList(blocks)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = maps[-1]
        for level in range(4, -1, -1):
            first, second = self.decoder[2 * (4 - level)], self.decoder[2 * (4 - level) + 1]
            x = F.interpolate(first(x), scale_factor=2.0, mode="nearest")
            x = second(torch.cat([x, maps[level - 1]], 1) if level else x)
        return torch.sigmoid(self.decoder[10](x))


class Monodepth2(nn.Module):
    """Photo [B,3,H,W] in 0..1, sides multiples of 32 -> disparity [B,1,H,W] in 0..1; `depth` makes depths of it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.depth_decoder = Encoder(), Decoder()

    def forward(self, x: Tensor) -> Tensor:
        disparity: Tensor = self.depth_decoder(self.encoder(x))
        return disparity

    @staticmethod
    def depth(disparity: Tensor) -> Tensor:
        """Depths in the authors' units, up to scale."""
        return 1 / (1 / FARTHEST + (1 / NEAREST - 1 / FARTHEST) * disparity)


def load_monodepth2(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> Monodepth2:
    """With published weights, in eval mode. Raises CheckpointError."""
    model = Monodepth2()
    load_state(model.encoder, {k: v for k, v in encoder.items() if k not in FURTHER}, "Monodepth2's encoder")
    load_state(model.depth_decoder, decoder, "Monodepth2's decoder")
    return model.eval()
