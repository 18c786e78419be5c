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
HEADS = 0.5  # of the scenes
IRISES = ((0.55, 0.6, 0.2), (0.6, 0.42, 0.12), (0.3, 0.18, 0.08), (0.4, 0.55, 0.7))  # green, amber, brown, blue
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
    fills = b.uniform(0.5, 1.6) if kind < HEADS else b.uniform(0.45, 1.5)
    gap = max(2 * size * focal / (fills * TALL), size + 0.12, 0.22 * focal)
    turn, up = angle + b.rng.normal(0, 0.6), b.uniform(-0.25, 0.5) if kind < HEADS else b.uniform(0.1, 0.9)
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
    if kind < HEADS:
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
    """An animal's or a person's head of half height s that looks towards negative z, and what is below."""
    if b.chance(0.3):
        _human_head(b, s)
    else:
        _animal_head(b, s)


def _human_head(b: Builder, s: float) -> None:
    skin = b.plain(np.array(things.SKIN[b.rng.integers(len(things.SKIN))]) * b.uniform(0.8, 1.2), gloss=0.1)
    below = b.material(Look.CLOTH, Look.PLASTER, plain=0.5, scale=(2, 10))
    wide, deep = b.uniform(0.68, 0.82), b.uniform(0.8, 0.95)
    b.ball((0, 0, 0), (wide * s, s, deep * s), skin)
    b.ball((0, -0.55 * s, -0.3 * s), (0.5 * wide * s, 0.4 * s, 0.52 * deep * s), skin)  # jaw
    b.ball((0, -0.08 * s, -deep * s * 0.98), (0.12 * s, 0.24 * s, b.uniform(0.14, 0.26) * s), skin, about_x(-0.3))
    lips = replace(skin, tint=(skin.tint[0], 0.7 * skin.tint[1], 0.7 * skin.tint[2]))
    b.ball((0, -0.48 * s, -0.78 * deep * s), (0.22 * s, 0.07 * s, 0.12 * s), lips)
    _eyes(b, s, wide, deep, 0.36, 0.1, person=True)
    for side in (-1, 1):
        b.ball((side * wide * s, 0, 0.05 * s), (0.06 * s, 0.2 * s, 0.12 * s), skin)
    hair = b.plain(np.array([0.08, 0.06, 0.04]) * b.uniform(0.3, 6))
    b.ball((0, 0.3 * s, 0.15 * s), (wide * s * 1.1, 0.85 * s, deep * s), hair)
    b.rod((0, -1.1 * s, 0.25 * s), (0.45 * s, 0.6 * s, 0.42 * s), skin)
    b.ball((0, -2.3 * s, 0.5 * s), (b.uniform(1.4, 2.0) * s, 1.2 * s, b.uniform(0.8, 1.2) * s), below)


