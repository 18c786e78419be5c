"""Streets, yards and open country: ground, houses, vehicles, people, trees, poles, and the sky."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.data.render import things
from triptych.golden.quartdepth.data.render.builder import Builder, about_x, camera
from triptych.golden.quartdepth.data.render.materials import Look, Rng

SOLIDS = 160


def street(rng: Rng, looks: dict[Look, tuple[int, ...]]) -> dict[str, NDArray[np.generic]]:
    """One scene, as `solids.batch` takes it: a street along z, half of them seen as from a car."""
    b = Builder(rng, looks, SOLIDS)
    road, walk = b.uniform(2.5, 7), b.uniform(0, 4)
    kind = rng.random()  # below .75 houses, then open country
    _ground(b, road, walk, kind < 0.75)
    driving = b.chance(0.5)
    for _ in range(int(rng.integers(0, 4))):
        lane = float(rng.choice([-0.5, 0.5])) * road * b.uniform(0.7, 1.1)
        with b.at(lane, 0, b.uniform(6, 50) if driving else b.uniform(4, 25), 0 if b.chance(0.5) else np.pi):
            things.car(b)
    for side in (-1, 1):
        _row(b, side, road + walk, kind)
    for side in (-1, 1):
        _kerbside(b, side, road, walk, kind < 0.75)
    if b.chance(0.5):  # what closes the street, far or near
        z = b.uniform(25, 120)
        b.box(
            (b.uniform(-10, 10), 5, z),
            (30, b.uniform(3, 12), 4),
            b.material(Look.FACADE, Look.LEAVES, plain=0.1, scale=(0.1, 0.3)),
        )
    if driving:
        eye = np.array([b.uniform(-0.6, 0.6) * road, b.uniform(1.3, 2.2), 0.0])
        yaw, pitch, focal = b.uniform(-0.12, 0.12), b.uniform(-0.08, 0.06), b.uniform(0.5, 0.95)
    else:
        eye = np.array([float(rng.choice([-1, 1])) * b.uniform(0, road + walk), b.uniform(0.4, 2.0), 0.0])
        yaw, pitch, focal = (
            b.uniform(-1.2, 1.2),
            b.uniform(-0.3, 0.15),
            float(np.exp(b.uniform(-0.5, 0.6))),
        )
        if b.chance(0.5):  # something to look at
            gap = b.uniform(1.2, 6) * focal
            with b.at(eye[0] + np.sin(yaw) * gap, 0, np.cos(yaw) * gap, b.uniform(-np.pi, np.pi)):
                _subject(b)
    looking = eye + np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    high, turn = b.uniform(0.3, 1.2), b.uniform(-np.pi, np.pi)
    sun = eye + 400 * np.array([np.sin(turn) * np.cos(high), np.sin(high), np.cos(turn) * np.cos(high)])
    grey = b.uniform(0.6, 1.5)
    blue = np.array([0.35, 0.55, 0.95]) if b.chance(0.6) else np.array([0.8, 0.82, 0.85]) * b.uniform(0.5, 1.2)
    sky = np.stack([np.array([0.85, 0.9, 0.95]) * b.uniform(0.7, 1.2), blue * b.uniform(0.6, 1.3)]) * grey
    return b.arrays() | {
        "eye": eye.astype(np.float32), "focal": np.array(focal, np.float32),
        "camera": camera(eye, looking, b.uniform(-0.05, 0.05)),
        "lamp": np.array([*sun, b.uniform(3, 30)], np.float32), "falloff": np.array(0, np.float32),
        "ambient": np.array(b.uniform(0.25, 0.8), np.float32), "sky": sky.astype(np.float32),
        "haze": np.array(b.uniform(0, 0.012) if b.chance(0.5) else 0, np.float32),
    }  # fmt: skip


def _ground(b: Builder, road: float, walk: float, town: bool) -> None:
    asphalt = b.material(Look.GROUND, plain=0.2, scale=(0.3, 1.5), gloss=0.1)
    beside = b.material(Look.TILES, Look.GROUND, plain=0.1) if town else b.material(Look.LEAVES, Look.GROUND, plain=0)
    b.box(
        (0, -0.5, 0),
        (400, 0.5, 400),
        beside if not town or b.chance(0.5) else b.material(Look.LEAVES, Look.GROUND, plain=0.1),
    )
    b.box((0, -0.1, 0), (road, 0.105, 400), asphalt)
    kerb = b.uniform(0.04, 0.15)
    if walk > 0.8:
        for side in (-1, 1):
            b.box((side * (road + walk / 2), 0, 0), (walk / 2, kerb, 400), beside)
    if b.chance(0.7):
        paint, step = b.plain(np.array([0.85, 0.85, 0.85])), b.uniform(4, 9)
        for i in range(10):
            b.box((0, 0.006, i * step), (0.07, 0.004, step * 0.25), paint)
    if b.chance(0.4):
        for side in (-1, 1):
            b.box((side * road * 0.95, 0.006, 0), (0.06, 0.004, 300), b.plain(np.array([0.85, 0.85, 0.8])))


def _kerbside(b: Builder, side: int, road: float, walk: float, town: bool) -> None:
    """Parked cars, people, poles, trees, fences along one side."""
    parked, z, count = b.chance(0.6), b.uniform(0, 9), 0
    while parked and z < 45 and count < 4:
        with b.at(side * (road - 1.0), 0, z, 0 if b.chance(0.5) else np.pi):
            things.car(b)
        z, count = z + b.uniform(5, 14), count + 1
    for _ in range(int(b.rng.integers(0, 4))):
        with b.at(side * (road + b.uniform(0, max(walk, 1))), 0, b.uniform(2, 25), b.uniform(-np.pi, np.pi)):
            if b.chance(0.75):
                things.person(b)
            else:
                things.bicycle(b)
    step, z = b.uniform(6, 25), b.uniform(-2, 8)
    for _ in range(int(b.rng.integers(0, 6))):
        with b.at(side * (road + 0.5), 0, z, b.uniform(-np.pi, np.pi)):
            if b.chance(0.5):
                things.tree(b, b.uniform(3, 11))
            else:
                _pole(b)
        z += step
    if b.chance(0.4):
        x, high = side * (road + walk + b.uniform(0, 2)), b.uniform(0.6, 2)
        of = b.material(Look.LEAVES, Look.TILES, Look.WOOD, plain=0.1)
        b.box((x, high / 2, b.uniform(5, 30)), (b.uniform(0.05, 0.5), high / 2, b.uniform(5, 40)), of)
    if not town and b.chance(0.5):
        for i in range(8):
            b.box((side * (road + 1), 0.5, i * 2.5), (0.05, 0.5, 0.05), b.material(Look.WOOD))


def _pole(b: Builder) -> None:
    tall, r = b.uniform(2.2, 8), b.uniform(0.03, 0.12)
    b.rod((0, tall / 2, 0), (r, tall / 2, r), b.plain())
    if tall > 4.5:
        b.box((0.7, tall, 0), (0.7, 0.04, 0.05), b.plain())
    else:
        sign = b.material(Look.PRINT, Look.PAINTING, fit=True, plain=0.6)
        if b.chance(0.5):
            b.rod((0, tall - 0.3, -0.05), (0.3, 0.02, 0.3), sign, about_x(np.pi / 2))
        else:
            b.box((0, tall - 0.3, -0.05), (b.uniform(0.2, 0.5), b.uniform(0.2, 0.4), 0.02), sign)


def _row(b: Builder, side: int, edge: float, kind: float) -> None:
    """Houses wall to wall, or apart with gardens; in open country trees, bushes, rocks and a barn."""
    z, apart = b.uniform(-20, -5), 0.0 if kind < 0.3 else b.uniform(2, 12)
    while z < 100 and kind < 0.75:
        wide, high, back = b.uniform(4, 14), b.uniform(3, 16), b.uniform(0, 1) * apart
        bay = b.uniform(3, 7)
        of = replace(b.material(Look.FACADE, plain=0.1, gloss=0.1), repeats=(1 / bay, 1 / b.uniform(2.8, 4)))
        x = side * (edge + back + 5)
        b.box((x, high / 2, z + wide / 2), (5, high / 2, wide / 2), of)
        roof = b.chance(0.5)
        if roof:
            b.box((x, high + 0.1, z + wide / 2), (5.4, 0.15, wide / 2 + 0.3), b.material(Look.TILES, plain=0.5))
        if b.chance(0.3):
            b.box((side * (edge + back), 1.1, z + wide / 2), (0.1, 1.1, 0.6), b.material(Look.WOOD, plain=0.5))
        if apart and b.chance(0.5):
            with b.at(side * (edge + b.uniform(0, 3)), 0, z + wide + apart / 2):
                things.tree(b, b.uniform(2, 9))
        z += wide + apart * b.uniform(0.3, 1)
    while z < 90 and kind >= 0.75:
        with b.at(side * (edge + abs(float(b.rng.normal(0, 8)))), 0, z + 5, b.uniform(-np.pi, np.pi)):
            what = b.rng.random()
            if what < 0.6:
                things.tree(b, b.uniform(2, 14))
            elif what < 0.9:
                r = b.uniform(0.2, 1.5)
                b.ball(
                    (0, r * 0.5, 0), (r, r, r * b.uniform(0.6, 1.4)), b.material(Look.LEAVES, Look.GROUND, plain=0.1)
                )
            else:
                b.box(
                    (0, 2.5, 0),
                    (b.uniform(2, 6), 2.5, b.uniform(2, 6)),
                    b.material(Look.WOOD, Look.FACADE, scale=(0.1, 0.5)),
                )
        z += b.uniform(2, 12)


def _subject(b: Builder) -> None:
    what = b.rng.random()
    if what < 0.35:
        things.person(b)
    elif what < 0.55:
        things.bicycle(b, motor=b.chance(0.6))
    elif what < 0.75:
        things.animal(b, b.uniform(0.4, 1.8))
    elif what < 0.85:
        things.car(b)
    else:
        things.plant(b, b.uniform(0.6, 1.6))
