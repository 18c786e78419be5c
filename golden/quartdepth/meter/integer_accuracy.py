"""Accuracy of the integer network by sequence: `python -m golden.quartdepth.meter.integer_accuracy [--weights FILE]`.

The third row of every table beside `accuracy`: what the chip itself computes, to the bit (`Network.run_integer`, which
machine and RTL equal), on the same test frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from golden.paths import shared_dir
from golden.quartdepth.meter.accuracy import TRAINED_PLACES, calibration_frames, motorcycle, to_input
from golden.quartdepth.meter.metrics import EvalRegion, Scores, mean_scores, score_image
from golden.quartdepth.meter.model import METER, fuse, load_weights
from golden.quartdepth.meter.sequences import Sequence, read_sequence
from golden.quartdepth.network.graph import capture
from golden.quartdepth.network.quantize import Bits, image_codes, quantize


@dataclass(frozen=True)
class Row:
    """Scores of a sequence in a mode: fp32 or one of `Bits`."""

    sequence: str
    mode: str
    scores: Scores


def table(model: METER, data: Path, every: int = 1) -> Iterator[Row]:
    """Rows over the indoor test splits (every so many frames) and the motorcycle photo."""
    size = model.cfg.input_size
    frames = to_input(calibration_frames(data))
    graph = capture(fuse(model), frames[:1])
    images = list(frames.split(1))
    networks = {bits: quantize(graph, images, bits) for bits in Bits}
    unit = model.metres_per_unit or 1.0
    tests = [read_sequence(data / "indoor" / n, "test") for n in (*TRAINED_PLACES, "sevenscenes")]
    for sequence in (*tests, motorcycle(size)):
        picked = list(zip(sequence.rgb, sequence.depth, strict=True))[::every]
        exact = [graph.run(to_input(rgb[None]))[0, 0].numpy() * unit for rgb, _ in picked]
        yield _row(sequence, "fp32", exact, picked)
        for bits, network in networks.items():
            code = network.pictures[network.output].code
            codes = (network.run_integer(image_codes(network, rgb)) for rgb, _ in picked)
            yield _row(sequence, bits.value, [code.decode(c)[:, :, 0] * unit for c in codes], picked)


def _row(
    sequence: Sequence, mode: str, predictions: list[np.ndarray], picked: list[tuple[np.ndarray, np.ndarray]]
) -> Row:
    scored = (score_image(p, depth, EvalRegion.INDOOR) for p, (_, depth) in zip(predictions, picked, strict=True))
    return Row(sequence.name, mode, mean_scores(scored))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, help="METER weight file (default: the shipped one)")
    parser.add_argument("--every", type=int, default=1, help="take every so many test frames (default: all)")
    args = parser.parse_args()
    shared = shared_dir()
    if shared is None:
        parser.error("no test sequences: set TRIPTYCH_SHARED to the folder that holds data/")
    try:
        print("| sequence | mode | n | d1 | AbsRel | d1 scaled | AbsRel scaled |\n|---|---|---|---|---|---|---|")
        for row in table(load_weights(args.weights), shared / "data", args.every):
            raw, scaled = row.scores.raw, row.scores.scaled
            print(
                f"| {row.sequence} | {row.mode} | {row.scores.images} | {raw.d1:.3f} | {raw.abs_rel:.3f} |"
                f" {scaled.d1:.3f} | {scaled.abs_rel:.3f} |",
                flush=True,
            )
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
