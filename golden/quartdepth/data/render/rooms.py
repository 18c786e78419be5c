"""Furnished rooms: walls with pictures, doors, windows, what stands along them and in between, and a camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.data.render import things
from triptych.golden.quartdepth.data.render.builder import Array, Builder, about_z, camera
from triptych.golden.quartdepth.data.render.materials import Look, Rng

SOLIDS = 160


def room(rng: Rng, looks: dict[Look, tuple[int, ...]]) -> dict[str, NDArray[np.generic]]:
    """One scene, as `solids.batch` takes it."""
    b = Builder(rng, looks, SOLIDS)
    half_x, half_z, high = b.uniform(1.4, 4.0), b.uniform(1.4, 4.5), b.uniform(2.3, 3.3)
    shell(b, half_x, half_z, high)
    target = _centrepiece(b, half_x, half_z)
    along_walls(b, half_x, half_z, high)
    for _ in range(int(rng.integers(0, 4))):  # on the floor
        with b.at(b.uniform(-half_x, half_x) * 0.8, 0, b.uniform(-half_z, half_z) * 0.8, b.uniform(-np.pi, np.pi)):
            _loose(b)
    eye, looking, focal = _camera(b, half_x, half_z, high, target)
    lamp = np.array([b.uniform(-0.8, 0.8) * half_x, high * b.uniform(0.75, 0.98), b.uniform(-0.8, 0.8) * half_z])
    sky = np.clip(np.array([[0.9, 0.9, 0.95], [0.5, 0.65, 0.9]]) * b.uniform(0.3, 1.6), 0, 2)
    return b.arrays() | {
        "eye": eye.astype(np.float32), "camera": camera(eye, looking, _roll(b)), "focal": np.array(focal, np.float32),
        "lamp": np.array([*lamp, b.uniform(0.03, 0.5)], np.float32), "falloff": np.array(b.uniform(1.5, 6), np.float32),
        "ambient": np.array(b.uniform(0.3, 0.85), np.float32), "sky": sky.astype(np.float32),
        "haze": np.array(0, np.float32),
    }  # fmt: skip


def _roll(b: Builder) -> float:
    return b.uniform(-0.5, 0.5) if b.chance(0.12) else b.uniform(-0.06, 0.06)


def shell(b: Builder, half_x: float, half_z: float, high: float) -> None:
    floor = b.material(Look.WOOD, Look.TILES, Look.CLOTH, Look.GROUND, Look.PLASTER, plain=0.15, gloss=0.5)
    wall = b.material(Look.PLASTER, plain=0.7, gloss=0.05)
    ceiling = b.material(Look.PLASTER, plain=0.8, gloss=0.0)
    far = 6.0
    b.box((0, -0.1, 0), (half_x + far, 0.1, half_z + far), floor)
    b.box((0, high + 0.1, 0), (half_x + far, 0.1, half_z + far), ceiling)
    for side in range(4):
        along, off = (half_x, half_z) if side % 2 == 0 else (half_z, half_x)
        of = wall if b.chance(0.75) else b.material(Look.TILES, Look.WOOD, Look.CLOTH, Look.PLASTER, plain=0.3)
        with b.at(0, 0, 0, side * np.pi / 2), b.at(0, 0, off):
            if b.chance(0.3):
                _opening(b, along, high, of, window=b.chance(0.45))
            else:
                b.box((0, high / 2, 0.1), (along + 0.2, high / 2, 0.1), of)
                if b.chance(0.35):
                    _door(b, along)
            if b.chance(0.6):
                b.box((0, 0.05, -0.01), (along, 0.05, 0.012), b.plain())


def _opening(b: Builder, along: float, high: float, of: things.Material, window: bool) -> None:
    """A wall with a hole: a doorway to a next room, or a window to the sky and what stands before it."""
    wide, top = b.uniform(0.4, 0.9) * min(1.0, along), min(high - 0.1, b.uniform(1.9, 2.3))
    low = b.uniform(0.7, 1.1) if window else 0.0
    x = b.uniform(-0.7, 0.7) * (along - wide)
    for left, right in ((-along - 0.2, x - wide), (x + wide, along + 0.2)):
        b.box(((left + right) / 2, high / 2, 0.1), (max((right - left) / 2, 0.01), high / 2, 0.1), of)
    b.box((x, (high + top) / 2, 0.1), (wide, (high - top) / 2, 0.1), of)
    frame = b.plain()
    if window:
        b.box((x, low / 2, 0.1), (wide, low / 2, 0.1), of)
        b.box((x, low, -0.02), (wide + 0.05, 0.02, 0.12), frame)
        b.box((x, (low + top) / 2, 0.1), (0.025, (top - low) / 2, 0.03), frame)
        b.box((x, (low + top) / 2, 0.1), (wide, 0.025, 0.03), frame)
        if b.chance(0.5):  # what one sees through it
            b.box(
                (x, 2, b.uniform(2, 5)),
                (6, 4, 0.1),
                replace(b.material(Look.FACADE, Look.LEAVES, Look.PHOTO, plain=0.2), glow=1.0),
            )
        if b.chance(0.5):
            cloth = b.material(Look.CLOTH, plain=0.6)
            for side in (-1, 1):
                for i in range(int(b.rng.integers(2, 5))):
                    b.rod(
                        (x + side * (wide + 0.05 - i * 0.09), (high + 0.2) / 2 - 0.1, -0.06),
                        (0.05, high / 2 - 0.15, 0.04),
                        cloth,
                    )
        return
    for side in (-1, 1):
        b.box((x + side * wide, top / 2, 0.1), (0.04, top / 2, 0.12), frame)
    b.box((x, high / 2, b.uniform(1.5, 5.5)), (6, high / 2, 0.1), b.material(Look.PLASTER, Look.TILES, plain=0.6))
    if b.chance(0.6):
        with b.at(x + b.uniform(-0.5, 0.5), 0, b.uniform(0.8, 1.4), b.uniform(-0.5, 0.5)):
            _piece(b)
    if b.chance(0.4):
        with b.at(x - wide, 0, 0, b.uniform(0.3, 1.8)):
            b.box((wide, top / 2, 0), (wide, top / 2, 0.02), b.material(Look.WOOD, plain=0.6))


def _door(b: Builder, along: float) -> None:
    x, wide, tall = b.uniform(-0.8, 0.8) * max(along - 0.5, 0.1), b.uniform(0.38, 0.5), b.uniform(1.95, 2.15) / 2
    b.box((x, tall, -0.01), (wide + 0.07, tall + 0.06, 0.02), b.plain())
    b.box((x, tall, -0.02), (wide, tall, 0.02), b.material(Look.WOOD, plain=0.6))
    b.rod((x + wide * 0.85, tall, -0.08), (0.012, 0.06, 0.012), b.plain(gloss=1), about_z(np.pi / 2))


def _piece(b: Builder) -> None:
    """A piece of furniture, or someone."""
    kind = int(b.rng.integers(10))
    if kind < 2:
        high = b.uniform(0.45, 1.0)
        half = b.uniform(0.25, 0.6)
        things.table(b, half, b.uniform(0.2, 0.45), high)
        with b.at(0, high, 0):
            things.clutter(b, half * 0.9, 0.25, int(b.rng.integers(1, 5)))
    elif kind == 2:
        things.shelf(b, b.uniform(0.25, 0.6), b.uniform(0.8, 2.1), b.uniform(0.12, 0.2))
    elif kind < 5:
        things.cabinet(b, b.uniform(0.25, 0.7), b.uniform(0.5, 1.9), b.uniform(0.18, 0.3))
    elif kind == 5:
        things.chair(b)
    elif kind == 6:
        things.sofa(b)
    elif kind == 7:
        things.person(b)
    elif kind == 8:
        things.plant(b, b.uniform(0.5, 1.8))
    else:
        things.bed(b)


def along_walls(b: Builder, half_x: float, half_z: float, high: float) -> None:
    for side in b.rng.permutation(4):
        along, off = (half_x, half_z) if side % 2 == 0 else (half_z, half_x)
        with b.at(0, 0, 0, float(side) * np.pi / 2), b.at(0, 0, off):
            if b.chance(0.25):
                half = b.uniform(0.5, 0.95) * along
                with b.at(b.uniform(-1, 1) * (along - half), 0, -0.35):
                    things.counter(b, half)
                continue
            x = -along + b.uniform(0.2, 0.9)
            while x < along - 0.4:
                with b.at(x, 0, -b.uniform(0.25, 0.45)):
                    _piece(b)
                x += b.uniform(0.8, 2.5)
            for _ in range(int(b.rng.integers(0, 4))):  # pictures, notes, clocks
                wide, tall = b.uniform(0.12, 0.6), b.uniform(0.12, 0.45)
                of = b.material(Look.PHOTO, Look.PAINTING, Look.PRINT, fit=True, plain=0.1, gloss=0.4)
                b.box(
                    (b.uniform(-0.9, 0.9) * along, b.uniform(1.2, 1.8), -0.01), (wide, tall, b.uniform(0.003, 0.02)), of
                )
    if b.chance(0.5):
        b.ball(
            (b.uniform(-0.5, 0.5), high - b.uniform(0.1, 0.7), b.uniform(-0.5, 0.5)),
            (0.2, 0.12, 0.2),
            replace(b.plain(), glow=1.0),
        )


def _loose(b: Builder) -> None:
    kind = int(b.rng.integers(9))
    if kind == 0:
        b.box(
            (0, 0.004, 0),
            (b.uniform(0.4, 1.4), 0.004, b.uniform(0.4, 1.0)),
            b.material(Look.CLOTH, Look.PAINTING, plain=0.1),
        )
    elif kind in (1, 2):
        y = 0.0
        for _ in range(int(b.rng.integers(1, 4))):
            s = b.uniform(0.08, 0.3)
            with b.at(0, y, 0, b.uniform(-0.5, 0.5)):
                b.box(
                    (0, s * 0.7, 0),
                    (s, s * 0.7, s * b.uniform(0.6, 1.2)),
                    b.material(Look.PRINT, Look.WOOD, Look.PLASTER, Look.PHOTO),
                )
            y += 1.4 * s
    elif kind == 3:
        things.chair(b)
    elif kind == 4:
        things.person(b, seated=b.chance(0.2))
    elif kind == 5:
        things.animal(b, b.uniform(0.35, 0.9))
    elif kind == 6:
        r = b.uniform(0.08, 0.3)
        b.ball((0, r, 0), (r, r, r), b.material(Look.TILES, Look.CLOTH, Look.PHOTO))
    elif kind == 7:
        things.lamp(b, b.uniform(1.2, 1.7))
    else:
        r = b.uniform(0.12, 0.2)
        b.rod((0, r * 1.3, 0), (r, r * 1.3, r), b.material(Look.PLASTER, Look.CLOTH))


def _centrepiece(b: Builder, half_x: float, half_z: float) -> Array:
    """What stands in the middle; where one would look."""
    x, z, yaw = b.uniform(-0.5, 0.5) * half_x, b.uniform(-0.5, 0.5) * half_z, b.uniform(-np.pi, np.pi)
    kind = int(b.rng.integers(10))
    with b.at(x, 0, z, yaw):
        if kind < 5:
            wide, deep, high = b.uniform(0.3, 1.0), b.uniform(0.3, 0.6), b.uniform(0.35, 1.0)
            things.table(b, wide, deep, high)
            with b.at(0, high, 0):
                things.clutter(b, wide * 0.9, deep * 0.9, int(b.rng.integers(3, 12)))
                if b.chance(0.4):
                    with b.at(b.uniform(-0.4, 0.4) * wide, 0, deep * 0.4):
                        things.screen(b, b.uniform(0.2, 0.35), b.uniform(0.4, 0.55))
                if b.chance(0.4):
                    b.box((0, 0.012, -deep * 0.4), (0.2, 0.012, 0.07), b.material(Look.TILES, Look.PRINT, scale=(3, 9)))
            for _ in range(int(b.rng.integers(0, 4))):
                with b.at(
                    b.uniform(-1, 1) * wide,
                    0,
                    float(b.rng.choice([-1, 1])) * (deep + b.uniform(0, 0.4)),
                    b.uniform(-np.pi, np.pi),
                ):
                    things.chair(b)
            return np.array([x, high, z])
        if kind == 5:
            things.sofa(b)
        elif kind == 6:
            things.person(b, seated=b.chance(0.3))
            return np.array([x, b.uniform(0.8, 1.6), z])
        elif kind == 7:
            things.animal(b, b.uniform(0.35, 1.0))
        elif kind == 8:
            things.bicycle(b, motor=b.chance(0.6))
        else:
            _piece(b)
    return np.array([x, b.uniform(0.3, 0.9), z])


def _camera(b: Builder, half_x: float, half_z: float, high: float, target: Array) -> tuple[Array, Array, float]:
    """Eye, what it looks at, focal length in widths: across the room, close to the thing, or low as a robot."""
    focal = float(np.exp(b.uniform(np.log(0.62), np.log(1.6))))
    kind = b.rng.random()
    angle = b.uniform(-np.pi, np.pi)
    away = np.array([np.sin(angle), 0, np.cos(angle)])
    if kind < 0.5:
        gap = b.uniform(0.6, 2.6) * max(focal, 0.8)
        eye = target + away * gap
        eye[1] = np.clip(target[1] + b.uniform(-0.1, 0.8) * gap, 0.15, high - 0.2)
        looking = target + b.rng.normal(0, 0.15, 3) * gap
    else:
        eye = np.array([b.uniform(-0.85, 0.85) * half_x, b.uniform(0.9, 1.9), b.uniform(-0.85, 0.85) * half_z])
        if kind > 0.8:
            eye[1] = b.uniform(0.15, 0.6)
        side = np.array([half_x, 0, half_z]) * np.sign(eye + 1e-6)
        looking = -side * b.rng.uniform(0, 1, 3)
        looking[1] = eye[1] + (b.uniform(-0.1, 0.15) if kind > 0.8 else b.uniform(-1.2, 0.3))
    eye[0], eye[2] = np.clip(eye[0], -half_x + 0.1, half_x - 0.1), np.clip(eye[2], -half_z + 0.1, half_z - 0.1)
    return eye, looking + 1e-3, focal
