"""Training: rendered depth is exact, augmentation keeps depth true, a run repeats and never leaves half a file."""

import math
from pathlib import Path

import pytest
import torch

from tests.kit.vit import tiny_vit
from triptych.golden.quartdepth.data.sequences import DataError
from triptych.golden.quartdepth.train import meter as t
from triptych.golden.quartdepth.train import pools, vit
from triptych.golden.quartdepth.train.augment import augment
from triptych.golden.quartdepth.train.losses import Weights, common_factor, depth_loss
from triptych.golden.quartdepth.train.pools import Pool
from triptych.golden.quartdepth.train.steps import npz_bytes
from triptych.golden.quartdepth.train.taught import codes, decode
from triptych.golden.quartdepth.zoo.meter import METER, load_weights
from triptych.golden.quartdepth.zoo.vit_backbone import read_head

torch.set_num_threads(1)


def test_augmented_depth_belongs_to_the_image() -> None:
    """Grey value encodes depth; geometry must move both alike, and zoom divides depth."""
    torch.manual_seed(0)
    stripes = torch.tensor([60, 160, 90, 200, 120, 70, 180, 110]).float().repeat_interleave(8)
    rgb = stripes.to(torch.uint8).expand(8, 3, 64, 64).clone()
    depth = (stripes / 50).expand(8, 64, 64).clone()
    x, z = augment(rgb, depth, torch.Generator().manual_seed(3))
    assert x.shape == rgb.shape
    assert ((x * 255).round() - x * 255).abs().max() < 1e-3
    for image, d in zip(x, z, strict=True):
        known = d > 0
        pair = torch.stack([image.mean(0)[known], d[known]])
        assert torch.corrcoef(pair)[0, 1] > 0.6  # light and contrast differ across a picture
    assert z.max() <= depth.max()


def test_augmentation_to_another_size_scales_depth_with_the_focal_length() -> None:
    """A part of a picture shown larger looks nearer by as much; nothing is stretched by more than a tenth."""
    rgb = torch.zeros(64, 3, 48, 64, dtype=torch.uint8)
    depth = torch.full((64, 48, 64), 2.0)
    _, z = augment(rgb, depth, torch.Generator().manual_seed(1), (32, 96), reference=64)
    shown = z[z > 0]
    assert z.shape == (64, 32, 96)
    assert shown.max() <= 2 * 64 / 96 * 1.11  # the whole width at 96 pixels: 1.5 times as large as at 64
    assert shown.min() >= 2 * 64 / 96 / 1.8 / 1.11
    _, z = augment(rgb, depth, torch.Generator().manual_seed(1), (64, 48), reference=64)
    assert z[z > 0].max() <= 2 * 48 / 48 * 1.11


def _pools() -> tuple[list[Pool], list[Pool], list[Pool]]:
    g = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 255, (6, 3, 64, 64), generator=g, dtype=torch.uint8)
    depth = torch.rand(6, 64, 64, generator=g) * 3
    real = Pool(rgb, depth.half())
    return [real], [Pool(rgb, depth.half(), 1.0)], [Pool(rgb.flip(0), depth.half().flip(0), 1.0, share=3)]


def _run(seed: int, steps: tuple[int, int]) -> bytes:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    trainer = t.Trainer(t.TrainConfig(steps=steps, batch=4, range_batches=1), _pools(), generator)
    losses = [loss.item() for _, _, loss in trainer.run()]
    assert trainer.steps == list(steps)
    assert math.isfinite(losses[-1])
    return npz_bytes(trainer.mean.state, {"metres_per_unit": 1.0})


@pytest.mark.slow
def test_a_run_repeats() -> None:
    assert _run(7, (3, 3)) == _run(7, (3, 3))
    assert _run(7, (3, 3)) != _run(8, (3, 3))


