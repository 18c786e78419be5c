"""How the Hopper kernels get built and kept: with which compiler, by whom, and what happens where nothing can be."""

from __future__ import annotations

import itertools
import locale
import multiprocessing
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from triptych.golden.draft_attention import Backend, DraftAttentionError, Geometry, dispatch, hopper
from triptych.golden.draft_attention.hopper import build, compilers, problem
from triptych.golden.draft_attention.hopper.errors import HopperError
from triptych.golden.draft_attention.terms.block_sets import BlockSets
from triptych.golden.draft_attention.terms.contract import Request


@dataclass(frozen=True)
class _Recorder:
    """A compiler that notes its calls in a file, slowly."""

    log: Path
    version: str = "recorder 1"

    def compile(self, source, defines, output):
        with self.log.open("a") as log:
            log.write(f"{source.name} {' '.join(defines)}\n")
        _long_enough()
        output.write_bytes(b"image of " + source.name.encode())


def _long_enough():
    """Long enough for another process to come by."""
    multiprocessing.Event().wait(0.3)


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    made = _Recorder(tmp_path / "log")
    monkeypatch.setattr(build, "compiler", lambda: made)
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    build._fingerprint.cache_clear()
    build._say_cache_is_closed.cache_clear()
    yield made
    build._fingerprint.cache_clear()


def test_a_build_is_made_once_and_kept_whole(recorder, tmp_path):
    assert build.build("attention16.cu", ("TAIL=1",)) == b"image of attention16.cu"
    assert build.build("attention16.cu", ("TAIL=1",)) == b"image of attention16.cu"
    assert build.build("attention16.cu", ("TAIL=0",)) == b"image of attention16.cu"
    assert recorder.log.read_text().splitlines() == ["attention16.cu TAIL=1", "attention16.cu TAIL=0"]
    kept = [path.name for path in (tmp_path / "cache" / "hopper").iterdir()]
    assert sorted(name.endswith(".cubin") for name in kept if not name.endswith(".lock")) == [True, True]


def test_a_damaged_image_is_made_anew(recorder, tmp_path):
    image = build.build("attention16.cu")
    (kept,) = (tmp_path / "cache" / "hopper").glob("*.cubin")
    for content in (b"", kept.read_bytes()[:-1], kept.read_bytes()[:-1] + b"?"):
        kept.write_bytes(content)
        assert build.build("attention16.cu") == image
    assert len(recorder.log.read_text().splitlines()) == 4


def test_another_compiler_builds_anew(recorder, monkeypatch):
    build.build("attention16.cu")
    newer = _Recorder(recorder.log, "recorder 2")
    monkeypatch.setattr(build, "compiler", lambda: newer)
    build._fingerprint.cache_clear()
    build.build("attention16.cu")
    assert len(recorder.log.read_text().splitlines()) == 2


def _build_in_process(results, index):
    results[index] = len(build.build("attention16.cu", ("TAIL=1",)))


def test_processes_wait_for_the_one_that_builds(recorder):
    context = multiprocessing.get_context("fork")
    results = context.Array("i", 4)
    processes = [context.Process(target=_build_in_process, args=(results, index)) for index in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert list(results) == [len(b"image of attention16.cu")] * 4
    assert len(recorder.log.read_text().splitlines()) == 1


def test_a_cache_that_cannot_be_written_is_said_once_and_done_without(recorder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="set TRIPTYCH_CACHE"):
        assert build.build("attention16.cu") == b"image of attention16.cu"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build.build("attention8.cu") == b"image of attention8.cu"


def test_what_was_kept_is_read_where_nothing_can_be_written(recorder, tmp_path, monkeypatch):
    build.build("attention16.cu")
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("written to"))
    assert build.build("attention16.cu") == b"image of attention16.cu"
    assert len(recorder.log.read_text().splitlines()) == 1


