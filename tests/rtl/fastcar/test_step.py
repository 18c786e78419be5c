"""A whole step in RTL against golden, bit by bit: y, caches, ring, chain counts, index registers, with stalls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.hls.reference import ODD, WIDE_HEADS, Case
from tests.rtl.fastcar.step_case import (
    ANY,
    OTHER,
    any_case,
    chooser_controls,
    compare,
    mixed_thresholds,
    run_case,
    tokens_of,
)
from triptych.golden.fastcar.config import ALWAYS_REPLAY, TINY, VIDEO, Chooser, Controls, LayerConfig, Policy
from triptych.golden.fastcar.integer import layer_step, rope_tables
from triptych.golden.fastcar.model import IntegerModel
from triptych.golden.fastcar.random_layer import random_rows, random_state
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.image import DeviceState, Program
from triptych.sim.fastcar.step_rtl import Fault, Memory, Token, run_steps
from triptych.sim.fastcar.step_study import SIZE
from triptych.sim.rtl.orders import WriteOrder

STALLS = Memory(latency=13, rate=0.7, stall=60, seed=3)


@pytest.fixture(scope="module")
def program() -> Path:
    return ANY.build().executable()


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(100, 400), marks=pytest.mark.slow)])
def test_random_layers(program: Path, seeds: range) -> None:
    """Any shape, batch, policy, chooser, cap, window, DRS on or off; memory with and without stalls."""
    for seed in seeds:
        case, tokens, memory = any_case(ANY, seed)
        assert run_case(case, ANY, tokens, memory, program) == [], f"seed {seed}"


@pytest.mark.parametrize("chooser", Chooser)
@pytest.mark.parametrize("rows", [1, 5, 32])
def test_choosers_and_batches(program: Path, chooser: Chooser, rows: int) -> None:
    first, seed = 9, 10 * rows + chooser
    case, scratch = (Case.random(TINY, rows, chooser_controls(chooser), ANY.limits, seed) for _ in range(2))
    mixed_thresholds(case, first, scratch)
    assert run_case(case, ANY, tokens_of(case, first, 3), STALLS, program) == []


@pytest.mark.parametrize("policy", Policy)
def test_policies_and_frames(program: Path, policy: Policy) -> None:
    """Over the first frame's end, chains up to their cap, and a batch that replays whole in every layer."""
    controls = [Controls(threshold=t, policy=policy, chain_cap=2) for t in (-400, ALWAYS_REPLAY, 500)]
    case = Case.random(TINY, 7, controls, ANY.limits, 70 + policy)
    assert run_case(case, ANY, tokens_of(case, 6, 4), program=program) == []


ENDS = {
    "scores": {"score_multiplier": 32767, "score_shift": 34},
    "shifts": {"score_shift": 47, "attention_shift": 7, "swiglu_shift": 33},
    "no shifts": {"score_multiplier": 1, "score_shift": 0, "attention_shift": 0, "swiglu_shift": 0},
    "norms": {"attention_norm_shift": -15, "mlp_norm_shift": 16},
}


@pytest.mark.parametrize("constants", ENDS.values(), ids=ENDS)
def test_constants_at_their_ends(program: Path, constants: dict[str, int]) -> None:
    """As docs/fastcar.md allows them, be what they make of a layer as useless as it likes."""
    case = Case.random(TINY, 3, [Controls(threshold=0)] * 2, ANY.limits, 17, **constants)
    assert run_case(case, ANY, tokens_of(case, 9, 3), program=program) == []


@pytest.mark.slow
@pytest.mark.parametrize("config", [ODD, WIDE_HEADS, replace(TINY, width=384, ffn=200)])
@pytest.mark.parametrize("scheduling", [True, False])
def test_another_size(config: LayerConfig, scheduling: bool) -> None:
    program = OTHER.build().executable()
    for rows in (1, 3, 7):
        case = Case.random(config, rows, [Controls(threshold=0)] * 2, OTHER.limits, rows)
        assert run_case(case, OTHER, tokens_of(case, 6, 2, scheduling), STALLS, program) == []


