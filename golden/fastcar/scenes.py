"""Our own clips: a camera that stands still or drifts slowly over a photo, and up to three objects that move.

Objects are soft blobs with the texture of another photo, each with its own straight way and slow turn, at most 8 pixels
a frame. `Scenes` samples them; every random draw comes from one seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.golden.fastcar.clips import FRAMES, Condition
from triptych.golden.fastcar.tokenizer import SIDE

OBJECTS = 3
FASTEST = 8.0  # pixels a frame, of an object
NOISE = 1.2 / 255  # most, of the camera
DRIFT = (0.3, 1.5)  # pixels a frame, of a drifting camera


@dataclass
class Scenes:
    """Samples clips on the generator's device from the squares of one split (`clips.prepare`)."""

    squares: Tensor  # (n, 3, 256, 256) float16 in 0..1
    photos: int  # the first so many are photos, the others frames of videos; each kind has half of the draws
    generator: torch.Generator

    @classmethod
    def load(cls, folder: Path, split: str, device: str, seed: int) -> Scenes:
        """Raises ValueError when the folder was not prepared."""
        file = folder / f"squares_{split}.npz"
        if not file.is_file():
            raise ValueError(
                f"{folder} holds no squares: run `python -m triptych.golden.fastcar.clips --out {folder}` first"
            )
        with np.load(file) as stored:
            parts = [torch.from_numpy(stored[name]).to(device) for name in ("photos", "frames")]
        squares = torch.cat(parts).permute(0, 3, 1, 2).contiguous().half() / 255
        return cls(squares, len(parts[0]), torch.Generator(device).manual_seed(seed))

    def sample(self, count: int, drift_share: float = 0.4) -> tuple[Tensor, Tensor]:
        """(count, 8, 3, 128, 128) pictures in 0..1 and (count,) conditions, STILL or DRIFT."""
        drifts = self._between(count, high=1.0) < drift_share
        clips = self._noisy(self._objects(self._background(count, drifts)))
        return clips, torch.where(drifts, int(Condition.DRIFT), int(Condition.STILL))

    def half_still(self, count: int) -> tuple[Tensor, Tensor]:
        """As `sample`: the left half drifts by 2 to 6 pixels a frame, the right half, of another photo, is still."""
        whole = torch.ones(count, dtype=torch.bool, device=self.squares.device)
        left = self._background(count, whole, pace=(2.0, 6.0))
        right = self._background(count, ~whole)
        clips = torch.cat([left[..., : SIDE // 2], right[..., SIDE // 2 :]], -1)
        return self._noisy(clips), torch.zeros(count, dtype=torch.int64, device=clips.device)

    def _between(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.generator.device)

    def _pick(self, count: int) -> Tensor:
        photo = (self._between(count) * self.photos).long()
        frame = self.photos + (self._between(count) * (len(self.squares) - self.photos)).long()
        if self.photos == len(self.squares):
            frame = photo
        return self.squares[torch.where(self._between(count) < 0.5, photo, frame)].float()

    def _background(self, count: int, drifts: Tensor, pace: tuple[float, float] = DRIFT) -> Tensor:
        device = self.generator.device
        time = torch.arange(FRAMES, device=device) - (FRAMES - 1) / 2
        axis = (torch.arange(SIDE, device=device) + 0.5) / SIDE * 2 - 1
        size = self._between(count, low=0.42, high=0.92)  # half the crop's width over half the picture's
        flip = torch.where(self._between(count) < 0.5, -1.0, 1.0)
        angle = self._between(count, high=2 * math.pi)
        step = drifts * self._between(count, low=pace[0], high=pace[1]) * 2 / SIDE * size
        way = torch.stack([angle.cos(), angle.sin()], 1) * step[:, None]
        room = (1 - size - step * FRAMES / 2).clamp(min=0)
        centre = ((self._between(count, 2) * 2 - 1) * room[:, None])[:, None] + way[:, None] * time[None, :, None]
        s = size.view(count, 1, 1, 1)
        x = centre[..., 0, None, None] + s * flip.view(count, 1, 1, 1) * axis.view(1, 1, 1, SIDE)
        y = centre[..., 1, None, None] + s * axis.view(1, 1, SIDE, 1)
        shape = (count, FRAMES, SIDE, SIDE)
        return self._cut(self._pick(count), torch.stack([x.expand(shape), y.expand(shape)], -1))

    @staticmethod
    def _cut(pictures: Tensor, grid: Tensor) -> Tensor:
        """(n, 8, 3, h, w) of pictures (n, 3, ., .) at grid (n, 8, h, w, 2)."""
        count = len(pictures)
        flat = grid.reshape(count, FRAMES * SIDE, SIDE, 2)
        got = F.grid_sample(pictures, flat, padding_mode="reflection", align_corners=False)
        return got.view(count, 3, FRAMES, SIDE, SIDE).transpose(1, 2)

    def _objects(self, clips: Tensor) -> Tensor:
        count = len(clips)
        shown = 1 + (self._between(count) * OBJECTS).long()

        def each(**limits: float) -> Tensor:
            return self._between(count, **limits).view(count, 1, 1, 1)

        pixel = torch.arange(SIDE, device=clips.device).float()
        time = torch.arange(FRAMES, device=clips.device) - (FRAMES - 1) / 2
        for number in range(OBJECTS):
            radius = each(low=8, high=30)
            place = self._between(count, 2, low=16, high=112)
            direction = self._between(count, high=2 * math.pi)
            pace = self._between(count, low=0.5, high=FASTEST)
            velocity = torch.stack([direction.cos(), direction.sin()], 1) * pace[:, None]
            at = place[:, None] + velocity[:, None] * time[None, :, None]
            spin = self._between(count, low=-0.12, high=0.12)[:, None] * time
            turn = (self._between(count, high=2 * math.pi)[:, None] + spin).view(count, FRAMES, 1, 1)
            dx, dy = (
                pixel.view(1, 1, 1, SIDE) - at[..., 0, None, None],
                pixel.view(1, 1, SIDE, 1) - at[..., 1, None, None],
            )
            u = (dx * turn.cos() + dy * turn.sin()) / radius
            v = (dy * turn.cos() - dx * turn.sin()) / radius * each(low=0.7, high=1.6)
            power = torch.where(each() < 0.5, 2.0, 5.0)
            distance = ((u.abs() + 1e-3) ** power + (v.abs() + 1e-3) ** power) ** (1 / power)
            petals = 2 + (each() * 4).long()
            edge = 1 + each(high=0.25) * (petals * torch.atan2(v, u)).sin()
            alpha = ((edge - distance) * radius / each(low=0.8, high=2.5)).sigmoid()
            alpha = alpha * (shown > number).view(count, 1, 1, 1)
            scale, middle = each(low=0.1, high=0.35), self._between(count, 2, low=-0.6, high=0.6)
            grid = [middle[:, i].view(count, 1, 1, 1) + w * scale for i, w in enumerate((u, v))]
            texture = self._cut(self._pick(count), torch.stack(grid, -1).clamp(-2, 2))
            tint = self._between(count, 1, 3, 1, 1, low=0.6, high=1.4)
            texture = (texture * tint + self._between(count, 1, 1, 1, 1, low=-0.15, high=0.15)).clamp(0, 1)
            clips = clips + alpha[:, :, None] * (texture - clips)
        return clips

    def _noisy(self, clips: Tensor) -> Tensor:
        count = len(clips)
        clips = clips * self._between(count, 1, 1, 1, 1, low=0.8, high=1.2)
        clips = clips * self._between(count, 1, 3, 1, 1, low=0.92, high=1.08)
        clips = clips + self._between(count, 1, 1, 1, 1, low=-0.06, high=0.06)
        noise = torch.randn(clips.shape, generator=self.generator, device=clips.device)
        return (clips + self._between(count, 1, 1, 1, 1, high=NOISE) * noise).clamp(0, 1)
