"""Furniture, people, animals, plants and vehicles out of boxes, ellipsoids and cylinders.

Each stands on the ground of the builder's frame, its middle at the origin, its front towards negative z. Metres.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from triptych.golden.quartdepth.data.render.builder import Builder, Material, about_x, about_y, about_z
from triptych.golden.quartdepth.data.render.materials import Look

SKIN = ((0.45, 0.3, 0.22), (0.42, 0.33, 0.27), (0.3, 0.19, 0.13), (0.16, 0.1, 0.07))


def table(b: Builder, half_x: float, half_z: float, high: float) -> None:
    top = b.material(Look.WOOD, Look.PLASTER, Look.WOOD, Look.CLOTH)
    legs, thick = (top if b.chance(0.4) else b.plain()), b.uniform(0.01, 0.04)
    b.box((0, high - thick, 0), (half_x, thick, half_z), top)
    if b.chance(0.2):
        b.rod((0, high / 2, 0), (0.05, high / 2, 0.05), legs)
        b.rod((0, 0.02, 0), (0.3, 0.02, 0.3), legs)
        return
    leg, make = b.uniform(0.015, 0.04), b.box if b.chance(0.6) else b.rod
    for x in (-1, 1):
        for z in (-1, 1):
            make((x * (half_x - leg), high / 2 - thick, z * (half_z - leg)), (leg, high / 2 - thick, leg), legs)
    if b.chance(0.3):  # drawers
        b.box((half_x * 0.6, high * 0.4, 0), (half_x * 0.35, high * 0.4, half_z * 0.9), b.material(Look.WOOD))


def chair(b: Builder) -> None:
    seat, wide, back = b.uniform(0.4, 0.5), b.uniform(0.19, 0.25), b.uniform(0.75, 1.05)
    of = b.material(Look.CLOTH, Look.WOOD, Look.PLASTER, plain=0.5)
    frame, thick = b.plain(), b.uniform(0.012, 0.05)
    b.box((0, seat, 0), (wide, thick, wide), of)
    lean = about_x(b.uniform(0, 0.25))
    if b.chance(0.7):
        b.box((0, (seat + back) / 2 + 0.05, wide), (wide, (back - seat) / 2, thick * 0.7), of, lean)
    else:
        for x in np.linspace(-wide, wide, int(b.rng.integers(3, 6))):
            b.box((float(x), (seat + back) / 2, wide), (0.012, (back - seat) / 2, 0.012), frame, lean)
    if b.chance(0.3):  # office chair
        b.rod((0, seat / 2, 0), (0.03, seat / 2, 0.03), frame)
        for i in range(3):
            b.box((0, 0.05, 0), (0.3, 0.02, 0.025), frame, about_y(i * np.pi / 3))
        return
    for x in (-1, 1):
        for z in (-1, 1):
            b.box((x * wide * 0.9, seat / 2, z * wide * 0.9), (0.018, seat / 2, 0.018), frame)


def sofa(b: Builder) -> None:
    wide, of = b.uniform(0.4, 1.2), b.material(Look.CLOTH, Look.PLASTER, plain=0.6)
    seat, back = b.uniform(0.35, 0.45), b.uniform(0.7, 0.95)
    b.box((0, seat / 2, 0), (wide, seat / 2, 0.4), of)
    b.box((0, back / 2, 0.42), (wide, back / 2, 0.12), of, about_x(b.uniform(0, 0.15)))
    for x in (-1, 1):
        b.box((x * (wide + 0.1), 0.3, 0), (0.1, 0.3, 0.45), of)
    for _ in range(int(b.rng.integers(0, 4))):
        turn = about_y(b.uniform(-0.6, 0.6)) @ about_x(b.uniform(0.2, 0.6))
        b.ball(
            (b.uniform(-wide, wide), seat + 0.18, 0.2), (0.2, 0.2, 0.09), b.material(Look.CLOTH, Look.PAINTING), turn
        )


def bed(b: Builder) -> None:
    wide, high = b.uniform(0.45, 0.9), b.uniform(0.35, 0.6)
    b.box((0, high / 2, 0), (wide, high / 2, 1.0), b.material(Look.WOOD, Look.CLOTH))
    b.box((0, high, -0.2), (wide + 0.03, 0.06, 0.8), b.material(Look.CLOTH, plain=0.5))
    b.box((0, 0.5, 1.02), (wide, 0.5, 0.04), b.material(Look.WOOD))
    for x in (-1, 1):
        b.ball((x * wide / 2, high + 0.08, 0.75), (wide * 0.4, 0.09, 0.2), b.material(Look.CLOTH, plain=0.8))


def shelf(b: Builder, half_x: float, high: float, deep: float) -> None:
    """Open in front, with books and things."""
    of, board = b.material(Look.WOOD, plain=0.5), 0.012
    for x in (-half_x, half_x):
        b.box((x, high / 2, 0), (board, high / 2, deep), of)
    if b.chance(0.7):
        b.box((0, high / 2, deep), (half_x, high / 2, board), of)
    levels = int(np.clip(high / b.uniform(0.28, 0.5), 2, 6))
    for i in range(levels + 1):
        y = i * high / levels
        b.box((0, y, 0), (half_x, board, deep), of)
        if i < levels and b.chance(0.85):
            gap = high / levels
            filled = b.uniform(0.3, 0.95) * half_x
            side = b.rng.choice([-1, 1]) * (half_x - filled) * 0.9
            if b.chance(0.65):
                tall = gap * b.uniform(0.55, 0.85) / 2
                books = replace(b.material(Look.SPINES, plain=0), repeats=(b.uniform(1, 3), 0.5 / tall / 2))
                b.box((float(side), y + board + tall, b.uniform(-0.2, 0.3) * deep), (filled, tall, deep * 0.6), books)
            else:
                with b.at(0, y + board, 0):
                    clutter(b, half_x * 0.9, deep * 0.7, int(b.rng.integers(1, 4)), gap * 0.7)


def cabinet(b: Builder, half_x: float, high: float, deep: float) -> None:
    """Doors or drawers with handles."""
    of, metal = b.material(Look.WOOD, Look.PLASTER, plain=0.6), b.plain(gloss=0.8)
    b.box((0, high / 2, 0), (half_x, high / 2, deep), of)
    cols, rows = max(1, round(half_x * 2 / b.uniform(0.35, 0.7))), max(1, round(high / b.uniform(0.25, 1.2)))
    wide, tall = half_x / cols, high / 2 / rows
    front = of if b.chance(0.5) else b.material(Look.WOOD, Look.PLASTER, plain=0.7)
    for i in range(min(cols, 5)):
        for j in range(min(rows, 4)):
            x, y = (2 * i + 1) * wide - half_x, (2 * j + 1) * tall
            b.box((x, y, -deep - 0.009), (wide * 0.96, tall * 0.96, 0.01), front)
            if b.chance(0.7):
                b.box((x + wide * 0.7, y, -deep - 0.035), (0.012, min(0.07, tall / 2), 0.012), metal)


def counter(b: Builder, half_x: float) -> None:
    """A kitchen's: cupboards below and above, an oven, a tap, things on it."""
    high, deep = b.uniform(0.85, 0.95), b.uniform(0.28, 0.35)
    cabinet(b, half_x, high, deep)
    b.box((0, high, -0.02), (half_x + 0.01, 0.02, deep + 0.03), b.material(Look.WOOD, Look.GROUND, Look.PLASTER))
    if b.chance(0.6):
        x = b.uniform(-0.7, 0.7) * half_x
        b.box((x, high - 0.45, -deep - 0.02), (0.29, 0.4, 0.02), b.material(Look.SCREEN, fit=True, plain=0.4, gloss=1))
        b.rod((x, high - 0.12, -deep - 0.06), (0.012, 0.25, 0.012), b.plain(gloss=1), about_z(np.pi / 2))
    if b.chance(0.6):
        x = b.uniform(-0.7, 0.7) * half_x
        tap = b.plain(np.array([0.4, 0.4, 0.42]), gloss=1)
        b.rod((x, high + 0.14, deep * 0.6), (0.014, 0.14, 0.014), tap)
        b.rod((x, high + 0.27, deep * 0.6 - 0.09), (0.012, 0.09, 0.012), tap, about_x(np.pi / 2))
        b.box((x, high + 0.022, -0.02), (0.25, 0.003, 0.18), b.plain(np.array([0.25, 0.25, 0.26]), gloss=1))
    if b.chance(0.75):
        with b.at(0, b.uniform(1.35, 1.5), deep - 0.17):
            cabinet(b, half_x * b.uniform(0.4, 1), b.uniform(0.5, 0.8), 0.17)
    with b.at(0, high + 0.02, 0):
        clutter(b, half_x * 0.95, deep * 0.8, int(b.rng.integers(3, 10)), 0.4)