def _animal_head(b: Builder, s: float) -> None:
    """A skull with cheeks, a nose's bridge, a muzzle of two pads and a chin, eyes, ears, chest."""
    if b.chance(0.75):
        fur = b.material(Look.FUR, plain=0, scale=(1.5, 6), gloss=0.1)
    else:
        fur = b.material(Look.GROUND, Look.PLASTER, Look.CLOTH, Look.PHOTO, Look.WOOD, plain=0.15, scale=(2, 15))
    red, green, blue = (min(1.5 * v, 2.4) for v in fur.tint)
    pale = replace(fur, tint=(red, green, blue), contrast=fur.contrast / 2)
    front = pale if b.chance(0.5) else fur
    below = fur if b.chance(0.7) else front
    wide, deep, tip = b.uniform(0.8, 1.1), b.uniform(0.8, 1.0), float(np.exp(b.uniform(np.log(0.12), np.log(0.8))))
    b.ball((0, 0.1 * s, 0), (wide * s, s * b.uniform(0.75, 0.9), deep * s), fur)
    low, end = b.uniform(-0.4, -0.2) * s, -(deep * 0.85 + tip) * s
    slope = float(np.arctan2(0.3 * s - low, 0.5 * deep * s + tip * s))
    b.ball((0, low / 2 + 0.12 * s, (end - 0.5 * deep * s) / 2), (0.22 * s, 0.2 * s, 0.5 * (tip + 0.6) * s), fur,
           about_x(-slope * 0.7))  # fmt: skip
    for side in (-1, 1):
        b.ball((side * 0.16 * s, low - 0.05 * s, end + 0.22 * s), (0.24 * s, 0.19 * s, 0.26 * s), front)
        b.ball((side * 0.5 * wide * s, low, -0.45 * deep * s), (0.38 * s, 0.36 * s, 0.38 * s), fur)
    b.ball((0, low + 0.02 * s, (end - 0.5 * deep * s) / 2), (0.3 * s, 0.25 * s, (0.15 + tip / 2) * s), front)
    b.ball((0, low - 0.25 * s, end + 0.3 * s), (0.17 * s, 0.13 * s, 0.2 * s), front)  # chin
    nose = b.plain(np.array([[0.06, 0.05, 0.05], [0.6, 0.35, 0.3]][int(b.rng.integers(2))]), gloss=0.5)
    b.ball((0, low + 0.1 * s, end + 0.02 * s), (0.12 * s, 0.08 * s, 0.08 * s), nose)
    _eyes(b, s, wide, deep, b.uniform(0.38, 0.5), b.uniform(0.12, 0.3), person=False)
    lean, tall, round_ = b.uniform(0.1, 0.7), b.uniform(0.3, 0.6), b.chance(0.4)
    inner = b.plain(np.array([0.65, 0.45, 0.4]) * b.uniform(0.6, 1.2), gloss=0)
    for side in (-1, 1):
        with b.at(side * wide * s * 0.58, s * 0.7, 0, turn=about_z(-side * lean)):
            # an ear tapers: a flat ball, or one that stands on a wider one
            b.ball((0, tall * s * 0.4, 0), (0.3 * s, tall * s * (0.7 if round_ else 0.55), 0.12 * s), fur)
            if not round_:
                b.ball((0, tall * s * 0.8, 0), (0.15 * s, tall * s * 0.6, 0.08 * s), fur)
            b.ball((0, tall * s * 0.4, -0.06 * s), (0.2 * s, tall * s * 0.5, 0.1 * s), inner)
    b.rod((0, -0.9 * s, 0.5 * s), (0.65 * s, 0.6 * s, 0.6 * s), below)
    b.ball((0, -1.7 * s, b.uniform(0.5, 1.4) * s), (b.uniform(0.9, 1.4) * s, 1.1 * s, b.uniform(1.0, 2.0) * s), below)


def _eyes(b: Builder, s: float, wide: float, deep: float, apart: float, high: float, person: bool) -> None:
    """Eyes that lie in the skull's surface."""
    iris = b.plain(np.array(IRISES[b.rng.integers(len(IRISES))]) * b.uniform(0.6, 1.3), gloss=1.0)
    ball = b.plain(np.full(3, 0.85), gloss=0.8) if person else iris
    pupil, r = b.plain(np.full(3, 0.02), gloss=0.6), b.uniform(0.11, 0.17) if not person else 0.12
    slit = b.uniform(0.25, 0.9) if not person else 0.5
    for side in (-1, 1):
        x = apart * wide
        z = -deep * float(np.sqrt(max(1 - apart**2 - (high - 0.1) ** 2 / 0.7, 0.2)))
        b.ball((side * x * s, high * s, (z + 0.06) * s), (r * s, 0.9 * r * s, 0.11 * s), ball)
        if person:
            b.ball((side * x * s, high * s, (z - 0.025) * s), (0.5 * r * s, 0.5 * r * s, 0.035 * s), iris)
        b.ball((side * x * s, high * s, (z - 0.03) * s), (slit * r * s * 0.6, 0.6 * r * s, 0.035 * s), pupil)


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
