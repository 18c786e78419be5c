"""Things close to the camera: an animal's or a person's head, what stands on a table, something thin before a wall.

Rooms and streets are taken from where one stands; people also photograph what they hold or bend over. What lies behind
is out of focus then (`defocused`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.quartdepth.data.render import rooms, things
from triptych.golden.quartdepth.data.render.builder import Array, Builder, about_x, about_z, camera
from triptych.golden.quartdepth.data.render.materials import Look, Rng

SOLIDS = 160
TALL = 196 / 252  # of a photo, in its widths
BLURS = (3, 7, 15)  # pixels' side of the boxes that stand for a lens


def near(rng: Rng, looks: dict[Look, tuple[int, ...]]) -> dict[str, NDArray[np.generic]]:
    """One scene, as `solids.batch` takes it."""
    b = Builder(rng, looks, SOLIDS)
    half_x, half_z, high = b.uniform(1.2, 3.5), b.uniform(1.2, 3.5), b.uniform(2.3, 3.2)
    focal = float(np.exp(b.uniform(np.log(0.75), np.log(2.2))))
    kind, angle = b.rng.random(), b.uniform(-np.pi, np.pi)
    # what is near comes first: a scene that is full lacks some of the furniture
    target, size = _near_thing(b, kind, angle)
    rooms.shell(b, half_x, half_z, high)
    rooms.along_walls(b, half_x, half_z, high)
    fills = b.uniform(0.45, 1.5)
    gap = max(2 * size * focal / (fills * TALL), size + 0.12, 0.22 * focal)
    turn, up = angle + b.rng.normal(0, 0.6), b.uniform(-0.25, 0.5) if kind < 0.45 else b.uniform(0.1, 0.9)
    away = np.array([-np.sin(turn) * np.cos(up), np.sin(up), -np.cos(turn) * np.cos(up)])
    eye = target + gap * away
    eye[1] = np.clip(eye[1], 0.1, high - 0.1)
    looking = target + b.rng.normal(0, 0.25, 3) * size
    lamp = np.array([b.uniform(-0.8, 0.8) * half_x, high * b.uniform(0.75, 0.98), b.uniform(-0.8, 0.8) * half_z])
    sky = np.clip(np.array([[0.9, 0.9, 0.95], [0.5, 0.65, 0.9]]) * b.uniform(0.3, 1.6), 0, 2)
    return b.arrays() | {
        "eye": eye.astype(np.float32), "camera": camera(eye, looking, b.rng.normal(0, 0.12)),
        "focal": np.array(focal, np.float32), "lamp": np.array([*lamp, b.uniform(0.03, 0.5)], np.float32),
        "falloff": np.array(b.uniform(1.5, 6), np.float32), "ambient": np.array(b.uniform(0.3, 0.85), np.float32),
        "sky": sky.astype(np.float32), "haze": np.array(0, np.float32),
    }  # fmt: skip


def _near_thing(b: Builder, kind: float, angle: float) -> tuple[Array, float]:
    """Where it is, and half its size."""
    if kind < 0.45:
        size, y = b.uniform(0.08, 0.2), b.uniform(0.35, 1.5)
        with b.at(0, y, 0, angle):
            head(b, size)
        return np.array([0, y, 0]), size
    if kind < 0.8:
        high, wide = b.uniform(0.4, 1.0), b.uniform(0.35, 0.8)
        with b.at(0, 0, 0, angle):
            things.table(b, wide, b.uniform(0.3, 0.5), high)
            with b.at(0, high, 0):
                things.trinket(b, 0.25)
                things.clutter(b, 0.35, 0.25, int(b.rng.integers(1, 8)))
        return np.array([0, high + 0.05, 0]), b.uniform(0.1, 0.3)
    with b.at(0, 0, 0, angle):
        which = int(b.rng.integers(4))
        if which < 2:
            things.bicycle(b, motor=b.chance(0.7))
        elif which == 2:
            things.plant(b, b.uniform(0.5, 1.4))
        else:
            things.chair(b)
        if b.chance(0.6):  # a wall close behind
            b.box(
                (0, 1.2, b.uniform(0.5, 1.6)),
                (4, 1.3, 0.05),
                b.material(Look.PLASTER, Look.TILES, Look.WOOD, plain=0.4),
            )
    return np.array([0, b.uniform(0.4, 0.7), 0]), b.uniform(0.45, 0.8)


def head(b: Builder, s: float) -> None:
    """A head of half height s that looks towards negative z: skull, muzzle, eyes, ears or hair, and what is below."""
    person = b.chance(0.3)
    if person:
        fur = b.plain(np.array(things.SKIN[b.rng.integers(len(things.SKIN))]) * b.uniform(0.8, 1.2), gloss=0.1)
        below = b.material(Look.CLOTH, Look.PLASTER, plain=0.5, scale=(2, 10))
    else:
        fur = b.material(
            Look.GROUND, Look.LEAVES, Look.PLASTER, Look.CLOTH, Look.PHOTO, Look.WOOD, plain=0.15, scale=(2, 15)
        )
        below = fur if b.chance(0.6) else replace(fur, tint=b.plain().tint)
    wide, deep, tip = b.uniform(0.7, 1.0), b.uniform(0.8, 1.1), b.uniform(0.15, 0.9) * (0.2 if person else 1)
    b.ball((0, 0, 0), (wide * s, s * b.uniform(0.8, 1.0), deep * s), fur)
    low = b.uniform(-0.4, -0.15) * s
    muzzle = fur if b.chance(0.5) else replace(fur, tint=b.plain().tint, contrast=fur.contrast / 2)
    b.ball((0, low, -deep * s * 0.75), (0.38 * s, 0.3 * s, (0.3 + tip) * s), muzzle, about_x(b.uniform(-0.2, 0.3)))
    b.ball((0, low + 0.12 * s, -(0.75 * deep + 0.3 + tip) * s), (0.13 * s, 0.1 * s, 0.1 * s), b.plain(gloss=0.7))
    eye, apart = b.plain(gloss=1.0), b.uniform(0.3, 0.5) * wide
    for side in (-1, 1):
        z = -deep * s * float(np.sqrt(max(1 - (apart / wide) ** 2 - 0.04, 0.2)))
        b.ball((side * apart * s, 0.18 * s, z), (0.13 * s, 0.12 * s, 0.1 * s), eye)
        b.ball((side * apart * s, 0.18 * s, z - 0.07 * s), (0.06 * s, 0.07 * s, 0.05 * s), b.plain(np.full(3, 0.02)))
        b.ball((side * 0.55 * wide * s, low, -0.45 * deep * s), (0.35 * s, 0.35 * s, 0.35 * s), fur)
    if person:
        hair = b.plain(np.array([0.08, 0.06, 0.04]) * b.uniform(0.3, 6))
        b.ball((0, 0.3 * s, 0.15 * s), (wide * s * 1.1, 0.95 * s, deep * s), hair)
    else:
        lean, tall = b.uniform(-0.2, 0.9), b.uniform(0.2, 0.6)
        for side in (-1, 1):
            centre = (side * wide * s * 0.62, s * (0.75 + tall / 2), 0.1 * s)
            b.ball(centre, (0.26 * s, tall * s, 0.09 * s), fur, about_z(-side * lean))
    b.rod((0, -1.1 * s, 0.35 * s), (0.55 * s, 0.6 * s, 0.5 * s), below if person else fur)
    b.ball((0, -2.1 * s, 0.6 * s), (b.uniform(1.0, 1.8) * s, 1.3 * s, b.uniform(0.8, 1.6) * s), below)


def defocused(rgb: Tensor, depth: Tensor, generator: torch.Generator) -> Tensor:
    """Photos uint8 [B,3,H,W] of depth [B,H,W], six in ten of them in focus at what is near alone."""
    b, device = len(rgb), rgb.device
    focus = depth.flatten(1)[:, ::16].sort(1).values[:, depth[0].numel() // 16 // 5][:, None, None]
    strength = torch.rand((b, 1, 1), generator=generator, device=device) * 20
    strength = strength * (torch.rand((b, 1, 1), generator=generator, device=device) < 0.6)
    side = (1 - focus / depth.clamp(min=1e-3)).clamp(min=0) * strength  # of the disc, in pixels
    out, x = rgb.float(), rgb.float()
    for size in BLURS:
        behind = (side[:, None] > size / 2).float()
        # what is sharp does not run into what lies behind it
        sums, share = (F.avg_pool2d(v, size, 1, size // 2) for v in (x * behind, behind))
        out = torch.where(behind > 0, sums / share.clamp(min=1e-6), out)
    return out.round().clamp(0, 255).to(torch.uint8)