def clutter(b: Builder, half_x: float, half_z: float, count: int, tall: float = 0.35) -> None:
    """Small things on a surface: cups, bottles, boxes, books, balls, fruit, screens."""
    for _ in range(count):
        x, z, yaw = b.uniform(-half_x, half_x), b.uniform(-half_z, half_z), b.uniform(-np.pi, np.pi)
        with b.at(x, 0, z, yaw):
            trinket(b, min(tall, max(0.05, half_x)))


def trinket(b: Builder, tall: float) -> None:
    kind, of = (
        int(b.rng.integers(9)),
        b.material(Look.PHOTO, Look.PAINTING, Look.PRINT, Look.CLOTH, scale=(2, 10), plain=0.5),
    )
    s = b.uniform(0.35, 1) * tall
    if kind == 0:
        cup(b, of, b.uniform(0.03, 0.05))
    elif kind == 1:
        r = s * b.uniform(0.1, 0.17)
        b.rod((0, s * 0.36, 0), (r, s * 0.36, r), of)
        b.ball((0, s * 0.72, 0), (r, r, r), of)
        b.rod((0, s * 0.86, 0), (r * 0.35, s * 0.14, r * 0.35), b.plain())
    elif kind in (2, 3):
        box = replace(of, repeats=(0.0, 0.0)) if b.chance(0.5) else of
        b.box((0, s * 0.4, 0), (s * b.uniform(0.15, 0.5), s * 0.4, s * b.uniform(0.1, 0.5)), box)
    elif kind == 4:
        y = 0.0
        for _ in range(int(b.rng.integers(1, 5))):
            thick, book = b.uniform(0.008, 0.025), b.material(Look.PRINT, Look.PAINTING, fit=True, plain=0.5)
            b.box(
                (0, y + thick, 0),
                (b.uniform(0.08, 0.14), thick, b.uniform(0.06, 0.1)),
                book,
                about_y(b.uniform(-0.4, 0.4)),
            )
            y += 2 * thick
    elif kind == 5:
        r = s * b.uniform(0.15, 0.4)
        b.ball((0, r, 0), (r, r * b.uniform(0.8, 1.1), r), of)
    elif kind == 6:
        b.box((0, 0.01, 0), (s * 0.4, 0.01, s * 0.3), of)
        b.box(
            (0, s * 0.3, s * 0.3),
            (s * 0.4, s * 0.28, 0.008),
            b.material(Look.SCREEN, fit=True, plain=0.1),
            about_x(b.uniform(0, 0.4)),
        )
    elif kind == 7:
        r = s * b.uniform(0.2, 0.5)
        b.rod((0, s * 0.1, 0), (r, s * 0.1, r), of)
        for _ in range(3):
            f = r * b.uniform(0.25, 0.4)
            b.ball((b.uniform(-r, r) / 2, s * 0.2 + f * 0.6, b.uniform(-r, r) / 2), (f, f, f), b.plain())
    else:
        plant(b, s * 1.2)


