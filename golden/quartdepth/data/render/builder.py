"""Puts solids into a scene, in the frame of the thing that is being built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.data.render.materials import Look, Rng, colour
from triptych.golden.quartdepth.data.render.solids import BOX, CYLINDER, ELLIPSOID

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """repeats: of the picture a metre along u and v; 0: it fills each face once."""

    texture: int
    repeats: tuple[float, float]
    tint: tuple[float, float, float]
    contrast: float
    gloss: float = 0.0
    glow: float = 0.0


def about_y(angle: float) -> Array:
    """Rotation about the upright axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def about_x(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def about_z(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


class Builder:
    """The solids of one scene. `room`: how many it may hold; what comes after is left out."""

    def __init__(self, rng: Rng, looks: dict[Look, tuple[int, ...]], room: int) -> None:
        self.rng, self.looks, self.room = rng, looks, room
        self.origin, self.turn = np.zeros(3), np.eye(3)
        self.solids: list[tuple[int, Array, Array, Array, Material]] = []

    @contextmanager
    def at(self, x: float, y: float, z: float, yaw: float = 0.0, turn: Array | None = None) -> Iterator[None]:
        """Within: positions are relative to this place, axes turned."""
        before = self.origin, self.turn
        self.origin = self.origin + self.turn @ np.array([x, y, z])
        self.turn = self.turn @ (about_y(yaw) if turn is None else turn)
        try:
            yield
        finally:
            self.origin, self.turn = before

    def add(self, kind: int, centre: tuple[float, float, float], half: tuple[float, float, float], of: Material,
            turn: Array | None = None) -> None:  # fmt: skip
        """A solid; `turn`: its own axes against the frame's."""
        if len(self.solids) < self.room:
            axes = self.turn if turn is None else self.turn @ turn
            place = self.origin + self.turn @ np.asarray(centre, float)
            self.solids.append((kind, place, np.maximum(np.asarray(half, float), 2e-3), axes.T, of))

    def box(self, centre: tuple[float, float, float], half: tuple[float, float, float], of: Material,
            turn: Array | None = None) -> None:  # fmt: skip
        self.add(BOX, centre, half, of, turn)

    def ball(self, centre: tuple[float, float, float], half: tuple[float, float, float], of: Material,
             turn: Array | None = None) -> None:  # fmt: skip
        self.add(ELLIPSOID, centre, half, of, turn)

    def rod(self, centre: tuple[float, float, float], half: tuple[float, float, float], of: Material,
            turn: Array | None = None) -> None:  # fmt: skip
        self.add(CYLINDER, centre, half, of, turn)

    def material(self, *looks: Look, fit: bool = False, plain: float = 0.3, scale: tuple[float, float] = (0.4, 3.0),
                 gloss: float = 0.25) -> Material:  # fmt: skip
        """A random one of these families. plain: chance that no picture shows; scale: repeats a metre, from and to;
        gloss: chance of a highlight."""
        rng = self.rng
        look = looks[rng.integers(len(looks))] if looks else Look.PLASTER
        choice = self.looks[look]
        repeat = float(np.exp(rng.uniform(*np.log(scale))))
        tint = rng.uniform(0.7, 1.3) * rng.uniform(0.92, 1.08, 3)
        contrast = rng.uniform(0.5, 1)
        if rng.random() < plain:
            tint, contrast = 2 * colour(rng), rng.uniform(0, 0.25)
        shine = rng.uniform(0.1, 0.8) if rng.random() < gloss else 0.0
        return Material(
            int(choice[rng.integers(len(choice))]), (0.0, 0.0) if fit else (repeat, repeat),
            (float(tint[0]), float(tint[1]), float(tint[2])), float(contrast), float(shine),
        )  # fmt: skip

    def plain(self, value: Array | None = None, gloss: float = 0.25) -> Material:
        """One colour."""
        tint = 2 * (colour(self.rng) if value is None else value)
        made = self.material(Look.PLASTER, gloss=gloss)
        return replace(made, tint=(float(tint[0]), float(tint[1]), float(tint[2])), contrast=0.1)

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The solids, as `solids.batch` takes them."""
        kinds, centres, halves, axes, materials = zip(*self.solids, strict=True)
        offsets = self.rng.uniform(0, 2, (len(kinds), 2))
        return {
            "kind": np.array(kinds, np.int64),
            "centre": np.array(centres, np.float32),
            "half": np.array(halves, np.float32),
            "axes": np.array(axes, np.float32),
            "texture": np.array([m.texture for m in materials], np.int64),
            "uv": np.concatenate([np.array([m.repeats for m in materials]), offsets], 1).astype(np.float32),
            "tint": np.array([m.tint for m in materials], np.float32),
            "contrast": np.array([m.contrast for m in materials], np.float32),
            "gloss": np.array([m.gloss for m in materials], np.float32),
            "glow": np.array([m.glow for m in materials], np.float32),
        }


def camera(eye: Array, target: Array, roll: float) -> NDArray[np.float32]:
    """Columns right, down and forward of a camera at `eye` that looks at `target`."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, np.array([0.0, 1, 0]))
    right = right / max(float(np.linalg.norm(right)), 1e-6)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward], 1).astype(np.float32)
