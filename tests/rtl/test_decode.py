"""decode: the same verdict as the golden decoder; and the generated checks are up to date."""

from __future__ import annotations

import pytest

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.build.cocotb_run import run
from triptych.sim.rtl import generate_decode, generate_registers
from triptych.sim.rtl.sources import RTL, packages, parameters


@pytest.mark.parametrize("chip", ["tiny", pytest.param("paper", marks=pytest.mark.slow)])
def test_decode(chip: str) -> None:
    sizes = {k: v for k, v in parameters(chip_config(chip)).items() if k in ("Depth", "Cols", "Rows", "ProgWords")}
    run("decode", [*packages(), RTL / "ctrl" / "decode.sv"], "tests.rtl.cocotb_decode", sizes, env={"CHIP": chip})


@pytest.mark.parametrize("generator", [generate_decode, generate_registers])
def test_generated_files_are_current(generator: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["--check"]) == 0, capsys.readouterr().err