def cup(b: Builder, of: Material, r: float) -> None:
    """With a saucer, a handle and what is in it."""
    high = r * b.uniform(1.2, 2.4)
    if b.chance(0.5):
        b.rod((0, 0.006, 0), (r * 1.9, 0.006, r * 1.9), of)
    b.rod((0, high / 2 + 0.012, 0), (r, high / 2, r), of)
    b.rod((0, high + 0.013, 0), (r * 0.88, 0.002, r * 0.88), b.plain(np.array([0.12, 0.07, 0.04])))
    b.rod((r * 1.15, high / 2, 0), (high * 0.3, 0.006, high * 0.3), of, about_x(np.pi / 2))
    if b.chance(0.4):
        b.box((r * 1.6, 0.02, r * 0.3), (0.006, 0.004, r * 1.5), b.plain(gloss=1), about_y(b.uniform(-1, 1)))


def plant(b: Builder, high: float) -> None:
    r = high * b.uniform(0.12, 0.22)
    b.rod((0, high * 0.15, 0), (r, high * 0.15, r), b.material(Look.PLASTER, Look.TILES, plain=0.6))
    for _ in range(int(b.rng.integers(3, 8))):
        turn = about_y(b.uniform(-np.pi, np.pi)) @ about_z(b.uniform(0.1, 1.2))
        long = high * b.uniform(0.2, 0.4)
        centre = np.array([0, high * 0.3, 0]) + turn @ np.array([0, long, 0])
        b.ball(
            (float(centre[0]), float(centre[1]), float(centre[2])),
            (long * 0.25, long, long * 0.08),
            b.material(Look.LEAVES, plain=0.2),
            turn,
        )


