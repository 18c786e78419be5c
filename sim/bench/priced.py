"""The frame that a chip's energy is measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.photo import fit_photo, shipped_photo
from triptych.golden.quartdepth.chip.config import ChipConfig, chip_config
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import image_codes
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.zoo import shipped
from triptych.sim.depth.run import Options, Progress, file_terms, prepare

LARGE = 1024
"""Cells of an array from which on a vision transformer is the chip's work."""

PHOTO = "motorcycle_left.png"


@dataclass(frozen=True)
class Priced:
    """name: of network and weights. codes: the input [h, w, c]. like: the chip whose switching is measured, None: the
    one itself."""

    name: str
    network: Network
    codes: NDArray[np.int64]
    like: ChipConfig | None


def frame_for(config: ChipConfig, progress: Progress) -> Priced:
    """A photo in METER-XXS with its weights, for a large array in ViT-S + DPT as it is shipped; W4A4 both."""
    if config.depth * config.cols >= LARGE:
        terms = file_terms(shipped.VIT)
        name, options = "ViT-S + DPT", Options(config, terms.widths, size=terms.size, model=shipped.VIT)
    else:
        name, options = "METER-XXS", Options(config, Widths.W4A4)
    network = prepare(options, progress).compiled.network
    rgb = fit_photo(shipped_photo(PHOTO), options.size, options.fit).rgb
    title = f"{name} at {options.size[0]}x{options.size[1]}, {options.widths}"
    # a simulation that counts every bit of a large chip takes too long to build
    like = chip_config("small") if config.depth * config.cols >= LARGE else None
    return Priced(title, network, image_codes(network, rgb), like)
