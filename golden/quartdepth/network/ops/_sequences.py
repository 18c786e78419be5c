"""Sequences of pixels at the positions of a patch."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.shapes import Shape


def patch_of(sequences: Tensor, shape: Shape) -> tuple[int, int]:
    """(rows, columns) of the patch whose positions are the sequences; (1, 1): one sequence of all pixels."""
    for py in range(1, shape.height + 1):
        if shape.height % py or len(sequences) % py or shape.width % max(len(sequences) // py, 1):
            continue
        px = len(sequences) // py
        grid = torch.arange(len(shape)).reshape(shape.height // py, py, shape.width // px, px)
        if torch.equal(sequences, grid.permute(1, 3, 0, 2).reshape(len(sequences), -1)):
            return py, px
    raise GraphError("its sequences are not the positions of a patch, row by row")
