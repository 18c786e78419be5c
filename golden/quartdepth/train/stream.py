"""Frames without end for a network that learns from another one: of no frame is the depth known.

Pictures of several sources, moved, turned, zoomed and recoloured as a training's are (`augment`), some of them with a
part of another one pasted in or another one shining through. No place need look like that: what is asked of a network
is to see in any picture what another network sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.golden.quartdepth.train.augment import augment


@dataclass(frozen=True)
class Variety:
    """pasted, shining: shares of the pictures. closest, stretched: as `augment` takes them."""

    pasted: float = 0.25
    shining: float = 0.0
    closest: float = 1.8
    stretched: float = 0.1


STRANGE = Variety(0.4, 0.15, 3.0, 0.25)


def squeezed(rgb: Tensor, size: tuple[int, int], chunk: int = 256) -> Tensor:
    """Pictures uint8 [N,3,H,W] as a whole at another size."""
    parts = [
        F.interpolate(part.float(), size=size, mode="bilinear", antialias=True).round().clamp(0, 255).to(torch.uint8)
        for part in rgb.split(chunk)
    ]
    return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class Stream:
    """pools: pictures uint8 [N,3,H,W] on the device, and how many of a batch each gives. size: of the photos made."""

    pools: Sequence[tuple[Tensor, int]]
    size: tuple[int, int]
    generator: torch.Generator
    variety: Variety = field(default_factory=Variety)

    def photos(self) -> Tensor:
        """A batch [B,3,h,w], 0..1, in steps of 1/255."""
        device, parts = self.generator.device, []
        for rgb, count in self.pools:
            index = torch.randint(len(rgb), (count,), generator=self.generator, device=device)
            nothing = torch.zeros((count, 2, 2), device=device)
            closest, stretched = self.variety.closest, self.variety.stretched
            parts.append(augment(rgb[index], nothing, self.generator, self.size, None, closest, stretched)[0])
        x = self.pasted(torch.cat(parts))
        return self.shining(x) if self.variety.shining else x

    def pasted(self, x: Tensor) -> Tensor:
        """Some of the pictures with a rectangle of another one."""
        (b, _, h, w), device = x.shape, x.device
        draw = torch.rand((5, b), generator=self.generator, device=device)
        tall, wide = 0.2 + 0.5 * draw[0], 0.2 + 0.5 * draw[1]
        top, left = draw[2] * (1 - tall), draw[3] * (1 - wide)
        y, z = (torch.arange(n, device=device) / n for n in (h, w))
        rows = (y >= top[:, None]) & (y < (top + tall)[:, None])
        columns = (z >= left[:, None]) & (z < (left + wide)[:, None])
        inside = (
            rows[:, None, :, None] & columns[:, None, None, :] & (draw[4] < self.variety.pasted)[:, None, None, None]
        )
        return torch.where(inside, x.roll(1, 0), x)

    def shining(self, x: Tensor) -> Tensor:
        """Some of the pictures with another one shining through, as in a pane; in steps of 1/255 again."""
        draw = torch.rand((2, len(x), 1, 1, 1), generator=self.generator, device=x.device)
        share = torch.where(draw[0] < self.variety.shining, 0.5 * draw[1], 0.0)
        return ((x + share * (x.roll(2, 0) - x)) * 255).round() / 255
