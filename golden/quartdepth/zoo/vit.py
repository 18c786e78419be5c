"""ViT-S/14 with a DPT head, in PyTorch.

Backbone: DINOv2's ViT-S/14 (Oquab et al. 2023). Head: DPT (Ranftl et al. 2021) as Depth Anything V2 (Yang et al. 2024)
has it. Module names give the state-dict keys of that model's published checkpoints (`depth_anything`). Our own head
differs in what costs the chip most: it resizes by two alone, between pixel centres, and leaves the last enlargement to
the reader.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class VitConfig:
    """Sizes of the backbone; the defaults are ViT-S/14. `taps`: the blocks whose tokens the head reads."""

    dim: int = 384
    depth: int = 12
    heads: int = 6
    patch: int = 14
    grid: int = 37  # the learned positions are grid x grid
    taps: tuple[int, int, int, int] = (2, 5, 8, 11)


@dataclass(frozen=True)
class DptConfig:
    """Sizes of the head. align_corners: corner pixels stay where they are in every resize; full_size: the depth map
    is enlarged to the photo's size before the last convolutions."""

    features: int = 64
    channels: tuple[int, int, int, int] = (48, 96, 192, 384)
    align_corners: bool = False
    full_size: bool = False


class Attention(nn.Module):
    """Multi-head self-attention, [B,T,d] -> [B,T,d]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(b, t, d))


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned gain by channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block with LayerScale."""

    def __init__(self, cfg: VitConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(cfg.dim, eps=1e-6)
        self.attn = Attention(cfg.dim, cfg.heads)
        self.ls1 = LayerScale(cfg.dim)
        self.norm2 = nn.LayerNorm(cfg.dim, eps=1e-6)
        self.mlp = Mlp(cfg.dim)
        self.ls2 = LayerScale(cfg.dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Patches to tokens."""

    def __init__(self, cfg: VitConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, cfg.dim, cfg.patch, cfg.patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Backbone(nn.Module):
    """[B,3,H,W], normalised, H and W multiples of the patch -> normalised tokens [B,T,d] of the tapped blocks."""

    def __init__(self, cfg: VitConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.cls_token = nn.Parameter(torch.zeros(1, 1, cfg.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + cfg.grid**2, cfg.dim))
        self.mask_token = nn.Parameter(torch.zeros(1, cfg.dim))  # of the pre-training; nothing reads it
        self.patch_embed = PatchEmbed(cfg)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.depth))
        self.norm = nn.LayerNorm(cfg.dim, eps=1e-6)

    def positions(self, h: int, w: int) -> Tensor:
        """The learned positions, resized (bicubic) to h x w patches: [1, 1 + h w, d]."""
        grid = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (self.cfg.grid, self.cfg.grid))
        grid = F.interpolate(grid.float(), size=(h, w), mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        b, _, h, w = x.shape
        patch = self.cfg.patch
        tokens = torch.cat([self.cls_token.expand(b, -1, -1), self.patch_embed(x)], 1)
        tokens = tokens + self.positions(h // patch, w // patch)
        out = []
        for i, block in enumerate(self.blocks):
            tokens = block(tokens)
            if i in self.cfg.taps:
                out.append(self.norm(tokens)[:, 1:])
        return out


class ResidualUnit(nn.Module):
    """x + two 3x3 convolutions, each behind a ReLU."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, 1, 1)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Fusion(nn.Module):
    """Adds the finer map (if any), refines, enlarges by two or to `size`."""

    def __init__(self, cfg: DptConfig) -> None:
        super().__init__()
        self.align_corners = cfg.align_corners
        self.out_conv = nn.Conv2d(cfg.features, cfg.features, 1)
        self.resConfUnit1 = ResidualUnit(cfg.features)
        self.resConfUnit2 = ResidualUnit(cfg.features)

    def forward(self, x: Tensor, finer: Tensor | None, size: tuple[int, int] | None) -> Tensor:
        if finer is not None:
            x = x + self.resConfUnit1(finer)
        size = size or (2 * x.shape[2], 2 * x.shape[3])
        x = F.interpolate(self.resConfUnit2(x), size=size, mode="bilinear", align_corners=self.align_corners)
        return self.out_conv(x)


class Scratch(nn.Module):
    """The convolutional pyramid of DPT."""

    def __init__(self, cfg: DptConfig) -> None:
        super().__init__()
        for i, channels in enumerate(cfg.channels, 1):
            self.add_module(f"layer{i}_rn", nn.Conv2d(channels, cfg.features, 3, 1, 1, bias=False))
            self.add_module(f"refinenet{i}", Fusion(cfg))
        half = cfg.features // 2
        self.output_conv1 = nn.Conv2d(cfg.features, half, 3, 1, 1)
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(half, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 1, 1), nn.ReLU(), nn.Identity()
        )


class DptHead(nn.Module):
    """Tokens of four blocks -> depth [B,1,h,w], h = 8 x patches (full_size: `size`)."""

    def __init__(self, cfg: DptConfig, dim: int) -> None:
        super().__init__()
        self.cfg = cfg
        c = cfg.channels
        self.projects = nn.ModuleList(nn.Conv2d(dim, channels, 1) for channels in c)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(c[0], c[0], 4, 4),
                nn.ConvTranspose2d(c[1], c[1], 2, 2),
                nn.Identity(),
                nn.Conv2d(c[3], c[3], 3, 2, 1),
            ]
        )
        self.scratch = Scratch(cfg)

    def forward(self, tokens: list[Tensor], grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
        scratch = self.scratch
        maps = []
        for i, t in enumerate(tokens):
            x = t.transpose(1, 2).unflatten(2, grid)
            x = self.resize_layers[i](self.projects[i](x))
            maps.append(scratch.get_submodule(f"layer{i + 1}_rn")(x))
        x = scratch.get_submodule("refinenet4")(maps[3], None, maps[2].shape[2:])
        x = scratch.get_submodule("refinenet3")(x, maps[2], maps[1].shape[2:])
        x = scratch.get_submodule("refinenet2")(x, maps[1], maps[0].shape[2:])
        x = scratch.output_conv1(scratch.get_submodule("refinenet1")(x, maps[0], None))
        if self.cfg.full_size:
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=self.cfg.align_corners)
        depth: Tensor = scratch.output_conv2(x)
        return depth


class DepthVit(nn.Module):
    """Photo [B,3,H,W], 0..1, H and W multiples of 14 -> depth [B,1,h,w].

    Ours: metres, at 8/14 of the photo's size. The published checkpoint: inverse depth of no unit, at the photo's size.
    """

    mean: Tensor
    std: Tensor
    MEAN = (0.485, 0.456, 0.406)
    STD = (0.229, 0.224, 0.225)

    def __init__(self, vit: VitConfig | None = None, dpt: DptConfig | None = None) -> None:
        super().__init__()
        vit = vit or VitConfig()
        self.register_buffer("mean", torch.tensor(self.MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(self.STD)[:, None, None], persistent=False)
        self.pretrained = Backbone(vit)
        self.depth_head = DptHead(dpt or DptConfig(), vit.dim)

    def normalise(self, x: Tensor) -> Tensor:
        """ImageNet's mean and deviation taken out."""
        return (x - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        patch = self.pretrained.cfg.patch
        h, w = x.shape[-2:]
        if x.ndim != 4 or x.shape[1] != 3 or h % patch or w % patch or not h * w:
            raise ValueError(f"the network takes [B,3,H,W] with H and W multiples of {patch}, not {list(x.shape)}")
        depth: Tensor = self.depth_head(self.pretrained(self.normalise(x)), (h // patch, w // patch), (h, w))
        return depth
