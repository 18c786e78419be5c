"""MiDaS 2.1 small (Ranftl et al. 2022): EfficientNet-Lite3 and a light decoder, with the keys of the authors'
checkpoint `midas_v21_small_256.pt`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.golden.quartdepth.zoo.checkpoint import load_state

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPSILON = 1e-3  # of BatchNorm, as TensorFlow has it
EXPANSION = 6
FEATURES = 64
# kernel, stride, outputs and blocks of a stage; the first does not expand
STAGES = (
    (3, 1, 24, 1), (3, 2, 32, 3), (5, 2, 48, 3), (3, 2, 96, 5), (5, 1, 136, 5), (5, 2, 232, 6), (3, 1, 384, 1),
)  # fmt: skip
STEM = 32
LEVELS = ((0, 2), (2, 3), (3, 5), (5, 7))  # stages of each of the decoder's inputs
CHANNELS = (32, 48, 136, 384)


class Same(nn.Conv2d):
    """A convolution padded as TensorFlow does: an odd pixel on the far side."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        edges = []
        for size in (x.shape[3], x.shape[2]):
            kernel, stride = self.kernel_size[0], self.stride[0]
            more = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            edges += [more // 2, more - more // 2]
        if edges[0] == edges[1] and edges[2] == edges[3]:
            return F.conv2d(x, self.weight, None, self.stride, (edges[2], edges[0]), groups=self.groups)
        return F.conv2d(F.pad(x, edges), self.weight, None, self.stride, groups=self.groups)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON)


class Separable(nn.Module):
    """Depthwise, then linear by pixel."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = Same(inputs, inputs, kernel, stride, inputs), _norm(inputs)
        self.conv_pw, self.bn2 = nn.Conv2d(inputs, outputs, 1, bias=False), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)))))
        return y


class Inverted(nn.Module):
    """Expansion by pixel, depthwise, linear by pixel; added to its input where the shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = EXPANSION * inputs
        self.conv_pw, self.bn1 = nn.Conv2d(inputs, wide, 1, bias=False), _norm(wide)
        self.conv_dw, self.bn2 = Same(wide, wide, kernel, stride, wide), _norm(wide)
        self.conv_pwl, self.bn3 = nn.Conv2d(wide, outputs, 1, bias=False), _norm(outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)))
        y = self.bn3(self.conv_pwl(F.relu6(self.bn2(self.conv_dw(y)))))
        return x + y if self.shortcut else y


def _stage(inputs: int, number: int) -> nn.Sequential:
    kernel, stride, outputs, count = STAGES[number]
    block = Inverted if number else Separable
    return nn.Sequential(*(block(outputs if n else inputs, outputs, kernel, 1 if n else stride) for n in range(count)))


class Backbone(nn.Module):
    """EfficientNet-Lite3 without its classifier, in the four parts that the authors cut it into."""

    def __init__(self) -> None:
        super().__init__()
        below = STEM
        for level, (first, last) in enumerate(LEVELS, 1):
            parts: list[nn.Module] = [] if level > 1 else [Same(3, STEM, 3, 2), _norm(STEM), nn.ReLU6()]
            for number in range(first, last):
                parts.append(_stage(below, number))
                below = STAGES[number][2]
            self.add_module(f"layer{level}", nn.Sequential(*parts))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for level in range(1, 5):
            x = self.get_submodule(f"layer{level}")(x)
            maps.append(x)
        return maps


class ResidualUnit(nn.Module):
    """x + two 3x3 convolutions, each behind a ReLU."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, 1, 1)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Fusion(nn.Module):
    """Adds the finer map, refines, doubles (corners stay), and halves the channels but at the last level."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, outputs, 1)
        self.resConfUnit1, self.resConfUnit2 = ResidualUnit(features), ResidualUnit(features)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        if finer is not None:
            x = x + self.resConfUnit1(finer)
        x = F.interpolate(self.resConfUnit2(x), scale_factor=2.0, mode="bilinear", align_corners=True)
        y: Tensor = self.out_conv(x)
        return y


class Double(nn.Module):
    """Twice the size, bilinear between pixel centres."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Scratch(nn.Module):
    """The decoder."""

    def __init__(self) -> None:
        super().__init__()
        for level, channels in enumerate(CHANNELS, 1):
            wide = FEATURES << (level - 1)
            self.add_module(f"layer{level}_rn", nn.Conv2d(channels, wide, 3, 1, 1, bias=False))
            self.add_module(f"refinenet{level}", Fusion(wide, wide // 2 if level > 1 else wide))
        self.output_conv = nn.Sequential(
            nn.Conv2d(FEATURES, FEATURES // 2, 3, 1, 1), Double(), nn.Conv2d(FEATURES // 2, 32, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(32, 1, 1), nn.ReLU(), nn.Identity(),
        )  # fmt: skip


class MidasSmall(nn.Module):
    """Photo [B,3,H,W] in 0..1, sides multiples of 32 -> inverse depth [B,H,W] of no unit."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)
        self.pretrained, self.scratch = Backbone(), Scratch()

    def forward(self, x: Tensor) -> Tensor:
        scratch = self.scratch
        maps = self.pretrained((x - self.mean) / self.std)
        maps = [scratch.get_submodule(f"layer{n}_rn")(y) for n, y in enumerate(maps, 1)]
        y = scratch.get_submodule("refinenet4")(maps[3])
        for level in (3, 2, 1):
            y = scratch.get_submodule(f"refinenet{level}")(y, maps[level - 1])
        depth: Tensor = scratch.output_conv(y)
        return depth.squeeze(1)


def load_midas_small(state: Mapping[str, Tensor]) -> MidasSmall:
    """With published weights, in eval mode. Raises CheckpointError."""
    model = MidasSmall()
    load_state(model, state, "MiDaS 2.1 small")
    return model.eval()
