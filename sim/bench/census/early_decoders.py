"""Published depth networks of 2014 to 2018, written small: the operators of their papers' code, few channels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.sim.bench.census.decoders import conv, encoder, listed, resnet18, twice, widths
from triptych.sim.bench.census.entry import Entry


class EigenCoarse(nn.Module):
    """Eigen et al. 2014: max pools, two fully connected layers over the whole map, a fine network."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 12, 11, 4, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 16, 5, 1, 2),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.full = nn.Sequential(nn.Linear(16 * 16, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 256))
        self.fine_in = nn.Sequential(nn.Conv2d(3, 15, 9, 2, 4), nn.ReLU(), nn.MaxPool2d(2))
        self.fine = nn.Sequential(nn.Conv2d(16, 16, 5, 1, 2), nn.ReLU(), nn.Conv2d(16, 1, 5, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        coarse = self.full(self.features(x).flatten(1)).reshape(1, 1, 16, 16)
        return self.fine(torch.cat([self.fine_in(x), coarse], 1))


class UpProjection(nn.Module):
    """Laina et al. 2016: four interleaved convolutions, with a projected skip."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        kernels = ((3, 3), (2, 3), (3, 2), (2, 2))
        self.one = nn.ModuleList(nn.Conv2d(inputs, outputs, k) for k in kernels)
        self.two = nn.ModuleList(nn.Conv2d(inputs, outputs, k) for k in kernels)
        self.norm_one, self.norm_two = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.after = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))

    @staticmethod
    def _woven(x: Tensor, convs: nn.ModuleList) -> Tensor:
        pads = ((1, 1, 1, 1), (1, 1, 0, 1), (0, 1, 1, 1), (0, 1, 0, 1))
        a, b, c, d = (m(F.pad(x, p)) for m, p in zip(convs, pads, strict=True))
        rows = [torch.stack(two, -3).permute(0, 1, 3, 4, 2).flatten(-2) for two in ((a, b), (c, d))]
        return torch.stack(rows, -2).flatten(-3, -2)

    def forward(self, x: Tensor) -> Tensor:
        main = self.after(F.relu(self.norm_one(self._woven(x, self.one))))
        return F.relu(main + self.norm_two(self._woven(x, self.two)))


class Fcrn(nn.Module):
    """Laina et al. 2016: a ResNet and up-projections."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18()
        below = widths(self.encoder)[-1]
        self.middle = nn.Sequential(nn.Conv2d(below, below // 2, 1, bias=False), nn.BatchNorm2d(below // 2))
        ups, width = [], below // 2
        for _ in range(4):
            ups.append(UpProjection(width, width // 2))
            width //= 2
        self.up, self.last = nn.Sequential(*ups), nn.Conv2d(width, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.middle(self.encoder(x)[-1]))
        return F.interpolate(F.relu(self.last(y)), size=x.shape[2:], mode="bilinear", align_corners=True)


class Hourglass(nn.Module):
    """Chen et al. 2016 (depth in the wild): inception blocks between max pools and nearest doublings."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv(3, 16, 7)
        self.blocks = nn.ModuleList(self._inception(16) for _ in range(6))
        self.last = nn.Conv2d(16, 1, 3, 1, 1)

    @staticmethod
    def _inception(width: int) -> nn.ModuleList:
        return nn.ModuleList([conv(width, 4, 1)] + [nn.Sequential(conv(width, 4, 1), conv(4, 4, k)) for k in (3, 5, 7)])

    def _at(self, i: int, x: Tensor) -> Tensor:
        return torch.cat([b(x) for b in self.blocks[i]], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        a = self._at(0, x)
        b = self._at(1, F.max_pool2d(x, 2))
        c = self._at(2, F.max_pool2d(b, 2))
        b = self._at(3, b) + twice(self._at(4, c))
        return self.last(self._at(5, a + twice(b)))


class Monodepth(nn.Module):
    """Godard et al. 2017: VGG-like encoder, ELU, disparities at four scales that are doubled and joined."""

    def __init__(self) -> None:
        super().__init__()
        out = (8, 16, 24, 32, 32)
        self.down = nn.ModuleList()
        below = 3
        for width in out:
            self.down.append(
                nn.Sequential(nn.Conv2d(below, width, 3, 1, 1), nn.ELU(), nn.Conv2d(width, width, 3, 2, 1), nn.ELU())
            )
            below = width
        self.up, self.join, self.disparity = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i in range(4, -1, -1):
            self.up.append(nn.Conv2d(below, out[i], 3, 1, 1))
            skip = out[i - 1] if i else 0
            self.join.append(nn.Conv2d(out[i] + skip + (2 if i < 3 else 0), out[i], 3, 1, 1))
            self.disparity.append(nn.Conv2d(out[i], 2, 3, 1, 1))
            below = out[i]

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for layer in self.down:
            x = layer(x)
            maps.append(x)
        disparity = x
        for i in range(5):
            parts = [F.elu(self.up[i](twice(x)))]
            if i < 4:
                parts.append(maps[3 - i])
            if i > 1:
                parts.append(twice(disparity))
            x = F.elu(self.join[i](torch.cat(parts, 1)))
            if i:
                disparity = 0.3 * torch.sigmoid(self.disparity[i](x))
        return disparity


class DispNet(nn.Module):
    """SfMLearner, Zhou et al. 2017: transposed convolutions, disparities that are joined, crops to size."""

    def __init__(self) -> None:
        super().__init__()
        plan = (8, 16, 24, 32)
        self.down, self.up, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        below = 3
        for i, width in enumerate(plan):
            k = 7 if i == 0 else 5 if i == 1 else 3
            self.down.append(
                nn.Sequential(
                    nn.Conv2d(below, width, k, 2, k // 2),
                    nn.ReLU(True),
                    nn.Conv2d(width, width, k, 1, k // 2),
                    nn.ReLU(True),
                )
            )
            below = width
        for i in (3, 2, 1, 0):
            out = plan[i - 1] if i else 8
            self.up.append(nn.Sequential(nn.ConvTranspose2d(plan[i], out, 3, 2, 1, 1), nn.ReLU(True)))
            extra = (plan[i - 1] if i else 0) + (1 if i < 3 else 0)
            self.join.append(nn.Sequential(nn.Conv2d(out + extra, out, 3, 1, 1), nn.ReLU(True)))
        self.predict = nn.ModuleList(nn.Sequential(nn.Conv2d(c, 1, 3, 1, 1), nn.Sigmoid()) for c in (24, 16, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        maps, wanted = [], x
        for layer in self.down:
            x = layer(x)
            maps.append(x)
        disparity: Tensor | None = None
        for i in range(4):
            like = maps[2 - i] if i < 3 else wanted
            y = self.up[i](x)[:, :, : like.size(2), : like.size(3)]
            parts = [y] if i == 3 else [y, like]
            if disparity is not None:
                parts.append(twice(disparity, "bilinear")[:, :, : like.size(2), : like.size(3)])
            x = self.join[i](torch.cat(parts, 1))
            disparity = 10 * self.predict[i](x) + 0.01
        assert disparity is not None
        return disparity


class SparseToDense(nn.Module):
    """Ma & Karaman 2018, of photos alone: a ResNet, transposed convolutions, a resize with aligned corners."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18()
        width = widths(self.encoder)[-1]
        ups: list[nn.Module] = []
        for _ in range(4):
            ups += [
                nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1, bias=False),
                nn.BatchNorm2d(width // 2),
                nn.ReLU(),
            ]
            width //= 2
        self.up, self.last = nn.Sequential(*ups), nn.Conv2d(width, 1, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(self.up(self.encoder(x)[-1]))
        return F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True)


class Dorn(nn.Module):
    """Fu et al. 2018: dilated convolutions, a full-image encoder, ordinal bins."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder("resnet18", channels=(16, 32, 64, 64), stem_width=16, output_stride=8)
        width = widths(self.encoder)[-1]
        self.global_fc, self.global_conv = nn.Linear(width * 4, 32), nn.Conv2d(32, 32, 1)
        self.branches = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(width, 32, 1), nn.ReLU())]
            + [nn.Sequential(nn.Conv2d(width, 32, 3, padding=d, dilation=d), nn.ReLU()) for d in (2, 3, 4)]
        )
        self.last = nn.Sequential(nn.Conv2d(32 * 5, 64, 1), nn.ReLU(), nn.Conv2d(64, 16, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.encoder(x)[-1]
        whole = F.avg_pool2d(y, y.shape[-1] // 2).flatten(1)
        whole = self.global_conv(F.relu(self.global_fc(whole))[:, :, None, None])
        parts = [
            F.interpolate(whole, size=y.shape[2:], mode="bilinear", align_corners=True),
            *(b(y) for b in self.branches),
        ]
        y = F.interpolate(self.last(torch.cat(parts, 1)), size=x.shape[2:], mode="bilinear", align_corners=True)
        a, b = y[:, ::2].clamp(1e-8, 1e4), y[:, 1::2].clamp(1e-8, 1e4)
        return torch.stack([a, b], 1).softmax(1)[:, 1].sum(1, keepdim=True)


class PydNet(nn.Module):
    """Poggi et al. 2018: a pyramid of leaky ReLUs, 2x2 transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        plan = (8, 12, 16, 24)
        self.down, self.decode, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        below = 3
        for i, width in enumerate(plan):
            self.down.append(nn.Sequential(
                nn.Conv2d(below, width, 3, 2, 1), nn.LeakyReLU(0.2),
                nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(0.2),
            ))  # fmt: skip
            extra = 0 if i == len(plan) - 1 else 8
            self.decode.append(nn.Sequential(
                nn.Conv2d(width + extra, 16, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 8, 3, 1, 1),
            ))  # fmt: skip
            self.up.append(nn.ConvTranspose2d(8, 8, 2, 2))
            below = width

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for layer in self.down:
            x = layer(x)
            maps.append(x)
        y = self.decode[3](maps[3])
        for i in (2, 1, 0):
            y = self.decode[i](torch.cat([maps[i], F.leaky_relu(self.up[i + 1](y), 0.2)], 1))
        return 0.3 * torch.sigmoid(y[:, :1])


class DenseDepth(nn.Module):
    """Alhashim & Wonka 2018: DenseNet, bilinear doublings with aligned corners, leaky ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder("densenet121", growth_rate=8, block_config=(2, 2, 2, 2))
        channels = widths(self.encoder)
        below = channels[-1]
        self.middle, self.levels = nn.Conv2d(below, below, 1), nn.ModuleList()
        for skip in channels[-2::-1]:
            width = below // 2
            self.levels.append(nn.Sequential(
                nn.Conv2d(below + skip, width, 3, 1, 1), nn.LeakyReLU(0.2),
                nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(0.2),
            ))  # fmt: skip
            below = width
        self.last = nn.Conv2d(below, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        y = self.middle(F.relu(maps[-1]))
        for level, skip in zip(self.levels, maps[-2::-1], strict=True):
            y = F.interpolate(y, size=[skip.size(2), skip.size(3)], mode="bilinear", align_corners=True)
            y = level(torch.cat([y, skip], 1))
        depth: Tensor = self.last(y)
        return depth


def entries() -> Iterator[Entry]:
    """All of them."""
    return listed(
        "early_decoders",
        {
            "Eigen coarse and fine": (64, "EigenCoarse", EigenCoarse),
            "FCRN": (64, "Fcrn", Fcrn),
            "Hourglass": (32, "Hourglass", Hourglass),
            "Monodepth": (64, "Monodepth", Monodepth),
            "SfMLearner DispNet": (64, "DispNet", DispNet),
            "Sparse-to-Dense": (64, "SparseToDense", SparseToDense),
            "DORN": (64, "Dorn", Dorn),
            "PyD-Net": (64, "PydNet", PydNet),
            "DenseDepth": (64, "DenseDepth", DenseDepth),
        },
    )
