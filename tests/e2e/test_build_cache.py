"""What is cached is what would have been computed: half-made, damaged and foreign entries are made anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from triptych.golden import provenance
from triptych.golden.quartdepth.ptq import recipe
from triptych.sim.build import cache, verilate
from triptych.sim.build.verilate import Build
from triptych.sim.errors import TriptychError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIPTYCH_BUILD", str(tmp_path))
    return tmp_path


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was built, in order, by a build that writes the executable in two goes."""
    made: list[str] = []

    def build(self: Build, folder: Path) -> None:
        program = folder / f"V{self.top}"
        program.write_text("half")
        if self.top == "broken" and not made:
            made.append("broken off")
            raise TriptychError("the linker was killed")
        program.write_text("whole")
        made.append(self.top)

    monkeypatch.setattr(Build, "_build", build)
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


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "no hash"])
def test_a_damaged_executable_is_built_again(damage: str, builds: list[str]) -> None:
    """A C-simulation library cut short ended in a bus error."""
    program = Build("top", (), ()).executable()
    if damage == "no hash":
        program.with_name("Vtop.sha256").unlink()
    else:
        program.write_text({"flipped": "whale", "cut": "who", "emptied": ""}[damage])
    os.utime(program, ns=(1, 1))  # the hash is compared once a process and change
    cache._checked.clear()
    assert Build("top", (), ()).executable().read_text() == "whole"
    assert builds == ["top", "top"]


def test_a_cached_build_asks_no_compiler(builds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program = Build("top", (), ()).executable()
    monkeypatch.setenv("PATH", "")
    assert Build("top", (), ()).executable() == program


@pytest.mark.parametrize("tool", ["g++", "make", "perl"])
def test_a_missing_compiler_is_named(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It said: No such file or directory."""
    (tmp_path / "bin").mkdir()
    for other in {"g++", "make", "perl"} - {tool}:
        found = shutil.which(other)
        assert found
        (tmp_path / "bin" / other).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(TriptychError, match=f"{tool.replace('+', '.')} is missing: apt-get install".replace("+", ".")):
        Build("fifo", (), ()).executable()
    assert not list((tmp_path / "verilator").glob("*/Vfifo*"))


def test_a_value_is_made_once(own_cache: Path) -> None:
    made = []

    def make() -> np.ndarray:
        made.append(1)
        return np.arange(1000)

    for _ in range(2):
        assert (cache.value("kind", "key", make) == np.arange(1000)).all()
    assert len(made) == 1


def test_a_damaged_value_is_made_anew(own_cache: Path) -> None:
    """Forty flipped weight bytes in a cached network gave another depth, called bit-exact."""
    cache.value("kind", "key", lambda: np.arange(1000))
    (kept,) = (own_cache / "kind").glob("*.store")
    content = bytearray(kept.read_bytes())
    for i in range(40):
        content[-100 - i] ^= 0x10
    for damaged in (bytes(content), content[:200], b"", b"\x80\x04N."):
        kept.write_bytes(bytes(damaged))
        assert (cache.value("kind", "key", lambda: np.arange(1000)) == np.arange(1000)).all()
    assert (cache.value("kind", "key", lambda: "never") == np.arange(1000)).all()


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_BUILD", "/proc/nowhere")
    with pytest.raises(TriptychError, match=r"cannot write .*TRIPTYCH_BUILD"):
        cache.value("kind", "key", lambda: 1)
    monkeypatch.setenv("TRIPTYCH_BUILD", "/tmp/with a blank")
    with pytest.raises(TriptychError, match="quote neither blanks"):
        cache.value("kind", "key", lambda: 1)


def test_a_key_covers_the_code_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe's stages call the quantiser and the network's layers, which no key named."""
    files = provenance.sources(recipe)
    names = {"/".join(p.parts[-2:]) for p in files}
    assert {"ptq/recipe.py", "ptq/polish.py", "network/quantize.py", "network/layer.py", "chip/isa.py"} <= names
    assert {"ops/conv2d.py", "ops/attention.py"} <= names  # which no import names: the registry finds them
    assert not any(p.parts[-2] == "draft_attention" for p in files)
    before = provenance.code_digest(files)
    changed = tmp_path / "quantize.py"
    original = next(p for p in files if p.name == "quantize.py")
    changed.write_text(original.read_text().replace(" + ", " - ", 1))
    others = [changed if p is original else p for p in files]
    assert provenance.code_digest(others) != before


def test_builds_of_other_machines_are_not_taken_over() -> None:
    assert len(verilate.cpu()) == 64
    assert verilate.cpu() == verilate.cpu()
