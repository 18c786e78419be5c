"""What surfaces carry: photos of free licences that scikit-image ships, and pictures made from noise.

The photos that people look at our networks' depth of (`LOOKED_AT`) are none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from triptych.golden.photo import shipped_photo

SIDE = 128
PHOTOS = {
    "brick.png": "CC0",
    "grass.png": "CC0",
    "gravel.png": "CC0",
    "camera.png": "CC0 (Lav Varshney)",
    "retina.jpg": "CC0",
    "hubble_deep_field.jpg": "public domain (NASA)",
    "coins.png": "no known copyright restrictions (Brooklyn Museum)",
    "text.png": "public domain",
    "clock_motion.png": "public domain (Stefan van der Walt)",
}
"""Photos of scikit-image on surfaces, with their terms as `skimage.data` states them."""


class Look(Enum):
    """Families of pictures."""

    PHOTO = "photo"
    PLASTER = "plaster"
    WOOD = "wood"
    TILES = "tiles"
    CLOTH = "cloth"
    LEAVES = "leaves"
    GROUND = "ground"
    FACADE = "facade"
    SPINES = "spines"
    PRINT = "print"
    SCREEN = "screen"
    PAINTING = "painting"
    FUR = "fur"


@dataclass(frozen=True)
class Pictures:
    """levels: uint8 [3,T,S,S,3], each four times as blurred as the one before. looks: the pictures of each family."""

    levels: Tensor
    looks: dict[Look, tuple[int, ...]]


Rng = np.random.Generator
Array = NDArray[np.float64]


def _noise(rng: Rng, slope: float, stretch: float = 1.0) -> Array:
    """Periodic noise [S,S] of a power spectrum 1/f^slope, 0..1. stretch: how much longer along x than along y."""
    fy, fx = np.meshgrid(np.fft.fftfreq(SIDE) * SIDE, np.fft.fftfreq(SIDE) * SIDE * stretch, indexing="ij")
    size = np.maximum(np.hypot(fx, fy), 1) ** (-slope / 2)
    x = np.fft.ifft2(size * np.exp(2j * np.pi * rng.random((SIDE, SIDE)))).real
    low, high = np.percentile(x, (1, 99))
    return np.clip((x - low) / (high - low + 1e-9), 0, 1)


def colour(rng: Rng) -> Array:
    """A colour as things have it: mostly dull, one in four bright."""
    value = rng.uniform(0.08, 0.95)
    strength = rng.uniform(0.3, 0.9) if rng.random() < 0.25 else rng.uniform(0, 0.25)
    hue = rng.uniform(0, 1) if strength > 0.25 else rng.choice([0.07, 0.1, 0.12, 0.6, rng.uniform(0, 1)])
    wheel = np.clip(np.abs(((hue + np.array([0, 2 / 3, 1 / 3])) % 1) * 6 - 3) - 1, 0, 1)
    return np.asarray(value * (1 - strength + strength * wheel))


def _blend(rng: Rng, x: Array, near: bool = False) -> Array:
    """A scalar picture [S,S] between two colours: [S,S,3]. near: two like ones."""
    a = colour(rng)
    b = np.clip(a * rng.uniform(0.6, 1.4) + rng.normal(0, 0.03, 3), 0, 1) if near else colour(rng)
    return a + (b - a) * x[..., None]


def _plaster(rng: Rng) -> Array:
    return _blend(rng, _noise(rng, rng.uniform(0.5, 3)), near=True)


def _wood(rng: Rng) -> Array:
    grain = _noise(rng, 2.0, rng.uniform(6, 20))
    x = np.abs(np.sin(grain * rng.uniform(4, 25))) * 0.6 + _noise(rng, 1.0, 12) * 0.4
    a = np.array([0.55, 0.36, 0.2]) * rng.uniform(0.5, 1.6) * rng.uniform(0.9, 1.1, 3)
    out = np.clip(a * (0.7 + 0.5 * x[..., None]), 0, 1)
    planks = rng.integers(0, 6)
    if planks > 1:
        out[np.arange(SIDE) % (SIDE // planks) < 2] *= 0.5
    return np.asarray(out)


def _tiles(rng: Rng) -> Array:
    rows = int(rng.choice([2, 4, 8, 16]))
    cols = int(rng.choice([1, 2])) * rows // int(rng.choice([1, 2])) or 1
    y, x = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    row = y * rows // SIDE
    shift = (row % 2) * (SIDE // cols // 2) if rng.random() < 0.5 else 0
    col = (x + shift) % SIDE * cols // SIDE
    value = rng.random((rows, cols))[row % rows, col % cols] * rng.uniform(0.05, 1) * (1 if rng.random() < 0.7 else 2)
    out = _blend(rng, np.clip(value + 0.2 * _noise(rng, 2), 0, 1), near=rng.random() < 0.7)
    joint = (y * rows % SIDE < rows * 2) | ((x + shift) * cols % SIDE < cols * 2)
    out[joint] = colour(rng)
    return out


def _cloth(rng: Rng) -> Array:
    y, x = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    kind = rng.integers(4)
    period = int(rng.choice([4, 8, 16, 32]))
    wave = [np.sin(2 * np.pi * x / period), np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period),
            np.sign(np.sin(2 * np.pi * (x + y) / period)), _noise(rng, 1.5) * 2 - 1][kind]  # fmt: skip
    return _blend(rng, np.clip(wave / 2 + 0.5 + 0.3 * (_noise(rng, 0.5) - 0.5), 0, 1), near=rng.random() < 0.5)


def _leaves(rng: Rng) -> Array:
    x = _noise(rng, rng.uniform(0.6, 1.8))
    a = np.array([0.2, 0.4, 0.12]) * rng.uniform(0.5, 1.6) * rng.uniform(0.7, 1.3, 3)
    return np.asarray(np.clip(a * (0.15 + 1.5 * x[..., None] ** 1.5), 0, 1))


def _ground(rng: Rng) -> Array:
    x = 0.5 * _noise(rng, 0.3) + 0.5 * _noise(rng, 2.2)
    a = np.array([0.42, 0.4, 0.38]) * rng.uniform(0.4, 1.5) * rng.uniform(0.9, 1.1, 3)
    return np.asarray(np.clip(a * (0.6 + 0.8 * x[..., None]), 0, 1))


def _facade(rng: Rng) -> Array:
    """One storey's bay or several: wall, windows with frames, sills, sometimes a door."""
    out = _blend(rng, _noise(rng, 1.5), near=True)
    rows, cols = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    tall, wide = SIDE // rows, SIDE // cols
    h, w = int(tall * rng.uniform(0.4, 0.75)), int(wide * rng.uniform(0.3, 0.75))
    pane, frame = colour(rng) * 0.5, colour(rng)
    for r in range(rows):
        for c in range(cols):
            top, left = r * tall + (tall - h) // 2, c * wide + (wide - w) // 2
            out[top - 2 : top + h + 2, max(left - 2, 0) : left + w + 2] = frame
            out[top : top + h, left : left + w] = np.clip(pane * rng.uniform(0.4, 1.8), 0, 1)
            if rng.random() < 0.5:
                out[top : top + h, left + w // 2 : left + w // 2 + 2] = frame
    return out


def _spines(rng: Rng) -> Array:
    out = np.zeros((SIDE, SIDE, 3))
    x = 0
    while x < SIDE:
        width = int(rng.integers(3, 14))
        out[:, x : x + width] = colour(rng) * np.linspace(0.7, 1, min(width, SIDE - x))[None, :, None]
        band = int(rng.integers(10, 100))
        out[band : band + int(rng.integers(2, 20)), x : x + width] = colour(rng)
        x += width
    return out


def _print(rng: Rng) -> Array:
    """Lines of letters on paper."""
    out = np.ones((SIDE, SIDE, 3)) * rng.uniform(0.7, 1) * rng.uniform(0.92, 1, 3)
    ink, step = colour(rng) * 0.4, int(rng.integers(4, 14))
    for y in range(step, SIDE - step, step):
        letters = rng.random(SIDE // 2).repeat(2) < rng.uniform(0.4, 0.8)
        letters[int(rng.uniform(0.5, 1) * SIDE) :] = False
        out[y : y + max(step // 2, 1), letters] = ink
    if rng.random() < 0.5:
        y, x = rng.integers(8, 64, 2)
        out[y : y + 40, x : x + 50] = _blend(rng, _noise(rng, 2))[:40, :50]
    return out


def _screen(rng: Rng) -> Array:
    out = np.ones((SIDE, SIDE, 3)) * colour(rng)
    for _ in range(int(rng.integers(2, 8))):
        y, x = rng.integers(0, SIDE - 20, 2)
        h, w = rng.integers(8, 80, 2)
        part = _print(rng)[: min(h, SIDE - y), : min(w, SIDE - x)]
        out[y : y + h, x : x + w] = part if rng.random() < 0.5 else colour(rng)
    edge = int(rng.integers(2, 7))
    for cut in (np.s_[:edge], np.s_[-edge:], np.s_[:, :edge], np.s_[:, -edge:]):
        out[cut] = 0.05
    return out


def _painting(rng: Rng) -> Array:
    """Layers of noise and blobs in a frame."""
    out = _blend(rng, _noise(rng, 3))
    for _ in range(int(rng.integers(1, 8))):
        mask = _noise(rng, rng.uniform(2, 4)) > rng.uniform(0.55, 0.85)
        out[mask] = (_blend(rng, _noise(rng, 2)))[mask]
    edge = int(rng.integers(0, 12))
    if edge:
        frame = colour(rng)
        for cut in (np.s_[:edge], np.s_[-edge:], np.s_[:, :edge], np.s_[:, -edge:]):
            out[cut] = frame
    return out


COATS = (
    (0.62, 0.45, 0.3),
    (0.45, 0.4, 0.36),
    (0.75, 0.5, 0.28),
    (0.2, 0.17, 0.15),
    (0.85, 0.8, 0.74),
    (0.5, 0.5, 0.52),
)
"""Of animals: fawn, tabby, ginger, black, cream, grey."""


def _fur(rng: Rng) -> Array:
    """Hairs that lie one way, in a coat with stripes, spots, patches or without."""
    coat, dark = np.array(COATS[rng.integers(len(COATS))]) * rng.uniform(0.8, 1.2), rng.uniform(0.25, 0.7)
    hairs = _noise(rng, 0.6, 1 / rng.uniform(3, 8))
    bent, kind = _noise(rng, 3.0), int(rng.choice([0, 0, 1, 2, 3]))
    if kind == 0:
        y = np.arange(SIDE)[:, None] / SIDE
        mark = np.clip(np.sin(2 * np.pi * (rng.integers(3, 9) * y + rng.uniform(0.5, 2.5) * bent)) * 2, 0, 1)
    elif kind == 1:
        mark = np.clip((_noise(rng, 2.2) - rng.uniform(0.55, 0.7)) * 8, 0, 1)
    elif kind == 2:
        mark = np.clip((bent - rng.uniform(0.4, 0.7)) * 15, 0, 1)
        dark = dark if rng.random() < 0.5 else 1 / dark
    else:
        mark = bent * 0.5
    shade = (1 - (1 - dark) * mark) * (0.65 + 0.5 * hairs)
    return np.asarray(np.clip(coat * shade[..., None] + rng.normal(0, 0.01, (SIDE, SIDE, 3)), 0, 1))


_MADE: dict[Look, tuple[int, Callable[[Rng], Array]]] = {
    Look.PLASTER: (24, _plaster), Look.WOOD: (24, _wood), Look.TILES: (24, _tiles), Look.CLOTH: (24, _cloth),
    Look.LEAVES: (16, _leaves), Look.GROUND: (16, _ground), Look.FACADE: (24, _facade), Look.SPINES: (12, _spines),
    Look.PRINT: (12, _print), Look.SCREEN: (8, _screen), Look.PAINTING: (16, _painting),
    Look.FUR: (48, _fur),
}  # fmt: skip


def pictures(seed: int, frames: NDArray[np.uint8] | None = None, photos: Path | None = None) -> Pictures:
    """All pictures. frames: training frames uint8 [N,H,W,3] whose crops serve as photos too. photos: where PHOTOS lie,
    if not in scikit-image's package."""
    rng = np.random.default_rng(seed)
    out: list[NDArray[np.uint8]] = []
    looks: dict[Look, tuple[int, ...]] = {}
    for name in PHOTOS:
        image = Image.open(photos / name if photos else shipped_photo(name)).convert("RGB")
        for crop in range(4):
            side = min(image.size) if crop == 0 else int(min(image.size) * rng.uniform(0.25, 0.7))
            left, top = int(rng.integers(image.width - side + 1)), int(rng.integers(image.height - side + 1))
            box = (left, top, left + side, top + side)
            out.append(np.array(image.resize((SIDE, SIDE), Image.Resampling.BOX, box=box)))
    for frame in frames if frames is not None else ():
        side = int(rng.uniform(0.3, 1) * min(frame.shape[:2]))
        top, left = rng.integers(frame.shape[0] - side + 1), rng.integers(frame.shape[1] - side + 1)
        crop_ = Image.fromarray(frame[top : top + side, left : left + side])
        out.append(np.array(crop_.resize((SIDE, SIDE), Image.Resampling.BOX if side > SIDE else None)))
    looks[Look.PHOTO] = tuple(range(len(out)))
    for look, (count, make) in _MADE.items():
        looks[look] = tuple(range(len(out), len(out) + count))
        out += [np.round(np.clip(make(rng), 0, 1) * 255).astype(np.uint8) for _ in range(count)]
    fine = torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float()
    levels = [fine]
    for factor in (4, 16):
        levels.append(F.avg_pool2d(fine, factor).repeat_interleave(factor, 2).repeat_interleave(factor, 3))
    return Pictures(torch.stack(levels).round().to(torch.uint8).permute(0, 1, 3, 4, 2).contiguous(), looks)
