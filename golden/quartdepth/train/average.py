"""The mean of weight files of one network: `python -m triptych.golden.quartdepth.train.average A B... --share 0.7`.

Of a run and one that went on from it: between the two lies what neither reaches, the places of training seen as well as
after the second, others as well as after the first (WiSE-FT, Wortsman et al. 2022). Several that went on from it count
by their mean, which is better on places that none saw than any of them (model soups, Wortsman et al. 2022).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from triptych.golden.files import write
from triptych.golden.quartdepth.train.steps import npz_bytes
from triptych.golden.quartdepth.zoo.meter import METADATA_KEY
from triptych.golden.quartdepth.zoo.vit_backbone import BackboneError, read_head


def average(first: Path, others: Sequence[Path], share: float, out: Path) -> None:
    """Writes `first` + share x (mean of `others` - `first`). Raises BackboneError for files of different networks."""
    a, *rest = (read_head(file) for file in (first, *others))
    for file, b in zip(others, rest, strict=True):
        if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
            raise BackboneError(f"{first} and {file} hold different networks")
    runs = []
    for file in (first, *others):
        with np.load(file) as arrays:
            runs.append(json.loads(str(arrays[METADATA_KEY])))
    steps = [run["steps"] for run in runs]
    metadata = runs[1] | {"config": [run["config"] for run in runs], "steps": steps, "share": share}
    mean = {k: torch.stack([b[k] for b in rest]).mean(0) for k in a}
    write(out, npz_bytes({k: v + share * (mean[k] - v) for k, v in a.items()}, metadata))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("others", type=Path, nargs="+")
    parser.add_argument("--share", type=float, required=True, help="of the others")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        average(args.first, args.others, args.share, args.out)
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
