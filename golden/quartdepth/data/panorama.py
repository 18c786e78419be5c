"""Views of panoramas: photos of many places of which no depth is known.

A network that is taught to see what another network sees (`train/teach.py`) needs pictures, not depth, and a panorama
holds as many pictures as there are directions to look in. A panorama is equirectangular, [3,H,2H]: columns are
directions from left to right, once around, rows go from straight up to straight down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

WIDEST = math.radians(105)
"""Horizontal field of view at most."""
NARROWEST = math.radians(40)
COARSEST = 2.3
"""Times that a panorama's pixels are magnified in the middle of a view at most, for wide views of coarse ones."""
TILT, ROLL = math.radians(18), math.radians(4)
"""Standard deviations: cameras are held nearly level."""


def read_panoramas(folder: Path) -> list[Tensor]:
    """All pictures of a folder, by name: uint8 [3,H,2H]. Raises ValueError where there are none, or one is no
    panorama."""
    out = []
    for file in sorted(folder.glob("*")):
        try:
            image = Image.open(file).convert("RGB")
        except (OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} is no picture: {error}") from error
        if image.width != 2 * image.height:
            raise ValueError(f"{file} is {image.width}x{image.height}: a panorama is twice as wide as high")
        out.append(torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous())
    if not out:
        raise ValueError(f"{folder} holds no panoramas")
    return out


def narrowest(panorama: Tensor, width: int) -> float:
    """Horizontal field of view (radians) of which a picture of this width magnifies the panorama COARSEST times."""
    return min(WIDEST, max(NARROWEST, 2 * math.atan(math.pi * width / (panorama.shape[-1] * COARSEST))))


def look(panorama: Tensor, size: tuple[int, int], yaw: Tensor, pitch: Tensor, roll: Tensor, field: Tensor) -> Tensor:
    """What pinhole cameras see: uint8 [N,3,h,w] of size (h, w). yaw, pitch, roll, field [N] in radians: to the right
    of the panorama's middle, up, clockwise, horizontal field of view."""
    height, width = size
    device = panorama.device
    x = (torch.arange(width, device=device) + 0.5 - width / 2) / (width / 2)
    y = (torch.arange(height, device=device) + 0.5 - height / 2) / (width / 2)
    half = torch.tan(field / 2)[:, None, None]
    right, down = torch.broadcast_tensors(x[None, None, :] * half, y[None, :, None] * half)
    c, s = torch.cos(roll)[:, None, None], torch.sin(roll)[:, None, None]
    right, down = c * right - s * down, s * right + c * down
    c, s = torch.cos(pitch)[:, None, None], torch.sin(pitch)[:, None, None]
    ahead, up = c + s * down, s - c * down
    around = (torch.atan2(right, ahead) + yaw[:, None, None]) / math.pi  # -1..1 once around, and further
    around = torch.remainder(around + 1, 2) - 1
    above = torch.atan2(up, torch.hypot(right, ahead)) / (math.pi / 2)
    # One column of the other side on each side, so that the seam is none.
    ring = F.pad(panorama[None].float(), (1, 1, 0, 0), mode="circular")
    grid = torch.stack([around * panorama.shape[-1] / ring.shape[-1], -above], -1)
    seen = F.grid_sample(ring.expand(len(grid), -1, -1, -1), grid, padding_mode="border", align_corners=False)
    return seen.round().clamp(0, 255).to(torch.uint8)


def views(panoramas: Sequence[Tensor], count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """count views uint8 [count,3,h,w] on the generator's device, as many of each panorama, in random directions."""
    device, out = generator.device, []
    for i, panorama in enumerate(panoramas):
        share = (count + len(panoramas) - 1 - i) // len(panoramas)
        draw = torch.rand((2, share), generator=generator, device=device)
        lean = torch.randn((2, share), generator=generator, device=device).clamp(-3, 3)
        least = narrowest(panorama, size[1])
        out.append(
            look(
                panorama.to(device), size, (2 * draw[0] - 1) * math.pi, TILT * lean[0], ROLL * lean[1],
                least + (WIDEST - least) * draw[1],
            )
        )  # fmt: skip
    return torch.cat(out)
