"""Training batches: geometry and colour augmentation of RGB-D images, on the device they lie on."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(rgb: Tensor, depth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """rgb uint8 [B,3,H,W], depth [B,H,W] (0 unknown) -> image float32 [B,3,H,W] in 0..1, depth float32.

    Zooming in by s divides depth by s: to a network that does not know the focal length, a picture enlarged is a
    picture taken from nearer. Depth is picked, never mixed. The image keeps to 1/255 steps, as photos do.
    """
    b, _, h, w = rgb.shape
    dev = rgb.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand((b, *shape), generator=generator, device=dev) * (high - low) + low

    def chance(p: float, *shape: int) -> Tensor:
        return torch.rand((b, *shape), generator=generator, device=dev) < p

    zoom = torch.where(chance(0.7), uniform(0, math.log(1.8)).exp(), 1.0)
    angle = torch.where(chance(0.4), uniform(-0.17, 0.17), 0.0)
    flip = torch.where(chance(0.5), -1.0, 1.0)
    room = 1 - 1 / zoom
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    rows = [cos * flip, -sin * h / w, uniform(-1, 1) * room, sin * flip * w / h, cos, uniform(-1, 1) * room]
    grid = F.affine_grid(torch.stack(rows, -1).reshape(b, 2, 3), [b, 1, h, w], align_corners=False)
    x = F.grid_sample(rgb.float() / 255, grid, padding_mode="border", align_corners=False)
    z = F.grid_sample(depth.float()[:, None], grid, mode="nearest", padding_mode="zeros", align_corners=False)
    z = z[:, 0] / zoom[:, None, None]

    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.where(chance(0.2, 1, 1, 1), blurred, x)
    order = torch.rand((b, 3), generator=generator, device=dev).argsort(1)
    mixed = x.gather(1, order[:, :, None, None].expand_as(x))
    x = torch.where(chance(0.15, 1, 1, 1), mixed, x)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(0.2, 1.4, 1, 1, 1)
    x = x * uniform(-0.15, 0.15, 3, 1, 1).exp() * uniform(-0.35, 0.35, 1, 1, 1).exp()
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * uniform(0.75, 1.25, 1, 1, 1)
    x = x.clamp(0, 1) ** uniform(-0.35, 0.35, 1, 1, 1).exp()
    noise = torch.randn(x.shape, generator=generator, device=dev)
    x = x + noise * uniform(0, 0.03, 1, 1, 1) * chance(0.6, 1, 1, 1)
    return (x.clamp(0, 1) * 255).round() / 255, z
