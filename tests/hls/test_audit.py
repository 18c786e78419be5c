"""The audit of initiation intervals: every planted bound is found, as it is, and nothing else."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest

from triptych.sim.build import children
from triptych.sim.build.verilate import environment
from triptych.sim.fastcar import audit
from triptych.sim.fastcar.csim import FLAGS, include_flags
from triptych.sim.fastcar.hls_audit import Finding, Instrument, findings

PLANTED = Path(__file__).with_name("planted_intervals.cpp")


def planted(folder: Path) -> list[Finding]:
    instrument = Instrument(PLANTED, (PLANTED,))
    source, library = folder / PLANTED.name, folder / "planted.so"
    source.write_text(instrument.text_of(str(PLANTED)))
    command = ["g++", *FLAGS, "-O1", "-DTRIPTYCH_FIBERS", *include_flags(), "-shared", str(source), "-o", str(library)]
    run = children.run(command, env=environment())
    assert run.status == 0, run.errors[-2000:]
    lib = ctypes.CDLL(str(library))
    memory = np.arange(64, dtype=np.int32)
    lib.planted_run(ctypes.c_void_p(memory.ctypes.data))
    report = folder / "report.txt"
    lib.audit_report(str(report).encode())
    return findings(instrument, report.read_text())


def test_every_planted_bound_is_found(tmp_path: Path) -> None:
    wanted = dict(re.findall(r"// (\w+) (res \d+|rec \d+|false|clean)$", PLANTED.read_text(), re.M))
    seen = {}
    for f in planted(tmp_path):
        if f.false_claim:
            seen[f.loop.label] = "false"
        elif f.clean:
            seen[f.loop.label] = "clean"
        else:
            seen[f.loop.label] = f"res {f.res}" if f.res >= f.rec else f"rec {f.rec}"
    assert seen == wanted
    assert len(wanted) == 14


@pytest.mark.slow
def test_the_kernels_can_reach_what_they_state() -> None:
    found = audit.audit()
    assert [(f.loop.place, f.res, f.rec) for f in found.over] == []
    assert len(found.loops) > 40
    assert "of 64" in audit.body(found)
