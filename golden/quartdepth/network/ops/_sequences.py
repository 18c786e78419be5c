"""What views of queries, keys and values show of their maps: heads, and sequences of pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.shapes import Shape


def heads_of(c: Capture, view: View) -> tuple[Tensor, Tensor, int]:
    """Pixels [instances, tokens], first channel [instances] and head size of [..., tokens, head size]."""
    channels, dim = c.shapes[view.fmap].channels, view.index.shape[-1]
    index = view.index.reshape(-1, *view.index.shape[-2:])
    pixels, channel = index[:, :, 0] // channels, index[:, :, 0] % channels
    first = channel[:, :1]
    ranges = torch.equal(index, (pixels * channels + first)[:, :, None] + torch.arange(dim))
    if not ranges or bool((first % dim).any()):
        raise GraphError(f"the heads of '{view.fmap}' are no ranges of its channels")
    return pixels, first[:, 0], dim


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
