"""The frame that a chip's energy is measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.photo import fit_photo, shipped_photo
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import image_codes
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.bench.vit_layers import network_and_codes
from triptych.sim.depth.run import Options, Progress, prepare

LARGE = 1024
"""Cells of an array from which on a vision transformer is the chip's work."""

PHOTO = "motorcycle_left.png"


@dataclass(frozen=True)
class Priced:
    """name: of network and weights. codes: the input [h, w, c]."""

    name: str
    network: Network
    codes: NDArray[np.int64]


def frame_for(config: ChipConfig, progress: Progress) -> Priced:
    """A photo in METER-XXS with its weights, for a large array in ViT-S + DPT with random ones; W4A4 both."""
    if config.depth * config.cols >= LARGE:
        network, codes = network_and_codes()
        return Priced("ViT-S + DPT at 196x252, W4A4, random weights", network, codes)
    options = Options(config, Widths.W4A4)
    network = prepare(options, progress).compiled.network
    rgb = fit_photo(shipped_photo(PHOTO), options.size, options.fit).rgb
    return Priced(f"METER-XXS at {options.size[0]}x{options.size[1]}, W4A4", network, image_codes(network, rgb))
