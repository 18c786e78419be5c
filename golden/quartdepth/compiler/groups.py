"""Weights and parameters of jobs, packed in groups of output channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler import pack
from triptych.golden.quartdepth.compiler.jobs import Job
from triptych.golden.quartdepth.compiler.lowering import Factors
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.compiler.work import Group

Scales = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # multipliers, shifts, zero points


def make_groups(
    layer: str, factors: Factors, jobs: list[Job], config: ChipConfig, group_bytes: int, least_bytes: int
) -> list[Group]:
    """Groups of at most `group_bytes`, or of one column tile if that takes no more than `least_bytes`. Raises
    CompileError where it takes more."""
    output, source = jobs[0].output.place, jobs[0].source.place
    elements, fmt = output.elements, source.qparams.format
    unit = config.cols
    weights = jobs[0].weights
    if weights is not None and (weights.depthwise or weights.banded):
        unit = pack.elements_of_words(fmt, config)
    units = -(-elements // unit)
    multiplier = np.zeros(elements, dtype=np.int64)
    shift = np.zeros(elements, dtype=np.int64)
    multiplier[output.positions] = np.tile(factors.multiplier, output.fold)
    shift[output.positions] = np.tile(factors.shift, output.fold)
    zero = np.full(elements, output.qparams.zero, dtype=np.int64)
    if factors.zero is not None:
        zero[output.positions] = np.tile(factors.zero, output.fold)
    scales = (multiplier, shift, zero)
    # count first, pack once: every unit of channels takes the same number of bytes
    size = len(_group(jobs, fmt, config, 0, min(unit, elements), scales).data)
    if size > least_bytes:
        raise CompileError(
            f"'{layer}': the weights of {unit} output channels take {size} bytes; "
            f"'{config.name}' has room for {least_bytes}"
        )
    each = max(1, group_bytes // size)
    count = -(-units // each)
    each = -(-units // count) * unit
    return [_group(jobs, fmt, config, first, min(first + each, elements), scales) for first in range(0, elements, each)]


def _group(jobs: list[Job], fmt: Format, config: ChipConfig, first: int, last: int, scales: Scales) -> Group:
    """Weights and parameters of one range of output elements; an elementwise layer has parameters alone."""
    multiplier, shift, zero = scales
    data = bytearray()
    weights: list[int] = []
    params: list[int] = []
    known: dict[int, tuple[int, int]] = {}
    for job in jobs:
        assert job.bias is not None
        if id(job.weights) not in known:
            at = len(data)
            if job.weights is not None:
                part = job.weights.values[first:last]
                if job.weights.depthwise:
                    data += pack.depthwise_weights(part, config)
                else:
                    data += pack.dense_weights(part, fmt, job.weights.format, config)
            place = len(data)
            record = slice(first, last)
            data += pack.parameters(job.bias[record], multiplier[record], shift[record], zero[record], config)
            data += bytes(-len(data) % config.depth)
            known[id(job.weights)] = (at, place)
        at, place = known[id(job.weights)]
        weights.append(at)
        params.append(place)
    return Group(first, last, bytes(data), tuple(weights), tuple(params))
