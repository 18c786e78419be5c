"""Colours that everybody tells apart, and rectangles in proportion."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from triptych.sim.view.palette import DARK, LIGHT, ORDER
from triptych.sim.view.treemap import treemap

VISION = {  # Machado, Oliveira and Fernandes (2009), severity 1, linear RGB
    "normal": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                        [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                        [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                        [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, vision: str) -> np.ndarray[Any, Any]:
    rgb = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    seen = np.clip(VISION[vision] @ linear, 0, 1)
    f = np.cbrt(XYZ @ seen / np.array([0.9505, 1.0, 1.089]) + 1e-6)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours: list[str]) -> float:
    """The least distance (CIE 1976) of any two, as anybody sees them."""
    return min(
        float(np.linalg.norm(lab(a, vision) - lab(b, vision))) for vision in VISION for a, b in combinations(colours, 2)
    )


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_are_told_apart_by_everybody(theme: dict[str, str]) -> None:
    assert nearest([theme[name] for name in ORDER]) > 9
    assert nearest(["#d62728", "#2ca02c", "#8c564b"]) < 9  # matplotlib's own red, green and brown are not


def test_treemap_fills_its_place_in_proportion() -> None:
    sizes = [6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0]
    places = treemap(sizes, (0.0, 0.0, 6.0, 4.0))
    assert [w * h for _, _, w, h in places] == pytest.approx(sizes)
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(places, 2):
        across, down = min(ax + aw, bx + bw) - max(ax, bx), min(ay + ah, by + bh) - max(ay, by)
        assert across < 1e-9 or down < 1e-9
    assert max(max(w / h, h / w) for _, _, w, h in places) < 3