def lamp(b: Builder, high: float) -> None:
    b.rod((0, 0.01, 0), (0.12, 0.01, 0.12), b.plain())
    b.rod((0, high / 2, 0), (0.012, high / 2, 0.012), b.plain())
    shade = replace(b.plain(), glow=b.uniform(0, 1.0))
    (b.rod if b.chance(0.7) else b.ball)((0, high, 0), (0.17, 0.13, 0.17), shade)


def screen(b: Builder, half_x: float, high: float) -> None:
    """A television or monitor on its foot."""
    b.box((0, 0.01, 0), (half_x * 0.4, 0.01, 0.09), b.plain())
    b.box((0, high * 0.25, 0.02), (0.03, high * 0.25, 0.015), b.plain())
    of = b.material(Look.SCREEN, Look.PHOTO, Look.PAINTING, fit=True, plain=0.3, gloss=0.7)
    b.box(
        (0, high * 0.62, 0),
        (half_x, high * 0.38, 0.015),
        replace(of, glow=b.uniform(0, 0.8)),
        about_x(b.uniform(-0.1, 0.1)),
    )


def person(b: Builder, seated: bool = False) -> None:
    """Upright, walking, or seated at 45 cm; clothes of two kinds, arms hanging, reaching or crossed."""
    tall = b.uniform(1.5, 1.9) / 1.75
    skin = b.plain(np.array(SKIN[b.rng.integers(len(SKIN))]) * b.uniform(0.8, 1.2), gloss=0.1)
    shirt, legs = (
        b.material(Look.CLOTH, Look.PLASTER, plain=0.6, scale=(2, 8)),
        b.material(Look.CLOTH, plain=0.8, scale=(2, 8)),
    )
    hip, swing = (0.5 if seated else 0.9) * tall, b.uniform(0, 0.35)
    for side, stride in ((-1, swing), (1, -swing)):
        x = side * 0.09 * tall
        if seated:
            b.rod((x, hip, -0.22), (0.075, 0.24, 0.075), legs, about_x(np.pi / 2))
            b.rod((x, hip / 2, -0.44), (0.055, hip / 2, 0.055), legs)
        else:
            turn = about_x(stride)
            b.rod((x, hip / 2, -np.sin(stride) * hip / 2), (0.075 * tall, hip / 2, 0.085 * tall), legs, turn)
            b.box((x, 0.04, -np.sin(stride) * hip - 0.05), (0.045, 0.04, 0.13), b.plain())
    b.ball((0, hip + 0.28 * tall, 0), (0.2 * tall, 0.34 * tall, 0.13 * tall), shirt)
    b.box((0, hip + 0.2 * tall, 0), (0.16 * tall, 0.24 * tall, 0.1 * tall), shirt)
    for side in (-1, 1):
        turn = about_x(b.uniform(-0.5, 1.0)) @ about_z(side * b.uniform(0.05, 0.4))
        shoulder = np.array([side * 0.2 * tall, hip + 0.48 * tall, 0])
        arm = shoulder + turn @ np.array([0, -0.28 * tall, 0])
        b.rod((float(arm[0]), float(arm[1]), float(arm[2])), (0.05 * tall, 0.3 * tall, 0.055 * tall), shirt, turn)
        hand = shoulder + turn @ np.array([0, -0.6 * tall, 0])
        b.ball((float(hand[0]), float(hand[1]), float(hand[2])), (0.05, 0.06, 0.04), skin)
    b.rod((0, hip + 0.62 * tall, 0), (0.05, 0.06, 0.05), skin)
    b.ball((0, hip + 0.77 * tall, 0), (0.085 * tall, 0.12 * tall, 0.1 * tall), skin)
    b.ball(
        (0, hip + 0.81 * tall, 0.02),
        (0.095 * tall, 0.1 * tall, 0.1 * tall),
        b.plain(np.array([0.08, 0.06, 0.04]) * b.uniform(0.3, 5)),
    )


