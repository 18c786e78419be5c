"""A convolution as a matrix: weights [groups, outputs, inputs] times patches [groups, inputs, places]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from triptych.golden.quartdepth.network.layers import Conv, Transposed

CHUNK = 4  # images whose patches are held at a time


def to_matrix(layer: Conv | Transposed, weight: Tensor) -> Tensor:
    """[G, O, K] of a weight tensor of the layer's shape. A transposed convolution is one over a picture with zeros
    between the pixels, its taps turned round."""
    if isinstance(layer, Transposed):
        return weight.flip(2, 3).transpose(0, 1).flatten(1)[None]
    return weight.flatten(1)[:, None] if layer.depthwise else weight.flatten(1)[None]


def from_matrix(layer: Conv | Transposed, matrix: Tensor) -> Tensor:
    """Inverse of `to_matrix`."""
    if isinstance(layer, Transposed):
        i, o, kh, kw = layer.weight.shape
        return matrix[0].reshape(o, i, kh, kw).transpose(0, 1).flip(2, 3).contiguous()
    return matrix.reshape(layer.weight.shape)


def patches(layer: Conv | Transposed, x: Tensor) -> Tensor:
    """[G, K, places] of pictures [B,C,H,W]; places run over images and output pixels."""
    kernel = layer.weight.shape[2:]
    if isinstance(layer, Transposed):
        b, c, h, w = x.shape
        (sy, sx), (py, px), (ey, ex) = layer.stride, layer.padding, layer.extra
        wide = x.new_zeros(b, c, (h - 1) * sy + 1, (w - 1) * sx + 1)
        wide[:, :, ::sy, ::sx] = x
        top, left = kernel[0] - 1 - py, kernel[1] - 1 - px
        columns = F.unfold(F.pad(wide, (left, left + ex, top, top + ey)), kernel)
    else:
        x = x if layer.regrid is None else layer.regrid.apply(x)
        columns = F.unfold(x, kernel, padding=layer.padding, stride=layer.stride)
    if isinstance(layer, Conv) and layer.depthwise:
        c = x.shape[1]
        return columns.unflatten(1, (c, -1)).permute(1, 2, 0, 3).flatten(2)
    return columns.permute(1, 0, 2).flatten(1)[None]


def outputs(layer: Conv | Transposed, y: Tensor) -> Tensor:
    """[G, O, places] of the layer's output pictures, places in the order of `patches`."""
    rows = y.permute(1, 0, 2, 3).flatten(1)
    return rows[:, None] if isinstance(layer, Conv) and layer.depthwise else rows[None]


def second_moment(layer: Conv | Transposed, x: Tensor) -> Tensor:
    """`sum over places of x x^T` divided by images: [G, K, K]."""
    total: Tensor | None = None
    for part in x.split(CHUNK):
        p = patches(layer, part)
        moment = p @ p.transpose(1, 2)
        total = moment if total is None else total + moment
    assert total is not None
    return total / len(x)


def joined(layer: Conv | Transposed, x: Tensor) -> Tensor:
    """Patches with a last row of ones, which the bias multiplies."""
    p = patches(layer, x)
    return torch.cat([p, torch.ones_like(p[:, :1])], 1)
