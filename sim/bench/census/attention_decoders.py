"""Published depth networks with attention, written small, and the project's own two."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.sim.bench.census.decoders import encoder, listed, resnet18, twice, widths
from triptych.sim.bench.census.entry import Entry


class AdaBins(nn.Module):
    """Bhat et al. 2021: a small transformer over patches gives adaptive bins and the kernels that read the map."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18()
        c = widths(self.encoder)
        self.up = nn.ModuleList(
            nn.Conv2d(i, o, 3, 1, 1) for i, o in ((c[4] + c[3], 32), (32 + c[2], 32), (32 + c[1], 32))
        )
        self.embed = nn.Conv2d(32, 32, 4, 4)
        self.positions = nn.Parameter(torch.rand(16, 32))
        self.encode = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(32, 2, 64, batch_first=True), 2, enable_nested_tensor=False
        )
        self.after = nn.Conv2d(32, 32, 3, 1, 1)
        self.regress = nn.Sequential(nn.Linear(32, 32), nn.LeakyReLU(), nn.Linear(32, 16))
        self.out = nn.Sequential(nn.Conv2d(8, 16, 1), nn.Softmax(1))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        y = maps[4]
        for layer, skip in zip(self.up, maps[3:0:-1], strict=True):
            y = F.interpolate(y, size=skip.shape[2:], mode="bilinear", align_corners=True)
            y = F.leaky_relu(layer(torch.cat([y, skip], 1)))
        tokens = self.encode(self.embed(y).flatten(2).transpose(1, 2) + self.positions)
        queries = tokens[:, 1:9]
        ranges = (
            (self.after(y).flatten(2).transpose(1, 2) @ queries.transpose(1, 2))
            .transpose(1, 2)
            .unflatten(2, y.shape[2:])
        )
        bins = torch.relu(self.regress(tokens[:, 0])) + 0.1
        edges = 10 * bins / bins.sum(1, keepdim=True)
        centres = edges.cumsum(1) - 0.5 * edges
        return (self.out(ranges) * centres[:, :, None, None]).sum(1, keepdim=True)


