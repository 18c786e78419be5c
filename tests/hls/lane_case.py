"""Random jobs for the lane array, with the passes that golden's DRS plans and the results that golden computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar import drs, integer
from triptych.golden.fastcar.random_layer import fixed_point
from triptych.golden.quartdepth.arithmetic.numerics import sat16
from triptych.sim.fastcar.csim import ENTRY, JOB
from triptych.sim.fastcar.image import BYTES, Limits, scale_image
from triptych.sim.fastcar.weight_layout import pack_inputs, pack_weights


@dataclass(frozen=True)
class LaneCase:
    """Streams of the lane array. passes: ENTRY[n, lanes]; expected: int16[n, tile]."""

    jobs: NDArray[np.void]
    passes: NDArray[np.void]
    weights: NDArray[np.uint8]
    scales: NDArray[np.uint8]
    activations: NDArray[np.int8]
    expected: NDArray[np.int16]

    @classmethod
    def random(cls, limits: Limits, seed: int, jobs: int = 3) -> LaneCase:
        """A few matrices of random shape and random computing rows, with DRS or with rows bound to lanes."""
        rng = np.random.default_rng([seed, 0x1A4E])
        parts = [one_job(limits, rng, int(rng.integers(1, 9)), bool(rng.integers(2))) for _ in range(jobs)]
        stop = np.zeros(1, JOB)
        stop["stop"] = True
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return cls(np.concatenate([columns[0], stop]), *columns[1:])


def pass_records(plan: list[list[drs.Assignment]], lanes: int) -> NDArray[np.void]:
    """ENTRY[passes, lanes]; a lane without work has begin == end."""
    out = np.zeros((len(plan), lanes), ENTRY)
    for record, work in zip(out, plan, strict=True):
        for a in work:
            record[a.lane] = (a.row, a.begin, a.end, False)
    return out


def one_job(limits: Limits, rng: np.random.Generator, rows: int, bound: bool) -> tuple[NDArray[np.generic], ...]:
    """Job, passes, weights, scales, activations and expected results of one random matrix."""
    index = int(rng.integers(1, 1 << rows))
    inputs, outputs = int(rng.integers(1, 200)), int(rng.integers(1, 90))
    weight = rng.integers(-8, 8, (outputs, inputs), dtype=np.int8)
    multiplier, shift = fixed_point(rng.uniform(0.01, 4.0, outputs))
    linear = integer.Linear(weight, multiplier, shift)
    computing = drs.computing_rows(index)
    x = rng.integers(-128, 128, (len(computing), inputs), dtype=np.int8)
    plan = (
        drs.static_assignments(index, rows, limits.lanes, limits.window)
        if bound
        else drs.assignments(index, limits.lanes, limits.window)
    )
    packed = pack_weights(weight, BYTES, limits.window)
    job = np.zeros(1, JOB)
    job[0] = (index, packed.shape[0], packed.shape[1], len(plan), True, False)
    tile = 2 * limits.window
    expected = np.zeros((len(computing), packed.shape[0] * tile), np.int16)
    expected[:, :outputs] = sat16(integer.project(x, linear))
    by_tile = expected.reshape(len(computing), -1, tile).transpose(1, 0, 2).reshape(-1, tile)
    return (
        job, pass_records(plan, limits.lanes), packed.reshape(-1, BYTES),
        scale_image(linear, limits).reshape(-1, BYTES), pack_inputs(x, BYTES).reshape(-1, BYTES), by_tile,
    )  # fmt: skip