def test_a_user_without_a_home(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("TRIPTYCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert not build.cache_directory().exists()


def test_a_failed_build_leaves_nothing(recorder, tmp_path, monkeypatch):
    class Failing(_Recorder):
        def compile(self, source, defines, output):
            raise HopperError("did not compile: line 7")

    failing = Failing(recorder.log)
    monkeypatch.setattr(build, "compiler", lambda: failing)
    with pytest.raises(HopperError, match="line 7"):
        build.build("attention16.cu")
    assert [path.suffix for path in (tmp_path / "cache" / "hopper").iterdir()] == [".lock"]


def test_nvcc_that_is_too_old_gives_way_to_nvrtc(tmp_path, monkeypatch):
    said = "Cuda compilation tools, release {}, V0"
    nvcc = tmp_path / "nvcc"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setattr(compilers, "TOOLKIT", str(tmp_path / "none"))
    for release, expected in (("12.4", str(nvcc)), ("13.0", str(nvcc)), ("12.3", None), ("11.8", None)):
        nvcc.write_text(f"#!/bin/sh\necho '{said.format(release)}'\n")
        nvcc.chmod(0o755)
        found = compilers._nvcc()
        assert (found and found.path) == expected
    compilers.compiler.cache_clear()
    monkeypatch.setattr(compilers, "_nvrtc", lambda: None)
    with pytest.raises(HopperError, match="pip install nvidia-cuda-nvrtc"):
        compilers.compiler()
    compilers.compiler.cache_clear()


@pytest.mark.parametrize(
    ("source", "defines"),
    [
        ("attention16.cu", ('ELEMENT="bf16"', "QUERY_BLOCK=128", "KEY_BLOCK=64", "TAIL=0")),
        ("attention16.cu", ('ELEMENT="f16"', "QUERY_BLOCK=64", "KEY_BLOCK=64", "SHARED_ROWS=0", "TAIL=1")),
        ("attention16.cu", ('ELEMENT="bf16"', "QUERY_BLOCK=128", "KEY_BLOCK=128", "TAIL=1", "RUNS=5")),
        ("attention8.cu", ('ELEMENT="f16"', "QUERY_BLOCK=128", "KEY_BLOCK=128", "TAIL=1")),
        ("quantise.cu", ('ELEMENT="bf16"',)),
        ("order.cu", ()),
    ],
)
def test_nvrtc_builds_every_source(source, defines, tmp_path):
    nvrtc = compilers._nvrtc()
    assert nvrtc is not None, "the test environment brings NVRTC"
    output = tmp_path / "kernel.cubin"
    before = locale.getencoding()
    nvrtc.compile(build.SOURCES / source, ("HEAD_DIM=64", *defines), output)
    assert locale.getencoding() == before  # it once left Python reading every later file as ASCII
    image = output.read_bytes()
    assert image[:4] == b"\x7fELF"
    if source.startswith("attention"):
        assert f"{Path(source).stem}_shared_bytes".encode() in image  # what the launch reads
    broken = tmp_path / source
    broken.write_text((build.SOURCES / source).read_text() + "\nint broken(;\n")
    for header in build.SOURCES.glob("*.cuh"):
        (tmp_path / header.name).symlink_to(header)
    with pytest.raises(HopperError, match=rf"{source}\(\d+\): error"):
        nvrtc.compile(broken, ("HEAD_DIM=64", *defines), output)


def test_without_a_compiler_triton_serves_and_one_line_says_so(monkeypatch):
    dispatch._warn_without_compiler.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    layout = Geometry((2, 8, 16))
    request = Request(torch.bfloat16, 128, layout, layout, False, False, False)
    device = torch.device("cuda")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(hopper, "missing_compiler", lambda: None)
    assert dispatch.serving_backend(None, device, request) is Backend.HOPPER
    monkeypatch.setattr(hopper, "missing_compiler", lambda: "no compiler here")
    with pytest.warns(RuntimeWarning, match="no compiler here; Triton's kernels serve instead"):
        assert dispatch.serving_backend(None, device, request) is Backend.TRITON
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dispatch.serving_backend(None, device, request) is Backend.TRITON
    in_8_bit = Request(torch.bfloat16, 128, layout, layout, False, False, True)
    for named, asked in ((Backend.HOPPER, request), (None, in_8_bit)):
        with pytest.raises(DraftAttentionError, match="no compiler here"):
            dispatch.serving_backend(named, device, asked)


def test_ragged_blocks_of_full_runs_are_known():
    """Where `ragged_runs` says n, every ragged block holds n * 16 tokens, all in front; the bits name those blocks."""
    seen = set()
    pools = ((8, 16), (4, 32), (1, 128), (2, 4, 16), (4, 4, 8), (2, 8, 8), (8, 16, 1), (2, 1, 64), (8, 8))
    for grid in itertools.product((1, 3, 5), (5, 8, 9, 14, 45), (16, 24, 80)):
        for pool in pools:
            geometry = Geometry(grid, pool, 37)
            runs = problem.ragged_runs(geometry)
            tokens = geometry.block_tokens[: geometry.n_video_blocks]
            counts = (tokens >= 0).sum(1)
            ragged = counts < geometry.block_size
            if runs:
                assert (counts[ragged] == runs * problem.RUN).all()
                assert all((row[:count] >= 0).all() for row, count in zip(tokens, counts, strict=True))
                bits = problem.ragged_bits(geometry, torch.device("cpu"))
                named = (bits[:, None] >> torch.arange(32) & 1).flatten().bool()
                assert torch.equal(named[: len(ragged)], ragged)
                assert not named[len(ragged) :].any()
            seen.add(runs)
    assert len(seen) > 4
    assert problem.ragged_runs(Geometry((21, 45, 80), (8, 16))) == 5
    assert problem.ragged_runs(Geometry((21, 48, 80), (8, 16))) == 0


def test_tiles_of_most_blocks_come_first(monkeypatch):
    monkeypatch.setattr(problem, "_COUNTED_TILES", 0)  # what the kernel does in their stead, a GPU must tell
    progress = torch.ones(1, dtype=torch.int32)
    counts = torch.tensor([[[3, 9, 9, 1, 5, 7]]], dtype=torch.int32)  # the last is a text block
    sets = BlockSets(torch.zeros(1, 1, 6, 4, dtype=torch.int32), counts)
    whole, halves = Geometry((1, 8, 80), (8, 16), 9), Geometry((1, 8, 40), (8, 8), 9)
    assert problem.tile_order(sets, problem.Blocking(whole, whole), progress).tolist() == [[[1, 2, 4, 0, 3]]]
    assert problem.tile_order(sets, problem.Blocking(halves, halves), progress).tolist() == [[[0, 1, 2]]]
    assert progress.item() == 0
