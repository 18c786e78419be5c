"""Golden vectors: inputs and exact outputs of the arithmetic, small programs with the signature of every instruction.

They are made by the golden functions from bit-exact random streams and checked in under `tests/vectors`; unit tests of
the RTL read them. `check` regenerates them and names the files that differ. All numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.files import FileError, check_writable
from triptych.golden.files import write as write_file
from triptych.golden.quartdepth.arithmetic import functions
from triptych.golden.quartdepth.arithmetic.codetable import entries_of, threshold_codes
from triptych.golden.quartdepth.arithmetic.numerics import pack_nibbles, rs, sat16, sat32, unpack_nibbles
from triptych.golden.quartdepth.chip.codec import disassemble
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.chip.isa import TABLE_BYTES, Engine
from triptych.golden.quartdepth.chip.machine import Machine
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.vectors.examples import EXAMPLES, Example, noise

MANIFEST = "manifest.json"
RETIRED = np.dtype([("pc", "<u2"), ("engine", "u1"), ("unused", "u1"), ("signature", "<u4")])
REQUANTISED = np.dtype([("x", "<i4"), ("m", "<i2"), ("s", "<i2"), ("y", "<i4")])
SHIFTED = np.dtype([("v", "<i8"), ("s", "<i2"), ("y", "<i8"), ("y16", "<i2"), ("y32", "<i4")])
PACKED = np.dtype([("y", "<i4"), ("recip", "<u4"), ("rsqrt", "<u4")])
EXAMPLE_CONFIG = "tiny"


def _edges(bits: int) -> NDArray[np.int64]:
    """Numbers of that many bits next to which something changes: zero, powers of two, the ends."""
    near = np.array([-1, 0, 1])
    powers = np.int64(1) << np.arange(bits - 1, dtype=np.int64)
    values = np.concatenate([near, *(sign * powers[:, None] + near for sign in (-1, 1))], axis=None)
    values = np.concatenate([values, [-(1 << (bits - 1)), (1 << (bits - 1)) - 1]])
    return np.unique(values[(values >= -(1 << (bits - 1))) & (values < 1 << (bits - 1))])


def _random(seed: int, kind: str, size: int) -> NDArray[Any]:
    dtype = np.dtype(kind)
    return noise(seed, size * dtype.itemsize).view(dtype)


def requantisation() -> NDArray[Any]:
    """`y = sat32(rs(x * m, s))`: corners by corners, then exact ties, then anything. Counts run beyond 0..47."""
    x, m = _edges(32)[::3], np.array([-32768, -32767, -1, 0, 1, 3, 16384, 16385, 32767])
    s = np.array([-64, -1, 0, 1, 2, 15, 16, 30, 31, 32, 46, 47, 48, 63])
    corners = np.stack(np.meshgrid(x, m, s, indexing="ij"), axis=-1).reshape(-1, 3)
    shift = np.arange(1, 31)
    ties = np.stack([np.stack([(2 * k + 1) << (shift - 1), np.full(30, 1), shift]) for k in (-2, -1, 0, 1)], axis=1)
    ties = ties.reshape(3, -1).T
    ties = ties[np.abs(ties[:, 0]) < 1 << 31]
    free = np.stack([_random(1, "<i4", 4000), _random(2, "<i2", 4000), _random(3, "u1", 4000) % 50], axis=1)
    rows = np.concatenate([corners, ties, free]).astype(np.int64)
    out = np.zeros(len(rows), REQUANTISED)
    out["x"], out["m"], out["s"] = rows.T
    out["y"] = sat32(rs(rows[:, 0] * rows[:, 1], rows[:, 2]))
    return out


def rounding() -> NDArray[Any]:
    """`y = rs(v, s)` of 48-bit `v`, and its saturations to 16 and 32 bits."""
    corners = np.stack(np.meshgrid(_edges(48)[::2], np.arange(-2, 50), indexing="ij"), axis=-1).reshape(-1, 2)
    free = np.stack([_random(4, "<i8", 4000) >> 16, _random(5, "u1", 4000).astype(np.int64) % 48], axis=1)
    rows = np.concatenate([corners, free])
    out = np.zeros(len(rows), SHIFTED)
    out["v"], out["s"] = rows.T
    out["y"] = rs(rows[:, 0], rows[:, 1])
    out["y16"], out["y32"] = sat16(out["y"]), sat32(out["y"])
    return out


def packed_functions() -> NDArray[Any]:
    """RECIP and RSQRT of corners, of 1..4096 and of numbers of every magnitude."""
    wide = _random(6, "<u4", 8000).astype(np.int64) >> (_random(7, "u1", 8000).astype(np.int64) & 31)
    y = np.concatenate([_edges(32), np.arange(1, 4097), np.minimum(wide, (1 << 31) - 1)])
    out = np.zeros(len(y), PACKED)
    out["y"], out["recip"], out["rsqrt"] = y, functions.recip(y), functions.rsqrt(y)
    return out


def code_tables() -> NDArray[np.uint8]:
    """Eight tables as LOAD takes them: random, evenly spread, all thresholds equal, and at the ends of int16."""
    data = noise(8, 8 * TABLE_BYTES).reshape(8, TABLE_BYTES)
    thresholds = np.sort(data[:, 16:46].copy().view("<i2"), axis=1)
    thresholds[0] = np.arange(15) * 4285 - 30000
    thresholds[1] = 0
    thresholds[2] = [-32768] * 7 + [32767] * 8
    thresholds[3] >>= 8
    data[:, 16:46] = np.ascontiguousarray(thresholds).view(np.uint8)
    data[:, 46:] = 0
    return data


def encoded() -> NDArray[np.uint8]:
    """Codes of all int16 from -32768 on, two a byte, by each of the tables: (8, 32768)."""
    return np.stack([pack_nibbles(threshold_codes(tuple(t[16:46].view("<i2").tolist()))) for t in code_tables()])


def cells() -> dict[str, NDArray[np.int16]]:
    """Products of one cell, int16, indexed [operand, weight byte]. first, second: that of two entries of a code table
    (the other is zero), in 5 bits, by its signed nibble, (32, 256). low, high: a signed byte by one signed nibble,
    byte: by the signed byte, (256, 256)."""
    byte = np.arange(256, dtype=np.uint8)
    operand = byte.view(np.int8).astype(np.int16)[:, None]
    entries = entries_of(np.arange(32, dtype=np.uint8)).astype(np.int16)[:, None]
    nibbles = unpack_nibbles(byte[:, None], signed=True).astype(np.int16)
    return {
        "first": entries * nibbles[:, 0],
        "second": entries * nibbles[:, 1],
        "low": operand * nibbles[:, 0],
        "high": operand * nibbles[:, 1],
        "byte": operand * byte.view(np.int8).astype(np.int16),
    }


def run_example(example: Example) -> tuple[NDArray[Any], Memory]:
    """What an example retires, in order of the program, and the memory that it leaves."""
    memory = Memory(example.memory.size)
    memory.data[:] = example.memory.data
    program = StoredProgram(memory, example.base, len(example.instructions))
    result = Machine(example.config).run(program, memory)
    if result.pc != len(example.instructions) - 1 or result.trap:
        raise RuntimeError(f"{example.name} ended at {result.pc} with {result.trap.name}: {result.detail}")
    records = sorted(result.retired, key=lambda r: r.pc)
    out = np.zeros(len(records), RETIRED)
    out["pc"], out["engine"], out["signature"] = zip(*((r.pc, r.engine, r.signature) for r in records), strict=True)
    return out, memory


def read_retired(path: Path) -> list[tuple[int, Engine, int]]:
    """(pc, engine, signature) of every instruction of a program's `.sig` file."""
    return [(int(r["pc"]), Engine(int(r["engine"])), int(r["signature"])) for r in np.fromfile(path, RETIRED)]


