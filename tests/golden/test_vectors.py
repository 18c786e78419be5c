"""The golden vectors: what is checked in is what the generators make, and these say what the numerics page says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from triptych.golden.files import FileError
from triptych.golden.quartdepth.chip.isa import Engine
from triptych.golden.quartdepth.vectors import files as vectors
from triptych.golden.quartdepth.vectors.examples import EXAMPLES, noise

FOLDER = Path(__file__).parents[1] / "vectors"


def test_checked_in_vectors_are_right() -> None:
    assert vectors.check(FOLDER) == []


def test_size() -> None:
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) < 2_000_000


def test_every_damage_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    shutil.copytree(FOLDER, folder)
    data = bytearray((folder / "gelu.bin").read_bytes())
    data[0x1234] ^= 1
    (folder / "gelu.bin").write_bytes(data)
    (folder / "programs" / "attention.sig").unlink()
    (folder / "stray.bin").write_bytes(b"x")
    with (folder / "rounding.bin").open("ab") as file:
        file.write(b"\0")
    size = (FOLDER / "rounding.bin").stat().st_size
    assert vectors.check(folder) == [
        "programs/attention.sig is missing",
        "stray.bin is no vector",
        "gelu.bin differs from byte 0x1234 on",
        f"rounding.bin differs from byte {size:#x} on",
    ]
    (folder / "stray.bin").unlink()
    assert len(vectors.write(folder)) == sum(p.is_file() for p in FOLDER.rglob("*"))
    assert vectors.check(folder) == []


def test_nothing_is_touched_in_a_folder_that_holds_other_files(tmp_path: Path) -> None:
    """`triptych vectors --out .` once emptied a clone."""
    for name, content in {
        "README.md": "mine",
        ".git/config": "mine",
        "manifest.json": '{"files": {"a.txt": {}}}',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(FileError, match="no golden vectors"):
        vectors.write(tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_only_what_the_manifest_names_is_removed(tmp_path: Path) -> None:
    vectors.write(tmp_path / "v")
    manifest = json.loads((tmp_path / "v" / vectors.MANIFEST).read_text())
    manifest["files"] |= {"former.bin": {}, "../outside.txt": {}}
    (tmp_path / "v" / vectors.MANIFEST).write_text(json.dumps(manifest))
    (tmp_path / "v" / "former.bin").write_bytes(b"old")
    (tmp_path / "outside.txt").write_text("mine")
    vectors.write(tmp_path / "v")
    assert not (tmp_path / "v" / "former.bin").exists()
    assert (tmp_path / "outside.txt").read_text() == "mine"
    assert vectors.check(tmp_path / "v") == []


def test_check_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert len(vectors.check(tmp_path / "nothing")) == len(vectors.generate())


def test_manifest() -> None:
    manifest = json.loads((FOLDER / vectors.MANIFEST).read_text())
    names = {p.relative_to(FOLDER).as_posix() for p in FOLDER.rglob("*") if p.is_file()} - {vectors.MANIFEST}
    assert set(manifest["files"]) == names
    assert len(manifest["programs"]) == len(EXAMPLES)
    for name, about in manifest["files"].items():
        kind = about["dtype"] if isinstance(about["dtype"], str) else [tuple(f) for f in about["dtype"]]
        assert np.prod(about["shape"]) * np.dtype(kind).itemsize == (FOLDER / name).stat().st_size, name


def test_noise_is_the_same_everywhere() -> None:
    assert noise(1, 12).tobytes().hex() == "ffe42279f3bd068366a852c1"


def _rs(v: int, s: int) -> int:
    s = min(max(s, 0), 47)
    return (v + (1 << (s - 1))) >> s if s else v


def _sat(v: int, bits: int) -> int:
    return min(max(v, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


def test_requantisation_by_the_page() -> None:
    rows = np.fromfile(FOLDER / "requantisation.bin", vectors.REQUANTISED)
    assert {-64, 0, 47, 63} <= set(rows["s"].tolist())
    ties = 0
    for x, m, s, y in rows.tolist():
        assert y == _sat(_rs(x * m, s), 32), (x, m, s)
        ties += 0 < s < 48 and (x * m) % (1 << s) == 1 << (s - 1)
    assert ties > 100


def test_rounding_by_the_page() -> None:
    rows = np.fromfile(FOLDER / "rounding.bin", vectors.SHIFTED)
    for v, s, y, y16, y32 in rows.tolist():
        assert (y, y16, y32) == (_rs(v, s), _sat(_rs(v, s), 16), _sat(_rs(v, s), 32)), (v, s)


def test_codes_by_the_page() -> None:
    tables = np.fromfile(FOLDER / "tables.bin", np.uint8).reshape(-1, 64)
    codes = np.fromfile(FOLDER / "encoded.bin", np.uint8).reshape(len(tables), -1)
    for table, packed in zip(tables, codes, strict=True):
        thresholds = table[16:46].view("<i2").tolist()
        assert thresholds == sorted(thresholds)
        for v in (*range(-32768, 32768, 97), *thresholds, *(max(t - 1, -32768) for t in thresholds)):
            code = int(packed[(v + 32768) // 2]) >> 4 * (v & 1) & 15
            assert code == sum(v >= t for t in thresholds), (v, thresholds)


@pytest.mark.parametrize("mode", ["first", "second", "low", "high", "byte"])
def test_cells_by_the_page(mode: str) -> None:
    def nibble(byte: int, high: int) -> int:
        code = byte >> 4 * high & 15
        return code - 16 * (code > 7)

    def entry(five: int) -> int:
        return five - 32 * (five > 15)

    products = np.fromfile(FOLDER / f"cell_{mode}.bin", "<i2").reshape(-1, 256)
    assert len(products) == (32 if mode in ("first", "second") else 256)
    for a in range(len(products)):
        signed = a - 256 * (a > 127)
        for w in range(256):
            right = {
                "first": entry(a & 31) * nibble(w, 0),
                "second": entry(a & 31) * nibble(w, 1),
                "low": signed * nibble(w, 0),
                "high": signed * nibble(w, 1),
                "byte": signed * (w - 256 * (w > 127)),
            }[mode]
            assert products[a, w] == right, (a, w)


def test_programs_retire_everything() -> None:
    manifest = json.loads((FOLDER / vectors.MANIFEST).read_text())
    engines = set()
    for name, about in manifest["programs"].items():
        retired = vectors.read_retired(FOLDER / "programs" / f"{name}.sig")
        assert [pc for pc, _, _ in retired] == list(range(len(about["instructions"]) - 1))
        engines |= {engine for _, engine, _ in retired}
    assert engines == set(Engine)
