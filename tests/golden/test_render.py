"""The ray caster: depth is exact and along the axis, scenes repeat by number, held-out numbers are others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.photo import LOOKED_AT
from triptych.golden.quartdepth.data.render.builder import Builder, Material, about_y, camera
from triptych.golden.quartdepth.data.render.dataset import HELD_OUT, Place, draw, frames, usable
from triptych.golden.quartdepth.data.render.materials import PHOTOS, SIDE, Look, pictures
from triptych.golden.quartdepth.data.render.near import defocused, head
from triptych.golden.quartdepth.data.render.solids import (
    BOX,
    CYLINDER,
    ELLIPSOID,
    SKY_DEPTH,
    Caster,
    Quality,
    Scene,
    batch,
    rays,
    render,
    to_unit,
)

torch.set_num_threads(1)
SIZE = (24, 32)
FOCAL = 0.8
LOOKS = dict.fromkeys(Look, (0,))
GREY = torch.full((3, 1, 8, 8, 3), 128, dtype=torch.uint8)
FAST = Quality(rays=1)


def scene(*solids: tuple[int, tuple[float, float, float], tuple[float, float, float]], yaw: float = 0.0) -> Scene:
    """Solids (kind, centre, half extents) before a camera at the origin that looks along z, turned by `yaw`."""
    b = Builder(np.random.default_rng(0), LOOKS, len(solids))
    for kind, centre, half in solids:
        b.add(kind, centre, half, Material(0, (1.0, 1.0), (1.0, 1.0, 1.0), 1.0))
    return seen_from_the_origin(b, about_y(yaw) @ np.array([0.0, 0, 1]), FOCAL)


def seen_from_the_origin(b: Builder, forward: NDArray[np.float64], focal: float) -> Scene:
    rest = {
        "eye": np.zeros(3, np.float32), "camera": camera(np.zeros(3), forward, 0.0), "focal": np.float32(focal),
        "lamp": np.array([0, 9, 0, 0.1], np.float32), "falloff": np.float32(0), "ambient": np.float32(0.5),
        "sky": np.ones((2, 3), np.float32), "haze": np.float32(0),
    }  # fmt: skip
    return batch([b.arrays() | rest], b.room)


def depth_of(what: Scene) -> Tensor:
    return render(what, GREY, SIZE, torch.Generator().manual_seed(0), FAST).depth[0]


def pixels() -> tuple[Tensor, Tensor]:
    """x and y of the rays, downwards, a metre along the axis."""
    h, w = SIZE
    x = (torch.arange(w) + 0.5 - w / 2) / w / FOCAL
    y = (torch.arange(h) + 0.5 - h / 2) / w / FOCAL
    return x.expand(h, w), y[:, None].expand(h, w)


def test_a_wall_has_one_depth_everywhere() -> None:
    """Along the axis, not along the ray: that would grow towards the corners."""
    assert torch.allclose(depth_of(scene((BOX, (0, 0, 4), (9, 9, 1)))), torch.tensor(3.0), atol=1e-5)


def test_ground_sphere_and_cylinder() -> None:
    """All pixels against the closed form."""
    x, y = pixels()
    ground = depth_of(scene((BOX, (0, -2, 0), (99, 1, 99))))
    expected = torch.where((y > 0) & (1 / y.clamp(min=1e-9) < 99), 1 / y.clamp(min=1e-9), SKY_DEPTH)
    torch.testing.assert_close(ground, expected.clamp(max=SKY_DEPTH), rtol=1e-4, atol=1e-4)
    for kind, a, tall in ((ELLIPSOID, 1 + x * x + y * y, 1.0), (CYLINDER, 1 + x * x, 9.0)):
        square = 9 - a * (9 - 0.25)  # |(x z, y z, z) - (0, 0, 3)| = 0.5, without y for the cylinder
        expected = torch.where(square > 0, (3 - square.clamp(min=0).sqrt()) / a, SKY_DEPTH)
        got = depth_of(scene((kind, (0, 0, 3), (0.5, 0.5 * tall, 0.5))))
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_a_turned_camera_and_the_nearest_of_two() -> None:
    """A wall from x = 2 on seen by a camera turned towards it (left: to one who looks along z); a post hides it."""
    wall = (BOX, (3.0, 0.0, 0.0), (1.0, 9.0, 9.0))
    half_right = depth_of(scene(wall, yaw=np.pi / 4))
    x, _ = pixels()
    along = 2 / ((1 - x) / 2**0.5)  # the ray's own x for each metre along the axis is (1 - x) / sqrt 2
    torch.testing.assert_close(half_right, along, rtol=1e-4, atol=1e-4)
    post = depth_of(scene(wall, (BOX, (1.5, 0.0, 0.0), (0.1, 9.0, 0.2)), yaw=np.pi / 2))
    assert set(post.unique().mul(1000).round().int().tolist()) == {1400, 2000}  # never a mean of the two


@pytest.mark.slow
def test_compiled_and_plain_casters_agree() -> None:
    what = batch(draw(Place.ROOM, [3], 1, LOOKS), Place.ROOM.solids)
    ray = rays(what, (6, 8), torch.device("cpu"))
    origin = what.eye[:, None].expand_as(ray)
    whole = Caster._by_solid(what.kind, *to_unit(what), origin, ray)
    part = [Caster._by_solid(what.kind, *to_unit(what), origin[:, i : i + 1], ray[:, i : i + 1]) for i in range(48)]
    assert torch.equal(whole[0], torch.cat([p[0] for p in part], 1))


@pytest.mark.parametrize("place", list(Place))
def test_scenes_repeat_by_number(place: Place) -> None:
    art = pictures(1)
    shots = [
        next(frames(place, 1, SIZE, art, seed, torch.device("cpu"), first, chunk=2, quality=FAST))
        for seed, first in ((1, 0), (1, 0), (2, 0), (1, HELD_OUT))
    ]
    assert torch.equal(shots[0].rgb, shots[1].rgb)
    assert torch.equal(shots[0].depth, shots[1].depth)
    for other in shots[2:]:
        assert other.rgb.shape != shots[0].rgb.shape or (other.rgb != shots[0].rgb).any()
    assert torch.isfinite(shots[0].depth).all()
    assert (shots[0].depth > 0).all()
    drawn = draw(place, [0], 1, art.looks)[0]
    assert 20 < len(drawn["kind"]) <= place.solids


def test_pictures_leave_out_what_is_looked_at() -> None:
    assert not set(PHOTOS) & set(LOOKED_AT)
    art = pictures(5)
    assert art.levels.shape[0] == 3
    assert art.levels.shape[2:] == (SIDE, SIDE, 3)
    assert sorted(i for part in art.looks.values() for i in part) == list(range(art.levels.shape[1]))


def test_usable_refuses_a_wall_before_the_lens() -> None:
    near, far = torch.full((1, 32, 32), 0.1), torch.linspace(1, 4, 1024).reshape(1, 32, 32)
    assert usable(torch.cat([near, far])).tolist() == [False, True]
    before = torch.where(torch.arange(32)[:, None] < 16, 0.3, 1.2).expand(1, 32, 32)
    assert usable(before).tolist() == [True]
    near_all = torch.linspace(0.2, 0.3, 1024).reshape(1, 32, 32)
    assert usable(near_all).tolist() == [False]
    assert usable(near_all, Place.NEAR).tolist() == [True]


def test_what_is_near_stays_sharp_and_what_is_behind_does_not() -> None:
    """Stripes before and behind: in some pictures those behind lose their contrast, those in front in none."""
    stripes = torch.arange(60) % 2 * 200
    rgb = stripes.to(torch.uint8).expand(24, 3, 40, 60)
    depth = torch.where(torch.arange(60) < 30, 0.4, 4.0).expand(24, 40, 60)
    seen = defocused(rgb, depth, torch.Generator().manual_seed(0))
    assert torch.equal(seen[..., :30], rgb[..., :30])
    behind = seen[..., 38:52].float().std((1, 2, 3))
    assert (behind < 40).any()
    assert (behind > 95).any()


def test_heads_look_at_the_camera_and_have_ears() -> None:
    """Seen from where they look to, the nearest point is nose or muzzle: in the middle third and below the eyes. At the
    height of an animal's ears there is a gap between them; a person has none there."""
    tips, strips = [], []
    for seed in range(24):
        b = Builder(np.random.default_rng(seed), LOOKS, 40)
        with b.at(0, 0, 6):
            head(b, 1.0)
        assert 10 < len(b.solids) < b.room  # none was left out
        what = seen_from_the_origin(b, np.array([0.0, 0, 1]), 1.5)
        depth = render(what, GREY, (66, 66), torch.Generator().manual_seed(0), FAST).depth[0]
        y, x = divmod(int(depth.argmin()), 66)
        assert 22 <= x < 44
        tips.append(y)
        rows = (depth[:33] < 8).int()
        strips.append(int((rows.diff(dim=1) == 1).sum(1).max()))
    assert 33 < np.median(tips) < 45
    assert 0.3 < np.mean(np.array(strips) > 1) < 0.95
