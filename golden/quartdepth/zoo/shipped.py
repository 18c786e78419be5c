"""What comes with the repository beside float weights: a foundation model in four bits, and what it shows in float.

The quantised ViT-S + DPT needs no float twin to run. So that its pictures can be judged all the same, the float depth
of the photos that are looked at is kept beside it (`python -m triptych.sim.depth.kept` writes them anew).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.golden.provenance import digest

WEIGHTS = Path(__file__).parent / "weights"
VIT = WEIGHTS / "vits_w4a4.triptych"
METER = WEIGHTS / "meter_w4a4.triptych"
PICTURES = WEIGHTS / "vits_float.npz"


def name_of(rgb: NDArray[np.uint8]) -> str:
    """What tells a fitted photo [H,W,3] from all others."""
    return digest(rgb.tobytes(), repr(rgb.shape).encode())


def float_picture(rgb: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Depth [h,w] in metres, to a millimetre, that the float network gives of a fitted photo [H,W,3]; None if it is not
    one of those kept."""
    with np.load(PICTURES) as kept:
        name = name_of(rgb)
        return kept[name].astype(np.float64) / 1000 if name in kept else None
