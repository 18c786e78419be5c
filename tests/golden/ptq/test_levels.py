"""The search for levels against all choices that there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from triptych.golden.quartdepth.arithmetic.codetable import ENTRY_MAX, ENTRY_MIN
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.qparams import uniform_qparams
from triptych.golden.quartdepth.ptq.levels import COUNT, Samples, best_tables
from triptych.golden.quartdepth.ptq.polish import code_error


def values(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_t(3, count), rng.uniform(0, 2, count)


@pytest.mark.parametrize("seed", range(4))
def test_no_sixteen_levels_leave_less(seed: int) -> None:
    x, weight = values(seed)
    level = np.sort(np.append(np.random.default_rng(seed).normal(0, 2, 18), 0.0))
    zero = int(np.flatnonzero(level == 0)[0])
    picked, error = Samples(x, weight).best(level, zero)

    def left(chosen: tuple[int, ...]) -> float:
        return float((np.abs(x[:, None] - level[list(chosen)]).min(1) ** 2 * weight).sum())

    choices = [c for c in combinations(range(len(level)), COUNT) if zero in c]
    assert error == pytest.approx(left(tuple(picked)))
    assert error == pytest.approx(min(left(c) for c in choices))


def test_fewer_levels_than_codes() -> None:
    x, weight = values(5)
    picked, _ = Samples(x, weight).best(np.array([-1.0, 0.0, 2.0]), 1)
    assert picked == [0, 1, 2]


@pytest.mark.parametrize("sides", ["both", "above", "below"])
def test_a_table_spends_its_grid_where_the_values_are(sides: str) -> None:
    x = torch.from_numpy(values(6, 6000)[0]).float().reshape(6, -1)
    x = {"both": x, "above": x.abs(), "below": -x.abs()}[sides]
    weight = torch.tensor([1.0, 2.0, 1.0, 0.5, 1.0, 3.0])
    best, second = best_tables(x, weight)
    assert code_error(x, best, weight) <= code_error(x, second, weight) * 1.001
    assert best.table is not None
    assert min(best.table.entries) >= ENTRY_MIN
    assert max(best.table.entries) <= ENTRY_MAX
    assert {"both": -14 < best.zero < 13, "above": best.zero == ENTRY_MIN, "below": best.zero == ENTRY_MAX}[sides]
    plain = min(
        code_error(x, uniform_qparams(float(x.min()) * cut, float(x.max()) * cut, Format.UINT4), weight)
        for cut in np.linspace(0.1, 1, 19)
    )
    assert code_error(x, best, weight) < 0.8 * plain


def test_nothing_but_zeros_has_no_table() -> None:
    assert not list(best_tables(torch.zeros(3, 5), torch.ones(3)))
