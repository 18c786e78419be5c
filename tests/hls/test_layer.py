"""`triptych fastcar layer`, and the video model on the kernels."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from triptych.golden.fastcar.config import TINY, VIDEO, Policy
from triptych.golden.fastcar.integer import layer_step, rope_tables
from triptych.golden.fastcar.model import IntegerModel, Session
from triptych.golden.fastcar.random_layer import random_rows, random_state
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.csim import simulator
from triptych.sim.fastcar.image import DeviceState, Program
from triptych.sim.fastcar.layer import run_layer
from triptych.sim.fastcar.session import KernelSession

MODEL = IntegerModel.load()


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("skip", [0.0, 0.75, 1.0])
def test_the_wanted_skip_ratio_comes_out(policy: Policy, skip: float) -> None:
    report = run_layer(4, skip, policy.name.lower(), steps=4, config=TINY)
    assert (report.bit_exact, report.mismatches) == (True, 0)
    assert report.skip == skip
    assert report.rows_replayed == 16 * skip
    assert report.speedup_over_dense > 1 if skip == 1.0 else report.closed_form >= 1


def test_bytes_streamed_shrink_by_the_mlp_when_all_rows_replay() -> None:
    config = replace(TINY, width=64, ffn=192)
    full, none = (run_layer(2, skip, steps=2, config=config).bytes_streamed for skip in (0.0, 1.0))
    tiles, scale_words = 6 + 6 + 2, 2  # gate, up, down in tiles of 32 outputs
    assert full - none == 64 * ((12 + 2 * 3) * 16 + tiles * scale_words)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"batch": 0}, "a batch has 1..32 rows, not 0"),
        ({"skip": 1.5}, "a skip ratio must be in 0..1, not 1.5"),
        ({"steps": 9}, "steps must be in 1..8"),
        ({"policy": "some"}, "no policy 'some': take one of PER_SAMPLE, PAIR, ALL, MEAN"),
        ({"board_name": "U9"}, "no board 'U9'"),
    ],
)
def test_bad_input_gives_one_line(arguments: dict[str, object], match: str) -> None:
    with pytest.raises(TriptychError) as caught:
        run_layer(config=TINY, **arguments)  # type: ignore[arg-type]
    assert match in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_trained_layers_step_by_step() -> None:
    sim, config, controls = simulator(16), VIDEO.layer, MODEL.controls(0.5, chain_cap=2)
    states = [random_state(config, 2, i) for i in range(VIDEO.layers)]
    program, device = Program.pack(config, MODEL.layers, sim.limits), DeviceState.of(config, states)
    program.steer(controls)
    x = random_rows(config, 2, 4)
    result = sim.step(program, device, x, 300)
    for layer, state, control in zip(MODEL.layers, states, controls, strict=True):
        x = layer_step(config, layer, rope_tables(config), state, x, 300, control).y
    assert (result.y == x).all()
    assert device.mismatches(states) == 0


@pytest.mark.slow
def test_eight_frames_within_a_minute() -> None:
    controls = MODEL.controls(0.5)
    session, golden = KernelSession(MODEL, 1, simulator(16), controls), Session(MODEL, 1)
    entry, spent, replayed = np.array([VIDEO.tokens]), 0.0, 0
    for position in range(VIDEO.layer.context):
        start = time.perf_counter()
        logits, result = session.step(entry)
        spent += time.perf_counter() - start
        replayed += int(result.counters["drs"]["replayed"])
        if position < 320:
            assert (golden.step(entry, controls)[0] == logits).all(), f"position {position}"
        entry = logits.argmax(1)
    assert replayed > 0
    assert spent <= 60


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "triptych"
    return subprocess.run([program, "fastcar", "layer", *arguments], capture_output=True, text=True, check=False)


def test_the_command_refuses_in_one_line() -> None:
    run = command("--batch", "33")
    assert run.returncode
    assert run.stdout == ""
    assert run.stderr.splitlines() == ["triptych: a batch has 1..32 rows, not 33"]


@pytest.mark.slow
def test_a_llama_layer_within_three_seconds_a_step() -> None:
    run = command("--batch", "4", "--skip", "0.8", "--policy", "PAIR", "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    names = (
        "bit_exact", "mismatches", "modelled_cycles", "speedup_over_dense", "closed_form", "bytes_streamed",
        "rows_replayed", "csim_seconds",
    )  # fmt: skip
    assert list(report)[: len(names)] == list(names)
    assert report["bit_exact"] is True
    assert report["rows_replayed"] == 16
    assert report["csim_seconds"] <= 3
