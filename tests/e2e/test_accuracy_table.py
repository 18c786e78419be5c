"""The accuracy table: intervals, rows that are measured once, losses against FP32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim.accuracy import Store
from sim.accuracy_table import RESAMPLES, Row, interval, markdown


def _row(widths: str, d1: list[float]) -> Row:
    return Row("meter", "aims", widths, "m", d1, d1, [0.1] * len(d1), [0.2] * len(d1), "")


def test_the_interval_covers_the_mean_of_most_samples() -> None:
    """Of 200 samples of 30 draws the 95 % interval must hold the true mean about 190 times."""
    generator, hits = np.random.default_rng(0), 0
    for _ in range(200):
        low, high = interval(generator.normal(0.5, 0.1, 30).tolist())
        hits += low <= 0.5 <= high
    assert 178 <= hits <= 198
    assert interval([0.1, 0.9, 0.4]) == interval([0.1, 0.9, 0.4])
    assert interval([0.3] * 5) == pytest.approx((0.3, 0.3))
    assert RESAMPLES >= 1000


def test_values_are_measured_once_and_survive(tmp_path: Path) -> None:
    calls = []

    def measure() -> list[float]:
        calls.append(1)
        return [0.5, 0.7]

    assert Store(tmp_path / "rows").get("key", measure) == [0.5, 0.7]
    assert Store(tmp_path / "rows").get("key", measure) == [0.5, 0.7]
    assert len(calls) == 1
    Store(tmp_path / "rows").get("another", measure)
    assert len(calls) == 2
    assert Store(tmp_path / "rows").get("third", None) is None
    assert len(calls) == 2


def test_the_table_states_losses_against_fp32() -> None:
    text = markdown("meter", [_row("fp32", [0.8, 0.9]), _row("w4a4", [0.7, 0.75])])
    assert "### aims, n = 2" in text
    assert "| w4a4 | m | 0.725 [" in text
    assert "| +0.125 |" in text
