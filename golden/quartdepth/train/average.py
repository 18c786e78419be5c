"""The mean of two weight files of one network: `python -m triptych.golden.quartdepth.train.average A B --share 0.7`.

Of a run and one that went on from it: between the two lies what neither reaches, the places of training seen as well as
after the second, others as well as after the first (WiSE-FT, Wortsman et al. 2022).
"""

import argparse
import json
from pathlib import Path

import numpy as np

from triptych.golden.files import write
from triptych.golden.quartdepth.train.steps import npz_bytes
from triptych.golden.quartdepth.zoo.meter import METADATA_KEY
from triptych.golden.quartdepth.zoo.vit_backbone import BackboneError, read_head


def average(first: Path, second: Path, share: float, out: Path) -> None:
    """Writes `first` + share x (`second` - `first`). Raises BackboneError for files of different networks."""
    a, b = read_head(first), read_head(second)
    if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
        raise BackboneError(f"{first} and {second} hold different networks")
    runs = []
    for file in (first, second):
        with np.load(file) as arrays:
            runs.append(json.loads(str(arrays[METADATA_KEY])))
    steps = [run["steps"] for run in runs]
    metadata = runs[1] | {"config": [run["config"] for run in runs], "steps": steps, "share": share}
    write(out, npz_bytes({k: v + share * (b[k] - v) for k, v in a.items()}, metadata))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--share", type=float, required=True, help="of the second")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        average(args.first, args.second, args.share, args.out)
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
