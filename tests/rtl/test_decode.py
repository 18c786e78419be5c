"""decode: the same verdict as the golden decoder; and the generated checks are up to date."""

from __future__ import annotations

from dataclasses import replace

import pytest

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.sim.build.cocotb_run import run
from triptych.sim.build.sources import RTL, packages, parameters
from triptych.sim.rtl import generate_decode, generate_registers

SIZES = ("Depth", "Cols", "Rows", "ProgWords", "Tables")


@pytest.mark.parametrize(("chip", "tables"), [("tiny", 5), pytest.param("paper", 8, marks=pytest.mark.slow)])
def test_decode(chip: str, tables: int) -> None:
    config = replace(chip_config(chip), tables=tables)
    sizes = {k: v for k, v in parameters(config).items() if k in SIZES}
    env = {"CHIP": chip, "TABLES": str(tables)}
    run("decode", [*packages(), RTL / "ctrl" / "decode.sv"], "tests.rtl.cocotb_decode", sizes, env=env)


@pytest.mark.parametrize("generator", [generate_decode, generate_registers])
def test_generated_files_are_current(generator: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["--check"]) == 0, capsys.readouterr().err
