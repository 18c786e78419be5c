"""Training batches: geometry and colour augmentation of RGB-D images, on the device they lie on."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(
    rgb: Tensor, depth: Tensor, generator: torch.Generator, size: tuple[int, int] | None = None,
    reference: int | None = None, closest: float = 1.8, stretched: float = 0.1,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """rgb uint8 [B,3,H,W], depth [B,H,W] (0 unknown) -> image float32 [B,3,h,w] in 0..1, depth float32 [B,h,w].

    size: (h, w), the source's if not given; a part of the source of its proportions is taken, give or take `stretched`,
    at up to `closest` times its size.
    reference: the width at which a whole source shows depth as it is, w if not given. Zooming in by s divides depth by
    s: to a network that does not know the focal length, a picture enlarged is a picture taken from nearer. Depth is
    picked, never mixed. The image keeps to 1/255 steps, as photos do.
    """
    b, _, height, width = rgb.shape
    h, w = size or (height, width)
    dev = rgb.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand((b, *shape), generator=generator, device=dev) * (high - low) + low

    def chance(p: float, *shape: int) -> Tensor:
        return torch.rand((b, *shape), generator=generator, device=dev) < p

    zoom = torch.where(chance(0.7), uniform(0, math.log(closest)).exp(), 1.0)
    stretch = torch.where(chance(0.5), uniform(-stretched, stretched).exp(), 1.0)
    angle = torch.where(chance(0.4), uniform(-0.17, 0.17), 0.0)
    flip = torch.where(chance(0.5), -1.0, 1.0)
    unit = torch.minimum(width / (w * stretch), height / (h / stretch)) / zoom  # source pixels a pixel
    wide, tall = unit * w * stretch, unit * h / stretch
    cos, sin = angle.cos(), angle.sin()
    rows = [
        cos * wide / width * flip, -sin * tall / width, uniform(-1, 1) * (1 - wide / width),
        sin * wide / height * flip, cos * tall / height, uniform(-1, 1) * (1 - tall / height),
    ]  # fmt: skip
    grid = F.affine_grid(torch.stack(rows, -1).reshape(b, 2, 3), [b, 1, h, w], align_corners=False)
    x = F.grid_sample(rgb.float() / 255, grid, padding_mode="border", align_corners=False)
    z = F.grid_sample(depth.float()[:, None], grid, mode="nearest", padding_mode="zeros", align_corners=False)
    z = z[:, 0] * (unit * (reference or w) / width)[:, None, None]
    return recolour(x, generator), z


def recolour(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images [B,3,h,w], 0..1, as other cameras and lights would show them, in steps of 1/255."""
    b, _, h, w = x.shape
    dev = x.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand((b, *shape), generator=generator, device=dev) * (high - low) + low

    def chance(p: float, *shape: int) -> Tensor:
        return torch.rand((b, *shape), generator=generator, device=dev) < p

    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.where(chance(0.25, 1, 1, 1), blurred, x)
    coarse = F.interpolate(F.avg_pool2d(x, 2), size=(h, w), mode="bilinear", align_corners=False)
    x = torch.where(chance(0.15, 1, 1, 1), coarse, x)
    order = torch.rand((b, 3), generator=generator, device=dev).argsort(1)
    mixed = x.gather(1, order[:, :, None, None].expand_as(x))
    x = torch.where(chance(0.15, 1, 1, 1), mixed, x)
    grey = x.mean(1, keepdim=True)
    strength = torch.where(chance(0.1, 1, 1, 1), 0.0, uniform(0.2, 1.5, 1, 1, 1))
    x = grey + (x - grey) * strength
    x = x * uniform(-0.2, 0.2, 3, 1, 1).exp() * uniform(-0.4, 0.4, 1, 1, 1).exp()
    # light that comes from one side
    down, across = torch.linspace(-1, 1, h, device=dev)[:, None], torch.linspace(-1, 1, w, device=dev)
    slope = uniform(-0.4, 0.4, 1, 1, 1) * down + uniform(-0.4, 0.4, 1, 1, 1) * across
    x = x * (slope * chance(0.3, 1, 1, 1)).exp()
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * uniform(0.65, 1.3, 1, 1, 1)
    x = x.clamp(0, 1) ** uniform(-0.4, 0.4, 1, 1, 1).exp()
    noise = torch.randn(x.shape, generator=generator, device=dev)
    x = x + noise * uniform(0, 0.04, 1, 1, 1) * chance(0.6, 1, 1, 1)
    return (x.clamp(0, 1) * 255).round() / 255
