"""Makes the committed model from a training's folder: integers, static scales, weights of heads, levels.

    python -m triptych.golden.fastcar.calibrate --trained DIR --tuning consistent-value --clips .data/fastcar

A level is the threshold of a score at which a share of a layer's MLPs replays. It is found with replay running: a
layer's level on what the layers before it, replaying too, hand on (found dense, levels overshoot), for each kind of
content, on clips sampled from the training data, tokens given. Scores can tie (a value that did not change has distance
0), so a layer may replay more than its share; the layers behind it then take less.
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
import torch
from torch import Tensor

from triptych.golden.fastcar.batched import Batched, Scores, Way
from triptych.golden.fastcar.checkpoint import load_checkpoint
from triptych.golden.fastcar.clips import Clips
from triptych.golden.fastcar.config import VIDEO, Chooser
from triptych.golden.fastcar.integer import HEAD_WEIGHT_MAX, Int8s, Ints
from triptych.golden.fastcar.model import SKIP_TARGETS, WEIGHTS, Content, IntegerModel
from triptych.golden.fastcar.quantize import integer_model
from triptych.golden.fastcar.scenes import Scenes
from triptych.golden.fastcar.tokenizer import TOKENIZER_FILE, Tokenizer, load_tokenizer
from triptych.golden.fastcar.train import tokens_of

CLIPS = 24  # of each kind of content

Given = tuple[Tensor, Tensor]  # conditions (rows,), tokens (rows, t)


def head_weights(engine: Batched, given: Given) -> list[Int8s]:
    """int8[heads] a layer: factors of -7..7 whose weighted sum tells best, in the least squares, the rank of how near
    an MLP's output lies to that of a frame before. Dense."""
    frame, out = engine.frame, []

    def observe(_: int, scores: Scores, delta: Tensor) -> None:
        d = delta.double()
        distance = (d[:, frame:] - d[:, :-frame]).norm(dim=-1) / d[:, frame:].norm(dim=-1).clamp(min=1e-9)
        near = (-distance).flatten().argsort().argsort().double() / distance.numel()
        dots = scores.consistent.flatten(0, 1).double()
        deviation = dots.std(0).clamp(min=1e-9)
        a = (dots - dots.mean(0)) / deviation
        gram = a.T @ a + 1e-3 * len(a) * torch.eye(a.shape[1], device=a.device, dtype=a.dtype)
        weights = torch.linalg.solve(gram, a.T @ (near - near.mean())) / deviation
        scaled = weights * (HEAD_WEIGHT_MAX / weights.abs().max().clamp(min=1e-30))
        out.append(scaled.round().cpu().numpy().astype(np.int8))

    engine.context(*given, Way.dense(engine.config.layers, len(given[0]), engine.device), observe=observe)
    return out


def level_of(score: Tensor, share: float) -> tuple[int, float]:
    """The level above which about a share of the scores int64 lies, and the share that does: ties go to the nearer."""
    ordered = score.flatten().sort(descending=True).values
    count = len(ordered)
    best, reached = int(ordered[0]), 0.0
    at = int(ordered[min(count - 1, round(share * count))])
    for level in (at, at - 1):
        got = float((score > level).double().mean())
        if abs(got - share) < abs(reached - share):
            best, reached = level, got
    return best, reached


def levels(engine: Batched, given: Given, chooser: Chooser, share: float) -> Ints:
    """int64[layers]: with replay running; the mean over the layers comes to `share`, as near as ties allow."""
    count = engine.config.layers
    found: list[int] = []
    reached: list[float] = []

    def find(i: int, scores: Scores) -> Way:
        want = (share * count - sum(reached)) / (count - i)
        level, got = level_of(scores.of(chooser, engine.head_weights[i]), min(1.0, max(0.0, want)))
        found.append(level)
        reached.append(got)
        return Way.uniform(chooser, [level] * count, len(given[0]), engine.device)

    engine.context(*given, find)
    return np.array(found, dtype=np.int64)


def calibration_clips(folder: Path, tokenizer: Tokenizer, device: str, seed: int, count: int) -> dict[Content, Given]:
    """Of every kind, from the training data; ANY has some of each."""
    clips, scenes = Clips.load(folder, "cpu", seed), Scenes.load(folder, "train", "cpu", seed + 1)
    draws = {
        Content.STILL: lambda n: scenes.sample(n, 0.0),
        Content.DRIFT: lambda n: scenes.sample(n, 1.0),
        Content.MOVING: clips.sample,
    }
    out = {}
    for content, draw in draws.items():
        tokens, kinds = tokens_of(tokenizer, lambda n, draw=draw: tuple(t.to(device) for t in draw(n)), count)  # type: ignore[misc]
        out[content] = kinds, tokens
    third = count // 3
    mixed = [tuple(part[:third] for part in given) for given in out.values()]
    return {Content.ANY: tuple(torch.cat(p) for p in zip(*mixed, strict=True)), **out}  # type: ignore[dict-item]


def calibrated(model: IntegerModel, clips: Mapping[Content, Given], device: str) -> IntegerModel:
    """The model with its weights of heads and levels."""
    weights = head_weights(Batched(model, device), clips[Content.ANY])
    layers = [replace(layer, head_weights=w) for layer, w in zip(model.layers, weights, strict=True)]
    model = replace(model, layers=tuple(layers))
    engine = Batched(model, device)
    found = np.zeros((len(Content), len(Chooser), len(layers), len(SKIP_TARGETS)), dtype=np.int64)
    for content, given in clips.items():
        for chooser in Chooser:
            for number, share in enumerate(SKIP_TARGETS):
                found[content, chooser, :, number] = levels(engine, given, chooser, share)
    return replace(model, levels=np.minimum.accumulate(found, axis=3))


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m triptych.golden.fastcar.calibrate", description=__doc__)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--tuning", default="consistent", help="which decoder of the training")
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--count", type=int, default=CLIPS, help="clips of each kind of content")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    args = parser.parse_args(argv)
    try:
        ranges: Mapping[str, float] = json.loads((args.trained / f"ranges_{args.tuning}.json").read_text())
        model = integer_model(load_checkpoint(args.trained / f"decoder_{args.tuning}.npz", VIDEO), ranges)
        tokenizer = load_tokenizer(args.trained / "tokenizer.npz").to(args.device)
        clips = calibration_clips(args.clips, tokenizer, args.device, args.seed, args.count)
        report = json.loads((args.trained / "report.json").read_text()) | {"tuning": args.tuning}
    except (OSError, ValueError) as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    calibrated(model, clips, args.device).save(args.out / "decoder.npz")
    shutil.copyfile(args.trained / "tokenizer.npz", args.out / TOKENIZER_FILE.name)
    (args.out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
