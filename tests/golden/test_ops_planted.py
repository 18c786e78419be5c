"""The generated test of each operation finds a fault in its lowering."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.planted_ops import ELSEWHERE, PLANTED
from triptych.golden.quartdepth.network import registry


@pytest.mark.slow
def test_a_fault_in_each_operation_is_found() -> None:
    assert {*PLANTED, *ELSEWHERE} == set(registry.operations())
    words = [sys.executable, "-W", "ignore", "-m", "tests.golden.planted_ops"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert {name: said for name, said in json.loads(done.stdout).items() if not said.startswith("caught")} == {}