@pytest.mark.slow
def test_a_frame_of_the_trained_model() -> None:
    """256 tokens of a layer of the video model, a quarter of them replayed, on the size of the study."""
    model, size = IntegerModel.load(), SIZE
    config, layer, controls = VIDEO.layer, model.layers[2], model.controls(0.5)[2]
    program = Program.pack(config, [layer], size.limits)
    program.steer([controls])
    state = random_state(config, 1, 3)
    state.chain[:] = 0
    device = DeviceState.of(config, [state])
    tokens = [Token(random_rows(config, 1, p), 512 + p) for p in range(config.frame_tokens)]
    made = run_steps(size, program, device, tokens, Memory(latency=40), executable=size.build().executable())
    replayed = 0
    for token, seen in zip(tokens, made, strict=True):
        trace = layer_step(config, layer, rope_tables(config), state, token.x, token.position, controls)
        assert (seen.y == trace.y).all(), token.position
        replayed += trace.index == 0
    assert device.mismatches([state]) == 0
    assert 0 < replayed < len(tokens)


@pytest.mark.parametrize("writes", WriteOrder)
@pytest.mark.parametrize("stall", [0, 60])
def test_every_legal_order_of_writes(program: Path, writes: WriteOrder, stall: int) -> None:
    """A memory may wait for an address, for its data or for both before it takes either; the step waits for neither."""
    case = Case.random(TINY, 2, [Controls(threshold=0, chain_cap=3)], ANY.limits, 9)
    memory = Memory(latency=13, stall=stall, seed=5, writes=writes)
    assert run_case(case, ANY, tokens_of(case, TINY.frame_tokens, 2), memory, program=program) == []


FAULTS = [
    ("weights", 2, Fault.WEIGHT_SLAVE), ("weights", 3, Fault.WEIGHT_DECODE), ("scales", 2, Fault.SCALE_SLAVE),
    ("scales", 3, Fault.SCALE_DECODE), ("registers", 2, Fault.READ_SLAVE), ("gains", 3, Fault.READ_DECODE),
    ("turns", 2, Fault.READ_SLAVE), ("chains", 2, Fault.READ_SLAVE), ("x", 3, Fault.READ_DECODE),
    ("y", 2, Fault.WRITE_SLAVE), ("y", 3, Fault.WRITE_DECODE),
]  # fmt: skip


@pytest.mark.parametrize(("array", "response", "fault"), FAULTS)
def test_an_error_response_ends_the_step(program: Path, array: str, response: int, fault: Fault) -> None:
    """With its cause, done is signalled, nothing wrong leaves, and no other step starts before a reset."""
    case = Case.random(TINY, 3, [Controls(threshold=0)], ANY.limits, 5)
    before = np.full((3, TINY.width), 0, np.int16)
    tokens = tokens_of(case, 8, 1)
    bad = (array, 0, response)
    made = run_steps(ANY, case.program, case.device, tokens, executable=program, error=bad, limit=50_000)
    assert made[0].fault is fault
    if fault not in (Fault.WRITE_SLAVE, Fault.WRITE_DECODE):
        assert (made[0].y == before).all()
    with pytest.raises(TriptychError, match="step 1 hangs"):
        run_steps(
            ANY,
            case.program,
            case.device,
            tokens_of(case, 8, 2),
            executable=program,
            error=bad,
            limit=9_000,
        )


READS = {"weights": 1, "scales": 4, "registers": 6, "gains": 6, "turns": 6, "keys": 6, "values": 6, "ring": 6,
         "chains": 6, "x": 6}  # fmt: skip
WRITES = ("keys", "values", "ring", "chains", "y")


