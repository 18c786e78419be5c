"""Published depth networks of 2019 on, written small: the operators of their papers' code, few channels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.sim.bench.census.decoders import UNet, conv, encoder, listed, resnet18, twice, widths
from triptych.sim.bench.census.entry import Entry


class Monodepth2(nn.Module):
    """Godard et al. 2019: reflection pads, ELU, nearest doublings, disparities through a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18()
        channels, out = widths(self.encoder), (8, 16, 16, 32, 32)
        self.first, self.second = nn.ModuleList(), nn.ModuleList()
        for i in range(4, -1, -1):
            self.first.append(self._block(channels[-1] if i == 4 else out[i + 1], out[i]))
            self.second.append(self._block(out[i] + (channels[i - 1] if i else 0), out[i]))
        self.disparity = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(out[0], 1, 3), nn.Sigmoid())

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3), nn.ELU(inplace=True))

    def forward(self, image: Tensor) -> Tensor:
        maps = self.encoder((image - 0.45) / 0.225)
        x = maps[-1]
        for i, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            parts = [twice(first(x))]
            if i < 4:
                parts.append(maps[3 - i])
            x = second(torch.cat(parts, 1))
        disparity: Tensor = self.disparity(x)
        return disparity


def _depthwise(channels: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False),
        nn.BatchNorm2d(channels), nn.ReLU6(True), nn.Conv2d(channels, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs), nn.ReLU6(True),
    )  # fmt: skip


class FastDepth(nn.Module):
    """Wofk et al. 2019: MobileNet, depthwise 5x5 and nearest doublings, additive skips."""

    def __init__(self) -> None:
        super().__init__()
        plan = ((8, 16, 1), (16, 24, 2), (24, 24, 1), (24, 32, 2), (32, 32, 1), (32, 48, 2), (48, 64, 2))
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(True))
        self.down = nn.ModuleList(_depthwise(i, o, 3, s) for i, o, s in plan)
        self.up = nn.ModuleList(_depthwise(i, o, 5) for i, o in ((64, 48), (48, 32), (32, 24), (24, 16), (16, 8)))
        self.last = nn.Sequential(nn.Conv2d(8, 1, 1), nn.BatchNorm2d(1), nn.ReLU(True))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        kept = []
        for i, layer in enumerate(self.down):
            x = layer(x)
            if i in (0, 2, 4):
                kept.append(x)
        for i, layer in enumerate(self.up):
            x = twice(layer(x))
            if i in (1, 2, 3):
                x = x + kept[3 - i] if x.shape == kept[3 - i].shape else x
        depth: Tensor = self.last(x)
        return depth


