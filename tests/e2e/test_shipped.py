"""The network in the box: four bits, no download, no float twin, and pictures that show what its float twin shows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.kit.command import triptych
from triptych.golden.photo import LOOKED_AT, fit_photo, shipped_photo, to_input
from triptych.golden.quartdepth.network.quantize import image_codes
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.model_file import load
from triptych.golden.quartdepth.zoo import shipped
from triptych.sim.depth import kept
from triptych.sim.depth.models import BACKBONE
from triptych.sim.depth.run import file_terms, float_twin

HERE = Path(__file__).parent
PHOTO = shipped_photo(LOOKED_AT[0])


def test_the_file_travels() -> None:
    assert shipped.VIT.stat().st_size <= 12_000_000


def test_a_photo_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine and the integers; the RTL with them in the slow test and in `make demo`."""
    monkeypatch.delenv(BACKBONE, raising=False)
    done = triptych(HERE, "depth", PHOTO, "--golden-only", "--json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["bit_exact"] is True
    assert Path(told["output"]).name == "motorcycle_left.w4a4-paper.triptych.png"
    fitted = fit_photo(PHOTO, file_terms(shipped.VIT).size)
    left, top, right, bottom = fitted.inside
    assert Image.open(told["output"]).size == (3 * (right - left) + 12, bottom - top)  # photo, float as kept, four bits
    four = np.asarray(Image.open(tmp_path / "motorcycle_left.w4a4-paper.depth.png"), np.float64) / 1000
    whole = shipped.float_picture(fitted.rgb)
    assert whole is not None
    assert agreement(four, whole) > 0.95
    assert agreement(four, np.roll(whole, whole.shape[1] // 2, 1)) < 0.8


def agreement(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of pixels within a quarter, after scaling by the ratio of medians (d1 of Eigen et al. 2014)."""
    ratio = found / np.median(found) / (wanted / np.median(wanted))
    return float((np.maximum(ratio, 1 / np.maximum(ratio, 1e-9)) < 1.25).mean())


def test_meter_in_four_bits_shows_what_meter_shows() -> None:
    """As integers; of these weights, and of no others."""
    stored = load(shipped.METER)
    twin = float_twin(shipped.METER)
    assert twin is not None
    assert file_terms(shipped.METER).widths is Widths.W4A4
    rgb = fit_photo(PHOTO, file_terms(shipped.METER).size).rgb
    network = stored.network
    four = network.maps[network.output].qparams.decode(network.run_integer(image_codes(network, rgb)))[:, :, 0]
    with torch.no_grad():
        whole = twin(to_input(rgb[None]))[0, 0].numpy()
    assert agreement(four, whole) > 0.95
    assert agreement(four, whole[:, ::-1]) < 0.8


@pytest.mark.slow
def test_a_photo_on_rtl(tmp_path: Path) -> None:
    done = triptych(HERE, "depth", PHOTO, "--json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["bit_exact"], told["compared"][0]) == (True, "RTL")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--bits", "w4a8"), "is w4a4: say --bits w4a4 or nothing (--model meter takes others)"),
        (("--size", "192x256"), "takes 196x252"),
        (("--weights", "w.npz"), "takes no --weights"),
        (("--calibrate", PHOTO), "takes no --weights and no --calibrate"),
        (("--model", "none.triptych"), "cannot read model none.triptych"),
    ],
)
def test_what_it_does_not_take(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = triptych(HERE, "depth", PHOTO, *words, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert says in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(BACKBONE not in os.environ, reason=f"the float backbone is a download: {BACKBONE} names it")
def test_the_float_pictures_are_those_of_the_float_network() -> None:
    """To the millimetre that they are kept in, and one more for another order of summing."""
    found = kept.float_pictures()
    with np.load(shipped.PICTURES) as held:
        assert set(held) == set(found)
        for name, depth in found.items():
            assert np.abs(held[name].astype(int) - depth).max() <= 1


def test_photos_that_are_looked_at_have_their_float_pictures() -> None:
    size = file_terms(shipped.VIT).size
    fitted = [fit_photo(shipped_photo(name), size).rgb for name in LOOKED_AT]
    assert all(shipped.float_picture(rgb) is not None for rgb in fitted)
    assert shipped.float_picture(fitted[0][:, ::-1]) is None
