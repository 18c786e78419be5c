"""What mutants there are, and that a file with all of them in it is the design while none is selected."""

from __future__ import annotations

from pathlib import Path

from tests.mutation.operators import Mutant, armed, mutants
from tests.mutation.suites import SUITES
from tests.mutation.tree import SELECTED, plant
from triptych.sim.build.sources import RTL


def of(module: str) -> tuple[list[Mutant], str]:
    suite = SUITES[module]
    return mutants(suite.path, suite.files(), suite.top), suite.path.read_text()


def test_a_maximum_may_become_anything_else() -> None:
    found, text = of("vpu_reduce")
    said = {m.describe(text).partition(": ")[2] for m in found}
    assert "operator: `reduce_i == ReduceMax` -> `reduce_i != ReduceMax`" in said
    assert "condition turned: `enable_i` -> `!(enable_i)`" in said
    assert "not left out: `!maximum` -> `(maximum)`" in said
    assert any(s.startswith("operator: `node[i] < node[i+(Lanes>>level)]` -> `node[i] <= ") for s in said)
    assert not any("Lanes; c++" in s or "`level <= Levels`" in s for s in said), "loop bounds are the design's size"


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
    tree = plant(tmp_path / "rtl", path, dict(enumerate(found, 1)))
    changed = [p.name for p in sorted(RTL.rglob("*.sv")) if p.read_text() != (tree / p.relative_to(RTL)).read_text()]
    assert changed == ["fifo.sv"]
    assert (tree / "common" / "fifo.sv").read_text().count(SELECTED) == len(found) > 10
    assert text.count(SELECTED) == 0
