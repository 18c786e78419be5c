"""A layer with weights as a matrix: sums over the patches that it sees (`Weighted.patches`)."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.golden.quartdepth.network.layer import Weighted

CHUNK = 4  # images whose patches are held at a time


def second_moment(layer: Weighted, x: Tensor) -> Tensor:
    """`sum over places of x x^T` divided by images: [G, K, K]."""
    total: Tensor | None = None
    for part in x.split(CHUNK):
        p = layer.patches(part)
        moment = p @ p.transpose(1, 2)
        total = moment if total is None else total + moment
    assert total is not None
    return total / len(x)


def joined(layer: Weighted, x: Tensor) -> Tensor:
    """Patches with a last row of ones, which the bias multiplies."""
    p = layer.patches(x)
    return torch.cat([p, torch.ones_like(p[:, :1])], 1)
