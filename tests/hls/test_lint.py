"""The lint of hls/: nothing in the kernels, everything in a file of planted violations."""

from __future__ import annotations

import re
from pathlib import Path

from triptych.sim.fastcar import hls_tables
from triptych.sim.fastcar.hls_lint import lint

PLANTED = Path(__file__).with_name("planted_violations.cpp")


def test_kernels_have_no_findings_and_every_planted_violation_has() -> None:
    wanted = set()
    for number, line in enumerate(PLANTED.read_text().splitlines(), 1):
        rules = re.search(r"//((?: [a-z]+)+)$", line)
        if rules and not line.startswith(("/", "}")):
            wanted |= {(PLANTED.name, number, rule) for rule in rules[1].split()}
    assert len(wanted) >= 25
    assert {(f.file, f.line, f.rule) for f in lint(PLANTED)} == wanted


def test_function_tables_are_what_their_source_says() -> None:
    assert not hls_tables.stale()
