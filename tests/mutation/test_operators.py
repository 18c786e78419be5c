"""What mutants there are, and that a file with all of them in it is the design while none is selected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation import kernels
from tests.mutation.cpp import mutants as kernel_mutants
from tests.mutation.fresh import FRESH
from tests.mutation.holes import HOLES
from tests.mutation.independent import INDEPENDENT
from tests.mutation.moments import MOMENTS
from tests.mutation.operators import Mutant, armed, mutants
from tests.mutation.planted import Bug
from tests.mutation.python import mutants as python_mutants
from tests.mutation.suites import SUITES, suite_of
from tests.mutation.tree import SELECTED, plant
from triptych.sim.build.sources import ROOT, RTL
from triptych.sim.fastcar import csim


def of(module: str) -> tuple[list[Mutant], str]:
    suite = SUITES[module]
    return mutants(suite.path, suite.files(), suite.top), suite.path.read_text()


def test_a_maximum_may_become_anything_else() -> None:
    found, text = of("vpu_reduce")
    said = {m.describe(text).partition(": ")[2] for m in found}
    assert "operator: `reduce_i == ReduceMax` -> `reduce_i != ReduceMax`" in said
    assert "condition turned: `enable_i` -> `!(enable_i)`" in said
    assert any(s.startswith("operator: `largest[i] < largest[i+(Lanes>>level)]` -> `largest[i] <= ") for s in said)
    assert not any("Lanes; c++" in s or "`level <= Levels`" in s for s in said), "loop bounds are the design's size"


def test_what_an_assertion_alone_reads_is_left_alone() -> None:
    found, text = of("mxu_setup")
    said = [m.describe(text) for m in found]
    assert any("pixels_q" in s for s in said)
    assert not any("Cols : Depth" in s for s in said)


def test_a_not_may_be_left_out() -> None:
    found, text = of("vpu_stages")
    said = {m.describe(text).partition(": ")[2] for m in found}
    assert "not left out: `!function_used` -> `(function_used)`" in said


def test_all_stand_in_one_file_each_behind_its_number() -> None:
    text = "assign y = a && b;"
    chosen = {
        1: Mutant(11, 17, "operator", "a || b", 1), 2: Mutant(11, 12, "stuck", "1'b0", 1),
        3: Mutant(11, 17, "left out", "a", 1),
    }  # fmt: skip
    assert armed(text, chosen, "m") == "assign y = (m == 1 ? (a || b) : m == 3 ? (a) : ((m == 2 ? (1'b0) : (a)) && b));"


def test_the_tree_differs_in_one_module(tmp_path: Path) -> None:
    found, text = of("fifo")
    path = SUITES["fifo"].path
    tree = plant(tmp_path / "rtl", {path: dict(enumerate(found, 1))})
    changed = [p.name for p in sorted(RTL.rglob("*.sv")) if p.read_text() != (tree / p.relative_to(RTL)).read_text()]
    assert changed == ["fifo.sv"]
    assert (tree / "common" / "fifo.sv").read_text().count(SELECTED) == len(found) > 10
    assert text.count(SELECTED) == 0


def test_mutants_of_python_leave_messages_and_annotations_alone(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(
        "def f(x: int = 3) -> int:\n    if x < 2:\n        raise ValueError(f'{x + 1} is small')\n    return x << 4\n"
    )
    said = [m.describe(path.read_text()).partition(": ")[2] for m in python_mutants(path)]
    assert set(said) == {
        "condition turned: `x < 2` -> `(not (x < 2))`", "constant off by one: `2` -> `(3)`",
        "constant off by one: `4` -> `(5)`", "operator: `x << 4` -> `((x) >> (4))`",
        "operator: `x < 2` -> `((x) <= (2))`", "operator: `x < 2` -> `((x) > (2))`",
    }  # fmt: skip


@pytest.mark.parametrize("bug", [*HOLES, *FRESH, *MOMENTS, *INDEPENDENT], ids=lambda bug: bug.name)
def test_what_is_planted_by_hand_still_fits(bug: Bug) -> None:
    """What a bug replaces stands in its file once, the tests that must notice it are there, their files at least."""
    assert bug.applied((ROOT / bug.place).read_text()) != (ROOT / bug.place).read_text()
    assert bug.tests or suite_of(ROOT / bug.place).stages
    for test in bug.tests:
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in (ROOT / file).read_text(), test


@pytest.mark.slow  # libclang reads all kernels
def test_mutants_of_kernels_leave_what_the_compiler_must_know(tmp_path: Path) -> None:
    path = csim.HLS / "kernels" / "drs.hpp"
    found, text = kernel_mutants(path), path.read_text()
    said = {m.describe(text).partition(": ")[2] for m in found}
    assert "operator: `score[row] > threshold` -> `(score[row]) >= (threshold)`" in said
    assert "condition turned: `bit(index, row)` -> `!(bit(index, row))`" in said
    assert "constant off by one: `counts[row] < 255` -> `(counts[row]) < 256`" in said
    assert not any("LANES + 1" in s for s in said), "an array's size"
    planted = kernels.plant(path, tmp_path / "hls", dict(enumerate(found, 1)))
    assert (planted / "kernels" / "drs.hpp").read_text().count(kernels.SELECTED) == len(found) + 1
    assert "TRIPTYCH_MUTANT" in (planted / "fastcar.cpp").read_text()
