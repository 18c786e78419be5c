"""q, k, v with the spatial-temporal smoothness of video features, and from a small transformer on a real video."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

Grid = tuple[int, int, int]
Triple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Field:
    """A structured random field.

    `correlation`: (frames, rows, columns) over which features stay alike. `shared`: share of q and k that is one
    common field, which makes attention local in content. `noise`: white noise beside the smooth part. `logit_std`:
    standard deviation of the logits, the sharpness of attention.
    """

    name: str
    correlation: tuple[float, float, float]
    shared: float
    noise: float
    logit_std: float


FIELDS = (
    Field("smooth", (4.0, 12.0, 12.0), 0.7, 0.3, 2.0),
    Field("fine", (2.0, 5.0, 5.0), 0.7, 0.3, 2.0),
    Field("noisy", (4.0, 12.0, 12.0), 0.7, 1.0, 2.0),
    Field("flat", (4.0, 12.0, 12.0), 0.3, 0.5, 1.0),
    Field("sharp", (4.0, 8.0, 8.0), 0.9, 0.3, 4.0),
)


def _smooth(
    grid: Grid, channels: int, correlation: tuple[float, float, float], generator: torch.Generator
) -> torch.Tensor:
    """Unit-variance field `[T * H * W, channels]`: coarse noise, cubically (linearly in time) interpolated."""
    coarse = [max(2, math.ceil(n / c) + 1) for n, c in zip(grid, correlation, strict=True)]
    device = generator.device
    noise = torch.randn(1, channels, *coarse, generator=generator, device=device)
    field = F.interpolate(noise, size=grid, mode="trilinear", align_corners=True)[0].flatten(1).T
    return field / field.std(dim=0, keepdim=True)


def structured_inputs(
    field: Field, grid: Grid, heads: int, dim: int, seed: int, device: str, dtype: torch.dtype
) -> Triple:
    """q, k, v `[1, heads, T * H * W, dim]`; each head is its own draw."""
    generator = torch.Generator(device).manual_seed(seed)
    parts: list[list[torch.Tensor]] = [[], [], []]
    for _ in range(heads):
        common = _smooth(grid, dim, field.correlation, generator)
        for part, own_share in zip(parts[:2], (1 - field.shared, 1 - field.shared), strict=True):
            own = _smooth(grid, dim, field.correlation, generator)
            white = torch.randn(own.shape, generator=generator, device=device)
            part.append(math.sqrt(field.shared) * common + math.sqrt(own_share) * own + field.noise * white)
        smooth_v = _smooth(grid, dim, field.correlation, generator)
        parts[2].append(smooth_v + field.noise * torch.randn(smooth_v.shape, generator=generator, device=device))
    q, k, v = (torch.stack(part)[None] for part in parts)
    sample_q, sample_k = q[:, :, ::37], k[:, :, ::41]
    logits = sample_q @ sample_k.transpose(-1, -2) / math.sqrt(dim)
    q = q * (field.logit_std / logits.std())
    return q.to(dtype), k.to(dtype), v.to(dtype)
