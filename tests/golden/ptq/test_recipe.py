"""The whole method on a small network: each step gains, runs repeat and resume, bad input is refused, files hold."""

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from method_kit import images, small_graph

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.ops._product import QProduct
from triptych.golden.quartdepth.network.qparams import QuantizeError
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.model_file import VERSION, ModelFile, ModelFileError, load, save, to_bytes
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, Result, run
from triptych.golden.quartdepth.ptq.work import Work, WorkError

QUICK = Recipe(Widths.W4A4, Method.FULL, annealing=20, teaching=6)


def _quiet(text: str, done: int, total: int) -> None:
    pass


def _run(recipe: Recipe, work: Work | None = None) -> Result:
    return run(small_graph(), images(8), recipe, _quiet, work)


def _bytes(network: Network) -> bytes:
    return to_bytes(ModelFile(network, 1.0, {}))


def _codes(seed: int = 3) -> np.ndarray:
    rgb = (images(1, seed=seed)[0][0].permute(1, 2, 0).numpy() * 255).round()
    return (rgb - 128).astype(np.int64)


def _error(network: Network) -> float:
    graph, total = small_graph(), 0.0
    qparams = network.maps[network.output].qparams
    for image in images(6, seed=11):
        codes = (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.int64) - 128
        total += float(
            np.abs(qparams.decode(network.run_integer(codes))[:, :, 0] - graph.run(image)[0, 0].numpy()).mean()
        )
    return total


@pytest.fixture(scope="module")
def full() -> Result:
    return _run(QUICK)


def test_each_step_lessens_the_error_of_the_integer_network(full: Result) -> None:
    steps = [Method.MINMAX, Method.LOGNP, Method.COMPENSATE]
    errors = [_error(_run(dataclasses.replace(QUICK, method=m)).network) for m in steps]
    assert errors[0] > errors[1] > errors[2]
    assert _error(full.network) < 0.6 * errors[0]


@pytest.mark.parametrize("widths", list(Widths))
def test_what_it_yields_runs_on_the_golden_machine(widths: Widths, full: Result) -> None:
    network = full.network if widths is Widths.W4A4 else _run(dataclasses.replace(QUICK, widths=widths)).network
    weights = max(int(np.abs(x.weight).max()) for x in network.layers if isinstance(x, QProduct))
    assert (weights > 7) == (widths is Widths.W8A8)
    compiled = compile_network(network, chip_config("tiny"))
    assert (run_on_machine(compiled, _codes()) == network.run_integer(_codes())).all()


def test_mixed_keeps_the_last_layers_input_and_few_macs_at_eight_bits() -> None:
    result = _run(dataclasses.replace(QUICK, widths=Widths.MIXED, method=Method.FISHER))
    network = result.network
    last = next(x for x in network.layers if x.name == network.output)
    assert isinstance(last, QProduct)
    assert network.maps[last.source].qparams.format is Format.INT8
    convolutions = [x for x in network.layers if isinstance(x, QProduct)]
    wide = sum(
        x.macs(network.maps)
        for x in convolutions
        if network.maps[x.source].qparams.format is Format.INT8 and x is not last and x.source != network.input
    )
    assert wide <= 0.10 * sum(x.macs(network.maps) for x in convolutions)


def test_a_fine_end_leaves_what_the_last_layer_reads_at_eight_bits_and_nothing_else(full: Result) -> None:
    network = _run(dataclasses.replace(QUICK, fine_end=True)).network
    last = next(x for x in network.layers if x.name == network.output)
    assert isinstance(last, QProduct)
    eight, before = (
        {name for name, fmap in net.maps.items() if fmap.qparams.format is Format.INT8}
        for net in (network, full.network)
    )
    assert eight - before == {last.source}
    assert eight >= before
    compiled = compile_network(network, chip_config("tiny"))
    assert (run_on_machine(compiled, _codes()) == network.run_integer(_codes())).all()


def test_the_same_seed_gives_the_same_bytes(full: Result) -> None:
    assert _bytes(_run(QUICK).network) == _bytes(full.network)


