"""RGB-D sequences on disk of the places that may be trained on, three small frames each, made from noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from triptych.golden.quartdepth.data.sequences import OTHER_PLACES, TRAINED_PLACES


def write_sequences(folder: Path) -> None:
    """Frames 0 and 1 are trained on, 2 is tested on but of one place."""
    rng = np.random.default_rng(0)
    for place in (*TRAINED_PLACES, *OTHER_PLACES):
        for kind in ("rgb", "depth"):
            (folder / place / kind).mkdir(parents=True)
        split = {"train": ["0", "1"], "test": ["2"] if place != "tum_fr1_desk" else []}
        (folder / place / "meta.json").write_text(json.dumps({"split": split, "licence": "CC0"}))
        for i in range(3):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
            coarse.resize((64, 48)).save(folder / place / "rgb" / f"{i}.jpg")
            depth = rng.integers(500, 4000, (48, 64)).astype(np.uint16)
            Image.fromarray(depth).save(folder / place / "depth" / f"{i}.png")
