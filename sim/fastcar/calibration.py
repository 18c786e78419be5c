"""The model's engine cycles beside those of the RTL, over shapes, batches and word rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path

import numpy as np

from triptych.golden.fastcar.config import Policy
from triptych.sim.fastcar.performance import engine_cycles, plan_cycles
from triptych.sim.fastcar.twin import Product, Scenario, Size, execute

SIZES = (Size(), Size(chain=8, lanes=3, words=5, depth=32, burst=5))
ROWS = (1, 2, 3, 4, 5, 7, 8, 13, 32)
INTERVALS = ((1, 1), (9, 8), (7, 4))
SHAPES = ((64, 64), (160, 448), (97, 250))
LATENCY = 10
PREFETCH_START = 4  # cycles from reset to the first burst's request, with the bus's own


@dataclass(frozen=True)
class Point:
    """One product on the RTL and in the model, in cycles from the lanes' start to the last sum."""

    lanes: int
    rows: int
    interval: float
    outputs: int
    inputs: int
    measured: int
    modelled: float

    @property
    def error(self) -> float:
        """Relative, positive where the model is slow."""
        return self.modelled / self.measured - 1


def _scenarios() -> Iterator[tuple[Size, Scenario]]:
    rng = np.random.default_rng(5)
    for size in SIZES:
        for rows in ROWS:
            for interval in INTERVALS:
                for outputs, inputs in SHAPES:
                    weight = rng.integers(-8, 8, (outputs, inputs), np.int8)
                    stored = size.inputs // -(-rows // size.lanes) * size.width
                    x = rng.integers(-128, 128, (rows, min(inputs, stored)), np.int8)
                    product = Product(weight[:, : x.shape[1]], x)
                    scenario = Scenario(rows, Policy.PER_SAMPLE, 0, np.ones(rows, bool), [product], latency=LATENCY)
                    yield size, replace(scenario, interval=interval)


def measure(folder: Path) -> list[Point]:
    """Runs every point on the RTL. Raises TriptychError when the RTL does not build or run."""
    points = []
    programs = {size: size.build().executable() for size in SIZES}
    for size, scenario in _scenarios():
        seen = execute(scenario, size, folder, programs[size]).counters
        weight = scenario.products[0].weight
        interval = scenario.interval[0] / scenario.interval[1]
        # What the streamer had fetched when the lanes started: FIFO and both windows at most.
        before = seen["plan"] + seen["load"] - LATENCY - PREFETCH_START
        ready = min(max(0.0, before / interval), size.depth + 2 * size.words)
        modelled = engine_cycles(
            len(weight), weight.shape[1], scenario.rows, plan_cycles(scenario.rows, size.lanes, size.words),
            words=size.words, width=size.width, interval=interval, prefetched=ready, chain=size.chain,
        )  # fmt: skip
        measured = sum(seen[name] for name in ("issue", "wait_words", "wait_sums", "finish"))
        outputs, inputs = weight.shape
        points.append(Point(size.lanes, scenario.rows, interval, outputs, inputs, measured, modelled))
    return points


BATCH = 32


def drs_gain(folder: Path, skips: tuple[float, ...]) -> dict[float, float]:
    """Time of lanes bound to rows over time under DRS, by the RTL's cycles, for 32 rows on four lanes (B0 = 3.7).

    A product with n computing rows is run for every n; its time is averaged over n ~ Bin(32, 1 - s). Bound lanes take
    the time of 32 rows unless all replay. Raises TriptychError when the RTL does not build or run.
    """
    size, (outputs, inputs) = SIZES[0], SHAPES[1]
    rng = np.random.default_rng(6)
    weight = rng.integers(-8, 8, (outputs, inputs), np.int8)
    x = rng.integers(-128, 128, (BATCH, inputs), np.int8)
    cycles = [0]
    program = size.build().executable()
    for rows in range(1, BATCH + 1):
        case = Scenario(rows, Policy.PER_SAMPLE, 0, np.ones(rows, bool), [Product(weight, x[:rows])], latency=LATENCY)
        seen = execute(replace(case, interval=(13, 12)), size, folder, program).counters
        cycles.append(sum(seen[name] for name in ("issue", "wait_words", "wait_sums", "finish")))
    gains = {}
    for skip in skips:
        chance = [comb(BATCH, n) * (1 - skip) ** n * skip ** (BATCH - n) for n in range(BATCH + 1)]
        on = sum(p * c for p, c in zip(chance, cycles, strict=True))
        gains[skip] = (1 - chance[0]) * cycles[BATCH] / on
    return gains
