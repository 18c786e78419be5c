"""Pictures on which ranges are measured where nobody names photos: rendered rooms, so that no photo that is looked at
calibrates what it then judges."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from triptych.golden.quartdepth.data.render.dataset import Place, frames
from triptych.golden.quartdepth.data.render.materials import Pictures, pictures
from triptych.golden.quartdepth.data.render.solids import Quality

ROOMS, SEED = 4, 4
PIXELS = 96 * 128
"""As many as are rendered of a frame, in half a second; it is enlarged then: ranges need no fine detail."""


@cache
def _materials() -> Pictures:
    return pictures(SEED)


def rooms(size: tuple[int, int]) -> NDArray[np.uint8]:
    """ROOMS rooms of a size (height, width): RGB [N,H,W,3]."""
    shrunk = min(1.0, math.sqrt(PIXELS / (size[0] * size[1])))
    small = (max(8, round(size[0] * shrunk)), max(8, round(size[1] * shrunk)))
    made = frames(
        Place.ROOM, ROOMS, small, _materials(), SEED, torch.device("cpu"), chunk=ROOMS, quality=Quality(rays=1)
    )
    rgb = torch.cat([each.rgb for each in made])[:ROOMS]
    enlarged = F.interpolate(rgb.float(), size, mode="bilinear", align_corners=False)
    return enlarged.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
