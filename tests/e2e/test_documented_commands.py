"""Every command line of README.md and docs/ is one that the program takes; what a test's time allows is run.

A fenced line is in `SESSIONS` (run, with small arguments added), or a rule of `NOT_RUN` says why not. A line that is in
neither fails: put it where it belongs.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from triptych.golden.photo import shipped_photo
from triptych.sim.build.sources import ROOT
from triptych.sim.cli.main import app

TOOLS = ("triptych", "python", "make", "pip", "pytest", "git", "compute-sanitizer", "ncu")
PLACEHOLDERS = ("N", "SEED", "DIR", "FOLDER")  # within a sentence: for a value of the reader's
SMALL = "--size 64x64"
SESSIONS: dict[str, dict[str, str]] = {
    # a session's lines run in order in one empty folder that holds photo.jpg; beside each, what makes it small
    "depth": {
        "triptych depth photo.jpg": f"--model meter {SMALL} --golden-only --out out/box",  # whole in test_shipped.py
        "triptych depth photo.jpg --model meter": SMALL,
        "triptych depth photo.jpg --model meter --bits w4a4 --json": f"{SMALL} --golden-only",
        "triptych report out/photo.w4a8-small.run.json": "",
        "triptych quantize --model meter --bits w4a4 --method full --out m.triptych": f"{SMALL} --method minmax",
        "triptych depth photo.jpg --model m.triptych": "--golden-only",
    },
    "vectors": {"triptych vectors --check": ""},
}
SLOW_SESSIONS: dict[str, dict[str, str]] = {
    "whole depth": {
        "triptych depth photo.jpg": "",
        "triptych depth photo.jpg --model meter": "",
        "triptych depth photo.jpg --model meter --bits w4a4 --json": "",
        "triptych report out/photo.w4a8-small.run.json": "",
        "triptych quantize --model meter --bits w4a4 --method full --out m.triptych": SMALL,
        "triptych depth photo.jpg --model m.triptych": "",
    },
    "fastcar layer": {"triptych fastcar layer --batch 4 --skip 0.8 --policy PAIR --json": "--steps 1"},
    "area": {"triptych area --config small": "--config tiny"},
}
NOT_RUN = {
    r"triptych doctor": "test_doctor.py runs it",
    r"triptych (check|compile|run|census)( |$)": "test_networks_command.py and test_census.py run them",
    r"triptych report( |$)": "test_report.py runs it on runs of its own",
    r"triptych fastcar study": "tests/e2e/test_fastcar_study.py runs it",
    r"triptych fastcar audit": "tests/hls/test_audit.py runs it",
    r"triptych fastcar generate": "tests/e2e/test_fastcar_generate.py runs it, of two frames",
    r"make demo": "minutes; the interruption script runs it, and the parts of it are run here",
    r"make test|make test-full": "it runs this test",
    r"pip (install|download) ": "downloads",
    r"triptych accuracy( |$)": "the sequences of shared/data, hours; test_accuracy_table.py tries its parts",
    r"triptych (quantize|depth) .*vit": "the backbone is a download, and wants a GPU",
    r"python tests/gpu/|compute-sanitizer |ncu ": "a Hopper GPU; draft_results needs what it measured",
}


@dataclass(frozen=True)
class Line:
    """A command as a page has it. fenced: in a block of its own, not within a sentence."""

    page: str
    number: int
    text: str
    fenced: bool


def _pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _lines(page: Path) -> Iterator[Line]:
    """Every command of a page, without its comment; of lines joined by `&&` each."""
    fence: str | None = None
    for number, row in enumerate(page.read_text().splitlines(), 1):
        if row.startswith("```"):
            fence = row[3:].strip() if fence is None else None
        elif fence in ("", "sh", "bash", "console"):
            for part in row.partition(" #")[0].split("&&"):
                yield Line(page.name, number, " ".join(part.split()), True)
        elif fence is None:
            for text in re.findall(r"`([^`]+)`", row):
                yield Line(page.name, number, text, False)


def _commands() -> list[Line]:
    found = []
    for page in _pages():
        for line in _lines(page):
            text = line.text.removeprefix("$ ").removeprefix(".venv/bin/")
            if text.partition(" ")[0] in TOOLS and " " in text and "..." not in text:
                found.append(Line(line.page, line.number, text, line.fenced))
    return found


class WrongLine(AssertionError):
    """A command line that the program does not take."""


def _parse_triptych(words: list[str], fenced: bool) -> None:
    """Lets the real parser take the words, with nothing behind it; a mention within a sentence may leave out what is
    required."""
    command = typer.main.get_command(app)
    _disarm(command)
    try:
        status = command.main([*words], prog_name="triptych", standalone_mode=False)
    except typer.Exit as end:
        status = end.exit_code
    except Exception as error:  # typer's parser has exceptions of its own, which it does not export
        if not hasattr(error, "format_message"):
            raise
        if fenced or type(error).__name__ != "MissingParameter":
            raise WrongLine(error.format_message()) from error
        return
    if status:
        raise WrongLine(f"exit status {status}")


def _disarm(command: Any) -> None:
    command.callback = lambda **_: None
    for inner in getattr(command, "commands", {}).values():
        _disarm(inner)


def _check_script(file: Path, words: list[str]) -> None:
    """A script that has all the options that it is called with, itself or from what it imports of its own folder."""
    assert file.is_file(), file
    source = file.read_text()
    source += "".join(beside.read_text() for beside in file.parent.glob("*.py") if f"from {beside.stem} " in source)
    for word in words:
        if word.startswith("--"):
            assert f'"{word.partition("=")[0]}"' in source, f"{file.name} knows no {word}"


def _check(line: Line) -> None:
    words = shlex.split(line.text)
    tool, rest = words[0], words[1:]
    if "python" in words[1:]:  # under a profiler
        tool, rest = "python", words[words.index("python") + 1 :]
    match tool:
        case "triptych":
            filled = rest if line.fenced else ["1" if word in PLACEHOLDERS else word for word in rest]
            _parse_triptych(filled, line.fenced)
        case "python" if rest[0] == "-m":
            spec = importlib.util.find_spec(rest[1])
            assert spec is not None, rest[1]
            assert spec.origin is not None, rest[1]
            package = spec.submodule_search_locations is not None  # what runs is its __main__.py
            _check_script(Path(spec.origin).with_name("__main__.py") if package else Path(spec.origin), rest[2:])
        case "python":
            _check_script(ROOT / rest[0], rest[1:])
        case "make":
            assert re.search(rf"^{re.escape(rest[0])}:", (ROOT / "Makefile").read_text(), re.MULTILINE), rest[0]
        case "pip":
            pinned = [word for word in rest if "==" in word]
            assert all(f'"{word}"' in (ROOT / "pyproject.toml").read_text() for word in pinned), pinned


def test_every_line_is_taken() -> None:
    lines = _commands()
    assert sum(line.fenced for line in lines) >= 20
    assert sum(not line.fenced for line in lines) >= 20
    wrong = []
    for line in lines:
        try:
            _check(line)
        except (AssertionError, ModuleNotFoundError) as error:
            wrong.append(f"{line.page}:{line.number}: {line.text}: {error}")
    assert not wrong, "\n".join(wrong)


def test_every_line_is_run_or_said_why_not() -> None:
    fenced = {line.text for line in _commands() if line.fenced}
    quick, slow = ({text for lines in table.values() for text in lines} for table in (SESSIONS, SLOW_SESSIONS))
    for text in sorted(fenced - quick - slow):
        assert any(re.match(rule, text) for rule in NOT_RUN), f"no session runs it, nothing says why: {text}"
    assert quick | slow <= fenced, f"no page has it: {sorted((quick | slow) - fenced)}"
    unused = [rule for rule in NOT_RUN if not any(re.match(rule, text) for text in fenced - quick - slow)]
    assert not unused, unused


@pytest.mark.parametrize("wrong", ["triptych dept photo.jpg", "triptych depth photo.jpg --bit w4a4",
                                   "triptych fastcar layer --policy NONE", "triptych quantize --model meter",
                                   "triptych depth", "triptych area small", "make tests", "pip install brevitas==1",
                                   "python -m triptych.sim.nothing", "python tests/gpu/draft_kernel.py --outs X",
                                   "python -m tests.coverage --transitions",
                                   "python -m triptych.sim.fastcar.quality --frame 4"])  # fmt: skip
def test_a_wrong_line_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, ModuleNotFoundError)):
        _check(Line("page.md", 1, wrong, True))


@pytest.mark.parametrize(
    "lines",
    [
        *(pytest.param(lines, id=name) for name, lines in SESSIONS.items()),
        *(pytest.param(lines, id=name, marks=pytest.mark.slow) for name, lines in SLOW_SESSIONS.items()),
    ],
)
def test_lines_run_one_after_the_other(lines: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("TRIPTYCH_SHARED", str(tmp_path / "nothing"))  # as in a clone
    monkeypatch.chdir(tmp_path)
    Image.open(shipped_photo("coffee.png")).save("photo.jpg")
    for text, small in lines.items():
        words = shlex.split(text)[1:] + shlex.split(small)
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (text, done.output, done.exception)
    assert {p.name for p in tmp_path.iterdir()} <= {"nothing", "photo.jpg", "out", "m.triptych"}
