"""Training: rendered depth is exact, augmentation keeps depth true, a run repeats and never leaves half a file."""

import math
from pathlib import Path

import pytest
import torch

from triptych.golden.quartdepth.data.scenes import BOX, CYLINDER, ELLIPSOID, Scene, SceneConfig, draw_scenes, render
from triptych.golden.quartdepth.train import meter as t
from triptych.golden.quartdepth.train.augment import augment
from triptych.golden.quartdepth.zoo.meter import METER, load_weights

SMALL = SceneConfig(objects=6, height=64, width=64, supersample=1)


def _scene(kind: int, half: tuple[float, float, float]) -> Scene:
    """A 4 x 4 x 10 m room around the camera and one solid 3 m ahead; camera level, canonical lens."""
    return Scene(
        kind=torch.tensor([[BOX, kind]]),
        centre=torch.tensor([[[0.0, 0, 0], [0, 0, 3]]]),
        half=torch.tensor([[[2.0, 2, 5], half]]),
        axes=torch.eye(3).expand(1, 2, 3, 3),
        texture=torch.zeros(1, 2, dtype=torch.int64),
        uv=torch.ones(1, 2, 3),
        tint=torch.ones(1, 2, 3),
        contrast=torch.ones(1, 2),
        camera=torch.eye(3)[None],
        focal=torch.tensor([225 / 256]),
        lamp=torch.tensor([[0.0, -1.5, 1.0]]),
        ambient=torch.tensor([0.5]),
    )


@pytest.mark.parametrize("kind", [BOX, ELLIPSOID, CYLINDER])
def test_rendered_depth_is_exact(kind: int) -> None:
    cfg = SceneConfig(height=64, width=64, supersample=1)
    photos = torch.full((1, 8, 8, 3), 128, dtype=torch.uint8)
    _, depth = render(_scene(kind, (0.5, 0.5, 0.5)), photos, cfg, torch.Generator().manual_seed(0))
    x = (torch.arange(64) + 0.5 - 32) / 64 / (225 / 256)
    centre = x[32]  # the ray half a pixel right of and below the middle
    front = 2.5
    if kind == ELLIPSOID:  # |(x z, x z, z) - (0, 0, 3)| = 0.5
        a = 1 + 2 * centre**2
        front = ((3 - (9 - a * (9 - 0.25)) ** 0.5) / a).item()
    elif kind == CYLINDER:
        a = 1 + centre**2
        front = ((3 - (9 - a * (9 - 0.25)) ** 0.5) / a).item()
    assert depth[0, 32, 32].item() == pytest.approx(front, abs=1e-4)
    side = min(5.0, 2 / x[-1].item())  # the far corner of the picture meets wall or back
    assert depth[0, 63, 63].item() == pytest.approx(side, abs=1e-4)


def test_scenes_repeat_by_seed() -> None:
    photos = torch.randint(0, 255, (3, 16, 16, 3), dtype=torch.uint8)
    runs = []
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(seed)
        runs.append(render(draw_scenes(2, 3, generator, SMALL), photos, SMALL, generator))
    assert (runs[0][0] == runs[1][0]).all()
    assert (runs[0][1] == runs[1][1]).all()
    assert (runs[0][1] != runs[2][1]).any()
    assert (runs[0][1] > 0).all()
    assert torch.isfinite(runs[0][1]).all()


def test_augmented_depth_belongs_to_the_image() -> None:
    """Grey value encodes depth; geometry must move both alike, and zoom divides depth."""
    torch.manual_seed(0)
    ramp = torch.linspace(60, 200, 64).round()
    rgb = ramp.to(torch.uint8).expand(8, 3, 64, 64).clone()
    depth = (ramp / 50).expand(8, 64, 64).clone()
    x, z = augment(rgb, depth, torch.Generator().manual_seed(3))
    assert x.shape == rgb.shape
    assert ((x * 255).round() - x * 255).abs().max() < 1e-3
    for image, d in zip(x, z, strict=True):
        known = d > 0
        pair = torch.stack([image.mean(0)[known], d[known]])
        assert torch.corrcoef(pair)[0, 1] > 0.9
    assert z.max() <= depth.max()


def _pools() -> tuple[t.Pool, t.Pool]:
    g = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 255, (6, 3, 64, 64), generator=g, dtype=torch.uint8)
    depth = torch.rand(6, 64, 64, generator=g) * 3
    return t.Pool(rgb, depth.half()), t.Pool(rgb.flip(0), depth.half().flip(0))


def _run(seed: int, steps: tuple[int, int]) -> bytes:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    trainer = t.Trainer(t.TrainConfig(steps=steps, batch=2, range_batches=1), *_pools(), generator)
    losses = [loss.item() for _, _, loss in trainer.run()]
    assert trainer.steps == list(steps)
    assert math.isfinite(losses[-1])
    return t.npz_bytes(trainer.mean.state, {"metres_per_unit": 1.0})


@pytest.mark.slow
def test_a_run_repeats() -> None:
    assert _run(7, (3, 3)) == _run(7, (3, 3))
    assert _run(7, (3, 3)) != _run(8, (3, 3))


def test_both_phases_run_and_the_weights_load(tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(_run(7, (1, 1)))
    model = load_weights(tmp_path / "w.npz")
    assert isinstance(model, METER)
    assert model.metres_per_unit == 1.0


def test_loss_ignores_unknown_depth_and_likes_the_truth() -> None:
    depth = torch.rand(2, 64, 64) * 3 + 0.5
    depth[:, :10] = 0
    truth = torch.where(depth > 0, depth, 1.0)[:, None]
    assert t.depth_loss(truth, depth).item() == pytest.approx(0, abs=1e-6)
    spoilt = truth.clone()
    spoilt[:, :, :9] = 77
    assert t.depth_loss(spoilt, depth).item() == pytest.approx(0, abs=1e-6)
    assert t.depth_loss(truth * 1.3, depth) > 0.1
