"""Renders the frames that several trainings share: `python -m triptych.golden.quartdepth.train.frames --out FILE`.

Beside them lie some that no training sees: on these, and on the test frames of the places that gave few, variants are
chosen (`validation.py`), so that no frame that is judged on chooses anything.
"""

import argparse
from pathlib import Path

import torch

from triptych.golden.quartdepth.data.render.dataset import HELD_OUT, Place, frames
from triptych.golden.quartdepth.data.render.materials import pictures
from triptych.golden.quartdepth.train.pools import STREET_UNIT, Pool, Sources, keep, made_pools, real_pools
from triptych.golden.quartdepth.train.vit import INPUT_SIZE, source_arguments, sources_of

VALIDATION = {Place.ROOM: 64, Place.STREET: 32}
SEED = 78  # of the frames of validation; `judged.SEED` draws others
FIRST = HELD_OUT + 100_000


def held_out(sources: Sources, share: float, device: torch.device) -> list[Pool]:
    """Frames by which variants are chosen: a pool a place."""
    art, out = pictures(SEED, None, sources.photos), []
    for place, count in VALIDATION.items():
        count = max(2, round(count * share))
        found = list(frames(place, count, INPUT_SIZE, art, SEED, device, FIRST, 16, sources.quality))
        rgb, depth = (torch.cat([getattr(f, part) for f in found])[:count].cpu() for part in ("rgb", "depth"))
        unit = STREET_UNIT if place is Place.STREET else 1.0
        out.append(Pool(rgb, (depth / unit).half(), 1.0, 1.0, name=place.value))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="file of frames")
    source_arguments(parser)
    args = parser.parse_args()
    device = torch.device(args.device)
    try:
        sources = sources_of(args, parser)
        pools = made_pools(sources, real_pools(sources), device)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    keep(args.out, pools, held_out(sources, args.rendered, device))
    print(f"{args.out}: " + ", ".join(f"{len(p.rgb)} frames of {p.name}" for p in pools))


if __name__ == "__main__":
    main()
