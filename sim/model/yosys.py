"""Yosys in a process of its own, and what in its log means that a netlist is not the design."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from triptych.golden.files import scratch
from triptych.sim.build import children
from triptych.sim.errors import TriptychError

# Yosys writes to stdout and ends the process on errors.
WORKER = """
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in open(sys.argv[1]).read().splitlines():
    ys.run_pass(command, design)
"""

FAULTS = {
    "two drivers": re.compile(
        r".*(conflicting (driver|assignment|init)|multiple (conflicting )?drivers)", re.IGNORECASE
    ),
    "a driver conflict": re.compile(r".*driver-driver conflict", re.IGNORECASE),
    "a net without a driver": re.compile(r".*(is used but has no driver|Warning.*undriven)"),
    "a latch": re.compile(r"(Warning: )?Latch inferred"),
    "a port of another width": re.compile(r".*Resizing cell port"),
    "a loop of gates": re.compile(r".*found logic loop"),
}
"""Lines that Yosys writes as warnings, or not even that, and then goes on without the part of the design."""


def run_yosys(commands: Sequence[str], what: str) -> str:
    """Runs the commands and returns the log. what: names the design in messages.

    Raises TriptychError when Yosys is missing or fails, and when it says that it left something of the design out.
    """
    with scratch() as held:
        script = held / "script"
        script.write_text("\n".join(commands))
        run = children.run([sys.executable, "-c", WORKER, str(script)])
    if run.status:
        check_log(run.text, what)  # `check -assert` counts what the log has named
        lines = run.text.splitlines()
        error = next((s for s in lines if "ERROR" in s or "error:" in s), (lines or ["no output"])[-1])
        raise TriptychError(f"Yosys failed on {what}: {error.strip()}")
    check_log(run.text, what)
    return run.text


def check_log(log: str, what: str) -> None:
    """Raises TriptychError at the first line that tells of a fault in the design."""
    for line in log.splitlines():
        for fault, pattern in FAULTS.items():
            if pattern.match(line):
                raise TriptychError(f"{what} has {fault}: {line.strip()}")