@pytest.mark.parametrize("array", [*READS, "y"])
@pytest.mark.parametrize("share", [16, pytest.param(200, marks=pytest.mark.slow)])
def test_an_error_at_any_beat(program: Path, array: str, share: int) -> None:
    """Of every array, also where words are read ahead or written: the cause is the port's, or the word is none of the
    step's and all is as golden has it. share: about so many beats, spread over the array."""
    whole = Case.random(TINY, 3, [Controls(threshold=0), Controls(threshold=1 << 30)], ANY.limits, 5)
    sizes = {"y": 3 * 2 * TINY.width, "x": 3 * 2 * TINY.width}
    arrays = {"weights": whole.program.weights, "scales": whole.program.scales, "registers": whole.program.registers,
              "gains": whole.program.gains, "turns": whole.program.turns, "keys": whole.device.keys,
              "values": whole.device.values, "ring": whole.device.ring, "chains": whole.device.chains}  # fmt: skip
    length = sizes[array] if array in sizes else arrays[array].nbytes
    beats = range(0, length, 64)
    stopped = 0
    for at in beats[:: max(1, len(beats) // share)]:
        case = Case.random(TINY, 3, [Controls(threshold=0), Controls(threshold=1 << 30)], ANY.limits, 5)
        tokens = tokens_of(case, 8, 1)
        response = 2 + at // 64 % 2
        made = run_steps(
            ANY, case.program, case.device, tokens, executable=program, error=(array, at, response), limit=100_000
        )
        causes = {READS[array] + response - 2} if array in READS else set()
        causes |= {8 + response - 2} if array in WRITES else set()
        if made[0].fault is Fault.NONE:
            assert compare(case, tokens, made)[0] == [], at
        else:
            assert made[0].fault in causes, at
            stopped += 1
    assert stopped > 0


def test_an_error_while_weights_stream(program: Path) -> None:
    """Of a layer with more weights than are read ahead: the step stops in whatever phase the beat comes, also while it
    stores keys (the output's weights come slowly) or adds rows (those of gate and up do)."""
    config = replace(TINY, width=512, ffn=256)
    whole = Case.random(config, 3, [Controls(threshold=0)], ANY.limits, 5)
    words = len(whole.program.weights)
    firsts = whole.before_o, whole.attention_share(whole.program.weights)
    ahead = [first + n for first in firsts for n in (0, 16, 32, 48, 51)]
    for word in (*range(0, words, words // 12), *ahead):
        case = Case.random(config, 3, [Controls(threshold=0)], ANY.limits, 5)
        memory = Memory(latency=200 if word < firsts[1] else 60, rate=0.1) if word in ahead else Memory()
        made = run_steps(
            ANY, case.program, case.device, tokens_of(case, 8, 1), memory, executable=program,
            error=("weights", 64 * word, 2), limit=300_000,
        )  # fmt: skip
        assert made[0].fault is Fault.WEIGHT_SLAVE, word


@pytest.mark.parametrize("array", ["keys", "values", "ring"])
def test_an_error_in_a_cache(program: Path, array: str) -> None:
    """Row 0, key head 0, position 0: attention reads it; the ring's place 0 is replayed or written."""
    for threshold in (ALWAYS_REPLAY, 1 << 30):
        case = Case.random(TINY, 2, [Controls(threshold=threshold)], ANY.limits, 6)
        case.states[0].chain[:] = case.device.chains[:] = 0
        made = run_steps(
            ANY, case.program, case.device, tokens_of(case, 8, 1), executable=program, error=(array, 0, 2), limit=50_000
        )
        wrote = array == "ring" and threshold != ALWAYS_REPLAY
        assert made[0].fault is (Fault.WRITE_SLAVE if wrote else Fault.READ_SLAVE)


SHAPES = [
    {"layers": 0}, {"rows": 0}, {"rows": 33}, {"width": 0}, {"width": ANY.width + 1}, {"ffn": 0},
    {"ffn": ANY.width + 1}, {"heads": 0}, {"heads": 3}, {"kv_heads": 0}, {"head_dim": 0}, {"head_dim": 9},
    {"head_dim": ANY.head_dim + 2}, {"heads": 64, "head_dim": ANY.head_dim}, {"frame_tokens": 0},
    {"context": ANY.tokens + 1}, {"position": TINY.context},
]  # fmt: skip


@pytest.mark.parametrize("fields", SHAPES, ids=str)
def test_a_shape_that_was_not_built(program: Path, fields: dict[str, int]) -> None:
    """Each limit by itself is the hardware's, too: refused with its cause, nothing written."""
    case = Case.random(TINY, 2, [Controls()], ANY.limits, 7)
    (made,) = run_steps(
        ANY, case.program, case.device, [Token(case.rows(0), 0)], executable=program, limit=5_000, fields=fields
    )
    assert made.fault is Fault.SHAPE
    assert not made.y.any()
