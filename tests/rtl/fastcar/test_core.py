"""FastCar's twins against golden: scores, decisions, sums, counters, with random stalls on every handshake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.rtl.fastcar.scenario import check, integers, random_scenario
from triptych.golden.fastcar.config import Policy
from triptych.sim.fastcar.twin import Product, Scenario, Size

SIZES = {
    "four lanes": Size(),
    "three lanes, five words": Size(chain=8, lanes=3, words=5, depth=32, burst=5, lut_chains=1),
    "one lane": Size(chain=8, lanes=1, words=2, inputs=1024),
}
WIDE = Size(width=64, chain=8, lanes=2, words=4, inputs=512)


@pytest.mark.parametrize("name", SIZES)
def test_random_layers(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng([11, len(name)])
    size = SIZES[name]
    program = size.build().executable()
    for _ in range(40):
        check(random_scenario(rng, size, int(rng.integers(1, 6))), size, tmp_path, program)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SIZES, "wide"])
def test_many_random_layers(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng([12, len(name)])
    size = SIZES.get(name, WIDE)
    program = size.build().executable()
    for _ in range(600):
        check(random_scenario(rng, size, int(rng.integers(1, 6))), size, tmp_path, program)


def one_decision(rows: int, policy: Policy, threshold: int, size: Size) -> Scenario:
    """A batch with an MLP product and nothing else, no stalls."""
    rng = np.random.default_rng([rows, int(policy)])
    products = [Product(integers(rng, -8, 7, 8, 20), integers(rng, -128, 127, rows, 20), mlp=True, last=True)]
    shape = (rows, 2, size.width)
    scores = [(integers(rng, -128, 127, *shape), integers(rng, -128, 127, *shape), np.ones(2, np.int8))]
    return Scenario(rows, policy, threshold, np.ones(rows, bool), products, scores)


@pytest.mark.parametrize("policy", list(Policy))
def test_decision_time(policy: Policy, tmp_path: Path) -> None:
    """From the last product of q and k' to mapping registers and plan in place: score, decision, map, plan."""
    size = SIZES["four lanes"]
    seen = check(one_decision(32, policy, 0, size), size, tmp_path)
    assert seen.counters["latency"] == 10


def test_the_streamer_says_what_it_waits_for(tmp_path: Path) -> None:
    """For a decision where the MLP's region comes first, never where there is no MLP; for a region behind the last."""
    size = SIZES["four lanes"]
    waiting = check(one_decision(32, Policy.PER_SAMPLE, 0, size), size, tmp_path).counters
    scores = 32 * 2  # beats of q and k', one a cycle, before the last score
    assert scores <= waiting["no_decision"] <= scores + waiting["latency"], waiting
    rng = np.random.default_rng(2)
    products = [Product(integers(rng, -8, 7, 8, 20), integers(rng, -128, 127, 5, 20))] * 2
    plain = check(Scenario(5, Policy.PER_SAMPLE, 0, np.ones(5, bool), products), size, tmp_path).counters
    assert plain["no_decision"] == 0
    assert plain["no_region"] > 0
    assert plain["memory"] > 0


def test_whole_batch_replays(tmp_path: Path) -> None:
    """No weight is read, no row is loaded, no sum leaves; the next layer's weights come."""
    size = SIZES["four lanes"]
    scenario = one_decision(7, Policy.PER_SAMPLE, -(1 << 31), size)
    rng = np.random.default_rng(1)
    after = Product(integers(rng, -8, 7, 12, 33), integers(rng, -128, 127, 7, 33))
    seen = check(replace(scenario, products=[*scenario.products, after]), size, tmp_path)
    assert seen.decisions == [0]
    assert seen.counters["skipped"] == 8
    assert seen.counters["loads_dropped"] == 14
    assert set(seen.sums[:, 0].tolist()) == set(range(7))


def test_overflow_is_impossible(tmp_path: Path) -> None:
    """The largest sums that the packed form can meet: every weight -8, every input -128, every segment full."""
    rows = 5
    products = [
        Product(np.full((9, 3 * WIDE.width), w, np.int8), np.full((rows, 3 * WIDE.width), x, np.int8))
        for w in (-8, 7)
        for x in (-128, 127)
    ]
    scenario = Scenario(rows, Policy.PER_SAMPLE, 0, np.ones(rows, bool), products)
    seen = check(scenario, WIDE, tmp_path)
    assert int(seen.sums[:, 2].max()) == 8 * 128 * 3 * WIDE.width