def _program_files(example: Example) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    retired, after = run_example(example)
    end = example.base + 64 * len(example.instructions)
    folder = f"programs/{example.name}"
    files = {f"{folder}.memory": example.memory.data[:end], f"{folder}.sig": retired}
    about = {
        "config": example.config.name,
        "memory_bytes": example.memory.size,
        "base": example.base,
        "instructions": [disassemble(i) for i in example.instructions],
        "memory_after_sha256": hashlib.sha256(after.data.tobytes()).hexdigest(),
    }
    return files, about


def generate() -> dict[str, bytes]:
    """Every file by its name, the manifest among them."""
    y = np.arange(-(1 << 15), 1 << 15)
    arrays: dict[str, NDArray[Any]] = {
        "requantisation.bin": requantisation(),
        "rounding.bin": rounding(),
        "exp2n.bin": functions.exp2n(y).astype("<i2"),
        "gelu.bin": functions.gelu(y).astype("<i2"),
        "packed.bin": packed_functions(),
        "tables.bin": code_tables(),
        "encoded.bin": encoded(),
        **{f"cell_{mode}.bin": product.astype("<i2") for mode, product in cells().items()},
    }
    programs = {}
    for make in EXAMPLES:
        example = make(CONFIGS[EXAMPLE_CONFIG])
        files, programs[example.name] = _program_files(example)
        arrays |= files
    out = {name: np.ascontiguousarray(a).tobytes() for name, a in arrays.items()}
    described = {
        name: {
            "sha256": hashlib.sha256(out[name]).hexdigest(),
            "shape": list(a.shape),
            "dtype": a.dtype.str if a.dtype.names is None else [[n, a.dtype[n].str] for n in a.dtype.names],
        }
        for name, a in arrays.items()
    }
    manifest = {"files": described, "programs": programs}
    out[MANIFEST] = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    return out


