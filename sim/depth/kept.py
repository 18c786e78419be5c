"""Float pictures that are kept with the shipped network; written anew by `python -m triptych.sim.depth.kept`."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from triptych.golden.files import write
from triptych.golden.photo import LOOKED_AT, fit_photo, shipped_photo
from triptych.golden.quartdepth.zoo.shipped import PICTURES, VIT, name_of
from triptych.sim.depth.run import file_terms, float_twin, to_tensor
from triptych.sim.errors import TriptychError


def float_pictures() -> dict[str, NDArray[np.uint16]]:
    """Depth [h,w] in millimetres of the photos that are looked at, by `name_of`, from the float network of which the
    shipped one was made. Raises TriptychError where that is not here."""
    import torch

    twin = float_twin(VIT)
    if twin is None:
        raise TriptychError("these pictures need the float network: name its backbone in TRIPTYCH_BACKBONE")
    found = {}
    for photo in LOOKED_AT:
        rgb = fit_photo(shipped_photo(photo), file_terms(VIT).size).rgb
        with torch.no_grad():
            depth = twin(to_tensor(rgb))[0, 0].numpy()
        found[name_of(rgb)] = np.round(np.clip(1000 * depth, 0, 65535)).astype(np.uint16)
    return found


if __name__ == "__main__":
    held = io.BytesIO()
    np.savez_compressed(held, allow_pickle=False, **float_pictures())
    write(PICTURES, held.getvalue())
