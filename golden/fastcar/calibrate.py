"""Makes the committed model from a training's folder: integers, static scales, TAS quantiles for skip targets.

    python -m triptych.golden.fastcar.calibrate --trained DIR --clips .data/fastcar

The quantiles are of TAS in dense decoding of clips sampled from the training data, tokens given, in both variants.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from triptych.golden.fastcar.checkpoint import load_checkpoint
from triptych.golden.fastcar.clips import Clips
from triptych.golden.fastcar.config import VIDEO
from triptych.golden.fastcar.integer import Int8s, Ints, StepTrace, temporal_score
from triptych.golden.fastcar.model import WEIGHTS, IntegerModel, Session
from triptych.golden.fastcar.quantize import integer_model
from triptych.golden.fastcar.tokenizer import TOKENIZER_FILE, load_tokenizer
from triptych.golden.fastcar.train import tokens_of

QUANTILES = 257
CLIPS = 6


def tas_quantiles(model: IntegerModel, conditions: Ints, tokens: Ints, count: int = QUANTILES) -> Ints:
    """int64[2 variants, layers, count]: TAS at evenly spaced quantiles, dense decoding of given tokens[rows, n]."""
    frame = model.config.layer.frame_tokens
    session = Session(model, len(tokens))
    entries = conditions + model.config.tokens
    controls = model.controls(0.0)
    seen = []
    for position in range(tokens.shape[1]):
        _, traces = session.step(entries, controls)
        entries = tokens[:, position]
        if position >= frame:
            seen.append(
                [both_scores(t, s.keys[:, :, position - frame]) for t, s in zip(traces, session.states, strict=True)]
            )
    scores = np.array(seen)  # position, layer, variant, row
    flat = scores.transpose(2, 1, 0, 3).reshape(2, len(model.layers), -1)
    return np.floor(np.quantile(flat, np.linspace(0, 1, count), axis=2)).astype(np.int64).transpose(1, 2, 0)


def both_scores(trace: StepTrace, keys: Int8s) -> list[Ints]:
    """TAS int64[rows] in both variants, of a step and the keys int8[rows, kv_heads, head_dim] one frame before."""
    return [temporal_score(trace.q_before, keys), temporal_score(trace.q_after, keys)]


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m triptych.golden.fastcar.calibrate", description=__doc__)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    args = parser.parse_args(argv)
    try:
        clips = Clips.load(args.clips, "cpu", args.seed)
        ranges: Mapping[str, float] = json.loads((args.trained / "ranges.json").read_text())
        model = integer_model(load_checkpoint(args.trained / "decoder.npz", VIDEO), ranges)
        tokenizer = load_tokenizer(args.trained / "tokenizer.npz")
    except (OSError, ValueError) as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 1
    tokens, conditions = tokens_of(tokenizer, clips, CLIPS, VIDEO)
    model = replace(model, tas_quantiles=tas_quantiles(model, conditions.numpy(), tokens.numpy()))
    args.out.mkdir(parents=True, exist_ok=True)
    model.save(args.out / "decoder.npz")
    shutil.copyfile(args.trained / "tokenizer.npz", args.out / TOKENIZER_FILE.name)
    shutil.copyfile(args.trained / "report.json", args.out / "training.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
