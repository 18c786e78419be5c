"""The vectors for a board: C simulation makes of what lies before what lies behind; the host names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tests.hls.test_vitis import kernels
from triptych.golden.fastcar.config import TINY
from triptych.sim.fastcar import vectors
from triptych.sim.fastcar.csim import HLS, simulator
from triptych.sim.fastcar.image import REGISTERS, DeviceState, Program

HOST = (HLS / "vitis" / "host.cpp").read_text()


def _array(folder: Path, name: str, like: np.ndarray) -> np.ndarray:
    return np.fromfile(folder / f"{name}.bin", like.dtype).reshape(like.shape)


def test_c_simulation_runs_the_files(tmp_path: Path) -> None:
    names = vectors.write_vectors(tmp_path)
    assert vectors.different(tmp_path) == []
    empty = DeviceState.empty(TINY, 1, vectors.ROWS)
    state = DeviceState(TINY, *(_array(tmp_path, n, getattr(empty, n)) for n in vectors.STATE))
    flat = {
        n: np.fromfile(tmp_path / f"{n}.bin", t).reshape(-1, *s)
        for n, t, s in (
            ("weights", np.uint8, (64,)), ("scales", np.uint8, (64,)), ("registers", REGISTERS, ()),
            ("gains", np.int16, (2, 32)), ("turns", np.int16, (32,)),
        )
    }  # fmt: skip
    program = Program(TINY, vectors.LIMITS, 1, **flat)
    x = np.fromfile(tmp_path / "x.bin", np.int16).reshape(vectors.ROWS, -1)
    result = simulator(vectors.LANES).step(program, state, np.ascontiguousarray(x[:, : TINY.width]), vectors.POSITION)
    y = np.fromfile(tmp_path / "y.bin", np.int16).reshape(vectors.ROWS, -1)
    assert (result.y == y[:, : TINY.width]).all()
    assert 0 < int(result.decisions[0]["index"]) < (1 << vectors.ROWS) - 1  # some replay
    for name in vectors.STATE:
        assert (getattr(state, name) == _array(tmp_path, f"{name}_after", getattr(state, name))).all()
    (tmp_path / "y.bin").write_bytes(b"")
    assert vectors.different(tmp_path) == ["y.bin"]
    assert {f"{n}.bin" for n in ("weights", "scales", "registers", "gains", "turns", "x", "y")} < set(names)


def test_the_host_names_arguments_as_the_kernels_have_them() -> None:
    """Places of m_axi arguments in the top functions, and a shape where there is one."""
    text = (HLS / "fastcar.cpp").read_text().split('extern "C" {')[1]
    for kernel, ports in kernels().items():
        found = re.search(rf"^void {kernel}\((.*?)\) \{{", text, re.M | re.S)
        assert found
        names = [a.split()[-1].lstrip("*&") for a in found[1].replace("\n", " ").split(",")]
        memory = {names.index(p) for p, kind in ports.items() if kind == "m_axi"}
        if kernel in ("rows_in", "rows_out"):
            assert names[:2] == ["memory", "words"]
            continue
        call = re.search(rf'start\(board, "{kernel}", (-?\d+), shape,\s*\{{(.*?)\}}\)\)', HOST, re.S)
        assert call, kernel
        assert int(call[1]) == (names.index("shape") if "shape" in names else -1)
        assert {int(n) for n in re.findall(r"\{(\d+), \"", call[2] + "}")} == memory
