"""Rendered frames by number: the same number, the same scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.quartdepth.data.render import near, rooms, streets
from triptych.golden.quartdepth.data.render.materials import Look, Pictures, Rng
from triptych.golden.quartdepth.data.render.solids import Picture, Quality, batch, render

Arrays = dict[str, NDArray[np.generic]]
Draw = Callable[[Rng, dict[Look, tuple[int, ...]]], Arrays]
HELD_OUT = 1_000_000
"""Numbers from here on are of frames that no training sees."""


class Place(Enum):
    """What is rendered: how a scene is drawn and how many solids it may hold."""

    ROOM = "room"
    STREET = "street"
    NEAR = "near"

    @property
    def draw(self) -> Draw:
        return {Place.ROOM: rooms.room, Place.STREET: streets.street, Place.NEAR: near.near}[self]

    @property
    def solids(self) -> int:
        return {Place.ROOM: rooms.SOLIDS, Place.STREET: streets.SOLIDS, Place.NEAR: near.SOLIDS}[self]


@dataclass(frozen=True)
class Frames:
    """rgb uint8 [N,3,H,W]; depth float32 [N,H,W], metres; focal [N], in image widths; numbers of the scenes."""

    rgb: Tensor
    depth: Tensor
    focal: Tensor
    numbers: tuple[int, ...]


def usable(depth: Tensor, place: Place = Place.ROOM) -> Tensor:
    """[B,H,W] -> bool [B]: whether the camera sees a place rather than stands before a thing or within one; before one
    it may stand where things are near."""
    flat = depth.flatten(1)[:, ::16].sort(1).values
    count = flat.shape[1]
    start, middle, end = flat[:, count // 20], flat[:, count // 2], flat[:, count * 19 // 20]
    if place is Place.NEAR:
        return (start > 0.12) & (end > 1.15 * start)
    return (start > 0.2) & (middle > 0.4) & (end > 1.25 * start)


def draw(
    place: Place, numbers: list[int], seed: int, looks: dict[Look, tuple[int, ...]]
) -> list[dict[str, NDArray[np.generic]]]:
    """Scenes by number."""
    return [place.draw(np.random.default_rng([seed, number, list(Place).index(place)]), looks) for number in numbers]


def frames(
    place: Place, count: int, size: tuple[int, int], pictures: Pictures, seed: int, device: torch.device,
    first: int = 0, chunk: int = 8, quality: Quality | None = None,
) -> Iterator[Frames]:  # fmt: skip
    """`count` usable frames and up to a chunk more, numbers from `first` on. A seed repeats to the bit."""
    levels, number, have = pictures.levels.to(device), first, 0
    while have < count:
        numbers = list(range(number, number + chunk))
        scene = batch(draw(place, numbers, seed, pictures.looks), place.solids).to(device)
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + number)
        picture: Picture = render(scene, levels, size, generator, quality)
        keep = usable(picture.depth, place)
        number, have = number + chunk, have + int(keep.sum())
        kept = tuple(n for n, k in zip(numbers, keep.tolist(), strict=True) if k)
        yield Frames(picture.rgb[keep], picture.depth[keep], scene.focal[keep], kept)
