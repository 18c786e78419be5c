"""Parts that are placed in groups of cells: neighbours stay together, wires are not much longer than cell by cell."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest

from tests.rtl.test_timing import PROCESS, queue
from triptych.sim.model import clustering, place, sta

PLACER = pytest.mark.skipif(util.find_spec("coloquinte") is None, reason="the extra `cost` is not installed")
SIDE = 30


def mesh() -> list[list[int]]:
    """Nets between neighbours of a square of cells, two pins each."""
    across = [[SIDE * y + x, SIDE * y + x + 1] for y in range(SIDE) for x in range(SIDE - 1)]
    return across + [[SIDE * y + x, SIDE * y + x + SIDE] for y in range(SIDE - 1) for x in range(SIDE)]


def test_neighbours_share_a_group() -> None:
    nets, wanted = mesh(), 45
    area = np.linspace(1.0, 3.0, SIDE**2)
    label = clustering.cluster(area, nets, wanted)
    sizes = np.bincount(label, area)
    assert wanted / 2 <= len(sizes) <= 2 * wanted
    assert sizes.max() <= 2 * area.sum() / wanted
    inside = np.mean([label[a] == label[b] for a, b in nets])
    assert inside > 0.6  # groups of 20 cells drawn by lot: 2 %
    assert (label == clustering.cluster(area, nets, wanted)).all()


def test_cells_stand_inside_their_groups() -> None:
    nets = mesh()
    label = clustering.cluster(np.ones(SIDE**2), nets, 45)
    groups, rows, width = label.max() + 1, 4, np.full(SIDE**2, 2.0)
    x, y = 100.0 * np.arange(groups), np.zeros(groups)
    px, py = clustering.spread(label, x, y, width, nets, rows, 1.0)
    assert set(np.unique(py)) <= {-1.5, -0.5, 0.5, 1.5}
    for group in range(groups):
        for line in np.unique(py):
            here = np.sort(px[(label == group) & (py == line)])
            assert (np.diff(here) > 2.0 - 1e-9).all()
            assert len(here) * rows <= (label == group).sum() + 2 * rows
            assert not len(here) or abs((here[0] + here[-1]) / 2 - x[group]) < 1e-9


@PLACER
def test_wires_of_a_part_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flat, library = queue(tmp_path)
    whole = sta.lengths(flat, place.place(flat, library, PROCESS, lambda *_: None)).sum()
    monkeypatch.setattr(place, "WHOLE", 10)
    monkeypatch.setattr(place, "GROUPS", len(flat.cells) // 6)
    parted = place.place(flat, library, PROCESS, lambda *_: None)
    rng = np.random.default_rng(1)
    lot = rng.permutation(len(flat.cells))
    parted_length = sta.lengths(flat, parted).sum()
    parted.x, parted.y = parted.x[lot], parted.y[lot]
    assert parted_length < 1.6 * whole < sta.lengths(flat, parted).sum()
