"""`make lint`: Verilator -Wall, Verible, slang, ruff, mypy and drift checks; zero findings or exit 1."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pyslang
from rich.console import Console

from triptych.golden.fastcar import silu
from triptych.golden.quartdepth.arithmetic import functions
from triptych.golden.quartdepth.chip import generate
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.network import generate as operations_page
from triptych.sim.bench.census import page as census_page
from triptych.sim.build import cache, children
from triptych.sim.build.sources import (
    BOARD,
    INCLUDES,
    ROOT,
    RTL,
    SV,
    WAIVERS,
    checker,
    fastcar_sources,
    parameters,
    sources,
    transactions,
)
from triptych.sim.build.verilate import environment
from triptych.sim.errors import TriptychError
from triptych.sim.lint import circles
from triptych.sim.rtl import generate_decode, generate_registers

BIN = Path(sys.executable).parent
TESTS = ROOT / "tests"
STUBS = TESTS / "rtl" / "stubs"
BENCH_WAIVERS = TESTS / "waivers.vlt"
PYTHON = ("golden", "sim", "tests", "setup.py")


class _Findings(Exception):
    """What a tool said about a design: never kept, so that it is said again."""


def _run(*arguments: str) -> str:
    """Output of a tool that found something, empty when it found nothing."""
    run = children.run(arguments, cwd=ROOT, env=environment())
    return (run.text.strip() or f"{arguments[0]} ended with {run.status}") if run.status else ""


def verilator(config: str) -> str:
    """`verilator --lint-only -Wall` of the chip in a named configuration."""
    return _verilator("quartdepth_board", [*sources(), BOARD, *checker(), *transactions()], parameters(CONFIGS[config]))


def verilator_fastcar() -> str:
    """`verilator --lint-only -Wall` of FastCar's twins, also at sizes that are no powers of two."""
    core = [*fastcar_sources(), *checker("fastcar_core")]
    step = [*fastcar_sources(), *checker("fastcar_step")]
    found = (
        _verilator("fastcar_core", core, {}),
        _verilator("fastcar_core", core, {"Width": 32, "Lanes": 3, "Words": 5}),
        _verilator("fastcar_step", step, {}),
        _verilator("fastcar_step", step, {"Lanes": 3, "Words": 4, "Group": 4, "Vector": 32, "MaxHeadDim": 64}),
    )
    return "\n".join(filter(None, found))


def verilator_benches() -> str:
    """The same of every bench of the tests, and of the chip around stub engines."""
    found = (_verilator(top, files, {}) for top, files in benches().items() if not top.startswith("prove_"))
    return "\n".join(filter(None, found))


def _verilator(top: str, files: list[Path], sizes: Mapping[str, int]) -> str:
    arguments = [*(f"-I{p}" for p in INCLUDES), *(f"-G{k}={v}" for k, v in sizes.items())]
    files = [WAIVERS, BENCH_WAIVERS, *files]
    headers = [p for folder in INCLUDES for p in sorted(folder.glob("*.svh"))]

    def clean() -> str:
        found = _run("verilator", "--lint-only", "-Wall", "--top-module", top, *arguments, *map(str, files))
        if found:
            raise _Findings(found)
        return ""

    key = cache.fingerprint([*files, *headers], top, sorted(sizes.items()), metadata.version("verilator"))
    try:
        return str(cache.value("lint", f"{top}-{key}", clean))  # a design that was clean once is clean
    except _Findings as findings:
        return str(findings)


def benches() -> dict[str, list[Path]]:
    """Files by top module of what only tests elaborate: a module a file, named alike; proofs are `prove_*`."""
    rtl = dict.fromkeys([*sources(), *fastcar_sources(), checker()[0]])
    found = sorted(p for p in TESTS.rglob("*.sv") if p.parent != STUBS and not p.stem.endswith("_pkg"))
    chip = [*sources("common", "mem", "regs", "ctrl"), *sorted(STUBS.glob("*.sv")), RTL / "top" / "quartdepth.sv"]
    return {p.stem: [*rtl, p] for p in found} | {"quartdepth": [*chip, *checker()]}


