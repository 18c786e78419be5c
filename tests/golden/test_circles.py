"""The lint check of imports finds what goes the wrong way, and nothing does."""

from pathlib import Path

from triptych.sim.lint import circles

INSIDE = "golden/quartdepth"


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        for folder in [file.parent, *file.parent.parents]:
            if folder == root:
                break
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").touch()
        file.write_text(text)
    return root


def test_nothing_goes_the_wrong_way() -> None:
    assert circles.findings() == ""
    assert len(circles.imports()) > 30


def test_a_circle_of_three_is_named(tmp_path: Path) -> None:
    q = "triptych.golden.quartdepth"
    root = written(
        tmp_path,
        {
            f"{INSIDE}/a/x.py": f"from {q}.b.y import f\n",
            f"{INSIDE}/b/y.py": f"def f():\n    from {q}.c import z\n",
            f"{INSIDE}/c/z.py": f"import {q}.a.x\n",
            f"{INSIDE}/d/w.py": f"from {q}.a import x\n",
        },
    )
    lines = circles.findings(root).splitlines()
    assert [line.split()[0].rpartition(".")[2] for line in lines] == ["a", "b", "c"]
    assert lines[1].endswith("(golden/quartdepth/b/y.py)")


def test_a_face_may_offer_what_the_package_holds(tmp_path: Path) -> None:
    """Modules that import their own package's `__init__` are a circle."""
    face = {"sim/a/__init__.py": "from triptych.sim.a.x import f\n", "sim/a/x.py": "def f(): ...\n"}
    root = written(tmp_path, face)
    assert circles.findings(root) == ""
    root = written(tmp_path, {"sim/a/y.py": "from triptych.sim.a import f\n"})
    assert "triptych.sim.a.__init__ imports triptych.sim.a (" in circles.findings(root)


def test_golden_needs_no_sim(tmp_path: Path) -> None:
    root = written(tmp_path, {"golden/m.py": "from triptych.sim import n\n", "sim/n.py": ""})
    assert circles.findings(root) == "golden imports triptych.sim (golden/m.py)"