@pytest.mark.parametrize("stop", ["layer", "reconstruction"])
def test_a_run_that_was_cut_off_goes_on_and_ends_with_the_same_bytes(stop: str, full: Result, tmp_path: Path) -> None:
    file = tmp_path / "work"
    recipe = dataclasses.replace(QUICK, teaching=30)
    whole = _run(recipe)

    def cut(text: str, done: int, total: int) -> None:
        if text.startswith(stop) and done == (8 if stop == "layer" else 27):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small_graph(), images(8), recipe, cut, Work(file))
    seen: list[tuple[str, int]] = []
    resumed = run(small_graph(), images(8), recipe, lambda t, i, n: seen.append((t.split()[0], i)), Work(file))
    assert ("statistics", 1) not in seen
    if stop == "reconstruction":
        assert min(i for t, i in seen if t.startswith("reconstruction")) == 26
    assert _bytes(resumed.network) == _bytes(whole.network)


def test_a_file_that_is_no_work_file_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "work").write_bytes(b"not a work file" * 100)
    with pytest.raises(WorkError, match="delete it to begin anew"):
        Work(tmp_path / "work")
    assert (tmp_path / "work").read_bytes() == b"not a work file" * 100


def test_a_work_file_that_another_run_holds_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken for a broken one, and hours of work were deleted."""
    monkeypatch.setattr(Work, "WAIT", 0.1)
    work = Work(tmp_path / "work")
    work.keep("stage", 7)
    with closing(sqlite3.connect(tmp_path / "work")) as other:
        other.execute("begin exclusive")
        with pytest.raises(WorkError, match="held by another run"):
            Work(tmp_path / "work")
    assert Work(tmp_path / "work").get("stage") == 7


def test_a_damaged_stage_is_made_anew(tmp_path: Path) -> None:
    work = Work(tmp_path / "work")
    work.keep("stage", torch.arange(5))
    with closing(sqlite3.connect(tmp_path / "work")) as file, file:
        (held,) = file.execute("select value from stages").fetchone()
        file.execute("update stages set value = ?", (held[:-3] + b"\x05" + held[-2:],))
    assert work.get("stage") is None
    assert work.stage("stage", lambda: "anew") == "anew"


def test_no_images_and_bad_images_are_refused() -> None:
    for method in (Method.MINMAX, Method.FULL):
        recipe = dataclasses.replace(QUICK, method=method)
        with pytest.raises(QuantizeError, match="at least one image"):
            run(small_graph(), [], recipe, _quiet)
        with pytest.raises(QuantizeError, match="not finite"):
            run(small_graph(), [torch.full((1, 3, 16, 24), float("nan"))], recipe, _quiet)
        with pytest.raises(QuantizeError, match="calibration images must be"):
            run(small_graph(), [torch.rand(1, 3, 8, 8)], recipe, _quiet)


def test_dead_and_constant_channels_do_no_harm() -> None:
    graph = small_graph()
    for layer in graph.layers:
        if layer.name == "stem":
            layer.weight[0], layer.bias[0] = 0, 0  # always zero  # type: ignore[attr-defined]
            layer.weight[1], layer.bias[1] = 0, 2.0  # constant  # type: ignore[attr-defined]
            layer.weight[2] *= 50  # an outlier  # type: ignore[attr-defined]
    result = run(graph, images(8), QUICK, _quiet)
    assert all(np.isfinite(c.error) for c in result.choices)
    compile_network(result.network, chip_config("tiny"))


def test_a_file_gives_back_the_network(full: Result, tmp_path: Path) -> None:
    file = tmp_path / "m.triptych"
    size = save(ModelFile(full.network, 0.1, {"recipe": {"widths": "w4a4"}}), file)
    assert file.stat().st_size == size
    back = load(file)
    assert back.metres_per_unit == 0.1
    assert back.about == {"recipe": {"widths": "w4a4"}}
    assert to_bytes(back) == file.read_bytes()
    assert (back.network.run_integer(_codes()) == full.network.run_integer(_codes())).all()
    assert list(tmp_path.iterdir()) == [file]


def test_every_flipped_byte_and_every_cut_is_refused(full: Result, tmp_path: Path) -> None:
    content = _bytes(full.network)
    file = tmp_path / "bad"
    for at in [*range(0, len(content), len(content) // 60), len(content) - 1]:
        file.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        with pytest.raises(ModelFileError):
            load(file)
        file.write_bytes(content[:at])
        with pytest.raises(ModelFileError):
            load(file)
    file.write_bytes(content[:8] + bytes([VERSION + 1]) + content[9:])
    with pytest.raises(ModelFileError, match=f"format {VERSION + 1}"):
        load(file)
    with pytest.raises(ModelFileError, match="cannot read"):
        load(tmp_path / "none")
