"""Which filling costs a depth network least: the figures in golden/photo.py, where the test frames are."""

import numpy as np
import pytest
import torch
from PIL import Image

from triptych.golden.paths import shared_dir
from triptych.golden.photo import Fit, fit_photo, to_input
from triptych.golden.quartdepth.data.sequences import read_sequence
from triptych.golden.quartdepth.zoo.meter import load_weights


@pytest.mark.slow
def test_mirrored_edges_keep_the_depth_of_a_portrait(tmp_path_factory: pytest.TempPathFactory) -> None:
    """24 frames cut to 3:4: d1 of the unscaled depth, by how they are fitted to METER's input."""
    shared = shared_dir()
    if shared is None:
        pytest.skip("the indoor sequences lie in shared/, which is not here")
    model, folder = load_weights(), tmp_path_factory.mktemp("frames")
    metres = model.metres_per_unit or 1.0
    right: dict[str, list[float]] = {}

    def score(name: str, rgb: np.ndarray, inside: tuple[int, int, int, int], truth: np.ndarray) -> None:
        with torch.no_grad():
            depth = model(to_input(rgb[None]))[0, 0].numpy() * metres
        left, top, right_, bottom = inside
        box = tuple(v / 4 for v in (left, top, right_, bottom))
        seen = np.asarray(Image.fromarray(depth).resize(truth.shape[::-1], Image.Resampling.BILINEAR, box=box))
        known = (truth > 0) & (truth < 10)
        ratio = np.maximum(seen[known] / truth[known], truth[known] / seen[known])
        right.setdefault(name, []).append(float((ratio < 1.25).mean()))

    for name in ("tum_fr1_rpy", "aims", "sevenscenes"):
        sequence = read_sequence(shared / "data" / "indoor" / name, "test", 8)
        for frame, truth in zip(sequence.rgb, sequence.depth, strict=True):
            Image.fromarray(frame[:, 56:200]).save(folder / "p.png")
            boxed = fit_photo(folder / "p.png", (192, 256))
            score("mirrored", boxed.rgb, boxed.inside, truth[:, 56:200])
            for grey, name_ in ((128, "grey"), (0, "black")):
                filled = np.full_like(boxed.rgb, grey)
                filled[:, 56:200] = frame[:, 56:200]
                score(name_, filled, boxed.inside, truth[:, 56:200])
            repeated = np.pad(frame[:, 56:200], ((0, 0), (56, 56), (0, 0)), mode="edge")
            score("repeated", repeated, boxed.inside, truth[:, 56:200])
            squeezed = fit_photo(folder / "p.png", (192, 256), Fit.STRETCH)
            score("squeezed", squeezed.rgb, (0, 0, 256, 192), truth[:, 56:200])
            cropped = fit_photo(folder / "p.png", (192, 256), Fit.CROP)
            score("cropped", cropped.rgb, (0, 0, 256, 192), truth[42:150, 56:200])
            score("whole", frame, (56, 0, 200, 192), truth[:, 56:200])
    d1 = {name: float(np.mean(values)) for name, values in right.items()}
    assert len(right["whole"]) == 24
    assert d1["mirrored"] > d1["whole"] - 0.1, d1
    assert d1["mirrored"] == max(v for name, v in d1.items() if name != "whole"), d1
    assert d1["mirrored"] > d1["grey"] + 0.05, d1
    assert d1["mirrored"] > d1["cropped"] + 0.3, d1
