"""The study of replay's quality: its scores, rivals and bookkeeping."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from triptych.golden.fastcar.clips import photo
from triptych.golden.fastcar.generation import Decoded
from triptych.golden.fastcar.tokenizer import load_tokenizer
from triptych.sim.fastcar import quality, redundancy
from triptych.sim.fastcar.quality import Case, Row, Score, Study


def test_scores() -> None:
    tokens = np.random.default_rng(0).integers(0, 1024, (1, 512))
    replayed = np.zeros((6, 512, 1), dtype=bool)
    replayed[:3, 256:] = True
    replayed[:, :256] = True  # the first frame counts for nothing
    same = quality.score(load_tokenizer(), tokens, tokens, replayed)
    assert same == Score(pytest.approx(60.0), pytest.approx(1.0), 1.0, 0.5)
    other = tokens.copy()
    other[:, 256:384] = 0
    changed = quality.score(load_tokenizer(), tokens, other, replayed)
    assert changed.psnr_db < 30
    assert changed.ssim < 0.95
    assert changed.agreement == pytest.approx(0.5, abs=0.01)


def test_half_of_the_picture_stands_still() -> None:
    frames = np.stack(quality.half_still(photo("chelsea"), 8))
    assert (frames[:, :, 64:] == frames[0, :, 64:]).all()
    assert all((a[:, :64] != b[:, :64]).any() for a, b in pairwise(frames))


def test_rivals() -> None:
    study = Study.__new__(Study)
    study.length = 5000
    study.model = SimpleNamespace(config=SimpleNamespace(layers=2))  # type: ignore[assignment]
    replayed = np.zeros((2, 5000, 3), dtype=bool)
    replayed[1, 256:, 2] = np.arange(4744) % 4 == 0
    like = Decoded(np.zeros((3, 0)), np.zeros((3, 0)), replayed, 256)
    chooser = study.at_random(like)
    drawn = np.stack([chooser(p, np.zeros((1, 3))) for p in range(256, 5000)])
    assert drawn[:, 1, 2].mean() == pytest.approx(0.25, abs=0.03)
    assert drawn.sum() == drawn[:, 1, 2].sum()
    entries = np.zeros((301, 2), dtype=np.int64)
    entries[300, 1] = 7
    np.testing.assert_array_equal(study.unchanged()(300, entries), [[True, False]] * 2)


def test_a_stopped_study_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = Score(20.0, 0.5, 0.25, 0.5)
    rows = [[Row(case, some, some, some, 1.0)] for case in quality.cases()]
    out = tmp_path / "figures.json"
    monkeypatch.setattr(quality, "study_key", lambda frames: f"key of {frames}")
    out.write_text(json.dumps({"key of 4": [[asdict(r) for r in pair] for pair in rows]}))
    found = quality.measure_all(4, 1, out)
    assert [r.case for r in found] == quality.cases()
    text = quality.body(found, 4)
    assert "| TAS published | 87% | 16 + 16 | 50% | 20.00 |" in text
    assert {case.skip for case in quality.cases() if case.chooser == "TAS consistent"} == {0.2, 0.5, 0.8, 0.87}
    assert Case("none", 0.0, 256, 16) in quality.cases()


def test_rank_correlation() -> None:
    x = np.random.default_rng(0).normal(size=200)
    assert redundancy.rank_correlation(x, np.exp(x)) == pytest.approx(1.0)
    assert redundancy.rank_correlation(x, -(x**3)) == pytest.approx(-1.0)
