"""Parameters: each is legal in the whole range that its module states, and refused at elaboration outside it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyslang
import pytest

from tests.rtl.test_chip import compare
from triptych.golden.quartdepth.chip.config import CONFIGS, ChipConfig
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.sim.build.sources import BOARD, INCLUDES, RTL, WAIVERS, fastcar_sources, parameters, sources
from triptych.sim.build.verilate import environment

OUTSIDE = {
    "Depth": (8, 48), "Cols": (4, 12), "Rows": (1, 256), "ProgWords": (2, 33), "SpadWords": (66, (1 << 24) + 4),
    "Tables": (0, 9), "Queue": (3, 16), "Prefetch": (1, 3), "MaxBurst": (0, 257), "MaxBeats": (63,),
    "MaxBursts": (1, 3), "InFlight": (1, 6), "LoadBursts": (1, 17), "Lanes": (4, 24),
    "FullLanes": (4, 16),
}  # fmt: skip
FASTCAR = {
    "Lanes": (0, 33), "Words": (0, 33), "Width": (12, 128), "Chain": (0, 3), "MaxBurst": (0, 257),
    "Bytes": (8, 24), "Depth": (3, 32), "Inputs": (0,),
}  # fmt: skip
OPEN = {"vpu_read_port": {"Depth"}}  # any will do
CHIP = [p for folder in ("common", "ctrl", "mem", "mxu", "vpu", "top") for p in sorted((RTL / folder).glob("*.sv"))]


def elaborates(top: str, files: list[Path], sizes: Mapping[str, int]) -> bool:
    """Whether slang takes the module with these parameters."""
    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    words = ["slang", "--top", top, "-Wno-unused-parameter", *(f"-I {p}" for p in INCLUDES)]
    words += [f"-G {name}={value}" for name, value in sizes.items()]
    assert driver.parseCommandLine(" ".join([*words, *map(str, files)]))
    assert driver.processOptions()
    assert driver.parseAllSources()
    driver.reportCompilation(driver.createCompilation(), True)
    return bool(driver.reportDiagnostics(True))


def stated(file: Path) -> set[str]:
    """Names of the parameters of a module's file."""
    return set(re.findall(r"^\s+parameter int unsigned (\w+)", file.read_text(), re.M))


@pytest.mark.parametrize("file", [p for p in CHIP if stated(p) & set(OUTSIDE)], ids=lambda p: p.stem)
def test_outside_the_range_is_refused(file: Path) -> None:
    assert elaborates(file.stem, sources(), {}), "the defaults are legal"
    for name in sorted(stated(file) & set(OUTSIDE) - OPEN.get(file.stem, set())):
        if file.stem == "fifo" and name == "Depth":
            continue
        for value in OUTSIDE[name]:
            assert not elaborates(file.stem, sources(), {name: value}), f"{name} = {value}"


@pytest.mark.parametrize("name", FASTCAR)
def test_fastcar_outside_the_range_is_refused(name: str) -> None:
    tops = {"Lanes": ("fastcar_core", "matvec_engine", "drs_plan", "drs_filter"), "Bytes": ("weight_streamer",)}
    for top in tops.get(name, ("fastcar_core",)):
        for value in FASTCAR[name]:
            assert not elaborates(top, fastcar_sources(), {name: value}), f"{top} with {name} = {value}"


@pytest.mark.parametrize(("board", "lanes"), [("KV260", 16), ("U50", 2), ("U280", 4)])
def test_fastcar_has_room_for_the_longest_product(board: str, lanes: int) -> None:
    """The default holds LLaMA-7B's 11,008 inputs of every pass; less than a segment a pass is refused."""
    assert elaborates("fastcar_core", fastcar_sources(), {"Lanes": lanes})
    passes = -(-32 // lanes)
    assert elaborates("fastcar_core", fastcar_sources(), {"Lanes": lanes, "Inputs": passes})
    assert not elaborates("fastcar_core", fastcar_sources(), {"Lanes": lanes, "Inputs": passes - 1}), board


REFUSED = {
    name: [*OUTSIDE[parameter], *more]
    for name, parameter, more in (
        ("depth", "Depth", [0, 128]), ("cols", "Cols", [0, 32]), ("rows", "Rows", [-1]),
        ("prog_words", "ProgWords", [258]), ("spad_words", "SpadWords", [60]), ("tables", "Tables", []),
        ("queue", "Queue", [0, 1]), ("load_bursts", "LoadBursts", [0]), ("lanes", "Lanes", [16]),
        ("full_lanes", "FullLanes", []),
    )
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_python_refuses_what_rtl_refuses(name: str) -> None:
    """With one line that names size, range and value; and nothing of what RTL takes (ENDS below)."""
    for value in REFUSED[name]:
        with pytest.raises(ValueError, match=rf"^chip 'small': {name} must be .*, not {value}$"):
            replace(CONFIGS["small"], **{name: value})


ENDS = [
    ChipConfig("least", depth=16, cols=8, rows=2, spad_words=64, prog_words=4, tables=1, queue=2),
    ChipConfig("most", depth=64, cols=64, rows=255, spad_words=(1 << 24) // 64, prog_words=256, tables=8, queue=8,
               load_bursts=16, lanes=64),
    ChipConfig("square", depth=16, cols=16, rows=3, spad_words=(1 << 24) // 16, prog_words=6, tables=7),
    ChipConfig("odd", depth=64, cols=32, rows=21, spad_words=1020, prog_words=36, tables=5, queue=8, lanes=16,
               full_lanes=8),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("config", ENDS, ids=lambda c: c.name)
def test_ends_of_the_ranges_are_legal(config: ChipConfig) -> None:
    """Verilator -Wall has nothing to say: every width fits. (At the end of a field's range its check is constant.)"""
    sizes = [f"-G{k}={v}" for k, v in parameters(config).items()]
    arguments = ["verilator", "--lint-only", "-Wall", "-Wno-CMPCONST", "--top-module", "quartdepth_board", *sizes]
    arguments += [*(f"-I{p}" for p in INCLUDES), str(WAIVERS), *map(str, [*sources(), BOARD])]
    run = subprocess.run(arguments, capture_output=True, text=True, env=environment(), check=False)
    assert run.returncode == 0, run.stderr[-2000:]


RUNS = [
    ChipConfig("odd", depth=64, cols=32, rows=21, spad_words=1020, prog_words=36, queue=8, lanes=16, full_lanes=8),
    ChipConfig("square", depth=16, cols=16, rows=19, spad_words=1004, prog_words=34, queue=2),
]


@pytest.mark.slow
@pytest.mark.parametrize("config", RUNS, ids=lambda c: c.name)
def test_odd_chips_run_programs(config: ChipConfig) -> None:
    """Sizes that no named chip has. (Random programs want eight tables; fewer: test_limits.)"""
    for seed in range(40):
        compare(config, seed, Trap.ILLEGAL_FIELD if seed % 8 == 0 else Trap.NONE)
