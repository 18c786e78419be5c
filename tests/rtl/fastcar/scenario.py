"""Scenarios for fastcar_core, and what golden makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from triptych.golden.fastcar import drs
from triptych.golden.fastcar.config import Policy
from triptych.golden.fastcar.integer import Ints, Linear, accumulate, distance_score, temporal_score
from triptych.sim.fastcar.twin import CYCLES, STREAM, Product, Scenario, Seen, Size, execute
from triptych.sim.fastcar.weight_layout import pack_weights


def scores_of(scenario: Scenario) -> list[Ints]:
    """Golden's, int64[rows] a decision."""
    if scenario.distance:
        return [distance_score(q, k) for q, k, _ in scenario.scores]
    return [temporal_score(q, k, weights) for q, k, weights in scenario.scores]


def expected(scenario: Scenario, size: Size) -> Seen:
    """Golden's decisions and sums, the sums in the order in which tiles leave; and what the counters must add up to."""
    decisions, replays = [], []
    for score in scores_of(scenario):
        replay = drs.replay_bits(score, scenario.threshold, scenario.may, scenario.policy)
        replays.append(replay)
        decisions.append(drs.index_register(replay))
    taken = 0
    parts = []
    skipped = delivered = dropped = 0
    for job in scenario.products:
        index = decisions[taken] if job.mlp else (1 << scenario.rows) - 1
        taken += job.mlp and job.last
        rows = drs.computing_rows(index)
        linear = Linear(job.weight, np.zeros(0, np.int16), np.zeros(0, np.uint8))
        acc = accumulate(job.x, linear)
        acc = np.pad(acc, ((0, 0), (0, acc.shape[1] % 2)))
        pairs = acc.shape[1] // 2
        beats = pack_weights(job.weight, size.width, size.words)[..., 0].size
        dropped += (scenario.rows - len(rows)) * -(-job.x.shape[1] // size.width)
        if rows:
            delivered += beats
        else:
            skipped += beats
        for tile in range(0, pairs, size.words):
            for row in rows:
                for pair in range(tile, min(tile + size.words, pairs)):
                    parts.append((row, pair, acc[row, 2 * pair], acc[row, 2 * pair + 1]))
    replayed = sum(int(r.sum()) for r in replays)
    counters = {
        "delivered": delivered, "skipped": skipped, "loads_dropped": dropped,
        "rows_replayed": replayed, "rows_computed": scenario.rows * len(replays) - replayed,
    }  # fmt: skip
    return Seen(decisions, np.array(parts, np.int32).reshape(-1, 4), counters)


def check(scenario: Scenario, size: Size, folder: Path, program: Path | None = None) -> Seen:
    """Runs it and holds everything against golden, counters included."""
    want, got = expected(scenario, size), execute(scenario, size, folder, program)
    assert got.decisions == want.decisions
    assert got.sums.shape == want.sums.shape
    assert (got.sums == want.sums).all(), f"sum {np.argwhere(got.sums != want.sums)[0]}"
    for name, value in want.counters.items():
        assert got.counters[name] == value, (name, got.counters)
    c = got.counters
    total = c["total"] + 1  # the clock edges since reset
    assert sum(c[n] for n in CYCLES) == total, c
    assert sum(c[n] for n in STREAM if n != "skipped") == total, c
    assert c["lanes_busy"] + c["lanes_spare"] == size.lanes * c["issue"], c
    return got


def integers(rng: Generator, low: int, high: int, *shape: int) -> NDArray[np.int8]:
    """Uniform int8[shape] in low..high, with the ends well represented."""
    values = rng.integers(low, high + 1, shape)
    ends = rng.random(shape)
    return np.where(ends < 0.1, low, np.where(ends > 0.9, high, values)).astype(np.int8)


def random_scenario(rng: Generator, size: Size, layers: int = 2) -> Scenario:
    """Layers of a dense product and a decision's two MLP products, any shape, any batch, any policy."""
    distance, ones = bool(rng.integers(3) == 0), bool(rng.integers(2))
    rows = int(rng.integers(1, 33 if rng.random() < 0.5 else min(32, 2 * size.lanes + 1) + 1))
    policy = Policy(int(rng.integers(4)))
    passes = -(-rows // size.lanes)
    most = size.inputs // passes * size.width
    products, scores = [], []
    for _ in range(layers):
        for mlp, last in ((False, False), (True, False), (True, True)):
            inputs = int(rng.integers(1, min(most, 5 * size.width) + 1))
            outputs = int(rng.integers(1, 6 * size.words))
            x = integers(rng, -128, 127, rows, inputs)
            products.append(Product(integers(rng, -8, 7, outputs, inputs), x, mlp, last))
        heads, kv = ((4, 2), (3, 1), (2, 2))[int(rng.integers(3))]
        heads = kv if distance else heads
        weights = np.full(heads, -1 if distance else 1, np.int8)
        if not (distance or ones):
            weights = integers(rng, -7, 7, heads)
        shape = (rows, heads, size.width * int(rng.integers(1, 3)))
        scores.append((integers(rng, -128, 127, *shape), integers(rng, -128, 127, rows, kv, shape[2]), weights))
    blank = Scenario(rows, policy, 0, np.ones(rows, bool), [], scores, distance)
    tas = np.concatenate(scores_of(blank))
    # A threshold that is met exactly now and then: the comparison is strict.
    threshold = int(rng.choice(tas)) if rng.random() < 0.6 else int(np.quantile(tas, rng.random()))
    return Scenario(
        rows, policy, threshold, rng.random(rows) < rng.choice((0.8, 1.0)), products, scores, distance,
        stall=int(rng.choice((0, 40, 128, 200))), latency=int(rng.integers(1, 60)),
        interval=(int(rng.integers(1, 4)), int(rng.integers(1, 4))), seed=int(rng.integers(1 << 30)),
        late=int(rng.choice((0, 3000))),
    )  # fmt: skip
