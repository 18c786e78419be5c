"""Files are written whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from triptych.golden import files
from triptych.golden.files import FileError, check_not_input, check_writable, fitting_name, protect, replacing, write


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "new" / "a", "one")
    write(tmp_path / "new" / "a", b"two")
    assert (tmp_path / "new" / "a").read_bytes() == b"two"
    assert names(tmp_path / "new") == ["a"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_writer_that_breaks_off_changes_nothing(error: type[BaseException], tmp_path: Path) -> None:
    write(tmp_path / "a", "before")

    def break_off() -> None:
        with replacing(tmp_path / "a") as part:
            part.write_text("half")
            raise error

    with pytest.raises(FileError if error is OSError else error):
        break_off()
    assert (tmp_path / "a").read_text() == "before"
    assert names(tmp_path) == ["a"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """The kernel stops the write in its middle, as on a full disk."""
    code = f"""
import resource, signal
from pathlib import Path
from triptych.golden.files import write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
write(Path({str(tmp_path / "a")!r}), b"x" * 50_000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FileError: cannot write" in done.stderr
    assert names(tmp_path) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 10_000


def test_what_a_killed_writer_left_is_swept_up(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from triptych.golden.files import replacing
with replacing(Path({str(tmp_path / "a")!r})) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 1
    with replacing(tmp_path / "a") as part:  # a writer that lives is left alone
        part.write_text("first")
        write(tmp_path / "a", "second")
        assert part.exists()
    assert (tmp_path / "a").read_text() == "first"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("place", "advice"),
    [
        ("/proc/nowhere/a", "cannot write"),
        ("/dev/null/a", "is a file, not a folder"),
        (".", "it is a folder: name a file in it"),
        ("x" * 300, "the name is too long"),
    ],
)
def test_the_line_says_what_to_do(place: str, advice: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=advice) as error:
        write(tmp_path / place, "text")
    assert "\n" not in str(error.value)


def test_a_folder_is_asked_before_the_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="not a folder"):
        check_writable(tmp_path / "file")
    with pytest.raises(FileError):
        check_writable(tmp_path / "file" / "below")


def test_an_output_is_never_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_inputs", {})
    (tmp_path / "photo.png").write_text("photo")
    (tmp_path / "link.png").symlink_to("photo.png")
    os.link(tmp_path / "photo.png", tmp_path / "other.png")
    protect(tmp_path / "photo.png")
    for name in ("photo.png", "link.png", "other.png"):
        with pytest.raises(FileError, match="this command reads it"):
            write(tmp_path / name, "result")
    check_not_input(tmp_path / "result.png")
    assert (tmp_path / "photo.png").read_text() == "photo"


def test_a_file_with_the_number_of_an_input_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disks give numbers of deleted files to new ones: renaming shows what that looks like."""
    monkeypatch.setattr(files, "_inputs", {})
    (tmp_path / "photo.png").write_text("photo")
    protect(tmp_path / "photo.png")
    (tmp_path / "photo.png").rename(tmp_path / "new.png")
    write(tmp_path / "new.png", "result")
    assert (tmp_path / "new.png").read_text() == "result"


def test_long_names_are_cut_and_told_apart() -> None:
    assert fitting_name("room", ".png") == "room.png"
    a, b = fitting_name("é" * 200, ".depth.png"), fitting_name("é" * 201, ".depth.png")
    assert a != b
    for name in (a, b):
        assert name.endswith(".depth.png")
        assert len(os.fsencode(name)) <= 255 - 16


def test_what_killed_processes_left_in_tmp_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    left, other, mine = (
        tmp_path / n for n in (f"triptych-{dead.pid}-x", "triptych-notes", f"triptych-{os.getpid()}-y")
    )
    for folder in (left, other, mine):
        folder.mkdir()
        (folder / "file").write_text("")
    with files.scratch() as held:
        assert held.is_dir()
        assert {p.name for p in tmp_path.iterdir()} == {other.name, mine.name, held.name}
    assert not held.exists()
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")

    def full() -> None:
        with files.scratch():
            pass

    with pytest.raises(FileError, match="TMPDIR names another folder"):
        full()
