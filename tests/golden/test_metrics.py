"""Accuracy figures: by hand on small cases, and against the published table where the shared data is."""

import numpy as np
import pytest
import torch

from triptych.golden.paths import shared_dir
from triptych.golden.photo import to_input
from triptych.golden.quartdepth.data.metrics import (
    EvalRegion,
    distance,
    mean_scores,
    score_image,
    upsample,
    valid_mask,
)
from triptych.golden.quartdepth.data.sequences import DataError, motorcycle, read_sequence
from triptych.golden.quartdepth.zoo.meter import load_weights


def test_by_hand() -> None:
    true = np.array([[1.0, 2.0], [4.0, 0.0]])  # the last is unknown
    scores = score_image(np.array([[1.2, 1.0], [4.0, 9.0]]), true)
    assert scores is not None
    assert scores.raw.d1 == pytest.approx(2 / 3)
    assert scores.raw.abs_rel == pytest.approx((0.2 + 0.5 + 0) / 3)
    assert scores.raw.rmse == pytest.approx(np.sqrt((0.04 + 1) / 3))
    assert scores.median_ratio == pytest.approx(2 / 1.2)
    assert scores.scaled.abs_rel == pytest.approx((1.0 + 1 / 6 + 2 / 3) / 3)
    assert scores.scaled.d1 == pytest.approx(1 / 3)


def test_d1_bound_is_strict() -> None:
    scores = score_image(np.array([[1.25, 1.0]]), np.array([[1.0, 1.25]]))
    assert scores is not None
    assert scores.raw.d1 == 0


def test_scaling_forgives_scale_and_nothing_else() -> None:
    true = np.random.default_rng(0).uniform(1, 5, (24, 32))
    scores = score_image(true * 0.3, true)
    assert scores is not None
    assert scores.raw.d1 == 0
    assert scores.scaled.d1 == 1
    assert scores.scaled.rmse == pytest.approx(0, abs=1e-9)


def test_masks() -> None:
    depth = np.full((192, 640), 5.0)
    depth[0, 0], depth[100, 100], depth[100, 101] = 0, 0, 81
    kitti = valid_mask(depth, EvalRegion.KITTI)
    rows, columns = np.nonzero(kitti)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (78, 189, 23, 615)
    assert not kitti[100, 100:102].any()
    indoor = valid_mask(np.array([[0.0, 9.99, 10.0]]), EvalRegion.INDOOR)
    assert indoor.tolist() == [[False, True, False]]


def test_predictions_below_zero_are_clipped() -> None:
    scores = score_image(np.array([[-1.0, 2.0, 2.0]]), np.array([[1.0, 2.0, 2.0]]))
    assert scores is not None
    assert np.isfinite(scores.raw.abs_rel)
    assert scores.raw.d1 == pytest.approx(2 / 3)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="not finite"):
        score_image(np.array([[np.nan]]), np.array([[1.0]]))
    with pytest.raises(ValueError, match=r"must be \[H,W\]"):
        score_image(np.zeros((1, 2, 2)), np.ones((2, 2)))
    assert score_image(np.ones((2, 2)), np.zeros((2, 2))) is None
    with pytest.raises(ValueError, match="nothing to score"):
        mean_scores([None])


def test_mean_counts_images_alike() -> None:
    good = score_image(np.ones((4, 4)), np.ones((4, 4)))
    bad = score_image(np.full((1, 1), 3.0), np.ones((1, 1)))
    mean = mean_scores([good, None, bad])
    assert mean.raw.d1 == 0.5
    assert mean.images == 2


def test_upsample_uses_pixel_centres() -> None:
    assert upsample(np.array([[0.0, 4.0]]), (1, 4)).tolist() == [[0, 1, 3, 4]]


def test_motorcycle_ground_truth() -> None:
    sequence = motorcycle((192, 256))
    assert sequence.rgb.shape == (1, 192, 256, 3)
    known = sequence.depth[sequence.depth > 0]
    assert known.size > 0.8 * 192 * 256
    assert 1.5 < known.min() < known.max() < 10  # a motorcycle in a garage


def test_missing_sequence(tmp_path) -> None:
    with pytest.raises(DataError, match="holds no sequence"):
        read_sequence(tmp_path / "nowhere", "train")


def test_published_kitti_table() -> None:
    shared = shared_dir()
    if shared is None:
        pytest.skip("no shared data: the published METER weights and KITTI frames are not here")
    model = load_weights(shared / "weights" / "meter" / "build_model_best_kitti_xxs")
    sequence = read_sequence(shared / "data" / "kitti" / "metric3d_demo", "test")
    with torch.no_grad():
        depth = [model(to_input(rgb[None]))[0, 0].numpy() / 10 for rgb in sequence.rgb]
    s = mean_scores(score_image(p, d, EvalRegion.KITTI) for p, d in zip(depth, sequence.depth, strict=True))
    ours = (s.raw.d1, s.raw.abs_rel, s.scaled.d1, s.scaled.abs_rel, s.median_ratio)
    assert ours == pytest.approx((0.980, 0.076, 0.982, 0.050, 0.953), abs=6e-4)


def test_distance_ignores_a_common_factor_and_counts_the_rest() -> None:
    reference = np.exp(np.random.default_rng(0).normal(size=(6, 7)))
    assert distance(3.0 * reference, reference) == pytest.approx(0.0, abs=1e-12)
    bent = reference.copy()
    bent[0, :] *= np.exp(0.3)  # 7 of 42 pixels, fewer than half: the median stays
    assert distance(2.0 * bent, reference) == pytest.approx(0.3 * 7 / 42)
    assert distance(-reference, reference) > 0


def test_distance_refuses_other_shapes_and_values_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="one shape"):
        distance(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="not finite"):
        distance(np.array([[np.nan]]), np.ones((1, 1)))
