"""The compiler's clock against RTL."""

from __future__ import annotations

from itertools import islice

import pytest

from triptych.golden.quartdepth.compiler import estimate
from triptych.sim.bench import cost_model

KINDS = 8


@pytest.fixture(scope="module")
def some() -> list[cost_model.Layer]:
    """One of every kind, on `small`."""
    found = [layer for layer in islice(cost_model.layers(2 * KINDS, 3), 2 * KINDS) if layer.chip == "small"]
    assert len({layer.kind for layer in found}) == KINDS
    return found


def test_layers_take_what_the_clock_says(some: list[cost_model.Layer]) -> None:
    for layer in some:
        seen = cost_model.measure(layer)
        assert abs(seen.error) <= cost_model.BOUND, (seen, layer.network.maps["x"].shape)


def test_a_wrong_clock_is_seen(some: list[cost_model.Layer], monkeypatch: pytest.MonkeyPatch) -> None:
    """No turn from microword to microword."""
    (norm,) = (layer for layer in some if layer.kind == "LayerNorm")
    monkeypatch.setattr(estimate, "TURN_VPU", 0)
    assert abs(cost_model.measure(norm).error) > cost_model.BOUND


def test_a_seed_is_a_list() -> None:
    first, second = ([layer.network.macs for layer in cost_model.layers(4, 5)] for _ in range(2))
    assert first == second
