"""A small video transformer, trained in the run, whose q, k and v on a real video serve as test data.

Tokens are 4 x 4 patches of RGB frames; rotary positions over frame, row and column; qk-norm; trained to denoise clips
(flow matching: predict the clean patch from a mixture with noise), which is what video diffusion transformers do.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

PATCH, WIDTH, LAYERS = 4, 256, 4


def load_clip(folder: Path, frames: int) -> torch.Tensor:
    """float32 `[frames, 3, height, width]` in [-1, 1] from the first sorted images of a folder."""
    files = sorted(folder.glob("*.jpg"))[:frames]
    if len(files) < frames:
        raise SystemExit(f"{folder} holds {len(files)} frames, {frames} are needed; name another folder")
    images = np.stack([np.asarray(Image.open(f).convert("RGB")) for f in files])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def patches(clip: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """`[T, 3, H, W]` -> tokens `[T * H/4 * W/4, 48]` and their grid."""
    t, _, h, w = clip.shape
    x = clip.view(t, 3, h // PATCH, PATCH, w // PATCH, PATCH).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(-1, 3 * PATCH * PATCH), (t, h // PATCH, w // PATCH)


def rotary(grid: tuple[int, int, int], head_dim: int, device: str) -> torch.Tensor:
    """Angles `[tokens, head_dim / 2]`: a quarter of frames, three eighths each of rows and columns."""
    axes = torch.meshgrid(*(torch.arange(n, device=device).float() for n in grid), indexing="ij")
    parts = []
    for position, count in zip(axes, (head_dim // 8, head_dim * 3 // 16, head_dim * 3 // 16), strict=True):
        frequency = 256.0 ** (-torch.arange(count, device=device) / count)
        parts.append(position.reshape(-1, 1) * frequency)
    return torch.cat(parts, dim=-1)


def turn(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    c, s = angles.cos(), angles.sin()
    return torch.stack((a * c - b * s, a * s + b * c), dim=-1).flatten(-2)


class Block(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm_q, self.norm_k = nn.RMSNorm(WIDTH // heads), nn.RMSNorm(WIDTH // heads)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.seen: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def forward(self, x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.qkv(self.norm1(x)).chunk(3, -1))
        q, k = turn(self.norm_q(q), angles).type_as(v), turn(self.norm_k(k), angles).type_as(v)
        self.seen = (q, k, v)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Denoiser(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        size = 3 * PATCH * PATCH
        self.embed, self.project = nn.Linear(size + 1, WIDTH), nn.Linear(WIDTH, size)
        self.blocks = nn.ModuleList(Block(heads) for _ in range(LAYERS))

    def forward(self, noisy: torch.Tensor, level: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        x = self.embed(torch.cat([noisy, level.expand(*noisy.shape[:2], 1)], dim=-1))
        for block in self.blocks:
            x = block(x, angles)
        return self.project(x)


def video_inputs(
    folder: Path, frames: int, steps: int, device: str, heads: int = 4, seed: int = 0
) -> tuple[list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], tuple[int, int, int], dict[str, float]]:
    """q, k, v `[1, heads, tokens, 256 / heads]` of every layer on a held-out clip, its grid, and the losses."""
    torch.manual_seed(seed)
    clip = load_clip(folder, 4 * frames).to(device)
    model = Denoiser(heads).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    held_out, train = clip[-frames:], clip[:-frames]
    _, _, height, width = clip.shape
    losses = []
    for step in range(steps):
        batch = []
        for _ in range(8):
            t = int(torch.randint(train.shape[0] - 3, ()))
            y, x = (int(torch.randint((n - m) // PATCH + 1, ())) * PATCH for n, m in ((height, 96), (width, 128)))
            tokens, grid = patches(train[t : t + 4, :, y : y + 96, x : x + 128])
            batch.append(tokens)
        clean = torch.stack(batch)
        level = torch.rand(8, 1, 1, device=device)
        noisy = (1 - level) * clean + level * torch.randn_like(clean)
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        with torch.autocast(device, dtype=torch.bfloat16):
            predicted = model(noisy, level, rotary(grid, WIDTH // heads, device))
        loss = F.mse_loss(predicted.float(), clean)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    tokens, grid = patches(held_out)
    level = torch.full((1, 1, 1), 0.5, device=device)
    noisy = 0.5 * tokens[None] + 0.5 * torch.randn_like(tokens[None])
    with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16):
        model(noisy, level, rotary(grid, WIDTH // heads, device))
    seen = [tuple(x.bfloat16() for x in block.seen) for block in model.blocks]
    facts = {"first_loss": losses[0], "last_loss": sum(losses[-20:]) / len(losses[-20:])}
    return seen, grid, facts