class Bts(nn.Module):
    """Lee et al. 2019: planes from spherical angles guide the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18()
        c = widths(self.encoder)
        self.up = nn.Sequential(nn.Conv2d(c[4], 16, 3, 1, 1, bias=False), nn.ELU())
        self.aspp = nn.Sequential(
            nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=3, dilation=3, bias=False)
        )
        self.plane, self.last = nn.Conv2d(16, 3, 1), nn.Conv2d(1 + c[2], 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        y = self.plane(self.aspp(self.up(twice(twice(maps[4])))))
        theta, phi, dist = (
            torch.sigmoid(y[:, :1]) * 1.047,
            torch.sigmoid(y[:, 1:2]) * 6.283,
            torch.sigmoid(y[:, 2:]) * 10,
        )
        n1, n2, n3 = theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()
        normal = F.normalize(torch.cat([n1, n2, n3], 1), 2, 1)
        u = torch.linspace(-0.5, 0.5, y.shape[-1])
        depth = dist / (normal[:, :1] * u + normal[:, 1:2] * u[:, None] + normal[:, 2:])
        return torch.sigmoid(self.last(torch.cat([depth, maps[2]], 1)))


class _ResidualUnit(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        out = self.one(F.relu(x))
        return self.two(F.relu(out)) + x


class _Fusion(nn.Module):
    def __init__(self, channels: int, expand: bool) -> None:
        super().__init__()
        self.one, self.two = _ResidualUnit(channels), _ResidualUnit(channels)
        self.out = nn.Conv2d(channels, channels // 2 if expand else channels, 1)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is not None:
            x = x + self.one(skip)
        x = F.interpolate(self.two(x), scale_factor=2, mode="bilinear", align_corners=True)
        return self.out(x)


class Midas(nn.Module):
    """Ranftl et al. 2020: fusion of residual units, resizes with aligned corners; v2.1 large and small."""

    def __init__(self, backbone: nn.Module, expand: bool) -> None:
        super().__init__()
        self.backbone = backbone
        channels = widths(backbone)[-4:]
        features = [8, 16, 32, 64] if expand else [16] * 4
        self.scratch = nn.ModuleList(
            nn.Conv2d(c, f, 3, 1, 1, bias=False) for c, f in zip(channels, features, strict=True)
        )
        self.fusions = nn.ModuleList(_Fusion(f, expand and i > 0) for i, f in reversed(list(enumerate(features))))
        last = features[0]
        self.head = nn.ModuleList([nn.Conv2d(last, last, 3, 1, 1), nn.Conv2d(last, 8, 3, 1, 1), nn.Conv2d(8, 1, 1)])

    def forward(self, x: Tensor) -> Tensor:
        maps = [s(m) for s, m in zip(self.scratch, self.backbone(x)[-4:], strict=True)]
        y = self.fusions[0](maps[3])
        for fusion, skip in zip(list(self.fusions)[1:], maps[2::-1], strict=True):
            y = fusion(y, skip)
        y = F.interpolate(self.head[0](y), scale_factor=2, mode="bilinear", align_corners=False)
        return F.relu(self.head[2](F.relu(self.head[1](y)))).squeeze(1)


class PackNet(nn.Module):
    """Guizilini et al. 2020: packing by pixel unshuffle and 3-D convolutions, GroupNorm, ELU."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 5, 1, 2), nn.GroupNorm(4, 8), nn.ELU())
        self.pack3d, self.pack = nn.Conv3d(1, 4, 3, padding=1), nn.Conv2d(128, 16, 3, 1, 1)
        self.unpack, self.unpack3d = nn.Conv2d(16, 8, 3, 1, 1), nn.Conv3d(1, 4, 3, padding=1)
        self.last = nn.Sequential(nn.Conv2d(8, 1, 3, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y = F.pixel_unshuffle(self.first(x), 2)
        y = self.pack(self.pack3d(y[:, None]).flatten(1, 2))
        y = self.unpack3d(self.unpack(y)[:, None]).flatten(1, 2)
        return self.last(F.pixel_shuffle(y, 2))


class _SqueezeGate(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(inputs, inputs // 4, bias=False), nn.ReLU(), nn.Linear(inputs // 4, inputs, bias=False)
        )
        self.after = nn.Conv2d(inputs, outputs, 1)

    def forward(self, high: Tensor, *low: Tensor) -> Tensor:
        x = torch.cat([twice(high), *low], 1)
        y = F.adaptive_avg_pool2d(x, 1).flatten(1)
        y = torch.sigmoid(self.gate(y))[:, :, None, None]
        return F.relu(self.after(x * y.expand_as(x)))


class HrDepth(nn.Module):
    """Lyu et al. 2021: nested skips fused by squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18()
        c = widths(self.encoder)
        self.x31 = _SqueezeGate(c[4] + c[3], c[3])
        self.x21, self.x22 = _SqueezeGate(c[3] + c[2], c[2]), _SqueezeGate(c[3] + 2 * c[2], c[2])
        self.x11 = _SqueezeGate(c[2] + 2 * c[1], c[1])
        self.last = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(c[1], 1, 3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        _, b, c, d, e = self.encoder((x - 0.45) / 0.225)
        x31 = self.x31(e, d)
        x21 = self.x21(d, c)
        x22 = self.x22(x31, c, x21)
        return twice(self.last(self.x11(x22, b, b)))


class DiffNet(nn.Module):
    """Zhou et al. 2021 (DIFFNet): HRNet features, squeeze and excitation in the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder("hrnet_w18_small")
        c = widths(self.encoder)
        self.fuse = nn.ModuleList(_SqueezeGate(a + b, b) for a, b in ((c[4], c[3]),))
        self.last = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(c[3], 1, 3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        return self.last(self.fuse[0](maps[4], maps[3]))


class LapDepth(nn.Module):
    """Song et al. 2021: a Laplacian pyramid of the photo guides the decoder; dilated ASPP, weight-standardised ELU."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder("resnext50_32x4d", base_width=4, channels=(16, 32, 64, 64), stem_width=16)
        c = widths(self.encoder)
        self.aspp = nn.ModuleList(nn.Conv2d(c[4], 16, 3, padding=d, dilation=d) for d in (1, 3, 6))
        self.decode = nn.ModuleList(
            [nn.Conv2d(48, 16, 3, 1, 1), nn.Conv2d(16 + c[3] + 3, 16, 3, 1, 1), nn.Conv2d(16 + c[2] + 4, 16, 3, 1, 1)]
        )
        self.residual = nn.ModuleList(nn.Conv2d(16, 1, 3, 1, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        half = [x]
        for _ in range(5):
            half.append(F.interpolate(half[-1], scale_factor=0.5, mode="bilinear"))
        laplace = [half[i] - F.interpolate(half[i + 1], size=half[i].shape[2:], mode="bilinear") for i in range(5)]
        maps = self.encoder(x)
        y = F.elu(self.decode[0](F.elu(torch.cat([a(maps[4]) for a in self.aspp], 1))))
        depth = torch.sigmoid(self.residual[0](y))
        y = twice(y, "bilinear")
        y = F.elu(self.decode[1](torch.cat([y, maps[3], laplace[4]], 1)))
        residual = torch.tanh(self.residual[1](y) + 0.1 * laplace[4].mean(1, keepdim=True))
        depth = residual + twice(depth, "bilinear")
        y = twice(y, "bilinear")
        y = F.elu(self.decode[2](torch.cat([y, maps[2], laplace[3], twice(residual, "bilinear")], 1)))
        residual = torch.tanh(self.residual[2](y) + 0.1 * laplace[3].mean(1, keepdim=True))
        return residual + twice(depth, "bilinear")


class Rmsfm(nn.Module):
    """Zhou et al. 2021 (R-MSFM): a gated recurrent unit updates the disparity, here twice, unrolled."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder("resnet18", channels=(16, 32, 32, 32), stem_width=16)
        width = widths(self.encoder)[2]
        self.z, self.r, self.q = (nn.Conv2d(2 * width, width, 3, 1, 1) for _ in range(3))
        self.delta, self.encode = nn.Conv2d(width, 1, 3, 1, 1), nn.Conv2d(1, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        h = torch.tanh(maps[2])
        disparity = self.delta(h)
        for _ in range(2):
            inputs = F.relu(self.encode(disparity))
            both = torch.cat([h, inputs], 1)
            z, r = torch.sigmoid(self.z(both)), torch.sigmoid(self.r(both))
            h = (1 - z) * h + z * torch.tanh(self.q(torch.cat([r * h, inputs], 1)))
            disparity = disparity + self.delta(h)
        return torch.sigmoid(disparity)


class LeReS(nn.Module):
    """Yin et al. 2021: a ResNeXt, feature transfer and merging by sums, bilinear with aligned corners."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder("resnext50_32x4d", base_width=4, channels=(16, 32, 32, 64), stem_width=16)
        c = widths(self.encoder)
        self.first = nn.Sequential(nn.Conv2d(c[4], 32, 1), self._unit(32))
        self.side = nn.ModuleList(nn.Sequential(nn.Conv2d(k, 32, 1), self._unit(32)) for k in (c[3], c[2], c[1]))
        self.merge = nn.ModuleList(self._unit(32) for _ in range(3))
        self.last = nn.Sequential(nn.Conv2d(32, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 1, 3, 1, 1))

    @staticmethod
    def _unit(width: int) -> nn.Sequential:
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
        )

    @staticmethod
    def _up(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        y = self._up(self.first(maps[4]))
        for side, merge, skip in zip(self.side, self.merge, maps[3:0:-1], strict=True):
            y = y + side(skip)
            y = self._up(merge(y) + y)
        return self._up(self.last(y))


class CaDepth(nn.Module):
    """Yan et al. 2021: attention between channels over all pixels, then gated skips."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18()
        c = widths(self.encoder)
        self.reduce, self.last = nn.Conv2d(c[4], c[3], 1), nn.Conv2d(c[3], 1, 3, 1, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(2 * c[3], c[3], 1), nn.ReLU(), nn.Conv2d(c[3], 2 * c[3], 1), nn.Sigmoid()
        )
        self.mix = nn.Conv2d(2 * c[3], c[3], 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        y = maps[4]
        flat = y.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        energy = energy.max(-1, keepdim=True)[0].expand_as(energy) - energy
        y = (energy.softmax(-1) @ flat).reshape(y.shape) + y
        both = torch.cat([twice(self.reduce(y)), maps[3]], 1)
        return torch.sigmoid(self.last(F.elu(self.mix(both * self.gate(both)))))


class GuideDepth(nn.Module):
    """Rudolph et al. 2022: guided upsampling blocks, squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(conv(3, 16, 3, 2), conv(16, 24, 3, 2), conv(24, 32, 3, 2))
        self.up = nn.ModuleList(self._block(i, o) for i, o in ((32, 24), (24, 16), (16, 8)))
        self.last = nn.Conv2d(8, 1, 1)

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.ModuleDict:
        return nn.ModuleDict({
            "feature": nn.Sequential(conv(inputs, inputs), conv(inputs, inputs // 2, 1)),
            "guide": nn.Sequential(conv(3, inputs), conv(inputs, inputs // 2, 1)),
            "squeeze": nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, inputs // 4, 1), nn.ReLU(),
                nn.Conv2d(inputs // 4, inputs, 1), nn.Sigmoid(),
            ),
            "comb": conv(inputs, inputs), "reduce": nn.Conv2d(inputs, outputs, 1),
        })  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(x)
        for i, block in enumerate(self.up):
            guide = x if i == 2 else F.interpolate(x, scale_factor=0.5 ** (2 - i), mode="bilinear")
            y = twice(y, "bilinear")
            both = torch.cat([block["feature"](y), block["guide"](guide)], 1)
            y = block["reduce"](block["comb"](both * block["squeeze"](both)) + y)
        return self.last(y)


def midas_large() -> nn.Module:
    """MiDaS v2.1's large one behind a narrow ResNeXt."""
    return Midas(encoder("resnext50_32x4d", base_width=4, channels=(16, 16, 32, 32), stem_width=16), False)


def midas_small() -> nn.Module:
    """MiDaS v2.1's small one behind EfficientNet-Lite."""
    return Midas(encoder("efficientnet_lite0"), True)


def entries() -> Iterator[Entry]:
    """All of them."""
    return listed(
        "late_decoders",
        {
            "ResNet-18 U-Net": (64, "UNet", lambda: UNet(resnet18())),
            "Monodepth2": (64, "Monodepth2", Monodepth2),
            "FastDepth": (64, "FastDepth", FastDepth),
            "BTS": (64, "Bts", Bts),
            "MiDaS v2.1": (64, "Midas", midas_large),
            "MiDaS v2.1 small": (64, "Midas", midas_small),
            "PackNet": (32, "PackNet", PackNet),
            "HR-Depth": (64, "HrDepth", HrDepth),
            "DIFFNet": (64, "DiffNet", DiffNet),
            "LapDepth": (96, "LapDepth", LapDepth),
            "R-MSFM": (64, "Rmsfm", Rmsfm),
            "LeReS": (64, "LeReS", LeReS),
            "CADepth": (64, "CaDepth", CaDepth),
            "GuideDepth": (64, "GuideDepth", GuideDepth),
        },
    )