class _CrfWindow(nn.Module):
    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm, self.norm_two = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qk, self.v_proj, self.proj = nn.Linear(dim, 2 * dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.bias = nn.Parameter(0.02 * torch.randn(heads, window**2, window**2))
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def _windows(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        n = self.window
        return x.reshape(b, h // n, n, w // n, n, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, n * n, c)

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        _, c, h, w = x.shape
        n, shortcut = self.window, x.permute(0, 2, 3, 1)
        windows, values = self._windows(self.norm(shortcut)), self._windows(v.permute(0, 2, 3, 1))
        q, k = self.qk(windows).reshape(-1, n * n, 2, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        vv = self.v_proj(values).reshape(-1, n * n, self.heads, c // self.heads).transpose(1, 2)
        scores = (q * (c // self.heads) ** -0.5) @ k.transpose(-2, -1) + self.bias
        y = self.proj((scores.softmax(-1) @ vv).transpose(1, 2).flatten(2))
        y = y.reshape(1, h // n, w // n, n, n, c).permute(0, 1, 3, 2, 4, 5).reshape(1, h, w, c) + shortcut
        return (y + self.mlp(self.norm_two(y))).permute(0, 3, 1, 2)


class NewCrfs(nn.Module):
    """Yuan et al. 2022: window attention with relative biases whose values are the decoder's, pixel shuffles."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18()
        c = widths(self.encoder)
        self.first = nn.Conv2d(c[4], 64, 1)
        self.skips = nn.ModuleList(nn.Conv2d(k, w, 1) for k, w in ((c[3], 16), (c[2], 4)))
        self.crfs = nn.ModuleList(_CrfWindow(w, 2, n) for w, n in ((16, 4), (4, 4)))
        self.last = nn.Conv2d(4, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        y = F.pixel_shuffle(self.first(maps[4]), 2)
        y = self.crfs[0](self.skips[0](maps[3]), y)
        y = self.crfs[1](self.skips[1](maps[2]), F.pixel_shuffle(y, 2))
        return torch.sigmoid(self.last(y))


class _DilatedBlock(nn.Module):
    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, 3, padding=dilation, dilation=dilation, groups=dim, bias=False)
        self.norm = nn.BatchNorm2d(dim)
        self.one, self.two = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x)).permute(0, 2, 3, 1)
        y = self.gamma * self.two(F.gelu(self.one(y)))
        return x + y.permute(0, 3, 1, 2)


class _CrossCovariance(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.proj = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = (
            self.qkv(self.norm(tokens)).reshape(b, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 4, 1).unbind(0)
        )
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature
        y = self.proj((scores.softmax(-1) @ v).permute(0, 3, 1, 2).flatten(2))
        return x + y.transpose(1, 2).reshape(b, c, h, w)


class LiteMono(nn.Module):
    """Zhang et al. 2023: dilated depthwise blocks, cross-covariance attention, Monodepth2's kind of decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.GELU(),
            nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.GELU(),
        )  # fmt: skip
        self.down = nn.ModuleList(nn.Conv2d(i + 3, o, 3, 2, 1) for i, o in ((16, 16), (16, 24), (24, 32)))
        self.stages = nn.ModuleList(
            nn.Sequential(_DilatedBlock(d, 1), _DilatedBlock(d, 2), _CrossCovariance(d, 4)) for d in (16, 24, 32)
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(i, o, 3), nn.ELU(True))
            for i, o in ((32, 24), (24 + 24, 16), (16 + 16, 16))
        )
        self.last = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(16, 1, 3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 0.45) / 0.225
        pictures = [x]
        for _ in range(3):
            pictures.append(F.avg_pool2d(pictures[-1], 3, 2, 1))
        y, maps = self.stem(x), []
        for i, (down, stage) in enumerate(zip(self.down, self.stages, strict=True)):
            y = stage(down(torch.cat([y, pictures[i + 1]], 1)))
            maps.append(y)
        y = twice(self.up[0](maps[2]), "bilinear")
        y = twice(self.up[1](torch.cat([y, maps[1]], 1)), "bilinear")
        return self.last(self.up[2](torch.cat([y, maps[0]], 1)))


class PixelFormer(nn.Module):
    """Agarwal & Arora 2023: skip attention, cross attention between decoder queries and encoder keys."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18()
        c = widths(self.encoder)
        self.query, self.skip = nn.Conv2d(c[4], 64, 1), nn.Conv2d(c[3], 16, 1)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.norm, self.last = nn.LayerNorm(16), nn.Conv2d(16, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.encoder(x)
        q, k = F.pixel_shuffle(self.query(maps[4]), 2), self.skip(maps[3])
        tokens, keys = (t.flatten(2).transpose(1, 2) for t in (q, k))
        y = self.norm(tokens + self.attention(tokens, keys, keys, need_weights=False)[0])
        return torch.sigmoid(self.last(y.transpose(1, 2).reshape(q.shape)))


class TimmDpt(nn.Module):
    """Depth prediction transformers' readout (Ranftl et al. 2021): every token joined with the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = encoder(
            "vit_tiny_patch16_224", embed_dim=32, depth=2, num_heads=2, img_size=64, out_indices=[0, 1]
        )
        self.project = nn.ModuleList(nn.Conv2d(32, 16, 1) for _ in range(2))
        self.up, self.last = nn.ConvTranspose2d(16, 16, 4, 4), nn.Conv2d(16, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = (p(m) for p, m in zip(self.project, self.backbone(x), strict=True))
        return F.relu(self.last(self.up(a + b)))


def depth_anything_v2() -> nn.Module:
    """The published head of Depth Anything V2 on a small backbone."""
    from triptych.golden.quartdepth.zoo.vit import DepthVit, DptConfig, VitConfig

    head = DptConfig(16, (8, 16, 24, 32), align_corners=True, full_size=True)
    return DepthVit(VitConfig(32, 4, 2, grid=4, taps=(0, 1, 2, 3)), head)


def own_vit() -> nn.Module:
    """The project's ViT + DPT, small."""
    from triptych.golden.quartdepth.zoo.vit import DepthVit, DptConfig, VitConfig

    return DepthVit(VitConfig(32, 4, 2, grid=4, taps=(0, 1, 2, 3)), DptConfig(16, (8, 16, 24, 32)))


def meter() -> nn.Module:
    """METER-XXS."""
    from triptych.golden.quartdepth.zoo.meter import METER

    return METER()


def entries() -> Iterator[Entry]:
    """All of them."""
    return listed(
        "attention_decoders",
        {
            "AdaBins": (64, "AdaBins", AdaBins),
            "NeW CRFs": (64, "NewCrfs", NewCrfs),
            "Lite-Mono": (64, "LiteMono", LiteMono),
            "PixelFormer": (64, "PixelFormer", PixelFormer),
            "DPT readout of timm's ViT": (64, "TimmDpt", TimmDpt),
            "Depth Anything V2": (56, "depth_anything_v2", depth_anything_v2),
            "ViT-S + DPT (ours)": (56, "own_vit", own_vit),
            "METER-XXS": (64, "meter", meter),
        },
    )
