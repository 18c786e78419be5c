"""Runs cocotb test modules on cached Verilator builds."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from cocotb_tools.runner import get_runner

from triptych.golden.files import scratch
from triptych.sim.build import cache
from triptych.sim.build.sources import INCLUDES, ROOT, WAIVERS
from triptych.sim.build.verilate import environment
from triptych.sim.errors import TriptychError

# Signals that tests may read are not split, so that a bundle of them can look like a loop: that costs speed alone.
BUILD_FLAGS = (
    "-Wno-UNOPTFLAT", "--unroll-count", "1", "-O3", "--assert", "--x-assign", "unique", "--x-initial", "unique",
)  # fmt: skip


def _model(top: str, sources: Sequence[Path], parameters: Mapping[str, int], flags: Sequence[str]) -> Path:
    """Folder of the built model; two runs with the same content share it."""
    headers = [p for folder in INCLUDES for p in sorted(folder.glob("*.svh"))]
    key = cache.fingerprint([*sources, *headers, WAIVERS], top, sorted(parameters.items()), tuple(flags), BUILD_FLAGS)

    def build(folder: Path) -> None:
        log = folder / "build.log"
        try:
            get_runner("verilator").build(
                sources=[WAIVERS, *sources],
                hdl_toplevel=top,
                includes=list(INCLUDES),
                parameters=dict(parameters),
                build_args=[*BUILD_FLAGS, *flags],
                build_dir=folder,
                always=True,
                log_file=log,
            )
        except (Exception, SystemExit) as error:
            text = log.read_text() if log.exists() else ""
            first = next((s for s in text.splitlines() if "%Error" in s), str(error))
            raise TriptychError(f"building {top} for cocotb failed: {first} [all of it: {log}]") from error

    return cache.file("cocotb", f"{top}-{key}", top, build).parent


def _cases(results: Path) -> list[ET.Element]:
    """Test cases that the simulation reported; none when it ended before it could."""
    return list(ET.parse(results).getroot().iter("testcase")) if results.exists() else []


def _text(held: Path) -> str:
    log = held / "run.log"
    return log.read_text() if log.exists() else ""


def run(
    top: str,
    sources: Sequence[Path],
    module: str,
    parameters: Mapping[str, int] | None = None,
    *,
    testcase: Sequence[str] | None = None,
    seed: int = 1,
    env: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
    power_on: bool = True,
) -> int:
    """Runs the cocotb tests of `module` (dotted name importable from the repository) on module `top`.

    sources: SystemVerilog files in order (see `sim.build.sources`). testcase: these tests alone. seed: of random
    choices. env: further environment of the test. flags: further Verilator flags. power_on: memories and flops without
    reset begin with what the seed says, not with zeros; not where assertions see an edge before any
    reset (cocotb has the clock only after the first evaluation): those designs start so in C++ (`sim.rtl.run`).
    Returns the number of tests that passed.
    Raises AssertionError naming what failed, TriptychError when the model does not build or no test ran.
    """
    os.environ.update(environment())
    folder = _model(top, sources, parameters or {}, flags)
    with scratch() as held:
        results = held / "results.xml"
        path = os.pathsep.join([str(ROOT), *sys.path])
        try:
            get_runner("verilator").test(
                hdl_toplevel=top,
                hdl_toplevel_lang="verilog",
                test_module=module,
                testcase=list(testcase) if testcase else None,
                seed=seed,
                plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{seed}"] if power_on else [],
                build_dir=folder,
                test_dir=held,
                results_xml=str(results),
                extra_env={"PYTHONPATH": path, "COCOTB_ANSI_OUTPUT": "0", **(env or {})},
                log_file=held / "run.log",
            )
        except (SystemExit, RuntimeError) as error:
            # The runner exits when the test module cannot be imported or a test failed, and raises when the simulation
            # aborted, as it does on an assertion in the RTL.
            if not _cases(results):
                log = _text(held)
                assertion = next((s for s in log.splitlines() if "Assertion failed" in s or "%Error" in s), str(error))
                raise AssertionError(f"{module} on {top} did not run to its end: {assertion}\n{log[-6000:]}") from error
        log = _text(held)
        cases = _cases(results)
        failed = [c.get("name") for c in cases if c.find("failure") is not None or c.find("error") is not None]
        if failed:
            raise AssertionError(f"{module} on {top}: {', '.join(map(str, failed))} failed:\n{log[-6000:]}")
        if not cases:
            raise AssertionError(f"{module} on {top}: no test ran:\n{log[-4000:]}")
        return len(cases)
