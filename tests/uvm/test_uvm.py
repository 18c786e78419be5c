"""The chip under pyuvm: registers, hand-written and random programs, traps, in lock-step with the golden machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.sim.build import cocotb_run
from triptych.sim.build.sources import ROOT, checker, parameters, sources


def files() -> list[Path]:
    """The chip in its bench."""
    return [*sources(), *checker(), ROOT / "tests" / "uvm" / "tb.sv"]


def run(config: str, testcase: str, **options: object) -> None:
    """Runs one pyuvm test on a configuration."""
    env = {"UVM_OPTIONS": json.dumps({"config": config, **options})}
    cocotb_run.run(
        "tb", files(), "tests.uvm.cocotb_chip", parameters(CONFIGS[config]),
        testcase=[testcase], env=env, power_on=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "config", ["tiny", *(pytest.param(name, marks=pytest.mark.slow) for name in ("small", "paper"))]
)
def test_smoke(config: str) -> None:
    run(config, "Smoke")


@pytest.mark.parametrize(("seed", "programs"), [(9001, 2), pytest.param(9100, 40, marks=pytest.mark.slow)])
def test_virtual(seed: int, programs: int) -> None:
    run("tiny", "Virtual", seed=seed, programs=programs)


def test_reports() -> None:
    run("tiny", "Reports")


@pytest.mark.parametrize(
    ("seed", "instructions", "programs"),
    [(6001, 600, 100), pytest.param(10_000, 20_000, 1000, marks=pytest.mark.slow)],
    ids=["slice", "long"],
)
def test_random(
    seed: int, instructions: int, programs: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    report = tmp_path / "coverage"
    options = {"seed": seed, "instructions": instructions, "programs": programs, "length": 50}
    run("tiny", "Random", **options, complete=True, report=str(report))
    record_property("coverage", report.read_text())