@pytest.mark.slow
def test_both_phases_run_and_the_weights_load(tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(_run(7, (1, 1)))
    model = load_weights(tmp_path / "w.npz")
    assert isinstance(model, METER)
    assert model.metres_per_unit == 1.0


def test_the_head_and_the_backbones_change_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else; a run goes on from a file."""
    monkeypatch.setattr(vit, "SIZES", ((56, 70), (28, 84)))
    model, (real, _, rendered) = tiny_vit(), _pools()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    cfg = vit.HeadConfig(steps=3, batch=4, rank=2, lr=1e-2, low_rate=1e-1)
    trainer = vit.HeadTrainer(cfg, model, real, rendered, torch.Generator().manual_seed(0))
    assert all(math.isfinite(loss.item()) for _, _, loss in trainer.run())
    after = model.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before if k.startswith("pretrained."))
    assert trainer.trained.change is not None
    ups = [p for n, p in trainer.trained.change.named_parameters() if n.endswith("_up")]
    assert all(p.abs().max() > 0 for p in ups[:8])
    file = tmp_path / "w.npz"
    file.write_bytes(npz_bytes(trainer.trained.arrays(trainer.trained.state_dict()), {}))
    again = vit.HeadTrainer(cfg, tiny_vit(4), real, rendered, torch.Generator(), read_head(file))
    for a, b in zip(again.trained.parameters(), trainer.trained.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_frames_of_one_depth_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins whose pictures alone were copied: a head that trains on them learns that such places are flat."""
    (real,), *_ = _pools()
    monkeypatch.setattr(pools, "made_pools", lambda *_: [])
    monkeypatch.setattr(pools, "real_pools", lambda _: [real])
    assert pools.all_pools(pools.Sources(Path("there")), torch.device("cpu"))[0][0].name == real.name
    real.depth[2:4] = 2.0
    with pytest.raises(DataError, match=r"^2 of 6 real frames in there have one depth everywhere: copy [^\n]*--data$"):
        pools.all_pools(pools.Sources(Path("there")), torch.device("cpu"))


def _loss(output: torch.Tensor, depth: torch.Tensor, exact: float = 1.0, metric: float = 1.0) -> float:
    ones = torch.ones(len(depth))
    return depth_loss(output, depth, exact * ones, metric * ones, Weights()).item()


def test_loss_ignores_unknown_depth_and_likes_the_truth() -> None:
    depth = torch.rand(2, 64, 64) * 3 + 0.5
    depth[:, :10] = 0
    truth = torch.where(depth > 0, depth, 1.0)[:, None]
    assert _loss(truth, depth) == pytest.approx(0, abs=1e-6)
    spoilt = truth.clone()
    spoilt[:, :, :9] = 77
    assert _loss(spoilt, depth) == pytest.approx(0, abs=1e-6)
    assert _loss(truth * 1.3, depth) > 0.05
    assert _loss(truth * 1.3, depth, metric=0) == pytest.approx(0, abs=1e-5)  # a factor costs nothing
    assert _loss(truth.sqrt(), depth, metric=0) > 0.1
    assert _loss(truth, torch.zeros_like(depth)) == 0


def test_loss_sees_an_edge_one_pixel_off_only_where_depth_is_exact() -> None:
    depth = torch.ones(1, 32, 32)
    depth[:, :, 15:] = 3
    shifted = torch.ones(1, 1, 32, 32)
    shifted[..., 16:] = 3
    assert _loss(shifted, depth, exact=1) - _loss(shifted, depth, exact=0) > 0.01


def test_the_common_factor_is_that_of_most_pixels() -> None:
    error = torch.full((1, 10, 10), 0.2)
    error[0, :2] = 3.0
    assert common_factor(error, torch.ones(1, 10, 10)).item() == pytest.approx(0.2, abs=0.08)


def test_what_the_teacher_sees_survives_its_codes() -> None:
    metres = torch.tensor([0.2, 1.0, 3.3, 9.9])
    torch.testing.assert_close(decode(codes(metres)), metres, rtol=0.01, atol=0)
