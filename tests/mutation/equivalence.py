"""Whether a mutant is no bug: flops and ports of the module do the same with it, from any state, at default sizes.

Yosys proves it by induction; what it cannot prove within twenty seconds counts as a bug, so that the rate is never
flattered.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.mutation.operators import Mutant
from tests.mutation.suites import Suite
from triptych.sim.build import children
from triptych.sim.build.sources import INCLUDES

SECONDS = 20
QUICK = 4  # what is tried before any test
WORKER = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
from pyosys import libyosys as ys
design = ys.Design()
for command in sys.argv[1].splitlines():
    ys.run_pass(command, design)
"""
REGISTERS = "t:$dff t:$dffe t:$sdff t:$sdffe t:$sdffce %u %u %u %u %co1:+[Q] w:* %i"
"""What flops drive. Other names within the module are hidden: what stands there may differ where nothing uses it."""
READ = "read_slang --threads 1 --unroll-limit 100000 -D SYNTHESIS --ignore-assertions"


def script(module: str, right: list[Path], wrong: list[Path]) -> list[str]:
    """What Yosys does: both circuits, their flops and ports paired by name, and the proof of each pair."""
    includes = " ".join(f"-I {p}" for p in INCLUDES)
    commands = []
    for name, files in (("gold", right), ("gate", wrong)):
        commands += [
            f"{READ} {includes} --top {module} {' '.join(map(str, files))}",
            f"hierarchy -top {module}", "proc", "flatten", "async2sync", "memory -nomap", "opt_clean",
            f"rename -hide w:* {REGISTERS} %d", f"rename {module} {name}", f"design -stash {name}",
        ]  # fmt: skip
    commands += ["design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate"]
    commands += ["equiv_make gold gate equiv", "hierarchy -top equiv", "opt_clean", "equiv_struct", "equiv_simple"]
    return [*commands, "equiv_induct -seq 2", "equiv_status -assert"]


def equivalent(suite: Suite, mutant: Mutant, seconds: int = SECONDS) -> bool:
    """True when Yosys has proven it, within so many seconds of the processor."""
    text = suite.path.read_text()
    with tempfile.TemporaryDirectory(prefix="triptych-") as held:
        changed = Path(held) / suite.path.name
        changed.write_text(text[: mutant.start] + f"({mutant.text})" + text[mutant.end :])
        right = suite.files()
        wrong = [changed if p == suite.path else p for p in right]
        commands = script(suite.top, right, wrong)
        run = children.run([sys.executable, "-c", WORKER.format(seconds=seconds), "\n".join(commands)])
    return run.status == 0 and "Equivalence successfully proven" in run.text
