"""What is judged on is in no training, calibration or distillation: pixels are compared, not names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.golden.paths import shared_dir
from triptych.golden.photo import LOOKED_AT, read_photo, shipped_photo
from triptych.golden.quartdepth.data.render.dataset import HELD_OUT
from triptych.golden.quartdepth.data.render.materials import PHOTOS
from triptych.golden.quartdepth.data.sequences import OTHER_PLACES, TRAINED_PLACES, UNSEEN_PLACES, read_sequence
from triptych.golden.quartdepth.train.meter import RENDERED as METER_RENDERED
from triptych.golden.quartdepth.train.pools import RENDERED, Sources, real_pools
from triptych.sim.depth.models import MODELS, calibration_frames


def _of(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes() + repr(pixels.shape).encode()).hexdigest()


def _sequences(root: Path, names: tuple[str, ...], splits: tuple[str, ...]) -> Iterator[np.ndarray]:
    for name in names:
        folder = next(root / kind / name for kind in ("indoor", "kitti") if (root / kind / name).is_dir())
        for split in splits:
            try:
                yield from read_sequence(folder, split).rgb
            except ValueError:  # a place without such a split
                continue


@pytest.fixture(scope="module")
def unseen() -> set[str]:
    """Hashes of every frame of the places that no training saw, and of the photos that people look at."""
    shared = shared_dir()
    if shared is None or not (shared / "data").is_dir():
        pytest.skip("no sequences here")
    out = {_of(p) for p in _sequences(shared / "data", UNSEEN_PLACES, ("train", "test"))}
    assert len(out) == 400 + 39 + 3
    photos = {_of(np.array(read_photo(shipped_photo(name)))) for name in (*LOOKED_AT, "motorcycle_right.png")}
    assert len(photos) == 6
    return out | photos


def test_no_training_frame_is_judged_on(unseen: set[str]) -> None:
    shared = shared_dir()
    assert shared is not None
    pools = real_pools(Sources(shared / "data" / "indoor"))
    trained = {_of(rgb.permute(1, 2, 0).numpy()) for pool in pools for rgb in pool.rgb}
    assert len(trained) == 278 + 160 + 36
    assert not trained & unseen
    assert not set(TRAINED_PLACES) & set(UNSEEN_PLACES)
    assert not set(OTHER_PLACES) & set(UNSEEN_PLACES)


def test_no_test_frame_of_the_trained_places_is_trained_on() -> None:
    shared = shared_dir()
    if shared is None or not (shared / "data").is_dir():
        pytest.skip("no sequences here")
    places = (*TRAINED_PLACES, *OTHER_PLACES)
    train = {_of(p) for p in _sequences(shared / "data", places, ("train",))}
    assert not train & {_of(p) for p in _sequences(shared / "data", places, ("test",))}


def test_no_rendered_surface_carries_what_is_judged_on(unseen: set[str]) -> None:
    assert not {_of(np.array(Image.open(shipped_photo(name)).convert("RGB"))) for name in PHOTOS} & unseen
    assert sum(kind.count for kind in (*RENDERED, *METER_RENDERED)) < HELD_OUT


@pytest.mark.parametrize(
    ("name", "whole"),
    [("meter", True), ("vit", False), pytest.param("vit", True, marks=pytest.mark.slow)],  # it renders sixteen frames
)
def test_no_calibration_frame_is_judged_on(name: str, whole: bool, unseen: set[str]) -> None:
    frames = calibration_frames(name, None if whole else MODELS[name].calibration[1]).rgb
    assert len(frames) == 32
    assert not {_of(rgb) for rgb in frames} & unseen
    assert not set(MODELS[name].calibration[1]) & set(UNSEEN_PLACES)
