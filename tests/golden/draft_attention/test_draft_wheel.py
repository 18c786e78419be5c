"""The wheel, in an environment that holds what it asks for and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from tests.kit.wheel import build_wheel
from triptych.sim.build.sources import ROOT

NOT_NEEDED = ("numpy", "PIL", "skimage", "matplotlib", "typer", "rich", "threadpoolctl", "triton", "diffusers")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def _closure(requirements: list[str]) -> dict[str, list[Path]]:
    """Files and folders of distributions that are asked for, directly or not, by name; extras are not."""
    found: dict[str, list[Path]] = {}
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = re.match(r"[\w.-]+", requirement).group()
        if "extra ==" in requirement or name in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        tops = {Path(file.parts[0]) for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        found[name] = [Path(distribution.locate_file(top)) for top in tops]
        waiting += distribution.requires or []
    return found


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory) -> Path:
    """The Python of an environment with the wheel and what it depends on, linked from this one."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        described = next(name for name in archive.namelist() if name.endswith("METADATA"))
        text = archive.read(described).decode()
    requirements = re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE)
    base = [requirement for requirement in requirements if "extra ==" not in requirement]
    assert [re.match(r"[\w-]+", requirement).group() for requirement in base] == ["torch"]
    for distribution, places in _closure(base).items():
        if distribution in NOT_NEEDED:
            continue  # PyTorch's CUDA builds bring Triton; what is measured here is the call without it
        for place in places:
            (site / place.name).symlink_to(place)
    return folder / "bin" / "python"


def _run(python: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), **environment}
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, env=clean, cwd="/")


def test_the_wheel_holds_kernels_and_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    kernels = {path.name for path in (ROOT / "golden/draft_attention/hopper/kernels").iterdir()}
    assert {name for name in kernels if name.endswith((".cu", ".cuh"))} == kernels
    assert {f"triptych/golden/draft_attention/hopper/kernels/{name}" for name in kernels} <= inside
    assert {"triptych/golden/py.typed", "triptych/sim/py.typed"} <= inside
    assert not [name for name in inside if name.startswith(("golden/", "sim/", "tests/"))]


def test_a_call_in_a_bare_environment(bare):
    code = f"""
import sys, torch
from triptych.golden.draft_attention import block_sparse_attention, draft_attention, select_blocks
q, k, v = (torch.randn(1, 2, 2 * 8 * 12 + 5, 16) for _ in range(3))
out = draft_attention(q, k, v, grid=(2, 8, 12), pool=(4, 4), sparsity=0.6)
sets = select_blocks(q, k, v, grid=(2, 8, 12), pool=(4, 4), sparsity=0.6)
assert torch.equal(block_sparse_attention(q, k, v, sets, tail=True), out)
from triptych.golden.draft_attention.hopper.build import SOURCES
assert (SOURCES / "attention16.cu").is_file()
loaded = {{name.partition(".")[0] for name in sys.modules}}
assert not loaded & set({NOT_NEEDED!r}), loaded & set({NOT_NEEDED!r})
print("fine", tuple(out.shape))
"""
    done = _run(bare, code)
    assert done.stdout == "fine (1, 2, 197, 16)\n", done.stderr


@pytest.mark.slow
def test_what_is_an_extra_is_said_in_one_line(bare):
    done = _run(bare, "from triptych.sim.cli.start import main; main()")
    assert done.returncode == 1
    assert re.fullmatch(r"triptych: \w+ is missing: pip install 'triptych\[chips\]'\n", done.stderr), done.stderr
    code = "from triptych.golden.draft_attention import enable_draft_attention; enable_draft_attention(None)"
    done = _run(bare, code)
    assert done.stderr.splitlines()[-1].endswith(
        "pipelines need diffusers 0.38 or newer: pip install 'triptych[diffusers]'"
    )
