"""Keys, values and queries in four bits: what makes up for it is exact, and the cheapest come first."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from tests.kit.vit import captured, photo, tiny_vit, wide
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.ops.attention import Attention
from triptych.golden.quartdepth.network.qparams import NARROW
from triptych.golden.quartdepth.ptq.fisher import estimate
from triptych.golden.quartdepth.ptq.polish import fold
from triptych.golden.quartdepth.ptq.recipe import measure
from triptych.golden.quartdepth.ptq.simulate import simulate
from triptych.golden.quartdepth.ptq.stationary import Narrow, candidates, codes_of, shifted, within


@cache
def found() -> tuple[FloatGraph, torch.Tensor, list[Narrow]]:
    graph = wide(captured(tiny_vit()))
    assert graph.patches is not None
    batch = torch.cat([graph.patches.arrange(photo(seed)) for seed in range(3)])
    stats = measure(graph, batch, 0, lambda: None)
    fisher = estimate(graph, batch, 1, 0, lambda: None)
    return graph, batch, candidates(graph, stats, fisher, {}, (0.5, 1.0), (), lambda: None)


def test_keys_and_values_and_what_makes_up_for_four_bits() -> None:
    graph, batch, narrow = found()
    attentions = [layer for layer in graph.layers if layer.stationary]
    queries = {n.fmap: n for n in narrow if n.behind}
    assert {n.fmap for n in narrow} - queries.keys() == {o.fmap for layer in attentions for o in layer.stationary}
    assert queries.keys() == {one.counter for layer in attentions for one in layer.stationary if one.counter}
    assert [n.error for n in narrow] == sorted(n.error for n in narrow)
    gains: dict[str, torch.Tensor] = {}
    for n in narrow:
        if n.behind:
            assert n.qparams.table is not None
            assert n.qparams.zero == 0
        else:
            assert n.qparams.narrow
            assert n.qparams.limits == NARROW
        gains |= n.gains
    assert len(gains) == 2 * len(attentions)  # keys, and queries inversely
    assert sum(bool(n.shift.abs().max() > 0) for n in narrow) == len(attentions)
    same = simulate(fold(shifted(graph, narrow), gains), batch)
    assert torch.allclose(same, simulate(graph, batch), rtol=1e-3, atol=1e-4)


def test_keys_keep_their_range() -> None:
    graph, batch, narrow = found()
    gains = {name: gain for n in narrow for name, gain in n.gains.items()}
    largest: dict[str, float] = {}

    def observe(name: str, fmap: torch.Tensor) -> None:
        largest[name] = float(fmap.abs().max())

    simulate(fold(shifted(graph, narrow), gains), batch, observe=observe)
    for n in narrow:
        if n.gains:
            assert largest[n.fmap] <= n.qparams.scale * 7 * 1.001


def test_a_budget_pays_for_the_cheapest() -> None:
    narrow = [n for n in found()[2] if not n.behind]
    budget = narrow[0].error + narrow[1].error
    assert within(narrow, budget) == narrow[:2]
    assert within(narrow, 0.0) == []


def test_queries_wait_for_their_keys() -> None:
    _, _, narrow = found()
    query = next(n for n in narrow if n.behind)
    key = next(n for n in narrow if n.fmap == query.behind)
    free = [replace(query, error=0.0), replace(key, error=1.0)]
    assert within(free, 0.5) == []
    assert within(free, 1.0) == [free[1], free[0]]
    codes = codes_of(free)
    assert codes[key.fmap].packed
    assert not codes_of([key])[key.fmap].packed


def test_queries_of_heads_that_fill_no_word_keep_eight_bits() -> None:
    graph, batch, _ = found()
    layers = [replace(layer, narrow=True) if isinstance(layer, Attention) else layer for layer in graph.layers]
    small = replace(graph, layers=layers)
    stats, fisher = measure(small, batch, 0, lambda: None), estimate(small, batch, 1, 0, lambda: None)
    assert not [n for n in candidates(small, stats, fisher, {}, (0.5,), (), lambda: None) if n.behind]
