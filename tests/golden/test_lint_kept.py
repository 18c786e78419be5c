"""A clean design is linted once; a design with findings says them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.sim.lint import checks


def test_findings_are_said_again_and_clean_designs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_BUILD", str(tmp_path / "build"))
    said = ["found", "found", ""]
    monkeypatch.setattr(checks, "_run", lambda *_: said.pop(0))
    source = tmp_path / "top.sv"
    source.write_text("module top; endmodule\n")

    def lint(**sizes: int) -> str:
        return checks._verilator("top", [source], sizes)

    assert [lint(), lint(), lint()] == ["found", "found", ""]
    assert lint() == ""  # kept: nothing is left to say
    said += ["size", "text"]
    assert lint(Width=3) == "size"  # another size is another design
    source.write_text("module top; logic a; endmodule\n")
    assert lint() == "text"
    assert not said


def test_a_tool_that_ends_without_a_word_is_a_finding() -> None:
    assert checks._run("false") == "false ended with 1"
    assert checks._run("true") == ""
