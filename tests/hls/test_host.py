"""The host program of hls/vitis, compiled against a stand-in for XRT whose device is C simulation: what it loads, which
argument goes where, what it synchronises and compares. The real XRT and a board were not at hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from triptych.sim.build import children
from triptych.sim.build.verilate import environment
from triptych.sim.fastcar import vectors
from triptych.sim.fastcar.csim import FLAGS, HLS, include_flags, library

STAND_IN = Path(__file__).with_name("xrt_stand_in")


def build(folder: Path, text: str) -> Path:
    """The host program of that text."""
    source, host = folder / "host.cpp", folder / "host"
    source.write_text(text)
    kernels = library(vectors.LANES)
    command = [
        "g++", *FLAGS, "-O1", "-DTRIPTYCH_FIBERS", f"-DFASTCAR_LANES={vectors.LANES}", f"-I{STAND_IN}",
        *include_flags(), str(source), str(STAND_IN / "device.cpp"), str(kernels), f"-Wl,-rpath,{kernels.parent}",
        "-o", str(host),
    ]  # fmt: skip
    run = children.run(command, env=environment())
    assert run.status == 0, run.errors[-3000:]
    return host


def execute(host: Path, *arguments: object) -> tuple[int, str]:
    run = subprocess.run([host, *map(str, arguments)], capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    vectors.write_vectors(folder)
    (folder / "fastcar.xclbin").write_bytes(b"")
    return folder


def test_the_host_runs_a_layer(files: Path, tmp_path: Path) -> None:
    """As golden has it; one byte that golden does not have is one; what is missing is named."""
    host = build(tmp_path, (HLS / "vitis" / "host.cpp").read_text())
    xclbin = files / "fastcar.xclbin"
    assert execute(host, xclbin, files) == (0, "0 bytes differ from golden\n")
    wrong = tmp_path / "wrong"
    shutil.copytree(files, wrong)
    content = bytearray((wrong / "keys_after.bin").read_bytes())
    content[-1] ^= 1
    (wrong / "keys_after.bin").write_bytes(content)
    assert execute(host, xclbin, wrong) == (1, "1 bytes differ from golden\n")
    (wrong / "gains.bin").unlink()
    status, text = execute(host, xclbin, wrong)
    assert status == 2
    assert "gains.bin is missing: write it by `triptych vectors --fastcar FOLDER`" in text
    assert execute(host, tmp_path / "none.xclbin", files)[0] == 2
    assert execute(host)[0] == 2


BUGS = {
    "keys for values": ('"attention", 3, shape, {{0, "registers"}, {1, "keys"}, {2, "values"}}',
                        '"attention", 3, shape, {{0, "registers"}, {1, "values"}, {2, "keys"}}'),
    "nothing comes back": ("array.sync(XCL_BO_SYNC_BO_FROM_DEVICE);", ""),
    "rows in words too few": ("std::int32_t(x.size() / 64)", "std::int32_t(x.size() / 64 - 1)"),
}  # fmt: skip


def test_every_bug_can_be_planted() -> None:
    text = (HLS / "vitis" / "host.cpp").read_text()
    assert [name for name, (right, _) in BUGS.items() if text.count(right) != 1] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_planted_bugs_of_the_host_are_caught(files: Path, tmp_path: Path, name: str) -> None:
    right, wrong = BUGS[name]
    text = (HLS / "vitis" / "host.cpp").read_text()
    assert execute(build(tmp_path, text.replace(right, wrong)), files / "fastcar.xclbin", files)[0] != 0
