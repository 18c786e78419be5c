"""Which tensor loses the accuracy: every map of the integer network against the same map in floating point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.network import Network


def tensor_errors(graph: FloatGraph, network: Network, image: Tensor) -> dict[str, float]:
    """Relative L2 error of every map that both have, |q - x| / |x|, for one image of the graph's input shape.

    Errors add up along the network: a map's is that of all before it too. A method may have folded a factor of each
    channel into the neighbours of a map with a code table, so there each channel is compared at the scale that fits.
    """
    held: dict[str, NDArray[np.float64]] = {}

    def observe(name: str, made: Tensor) -> None:
        if name in network.maps and made.ndim == 4:
            held[name] = made[0].permute(1, 2, 0).double().numpy()

    graph.run(image, observe)
    errors: dict[str, float] = {}

    def compare(name: str, codes: Ints) -> None:
        if name in held and held[name].shape == codes.shape:
            qparams = network.maps[name].qparams
            errors[name] = _relative(held[name], qparams.decode(codes), qparams.table is not None)

    codes = network.maps[network.input].qparams.encode(held[network.input])
    compare(network.input, codes)
    network.run_integer(codes, compare)
    return {name: float(f"{error:.4g}") for name, error in errors.items()}


def _relative(wanted: NDArray[np.float64], found: NDArray[np.float64], fit: bool) -> float:
    if fit:
        power = (found**2).sum((0, 1))
        found = found * np.where(power > 0, (wanted * found).sum((0, 1)) / np.maximum(power, 1e-300), 1.0)
    size = float(np.sqrt((wanted**2).sum()))
    return float(np.sqrt(((found - wanted) ** 2).sum())) / size if size else 0.0