def write(folder: Path) -> list[str]:
    """Makes the vectors in `folder`; returns the names of the files.

    Of what is in the folder, files that its own manifest names and that are vectors no longer are removed, nothing
    else. Raises FileError, before anything is touched, when the folder holds files that no manifest of it names, or
    cannot be written.
    """
    files = generate()
    former = _listed(folder)
    if foreign := [n for n in sorted(_present(folder) - former) if not _same(folder / n, files.get(n))]:
        others = f"{foreign[0]} and {len(foreign) - 1} more" if len(foreign) > 1 else foreign[0]
        raise FileError(f"{folder} holds files that are no golden vectors ({others}): name an empty or a new folder")
    check_writable(folder)
    for name, data in files.items():
        if name != MANIFEST:
            write_file(folder / name, data)
    write_file(folder / MANIFEST, files[MANIFEST])
    for name in sorted(former - set(files)):
        (folder / name).unlink(missing_ok=True)
    return sorted(files)


def _listed(folder: Path) -> set[str]:
    """The folder's manifest and what it lists; none when there is no manifest of vectors. Names that lead outside do
    not count."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        names, _ = manifest["files"], manifest["programs"]  # without both it is another project's
        return {MANIFEST} | {n for n in names if not Path(n).is_absolute() and ".." not in Path(n).parts}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _same(path: Path, content: bytes | None) -> bool:
    """Whether a file is what would be written there: an earlier run got so far."""
    return content is not None and path.stat().st_size == len(content) and path.read_bytes() == content


def check(folder: Path) -> list[str]:
    """One line for every file that is missing, differs, or does not belong there; empty when all is well."""
    files = generate()
    present = _present(folder)
    wrong = [f"{name} is missing" for name in sorted(set(files) - present)]
    wrong += [f"{name} is no vector" for name in sorted(present - set(files))]
    for name in sorted(present & set(files)):
        data = (folder / name).read_bytes()
        if data != files[name]:
            pairs = zip(data, files[name], strict=False)
            at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(data), len(files[name])))
            wrong.append(f"{name} differs from byte {at:#x} on")
    return wrong


def _present(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} if folder.is_dir() else set()
