"""Which images calibrate a network: train frames alone, and rendered ones for a network that has seen such places."""

from __future__ import annotations

import numpy as np
import pytest

from triptych.golden.quartdepth.data.render.dataset import Place
from triptych.sim.depth import models
from triptych.sim.depth.models import CALIBRATION_IMAGES, MODELS, calibration_frames, has_sequences

pytestmark = pytest.mark.skipif(not has_sequences(), reason="needs the sequences of shared/data")


@pytest.mark.slow
def test_rendered_frames_take_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[Place, int, tuple[int, int]]] = []

    def rendered(place: Place, count: int, size: tuple[int, int]) -> np.ndarray:
        drawn.append((place, count, size))
        return np.full((count, *size, 3), len(drawn), np.uint8)

    monkeypatch.setattr(models, "_rendered", rendered)
    frames = calibration_frames("vit")
    assert frames.rgb.shape == (CALIBRATION_IMAGES, *MODELS["vit"].size, 3)
    assert drawn == [(place, count, MODELS["vit"].size) for place, count in MODELS["vit"].rendered]
    share = sum(count for _, count, _ in drawn)
    assert (frames.rgb[:-share].max((1, 2, 3)) > len(drawn)).all()  # real frames come first
    for place, count, _ in drawn:
        assert f"{count} rendered {place.value}s" in frames.name
    assert "rendered" not in calibration_frames("vit", ("aims",)).name
    assert "rendered" not in calibration_frames("meter").name


def test_a_scene_repeats_and_no_training_had_it() -> None:
    first = models._rendered.__wrapped__(Place.ROOM, 1, (28, 42))
    assert first.shape == (1, 28, 42, 3)
    assert np.array_equal(first, models._rendered.__wrapped__(Place.ROOM, 1, (28, 42)))
    assert models.RENDER_SEED not in (20, 21)  # of `python -m triptych.golden.quartdepth.train.vit`, dpt_vits.md
