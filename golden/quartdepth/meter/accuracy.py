"""Accuracy of a METER weight file by sequence: `python -m golden.quartdepth.meter.accuracy [--weights FILE]`.

Float, and W4A8 / W4A4 as `fakequant` forecasts them (calibrated by min-max on train frames). The integer network's
own accuracy is measured by running it; this table tells what to expect of it.
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from golden.paths import shared_dir
from golden.quartdepth.meter.fakequant import QuantSim
from golden.quartdepth.meter.metrics import EvalRegion, Scores, mean_scores, score_image
from golden.quartdepth.meter.model import METER, fuse, load_weights
from golden.quartdepth.meter.photo import Fit, fit_box, fit_photo
from golden.quartdepth.meter.sequences import Sequence, read_sequence

MODES: Mapping[str, int | None] = {"fp32": None, "w4a8": 8, "w4a4": 4}
TRAINED_PLACES = ("tum_fr1_rpy", "aims")
CALIBRATION_FRAMES = 32

# Middlebury 2014 "Motorcycle" at a quarter of its size, as scikit-image ships it (skimage.data.stereo_motorcycle):
# focal length and doffs in pixels, baseline in metres; depth = focal * baseline / (disparity + doffs).
_FOCAL, _BASELINE, _DOFFS = 994.978, 0.193001, 31.086


def motorcycle(size: tuple[int, int]) -> Sequence:
    """scikit-image's motorcycle photo with its true depth, fitted to `size` (height, width) like any photo."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    with np.load(folder / "motorcycle_disp.npz") as arrays:
        disparity = arrays["arr_0"]
    depth = np.where(np.isfinite(disparity), _FOCAL * _BASELINE / (disparity + _DOFFS), 0.0)
    rgb = fit_photo(folder / "motorcycle_left.png", size).rgb
    left, top, right, bottom = fit_box((depth.shape[1], depth.shape[0]), size, Fit.CROP)
    rows = (top + (np.arange(size[0]) + 0.5) * (bottom - top) / size[0]).astype(int)
    columns = (left + (np.arange(size[1]) + 0.5) * (right - left) / size[1]).astype(int)
    picked = depth[rows[:, None], columns].astype(np.float32)
    return Sequence("motorcycle", "test", ("left",), rgb[None], picked[None])


def to_input(rgb: NDArray[np.uint8]) -> Tensor:
    """uint8 [N,H,W,3] -> float32 [N,3,H,W] in 0..1."""
    return torch.from_numpy(np.array(rgb)).permute(0, 3, 1, 2).float() / 255


class Forecast:
    """A network in float and under simulated quantisation. predict: uint8 [N,H,W,3] -> metres [N,H/4,W/4]."""

    def __init__(self, model: METER) -> None:
        self.unit = model.metres_per_unit or 1.0
        fused = fuse(model)
        self.state = {key: value.detach() for key, value in fused.state_dict().items()}
        self.sim = QuantSim(fused)

    @torch.no_grad()
    def calibrate(self, frames: NDArray[np.uint8]) -> None:
        with self.sim.observe("minmax"):
            self.sim.run(to_input(frames), self.state, None)

    @torch.no_grad()
    def predict(self, rgb: NDArray[np.uint8], mode: int | None, batch: int = 16) -> NDArray[np.float32]:
        parts = [self.sim.run(to_input(rgb[i : i + batch]), self.state, mode) for i in range(0, len(rgb), batch)]
        return (torch.cat(parts)[:, 0] * self.unit).numpy()


def evaluate(forecast: Forecast, sequence: Sequence, mode: int | None, region: EvalRegion) -> Scores:
    predictions = forecast.predict(sequence.rgb, mode)
    return mean_scores(score_image(p, d, region) for p, d in zip(predictions, sequence.depth, strict=True))


def calibration_frames(data: Path) -> NDArray[np.uint8]:
    """CALIBRATION_FRAMES evenly spaced train frames of the two places the shipped weights know."""
    half = CALIBRATION_FRAMES // len(TRAINED_PLACES)
    parts = []
    for name in TRAINED_PLACES:
        rgb = read_sequence(data / "indoor" / name, "train").rgb
        parts.append(rgb[np.linspace(0, len(rgb) - 1, half).astype(int)])
    return np.concatenate(parts)


def table(model: METER, data: Path) -> Iterator[dict[str, Any]]:
    """Rows {sequence, place, mode, scores} over the indoor test splits and the motorcycle photo."""
    forecast = Forecast(model)
    forecast.calibrate(calibration_frames(data))
    tests = [read_sequence(data / "indoor" / n, "test") for n in (*TRAINED_PLACES, "sevenscenes")]
    for sequence in (*tests, motorcycle(model.cfg.input_size)):
        place = "trained on, later" if sequence.name in TRAINED_PLACES else "new"
        for name, mode in MODES.items():
            scores = evaluate(forecast, sequence, mode, EvalRegion.INDOOR)
            yield {"sequence": sequence.name, "place": place, "mode": name, **asdict(scores)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, help="METER weight file (default: the shipped one)")
    parser.add_argument("--out", type=Path, help="JSON file to write the rows to")
    args = parser.parse_args()
    shared = shared_dir()
    if shared is None:
        parser.error("no test sequences: set TRIPTYCH_SHARED to the folder that holds data/")
    rows = []
    try:
        print("| sequence | place | mode | n | d1 | AbsRel | RMSE m | d1 scaled | AbsRel scaled | true/pred |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for row in table(load_weights(args.weights), shared / "data"):
            raw, scaled = row["raw"], row["scaled"]
            print(
                f"| {row['sequence']} | {row['place']} | {row['mode']} | {row['images']} | {raw['d1']:.3f} |"
                f" {raw['abs_rel']:.3f} | {raw['rmse']:.2f} | {scaled['d1']:.3f} | {scaled['abs_rel']:.3f} |"
                f" {row['median_ratio']:.3f} |",
                flush=True,
            )
            rows.append(row)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    if args.out:
        temporary = args.out.with_name(f".{args.out.name}.{os.getpid()}")
        temporary.write_text(json.dumps(rows, indent=1) + "\n")
        os.replace(temporary, args.out)


if __name__ == "__main__":
    main()
