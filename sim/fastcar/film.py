"""The README's film strip: `python -m triptych.sim.fastcar.film --clips .data/fastcar` writes docs/img/fastcar.png.

A test scene: the video itself, what the model makes of each frame in its context, dense and with replay, and the share
of layers that replayed at each place.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triptych.golden.fastcar.batched import Batched, Way
from triptych.golden.fastcar.config import Chooser
from triptych.golden.fastcar.model import Content, IntegerModel
from triptych.golden.fastcar.tokenizer import GRID, SIDE, load_tokenizer
from triptych.golden.files import replacing
from triptych.sim.build.sources import ROOT
from triptych.sim.fastcar.quality import SEED, clips_of_kinds

STRIP = ROOT / "docs" / "img" / "fastcar.png"


def _picture_row(pictures: Tensor) -> np.ndarray:
    """uint8 (128, frames * 128, 3) of (frames, 3, 128, 128) in 0..1."""
    return np.hstack(list((pictures.clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255 + 0.5).astype(np.uint8)))


def main(argv: list[str] | None = None) -> int:
    """Command line: `--clips FOLDER`, `--scene N` of the still test scenes, `--skip SHARE`."""
    parser = argparse.ArgumentParser(prog="python -m triptych.sim.fastcar.film", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--scene", type=int, default=5)
    parser.add_argument("--skip", type=float, default=0.5)
    parser.add_argument("--out", type=Path, default=STRIP)
    args = parser.parse_args(argv)
    model, tokenizer = IntegerModel.load(), load_tokenizer()
    try:
        kind = clips_of_kinds(args.clips, tokenizer, "cpu", args.scene + 1, SEED, ("still",))["still"]
    except ValueError as error:
        print(f"film: {error}", file=sys.stderr)
        return 1
    layers, frame, one = model.config.layers, model.config.layer.frame_tokens, slice(args.scene, args.scene + 1)
    levels = [model.threshold(i, Chooser.VALUE, args.skip, Content.STILL) for i in range(layers)]
    ways = [Way.dense(layers, 1, "cpu"), Way.uniform(Chooser.VALUE, levels, 1, "cpu")]
    way = Way(torch.cat([w.chooser for w in ways]), torch.cat([w.levels for w in ways], 1))
    with torch.no_grad():
        tokens, skips = Batched(model).context(kind.conditions[one].repeat(2), kind.tokens[one].repeat(2, 1), way)
        tokens[:, :frame] = kind.tokens[one, :frame]  # the first frame is given
        made = [tokenizer.decode(row.view(-1, frame)) for row in tokens]
    share = skips[:, 1].float().mean(0).view(-1, 1, GRID, GRID).repeat_interleave(SIDE // GRID, 2)
    share = share.repeat_interleave(SIDE // GRID, 3)
    maps = torch.cat([share / 4, share, share / 2], 1)
    rows = [_picture_row(p) for p in (kind.pictures[args.scene], *made, maps)]
    with replacing(args.out) as part, part.open("wb") as file:
        Image.fromarray(np.vstack(rows)).save(file, format="PNG", optimize=True)
    replayed = float(skips[:, 1, frame:].float().mean())
    gap = (made[0][1:].clamp(0, 1) - made[1][1:].clamp(0, 1)).pow(2).mean((1, 2, 3)).clamp(min=1e-6)
    print(f"{replayed:.0%} replayed, {float(-10 * gap.log10().mean()):.1f} dB to dense -> {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
