"""Polishing: w folds exactly, tables encode as their formula says for every int16, choices are the best tried."""

import numpy as np
import pytest
import torch
from method_kit import images, small_graph

from triptych.golden.quartdepth.arithmetic.codetable import lognp_formula
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.qparams import uniform_qparams
from triptych.golden.quartdepth.ptq.fisher import estimate
from triptych.golden.quartdepth.ptq.levels import best_tables
from triptych.golden.quartdepth.ptq.polish import (
    Kind,
    best_code,
    candidates,
    choose,
    code_error,
    fold,
    groups,
    lognp_code,
    spread,
)
from triptych.golden.quartdepth.ptq.recipe import measure
from triptych.golden.quartdepth.ptq.simulate import fake_quantise, simulate

INT16 = np.arange(-32768, 32768)


def _values(seed: int = 0, channels: int = 6, count: int = 500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = torch.logspace(-1, 1, channels)[:, None]
    return torch.randn(channels, count, generator=generator).pow(3) * size


def test_folding_changes_nothing_in_real_numbers() -> None:
    graph, x = small_graph(), torch.cat(images(2))
    gains = {}
    for members in groups(graph):
        gains.update(dict.fromkeys(members, torch.logspace(-1, 1, graph.shapes[members[0]].channels)))
    assert len(gains) >= 5
    assert torch.allclose(simulate(graph, x), simulate(fold(graph, gains), x), rtol=1e-4, atol=1e-4)


def test_what_a_sum_adds_shares_w_and_input_and_output_have_none() -> None:
    graph = small_graph()
    found = groups(graph)
    assert ["stem", "down"] in found
    assert not any(graph.input in g or graph.output in g for g in found)


@pytest.mark.parametrize(
    ("low", "high", "w", "cut"), [(0.0, 5.0, 0.3, 1.0), (-2.0, 3.0, 1.0, 0.9), (-4.0, 0.0, 2.0, 0.8)]
)
def test_thresholds_are_the_polished_formula_for_every_int16(low: float, high: float, w: float, cut: float) -> None:
    qparams = lognp_code(low, high, w, cut)
    assert qparams is not None
    assert qparams.table is not None
    bottom, top = (np.sign(v) * np.log2(1 + abs(v) / w) * cut for v in (low, high))
    step = (top - bottom) / 15
    formula = lognp_formula(step, round(-bottom / step), qparams.unit / w)
    assert (qparams.table.encode(INT16) == formula(INT16.astype(np.float64) - qparams.zero)).all()
    # and each code's meaning lies where the polished formula puts it
    inverse = np.sign(np.arange(16) - qparams.pad) * w * (2.0 ** (step * abs(np.arange(16) - qparams.pad)) - 1)
    assert np.abs(qparams.decode(np.arange(16)) - inverse).max() <= 0.51 * qparams.scale


def test_free_tables_give_every_int16_the_nearest_entry_a_tie_going_up() -> None:
    qparams = next(best_tables(_values(), torch.ones(6)))
    assert qparams.table is not None
    entries = qparams.decode(np.arange(16)) / qparams.unit + qparams.zero
    assert (np.diff(qparams.table.entries) >= 0).all()
    distance = np.abs(INT16[:, None] - entries[None])
    own = np.take_along_axis(distance, qparams.table.encode(INT16)[:, None].astype(int), 1)[:, 0]
    assert (own <= distance.min(1) + 1e-9).all()
    middle = (entries[1:] + entries[:-1]) / 2
    assert (qparams.table.encode(np.ceil(middle)) >= np.arange(1, 16)).all()


def test_simulated_codes_are_those_of_the_integer_network() -> None:
    x = torch.linspace(-3, 3, 4001)
    for qparams in (
        uniform_qparams(-1.0, 2.0, Format.UINT4),
        lognp_code(-1.0, 2.0, 0.5, 1.0),
        next(best_tables(x[None], torch.ones(1))),
    ):
        assert qparams is not None
        exact = qparams.decode(qparams.encode(x.double().numpy()))
        assert np.abs(fake_quantise(x.double(), qparams).numpy() - exact).max() < 1e-9


def test_the_choice_is_the_best_candidate_and_never_worse_than_minmax() -> None:
    v, weight = _values(), torch.ones(6)
    qparams, error = best_code(v, weight, set(Kind))
    tried = [code_error(v, c, weight) for c in candidates(v, weight, set(Kind))]
    assert error == min(tried) == code_error(v, qparams, weight)
    plain = uniform_qparams(float(v.min()), float(v.max()), Format.UINT4)
    assert error < 0.5 * code_error(v, plain, weight)


def test_a_uniform_tensor_keeps_the_uniform_code() -> None:
    v = (torch.arange(16.0).repeat(4, 10)) / 15
    qparams, error = best_code(v, torch.ones(4), {Kind.UNIFORM, Kind.LOGNP})
    assert qparams.format is Format.UINT4
    assert error < 1e-9


def test_degenerate_channels() -> None:
    samples = torch.zeros(4, 100)
    samples[1] = 3.0
    samples[2, 7] = 100.0
    w = spread(samples)
    assert torch.isfinite(w).all()
    assert (w > 0).all()
    assert torch.equal(spread(torch.zeros(3, 10)), torch.ones(3))
    for v in (samples, torch.zeros(4, 100), torch.full((4, 100), 2.0)):
        qparams, error = best_code(v / w[:, None], torch.ones(4), set(Kind))
        assert np.isfinite(error)
        assert 0 in qparams.meaning(np.arange(16))


def test_choosing_improves_the_simulated_output() -> None:
    graph, batch = small_graph(), torch.cat(images(4))
    stats = measure(graph, batch, 0, lambda: None)
    fisher = estimate(graph, batch, 2, 0, lambda: None)
    narrow = {layer.name for layer in graph.layers} - {graph.output}
    gains, codes, record = choose(graph, stats, fisher, narrow, set(Kind), (0.0, 0.5, 1.0), lambda: None)
    assert {c.fmap for c in record} == narrow
    assert sum(c.error for c in record) < 0.7 * sum(c.minmax for c in record)
    exact = simulate(graph, batch)
    plain = {n: uniform_qparams(float(v.min()), float(v.max()), Format.UINT4) for n, v in stats.samples.items()}
    out = uniform_qparams(float(exact.min()), float(exact.max()), Format.INT8)
    errors = [
        float((simulate(g, batch, {**c, graph.output: out}) - exact).square().mean())
        for g, c in ((graph, plain), (fold(graph, gains), codes))
    ]
    assert errors[1] < errors[0]