def verible() -> str:
    """Verible's style rules (rules and reasons: `.rules.verible_lint`)."""
    generated = {"isa_pkg.sv", "function_pkg.sv", "silu_pkg.sv"}
    every = dict.fromkeys([*sources(), *fastcar_sources(), *sorted(SV.glob("*.sv")), *sorted(TESTS.rglob("*.sv"))])
    files = [p for p in every if p.name not in generated and p.parent.name != "regs"]
    headers = [p for folder in INCLUDES for p in sorted(folder.glob("*.svh"))]
    return _run(str(BIN / "verible-verilog-lint"), "--rules_config_search", *map(str, [*files, *headers]))


def slang() -> str:
    """Elaboration and analysis by slang, a second opinion on what is legal SystemVerilog: who drives what included."""
    chip = {"quartdepth_board": [*sources(), BOARD, *checker(), *transactions()]}
    twins = {top: [*fastcar_sources(), *checker(top)] for top in ("fastcar_core", "fastcar_step")}
    tops = chip | twins | benches()
    return "\n".join(filter(None, (slang_findings(top, files) for top, files in tops.items())))


def slang_findings(top: str, files: list[Path]) -> str:
    """What slang has to say about a design, empty when it is legal."""
    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    names = " ".join(str(p) for p in files)
    includes = " ".join(f"-I {p}" for p in INCLUDES)
    options = f"slang --top {top} -Wno-unused-parameter {includes} {names}"
    if not driver.parseCommandLine(options) or not driver.processOptions() or not driver.parseAllSources():
        return f"slang cannot read {top}"
    compilation = driver.createCompilation()
    driver.reportCompilation(compilation, True)
    driver.runAnalysis(compilation)  # drivers: two processes, or a process and `initial`, that write one variable
    return "" if driver.reportDiagnostics(True) else f"slang has findings in {top} (above)"


def mypy() -> str:
    """mypy over both packages, which it finds under their import names through links in `build/`."""
    packages = ROOT / "build" / "packages" / "triptych"
    packages.mkdir(parents=True, exist_ok=True)
    for folder in ("golden", "sim"):
        if not (packages / folder).exists():
            (packages / folder).symlink_to(ROOT / folder)
    return _run(str(BIN / "mypy"))


CHECKS: dict[str, Callable[[], str]] = {
    "ruff": lambda: _run(str(BIN / "ruff"), "check", *PYTHON),
    "ruff format": lambda: _run(str(BIN / "ruff"), "format", "--check", *PYTHON),
    "mypy": mypy,
    "instruction table drift": lambda: "drifted" if generate.main(["--check"]) else "",
    "function table drift": lambda: "drifted" if functions.main(["--check"]) else "",
    "SILU table drift": lambda: "drifted" if silu.main(["--check"]) else "",
    "decode table drift": lambda: "drifted" if generate_decode.main(["--check"]) else "",
    "operations page drift": lambda: "drifted" if operations_page.main(["--check"]) else "",
    "census page drift": census_page.drift,
    "import circles": circles.findings,
    "register drift": lambda: "drifted" if generate_registers.main(["--check"]) else "",
    "verible": verible,
    "slang": slang,
    "verilator -Wall (fastcar)": verilator_fastcar,
    "verilator -Wall (benches)": verilator_benches,
    **{f"verilator -Wall ({name})": lambda name=name: verilator(name) for name in CONFIGS},  # type: ignore[misc]
}


def _findings(check: Callable[[], str]) -> str:
    try:
        return check()
    except TriptychError as error:
        return str(error)


def main() -> int:
    """Runs every check, two at a time, prints one line each and the findings. Returns the exit status."""
    console = Console(stderr=True, highlight=False)
    failed = 0
    pool = ThreadPoolExecutor(max_workers=2)  # most of them wait for a tool
    for name, findings in zip(CHECKS, pool.map(_findings, CHECKS.values()), strict=True):
        console.print(f"[{'red' if findings else 'green'}]{'FAIL' if findings else 'ok  '}[/] {name}")
        if findings:
            failed += 1
            console.print(findings, markup=False)
    return 1 if failed else 0
