"""Proofs by the SAT solver of Yosys: combinational ones are exhaustive, sequential ones by induction, unbounded."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from enum import Enum
from importlib import metadata
from pathlib import Path

from triptych.sim.build import cache, children
from triptych.sim.build.sources import INCLUDES, fastcar_sources

HERE = Path(__file__).parent
INDUCTION = 8  # the longest induction tried; the proofs here need 2, what must be reached 6

# Run by a Python of its own: Yosys writes to stdout and ends the process when a proof fails.
WORKER = """
import resource, sys
if sys.argv[2] != "0":
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]), int(sys.argv[2])))
from pyosys import libyosys as ys
design = ys.Design()
for command in sys.argv[1].splitlines():
    ys.run_pass(command, design)
"""


class Verdict(Enum):
    """What became of a proof."""

    PROVEN = "proven"
    REFUTED = "refuted"


def prove(
    top: str, *, sequential: bool = False, parameters: Mapping[str, int] | None = None,
    planted: tuple[str, str, str] | None = None, sources: Sequence[Path] | None = None, cut: Sequence[str] = (),
    seconds: int = 0, steps: int = INDUCTION,
) -> Verdict:  # fmt: skip
    """Proves the assertions of `tests/formal/<top>.sv`; the verdict is kept by the content of all that it rests on.

    sources: what it instantiates, the twins of rtl/fastcar unless named. planted: (file of these, text, what stands in
    its place): a bug. cut: signals below the top that may be anything, whatever drives them. seconds: CPU time that
    it may take, any when 0. steps: the longest induction tried.
    Raises AssertionError when Yosys cannot read the design, when the bug's text does not stand in the file exactly
    once, or when neither verdict is reached.
    """
    files = sources or fastcar_sources()
    headers = [p for folder in INCLUDES for p in sorted(folder.glob("*.svh"))]
    key = cache.fingerprint(
        [*files, *headers, HERE / f"{top}.sv", Path(__file__)],
        sequential, sorted((parameters or {}).items()), planted, tuple(cut), metadata.version("pyosys"),
    )  # fmt: skip
    verdict = cache.value(
        "formal",
        f"{top}-{key}",
        lambda: _prove(top, files, sequential, parameters or {}, planted, cut, seconds, steps).value,
    )
    return Verdict(verdict)


def _prove(
    top: str, sources: Sequence[Path], sequential: bool, parameters: Mapping[str, int],
    planted: tuple[str, str, str] | None, cut: Sequence[str], seconds: int, steps: int,
) -> Verdict:  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="triptych-") as scratch:
        files = []
        for path in sources:
            if planted and path.name == planted[0]:
                text = path.read_text()
                assert text.count(planted[1]) == 1, f"{path.name} does not hold '{planted[1]}' once"
                path = Path(scratch) / path.name
                path.write_text(text.replace(planted[1], planted[2]))
            files.append(str(path))
        sizes = " ".join(f"-G {k}={v}" for k, v in parameters.items())
        includes = " ".join(f"-I {p}" for p in INCLUDES)
        read = f"read_slang --threads 1 --unroll-limit 100000 -D SYNTHESIS {includes} {sizes}"
        induction = f"-tempinduct -seq 1 -maxsteps {steps}" if sequential else ""
        script = [
            f"{read} --top {top} {' '.join(files)} {HERE / top}.sv",
            f"hierarchy -top {top}", "proc", "flatten",
            *(f"expose -cut w:{name}" for name in cut), "async2sync", "chformal -lower", "opt", "wreduce",
            "opt", "memory", "opt_clean",
            "dffunmap", f"sat -prove-asserts -set-assumes -verify {induction}",
        ]  # fmt: skip
        run = children.run([sys.executable, "-c", WORKER, "\n".join(script), str(seconds)])
    log = run.text
    if run.status == 0 and ("SAT proof finished - no model found: SUCCESS!" in log or "proven: SUCCESS!" in log):
        return Verdict.PROVEN
    # An induction that does not close has refuted nothing: only states that break an assertion do, and are in the log.
    assert "model found" in log.replace("no model found", ""), f"{top}: neither proven nor refuted\n{log[-3000:]}"
    return Verdict.REFUTED
