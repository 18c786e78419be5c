"""C simulation of the HLS kernels against golden, bit by bit: single kernels, whole layers, stalls, deadlock."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.hls.drs_case import drs_differences
from tests.hls.mutants import BUGS, mutant
from tests.hls.reference import ODD, WIDE_HEADS, Case, differences, random_case
from triptych.golden.fastcar import integer
from triptych.golden.fastcar.config import LLAMA_7B, SMALL, TINY, Chooser, Controls, LayerConfig, Policy
from triptych.golden.fastcar.silu import silu
from triptych.golden.quartdepth.arithmetic import functions
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.csim import HLS, CSim, Deadlock, library, simulator

LANES = 4


@pytest.fixture(scope="module")
def sim() -> CSim:
    return CSim.build(LANES, checked=True)


def run_steps(sim: CSim, case: Case, first: int, steps: int, scheduling: bool = True) -> list[str]:
    found = []
    for position in range(first, first + steps):
        x = case.rows(position)
        result = sim.step(case.program, case.device, x, position, scheduling=scheduling)
        traces = case.golden(x, position)
        found += differences(case, traces, result, sim.limits.lanes)
        lanes, rows = result.counters["lanes"], result.counters["drs"]
        spent = sum(int(lanes[n]) for n in ("busy", "replayed", "unfilled", "starved"))
        assert spent == int(lanes["cycles"]) * sim.limits.lanes
        computing = [t.index.bit_count() for t in traces]
        assert int(rows["computed"]) == sum(computing)
        assert int(rows["computed"]) + int(rows["replayed"]) == len(x) * len(traces)
        assert int(rows["issued"]) == 6 * len(x) * len(traces)
        assert int(rows["dropped"]) == 2 * int(rows["replayed"])
        words = result.counters["weights"]
        assert int(words["streamed"]) + int(words["skipped"]) == len(case.program.weights)
        assert (int(words["skipped"]) > 0) == (0 in computing)
    return found


@pytest.mark.parametrize("seeds", [range(24), pytest.param(range(100, 500), marks=pytest.mark.slow)])
def test_random_layers(sim: CSim, seeds: range) -> None:
    for seed in seeds:
        case, position, scheduling = random_case(sim.limits, seed)
        with sim.shaken(seed, 48 if seed % 2 else 0):
            assert run_steps(sim, case, position, 3, scheduling) == [], f"seed {seed}"


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("rows", [1, 2, 5, 8, 32])
def test_policies_and_batches(sim: CSim, policy: Policy, rows: int) -> None:
    controls = [Controls(threshold=t, policy=policy, chain_cap=2) for t in (-400, 0, 500)]
    case = Case.random(TINY, rows, controls, sim.limits, 10 * rows + policy)
    assert run_steps(sim, case, 6, 4) == []


@pytest.mark.parametrize("lanes", [16, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 32))])
def test_other_numbers_of_lanes(lanes: int) -> None:
    sim = simulator(lanes)
    for config in (ODD, WIDE_HEADS):
        for rows in (1, 3, 7):
            case = Case.random(config, rows, [Controls(threshold=0)] * 2, sim.limits, rows)
            for scheduling in (True, False):
                assert run_steps(sim, case, 6, 2, scheduling) == []


def test_synthesis_widths_give_the_same() -> None:
    sim = CSim.build(LANES, exact=True)
    for seed in range(3):
        case, position, scheduling = random_case(sim.limits, seed)
        assert run_steps(sim, case, position, 1, scheduling) == []


def test_functions_over_all_inputs(sim: CSim) -> None:
    small = np.arange(-(1 << 15), 1 << 15)
    large = np.random.default_rng(1).integers(-(1 << 31), 1 << 31, 1 << 16)
    y = np.concatenate([small, large]).astype(np.int32)
    exp2n, gate = np.zeros(len(y), np.int32), np.zeros(len(y), np.int32)
    recip, rsqrt = np.zeros((len(y), 2), np.int32), np.zeros((len(y), 2), np.int32)
    sim.lib.csim_functions(*(sim.argument(a) for a in (y, len(y), exp2n, gate, recip, rsqrt)))
    assert (exp2n == functions.exp2n(y.astype(np.int16))).all()
    assert (gate == silu(y.astype(np.int16))).all()
    assert ((recip[:, 1] << 16 | recip[:, 0]) == functions.recip(y)).all()
    assert ((rsqrt[:, 1] << 16 | rsqrt[:, 0]) == functions.rsqrt(y)).all()


def test_norm_at_its_limits(sim: CSim) -> None:
    rng = np.random.default_rng(2)
    for width, value in ((1, 0), (1, 1), (4096, 32767), (4096, -32768), (1000, None), (77, None)):
        x = rng.integers(-32768, 32768, width) if value is None else np.full(width, value)
        x, gain = x.astype(np.int16), rng.integers(-32768, 32768, width).astype(np.int16)
        for shift in (-15, 0, 3, 16):
            out = np.zeros(width, np.int8)
            sim.lib.csim_rms_norm(*(sim.argument(a) for a in (x, gain, width, shift, out)))
            assert (out == integer.rms_norm(x[None], gain, shift)[0]).all()


def test_rope_and_swiglu_at_their_limits(sim: CSim) -> None:
    rng = np.random.default_rng(3)
    cos, sin = integer.rope_tables(LLAMA_7B)
    extreme = np.array([-32768, -32767, -1, 0, 1, 32767], np.int16)
    for position in (0, 1, 255, 2047):
        head = rng.choice(extreme, 128)
        turns = np.concatenate([cos[position], sin[position]])
        before, after = np.zeros(128, np.int8), np.zeros(128, np.int8)
        sim.lib.csim_rope(*(sim.argument(a) for a in (head, turns, 128, before, after)))
        assert (before == integer.sat8(integer.rs(head, 7))).all()
        assert (after == integer.rope(head[None], cos[position], sin[position])[0]).all()
    tile = 2 * LANES
    gate, up = rng.integers(-32768, 32768, (2, 64 * tile)).astype(np.int16)
    gate[:6], up[:6] = extreme, extreme[::-1]
    for shift in (0, 12, 19, 47):
        hidden = np.zeros(len(gate), np.int8)
        sim.lib.csim_swiglu(*(sim.argument(a) for a in (gate, up, len(gate) // tile, shift, hidden)))
        assert (hidden == integer.swiglu(gate, up, shift)).all()


def test_deadlock_is_reported_with_the_streams_name(sim: CSim) -> None:
    case = Case.random(TINY, 2, [Controls()], sim.limits, 3)
    with sim.fifo("attention.scores", 4), pytest.raises(Deadlock, match=r"stream 'attention\.scores'"):
        sim.step(case.program, case.device, case.rows(0), 20)
    fresh = Case.random(TINY, 2, [Controls()], sim.limits, 3)
    assert run_steps(sim, fresh, 20, 1) == []  # the simulator has survived


def test_shallow_fifos_that_cannot_deadlock(sim: CSim) -> None:
    names = ("weights", "scales", "activations", "results", "heads", "attended", "computed", "replayed", "queries")
    case = Case.random(ODD, 3, [Controls(threshold=0)] * 2, sim.limits, 5)
    try:
        for name in names:
            sim.lib.csim_depth(name.encode(), sim.argument(1))
        assert run_steps(sim, case, 7, 2) == []
    finally:
        for name in names:
            sim.lib.csim_depth(name.encode(), sim.argument(0))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c, x: (x[:1], 20), "holds 1 layers of 2 rows, the step has 1 of 1"),
        (lambda c, x: (x.astype(np.int32), 20), "must be int16"),
        (lambda c, x: (x, 64), "position 64 is outside"),
    ],
)
def test_bad_input_gives_one_line(sim: CSim, change: Callable[..., tuple[np.ndarray, int]], match: str) -> None:
    case = Case.random(TINY, 2, [Controls()], sim.limits, 3)
    x, position = change(case, case.rows(0))
    with pytest.raises(TriptychError, match=match) as caught:
        sim.step(case.program, case.device, x, position)
    assert "\n" not in str(caught.value)


def test_shapes_beyond_the_maxima_are_refused(sim: CSim) -> None:
    config = LayerConfig(width=4096, ffn=11009, heads=32, kv_heads=32, head_dim=128, context=2)
    with pytest.raises(TriptychError, match=r"built for ffn 1\.\.11008, not 11009"):
        sim.limits.check(config, 1)
    with pytest.raises(TriptychError, match=r"1\.\.32 lanes, not 33"):
        library(33)


def test_planted_bugs_are_caught(tmp_path: Path) -> None:
    """One build of the kernels with all bugs in it, each switched on in turn; all off, it is right."""
    hls, arm = mutant(HLS, tmp_path / "hls")
    sim = CSim(library(LANES, checked=True, hls=hls, optimise="-O1"), LANES)
    seen = {}
    controls = [Controls(threshold=0), Controls(threshold=-50_000, chooser=Chooser.VALUE)]
    for bug in ("", *BUGS):
        case = Case.random(TINY, 3, controls, sim.limits, 2)
        arm(sim.lib, bug)
        try:
            found = run_steps(sim, case, 20, 2)
        except (TriptychError, AssertionError) as error:
            found = [str(error)]
        seen[bug] = found
    assert seen.pop("") == []
    assert all(seen.values()), seen
    (told,) = seen["beyond an array"]
    assert re.fullmatch(r"rope\.hpp:\d+: element 128 of an array of type '.*int.*\[128\]'", told), told


@pytest.mark.slow
@pytest.mark.parametrize("config", [SMALL, LLAMA_7B], ids=["small", "llama-7b"])
def test_large_layers(config: LayerConfig) -> None:
    sim = CSim.build(16, checked=True)
    case = Case.random(config, 4, [Controls(threshold=0, policy=Policy.PER_SAMPLE)], sim.limits, 1)
    assert run_steps(sim, case, 300, 2) == []


def test_drs_kernel_over_index_registers(sim: CSim) -> None:
    """Jobs, passes and mapping table of random TAS, straight from the kernel, against golden's tables."""
    for lanes in (LANES, 16):
        for seed in range(60):
            assert drs_differences(simulator(lanes), seed) == [], f"{lanes} lanes, seed {seed}"