def animal(b: Builder, size: float) -> None:
    """Four legs, a body, a head with ears, a tail: cat, dog, cow by size."""
    fur, s = b.material(Look.PLASTER, Look.CLOTH, Look.GROUND, Look.PHOTO, plain=0.3, scale=(2, 8)), size
    lying = b.chance(0.3)
    leg = 0.05 * s if lying else s * b.uniform(0.3, 0.5)
    b.ball((0, leg + 0.2 * s, 0), (0.2 * s, 0.22 * s, 0.5 * s), fur)
    for x in (-1, 1):
        for end in (-1, 1):
            b.rod((x * 0.12 * s, leg / 2, end * 0.33 * s), (0.05 * s, leg / 2 + 0.05 * s, 0.05 * s), fur)
    y, z, turn = leg + b.uniform(0.3, 0.55) * s, -0.55 * s, about_y(b.uniform(-0.8, 0.8))
    b.ball((0, y, z), (0.15 * s, 0.15 * s, 0.18 * s), fur, turn)
    nose = turn @ np.array([0, -0.04 * s, -0.17 * s])
    b.ball((float(nose[0]), y + float(nose[1]), z + float(nose[2])), (0.07 * s, 0.06 * s, 0.08 * s), fur, turn)
    for x in (-1, 1):
        ear = turn @ np.array([x * 0.1 * s, 0.14 * s, 0.03 * s])
        b.ball((float(ear[0]), y + float(ear[1]), z + float(ear[2])), (0.045 * s, 0.08 * s, 0.02 * s), fur, turn)
    tail = about_x(b.uniform(-0.3, 1.4))
    b.rod((0, leg + 0.3 * s, 0.6 * s), (0.03 * s, 0.2 * s, 0.03 * s), fur, tail)


def bicycle(b: Builder, motor: bool = False) -> None:
    """Two wheels across the frame's x axis; a motorcycle has a tank, a seat and an engine."""
    r, base = b.uniform(0.28, 0.36), b.uniform(0.5, 0.75)
    tyre, of, metal = b.plain(np.array([0.05, 0.05, 0.05])), b.plain(gloss=0.8), b.plain(gloss=0.9)
    wide = 0.07 if motor else 0.02
    for x in (-base, base):
        b.rod((x, r, 0), (r, wide, r), tyre, about_x(np.pi / 2))
        b.rod((x, r, 0), (r * 0.7, wide + 0.004, r * 0.7), metal, about_x(np.pi / 2))
    b.rod((-base * 0.85, 0.75, 0), (0.025, 0.45, 0.03), metal, about_z(-0.4))
    b.rod((-base * 0.6, 1.1, 0), (0.018, 0.34, 0.018), metal, about_x(np.pi / 2))
    b.ball((-base * 0.72, 0.95, 0), (0.1, 0.1, 0.09), metal)
    if motor:
        b.ball((-base * 0.2, 0.8, 0), (0.3, 0.15, 0.15), of)
        b.box((0, 0.45, 0), (0.24, 0.2, 0.15), b.material(Look.TILES, plain=0.4, scale=(4, 12), gloss=1))
        b.ball((base * 0.6, 0.78, 0), (0.4, 0.08, 0.14), b.plain())
        b.rod((base * 0.6, 0.32, -0.18), (0.045, 0.45, 0.045), metal, about_z(np.pi / 2))
    else:
        for (x0, y0), (x1, y1) in (
            ((-0.35, 0.85), (0.1, 0.9)),
            ((-0.35, 0.8), (0.0, 0.3)),
            ((0.0, 0.3), (0.12, 0.9)),
            ((0.0, 0.3), (base, r)),
        ):
            long, angle = float(np.hypot(x1 - x0, y1 - y0)) / 2, float(np.arctan2(y1 - y0, x1 - x0))
            b.rod(((x0 + x1) / 2, (y0 + y1) / 2, 0), (0.018, long, 0.018), of, about_z(angle - np.pi / 2))
        b.ball((0.13, 0.95, 0), (0.13, 0.03, 0.07), tyre)


