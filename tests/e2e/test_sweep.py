"""Sweeps: points that cannot be made keep a row, the front is right, RTL takes what the clock says."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib import util
from pathlib import Path

import pytest

from tests.kit.command import triptych
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.vectors import single
from triptych.sim.bench import sweep as bench
from triptych.sim.errors import TriptychError
from triptych.sim.model import sweep
from triptych.sim.model.sweep import Point, Row

NETWORK = single.matmul(120, 200, 64, Format.UINT4, Format.UINT4, seed=1)
SMALL = Point(16, 8, 64, 256, 0, 19.2, 40.0, 1000)


def one_by_one(network: Network, tasks: list[list[Point]]) -> Iterable[list[Row]]:
    """Without Dask."""
    return (sweep.evaluate(network, task) for task in tasks)


def test_every_point_has_a_row() -> None:
    points = sweep.grid(depth=[16, 24], cols=[16], rows=[64], spad_kib=[1, 256], lanes=[0, 8], gb_s=[19.2],
                        latency_ns=[40.0, 400.0], clock_mhz=[500])  # fmt: skip
    rows = sweep.sweep(NETWORK, points, one_by_one, lambda *_: None)
    assert [row.point for row in rows] == points
    for row in rows:
        wrong = row.point.depth == 24 or row.point.spad_kib == 1
        assert bool(row.error) == (row.ms is None) == wrong
    assert {row.error for row in rows if row.point.depth == 24} == {"chip 'sweep': depth must be 16, 32 or 64, not 24"}
    good = {(r.point.lanes, r.point.latency_ns): r.cycles for r in rows if r.cycles}
    assert good[0, 40.0] < good[0, 400.0]
    assert good[0, 40.0] < good[8, 40.0]
    assert all(row.error in bench.text_table(rows) for row in rows)


def test_front() -> None:
    small, large = SMALL, replace(SMALL, spad_kib=512)
    rows = [Row(small, 9, 2.0), Row(large, 9, 1.0), Row(large, 9, 3.0), Row(small, error="no")]
    assert [row.pareto for row in sweep.front(rows)] == [True, True, False, False]


def test_a_chosen_point_on_rtl() -> None:
    (row,) = bench.with_rtl(NETWORK, sweep.sweep(NETWORK, [SMALL], one_by_one, lambda *_: None), 1, lambda *_: None)
    assert row.rtl is not None
    assert row.cycles is not None
    assert abs(row.cycles / row.rtl - 1) < 0.03


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--arrays takes DEPTHxCOLS" in triptych(tmp_path, "sweep", "--arrays", "16").stderr
    assert "--clocks takes numbers" in triptych(tmp_path, "sweep", "--clocks", "fast").stderr
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(TriptychError, match="sweeps run on Dask: pip install"):
        sweep.on_dask(None)


@pytest.mark.slow
@pytest.mark.skipif(util.find_spec("distributed") is None, reason="the extra `sweep` is not installed")
def test_on_dask() -> None:
    points = [SMALL, replace(SMALL, depth=24), replace(SMALL, latency_ns=200.0)]
    wanted = sweep.sweep(NETWORK, points, one_by_one, lambda *_: None)
    assert sweep.sweep(NETWORK, points, sweep.on_dask(None), lambda *_: None) == wanted
    with pytest.raises(TriptychError, match="no Dask scheduler answers"):
        sweep.sweep(NETWORK, points, sweep.on_dask("tcp://127.0.0.1:1"), lambda *_: None)
