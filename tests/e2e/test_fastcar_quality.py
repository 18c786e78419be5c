"""The study of replay's quality: its measures against other implementations, a study of a tiny model, its text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from triptych.golden.fastcar.config import Chooser, LayerConfig, ModelConfig
from triptych.golden.fastcar.integer import Linear
from triptych.golden.fastcar.model import SKIP_TARGETS, Content, IntegerModel
from triptych.golden.fastcar.random_layer import random_layer
from triptych.golden.fastcar.tokenizer import Tokenizer
from triptych.sim.fastcar import quality, quality_section
from triptych.sim.fastcar.quality import Kind, Study

CONFIG = ModelConfig(LayerConfig(16, 24, 2, 1, 8, frame_tokens=256, context=768), layers=1, tokens=1024, conditions=10)


def test_similarity_is_scikit_images() -> None:
    a = torch.rand(3, 3, 32, 40, generator=torch.Generator().manual_seed(1))
    b = (a + 0.2 * torch.rand(a.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    wanted = [
        structural_similarity(x, y, channel_axis=0, data_range=1.0)
        for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(quality.similarity(a, b), wanted, atol=1e-9)
    assert float(quality.similarity(a, a).min()) == pytest.approx(1.0)


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 300), rng.normal(size=300)
    got = quality.rank_correlation(torch.from_numpy(x), torch.from_numpy(y + x))
    assert got == pytest.approx(spearmanr(x, y + x).statistic, abs=1e-9)
    assert quality.rank_correlation(torch.arange(9), -torch.arange(9)) == pytest.approx(-1.0)


@pytest.fixture(scope="module")
def study() -> Study:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    head = Linear(
        rng.integers(-127, 128, (1024, 16), dtype=np.int8), np.full(1024, 20000, np.int16), np.full(1024, 16, np.uint8)
    )
    levels = np.zeros((len(Content), len(Chooser), 1, len(SKIP_TARGETS)), np.int64)
    for chooser in Chooser:
        ends = (0, -90000) if chooser.is_distance else (20000, -20000)
        levels[:, chooser, 0] = np.linspace(*ends, len(SKIP_TARGETS))
    model = IntegerModel(
        CONFIG, rng.integers(-3000, 3000, (1034, 16)).astype(np.int16), (random_layer(CONFIG.layer, 1),),
        rng.integers(6000, 16000, 16).astype(np.int16), 6, head, 1.0, np.ones((5, 1)), levels,
    )  # fmt: skip
    kinds = {}
    for name, content in (("still", Content.STILL), ("drift", Content.DRIFT)):
        tokens = torch.randint(1024, (2, 768))
        kinds[name] = Kind(torch.rand(2, 3, 3, 128, 128), torch.zeros(2, dtype=torch.int64), tokens, content)
    return Study(model, Tokenizer().eval(), kinds, "cpu")


def test_a_dense_decode_is_equal_to_itself(study: Study) -> None:
    db, ssim = study.against(study.dense["still"], study.dense["still"])
    assert db.tolist() == [60.0, 60.0]
    assert ssim.min() == pytest.approx(1.0)
    nobody = study.context("still", Chooser.VALUE, 0.0, Content.STILL)
    assert (nobody.skipped, nobody.db, nobody.gain, nobody.lost) == (0.0, 60.0, 0.0, 0.0)
    everyone = study.context("still", Chooser.KEY, 1.0, Content.STILL)
    assert (everyone.skipped, everyone.gain) == (1.0, 0.0)  # the rival replays all, too
    assert everyone.tokens < 1


@pytest.mark.slow
def test_a_study_and_its_text(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "SHARES", (0.5,))
    monkeypatch.setattr(quality, "FREE_ROWS", 3)  # batches of three ways
    seen: list[str] = []
    found = quality.measure(study, 1, seen.append) | {"machine": "CPU", "seconds": 1.0}
    assert seen[:2] == ["still", "drift"]
    assert [text.partition(" ")[2] for text in seen[2:]] == [
        *(f"free: {n} of 12 ways" for n in (3, 6, 9, 12)), *(f"free: {n} of 10 ways" for n in (3, 6, 9, 10))
    ]  # fmt: skip
    cells = [c for c in found["context"] if c["share"]]
    assert len(cells) == 2 * 5 + 2 * 2
    assert any(0.1 < c["skipped"] < 0.9 for c in cells)
    for c in cells:
        assert c["db"] - c["gain"] == pytest.approx(c["random_db"], abs=1e-4)
    own = [c.name.lower() for c in Chooser]
    assert [(r["kind"], r["chooser"]) for r in found["free"]] == [
        *(("still", "none"), ("drift", "none")), *(("still", name) for name in own), *(("drift", name) for name in own)
    ]  # fmt: skip
    assert all(0 <= r["tokens"] <= 1 and 0 <= r["real_ssim"] <= 1 for r in found["free"])
    assert {len(rows) for rows in found["redundancy"].values()} == {1}
    file, sections = tmp_path / "figures.json", {}
    file.write_text(json.dumps(found))
    monkeypatch.setattr(quality_section, "replace_section", sections.__setitem__)
    assert quality_section.main([str(file), "--rival", str(file)]) == 0
    assert sections.keys() == {*quality_section.SECTIONS, quality_section.TUNING}
    text = sections["fastcar-quality"]
    assert "cpu-measured" in text
    assert "| still | value | still | 50% |" in text
    assert "what tuning with replay is worth" in sections[quality_section.TUNING]

    def alone(name: str) -> Path:
        part = found | {key: {name: found[key][name]} for key in ("summary", "redundancy")}
        part |= {key: [row for row in found[key] if row["kind"] == name] for key in ("context", "free")}
        (tmp_path / name).write_text(json.dumps(part | {"seconds": 0.5}))
        return tmp_path / name

    apart = [str(alone(name)) for name in ("still", "drift")]
    assert quality_section.main(apart) == 0
    assert sections["fastcar-quality"] == text
    assert quality_section.main([apart[0], apart[0]]) == 1  # a kind twice
    file.write_text("{}")
    assert quality_section.main([str(file)]) == 1