def car(b: Builder) -> None:
    """Along z: body, rounded cabin with windows, wheels; sometimes a van or a lorry."""
    long, wide = b.uniform(1.8, 2.4), b.uniform(0.8, 0.95)
    of, glass = b.plain(gloss=0.9), b.plain(np.array([0.06, 0.07, 0.08]), gloss=1)
    van = b.chance(0.2)
    belt, high = (1.1, b.uniform(1.9, 3.2)) if van else (b.uniform(0.8, 0.95), b.uniform(1.4, 1.7))
    b.box((0, (belt + 0.25) / 2 + 0.05, 0), (wide, (belt - 0.25) / 2, long), of)
    if van:
        b.box(
            (0, (belt + high) / 2, 0.3),
            (wide, (high - belt) / 2, long - 0.4),
            of if b.chance(0.6) else b.material(Look.PRINT, Look.PAINTING, fit=True),
        )
        b.box((0, belt + 0.3, -long * 0.75), (wide * 0.9, 0.35, 0.3), glass, about_x(0.4))
    else:
        back, tall = b.uniform(0.1, 0.5), high - belt
        half, middle = long * b.uniform(0.4, 0.55), back * 0.5
        b.box((0, belt + tall / 2, middle), (wide * 0.82, tall / 2, half), of)
        b.box((0, belt + tall * 0.48, middle), (wide * 0.83, tall * 0.34, half * 0.93), glass)
        for end, slope in ((-1, 0.9), (1, b.uniform(0.2, 0.9))):
            with b.at(0, belt + tall * 0.45, middle + end * (half + tall * slope * 0.25)):
                b.box((0, 0, 0), (wide * 0.76, 0.03, tall * 0.62), glass, about_x(end * np.arctan(1 / slope)))
        b.ball((0, high - 0.03, middle), (wide * 0.8, 0.09, half * 0.95), of)
        b.ball((0, belt * 0.75, -long), (wide * 0.9, belt * 0.3, 0.15), of)
    for x in (-1, 1):
        for z in (-0.62, 0.62):
            b.rod(
                (x * wide * 0.92, 0.32, z * long),
                (0.32, 0.11, 0.32),
                b.plain(np.array([0.04, 0.04, 0.04])),
                about_z(np.pi / 2),
            )
            b.box(
                (x * wide * 0.75, belt * 0.8, np.sign(z) * (long + 0.01)),
                (0.12, 0.06, 0.02),
                replace(b.plain(), glow=b.uniform(0, 1)),
            )


def tree(b: Builder, high: float) -> None:
    bark, leaves = b.material(Look.WOOD, Look.GROUND, plain=0.1), b.material(Look.LEAVES, plain=0, scale=(0.3, 2))
    trunk, r = high * b.uniform(0.25, 0.5), high * b.uniform(0.015, 0.035)
    b.rod((0, trunk / 2, 0), (r, trunk / 2 + 0.2, r), bark)
    if b.chance(0.2):
        for i in range(3):
            b.ball(
                (0, trunk + i * high * 0.17, 0),
                (high * (0.17 - 0.045 * i), high * 0.16, high * (0.17 - 0.045 * i)),
                leaves,
            )
        return
    crown = high * b.uniform(0.15, 0.3)
    for _ in range(int(b.rng.integers(3, 8))):
        s = crown * b.uniform(0.35, 0.8)
        at = b.rng.normal(0, 0.5, 3) * crown
        b.ball(
            (float(at[0]), trunk + crown * 0.6 + float(at[1]), float(at[2])),
            (s, s * b.uniform(0.6, 1), s),
            leaves,
            about_y(b.uniform(0, 3)),
        )
