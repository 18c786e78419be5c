"""Depth is laid over the photo that it was computed from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.golden.photo import Fit, fit_photo
from triptych.sim.depth.run import notice
from triptych.sim.view.pictures import colour, depth_png, over_photo, spread, triptych


@pytest.mark.parametrize("wh", [(480, 640), (640, 480), (2000, 200), (741, 500), (30, 400), (64, 48)])
@pytest.mark.parametrize("fit", Fit)
def test_depth_lies_where_the_photo_is(wh: tuple[int, int], fit: Fit, tmp_path: Path) -> None:
    """A network that puts out its input's columns and rows gives them back at the photo's places."""
    ramp = np.zeros((wh[1], wh[0], 3), np.uint8)
    ramp[..., 0] = np.linspace(20, 220, wh[0])[None]
    ramp[..., 1] = np.linspace(20, 220, wh[1])[:, None]
    Image.fromarray(ramp).save(tmp_path / "p.png")
    photo = fit_photo(tmp_path / "p.png", (192, 256), fit)
    x0, y0, x1, y1 = (round(v) for v in photo.box)
    for channel in (0, 1):
        seen = photo.rgb[..., channel].astype(np.float64)
        quarter = seen.reshape(48, 4, 64, 4).mean((1, 3))  # a network's output is coarser than its input
        laid = over_photo(quarter, photo)
        assert laid.shape == wh[::-1]
        step = 200 / max(1, (photo.inside[2] - photo.inside[0], photo.inside[3] - photo.inside[1])[channel])
        error = np.abs(laid - ramp[..., channel])[y0:y1, x0:x1]
        assert error.max() < 6 * step + 2  # one and a half output pixels, at the mirrored edge
        outside = np.ones(wh[::-1], bool)
        outside[y0:y1, x0:x1] = False
        assert np.isnan(laid[outside]).all()
        assert not np.asarray(depth_png(laid, 0.01))[outside].any()
        assert np.asarray(depth_png(laid, 0.01)).dtype == np.uint16
        assert Image.fromarray(ramp).size == depth_png(laid, 0.01).size
    panels = triptych(photo, quarter, quarter)
    inside = photo.inside
    assert panels.size == (3 * (inside[2] - inside[0]) + 12, inside[3] - inside[1])
    assert triptych(photo, None, quarter).size == (2 * (inside[2] - inside[0]) + 6, inside[3] - inside[1])


def test_each_depth_has_a_scale_of_its_own(tmp_path: Path) -> None:
    """A factor, or a scale that four bits stretched, changes nothing of what can be told in a panel."""
    Image.new("RGB", (256, 192)).save(tmp_path / "p.png")
    photo = fit_photo(tmp_path / "p.png", (192, 256), Fit.CROP)
    depth = np.tile(np.geomspace(0.3, 3.0, 64), (48, 1))
    panels = np.asarray(triptych(photo, depth, 7 * depth**1.5)).reshape(192, 3 * 256 + 12, 3).astype(int)
    seen, chip = panels[:, 262:518], panels[:, 524:]
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 50
    assert np.abs(seen - chip).max() <= 24  # between two depths a line is not a power


def test_what_a_fit_costs_is_said(tmp_path: Path) -> None:
    for name, wh in {"portrait": (480, 640), "panorama": (4000, 200), "room": (640, 480)}.items():
        Image.new("RGB", wh).save(tmp_path / f"{name}.png")

    def told(name: str, fit: Fit) -> str | None:
        return notice(tmp_path / f"{name}.png", fit_photo(tmp_path / f"{name}.png", (192, 256), fit))

    assert told("room", Fit.LETTERBOX) is told("room", Fit.CROP) is told("portrait", Fit.LETTERBOX) is None
    assert "44% of it is cut off" in str(told("portrait", Fit.CROP))
    assert "93% of it is cut off" in str(told("panorama", Fit.CROP))
    assert "fills 7% of the network's input" in str(told("panorama", Fit.LETTERBOX))


def test_millimetres_are_rounded_and_kept_in_range() -> None:
    """A depth that a network put out is never the 0 that means none, be it zero or less."""
    depth = np.array([[0.0004, 0.0016, 1.2345, 0.0], [65.535, 99.0, -1.0, np.nan]])
    assert np.asarray(depth_png(depth, 1.0)).tolist() == [[1, 2, 1234, 1], [65535, 65535, 1, 0]]
    assert np.asarray(depth_png(depth.astype(np.float32), 2.0)).tolist() == [[1, 3, 2469, 1], [65535, 65535, 1, 0]]


def test_equal_ratios_of_depth_are_equal_steps_of_tone() -> None:
    """What is twice as far is as much darker near the camera as far from it; below the scale all is as bright as it."""
    depth = np.array([[0.5, 1.0, 2.0, 4.0, 8.0, 0.25, 0.0, 16.0]])
    wanted = spread(np.array([[0.0, 1, 2, 3, 4, -1, -9, 5]]), 0, 4)
    assert np.array_equal(colour(depth, 0.5, 8.0), wanted)
    assert len(np.unique(wanted[0], axis=0)) == 5
    assert wanted[0].astype(int).sum(1)[:5].tolist() == sorted(wanted[0].astype(int).sum(1)[:5], reverse=True)
    one = np.full((2, 2), 3.0)
    assert np.array_equal(colour(one, 3.0, 3.0), spread(0 * one, 0, 1))  # a scale of one depth
    assert np.array_equal(colour(0 * one, 0.0, 0.0), spread(0 * one, 0, 1))  # and of none
    near, far = colour(np.array([[0.1, 10.0]]), 0.0, 10.0)[0]  # a scale that begins at 0 keeps two decades
    assert np.array_equal(np.stack([near, far]), spread(np.array([[0.0, 1.0]]), 0, 1)[0])
    assert np.array_equal(colour(np.array([[1.0]]), 0.0, 10.0), spread(np.array([[0.5]]), 0, 1))
