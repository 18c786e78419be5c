"""Cached builds: one of this content that is not finished is never handed out."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.sim.build import verilate
from triptych.sim.build.verilate import Build
from triptych.sim.errors import TriptychError


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was built, in order, by a build that writes the executable in two goes."""
    made: list[str] = []

    def build(self: Build, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / f"V{self.top}"
        program.write_text("half")
        if self.top == "broken" and not made:
            made.append("broken off")
            raise TriptychError("the linker was killed")
        program.write_text("whole")
        made.append(self.top)

    monkeypatch.setenv("TRIPTYCH_BUILD", str(tmp_path))
    monkeypatch.setattr(Build, "_build", build)
    monkeypatch.setattr(verilate, "_cpu", lambda: "this one")
    return made


def test_second_call_builds_nothing(builds: list[str]) -> None:
    program = Build("top", (), ()).executable()
    assert program.read_text() == "whole"
    assert Build("top", (), ()).executable() == program
    assert builds == ["top"]


def test_executable_of_a_build_that_broke_off_is_not_used(builds: list[str]) -> None:
    with pytest.raises(TriptychError, match="killed"):
        Build("broken", (), ()).executable()
    assert Build("broken", (), ()).executable().read_text() == "whole"
    assert builds == ["broken off", "broken"]
