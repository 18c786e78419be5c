"""Kernels as the array takes them: dilated, grouped and padded ones spelled out with zeros."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

Pair = tuple[int, int]


def with_dilation(weight: Tensor, dilation: Pair) -> Tensor:
    """The kernel with zeros between its taps."""
    if dilation == (1, 1):
        return weight
    o, i, kh, kw = weight.shape
    out = weight.new_zeros(o, i, (kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1)
    out[:, :, :: dilation[0], :: dilation[1]] = weight
    return out


def with_groups(weight: Tensor, groups: int) -> Tensor:
    """All groups in one kernel, zero between them."""
    o, i, kh, kw = weight.shape
    out = weight.new_zeros(o, groups * i, kh, kw)
    each = o // groups
    for g in range(groups):
        out[g * each : (g + 1) * each, g * i : (g + 1) * i] = weight[g * each : (g + 1) * each]
    return out


def larger_than_padding(weight: Tensor, padding: Pair) -> tuple[Tensor, Pair]:
    """The kernel with a frame of zeros, so that it is larger than its padding."""
    more = [max(p + 1 - k, 0) for p, k in zip(padding, weight.shape[2:], strict=True)]
    return F.pad(weight, (more[1], more[1], more[0], more[0])), (padding[0] + more[0], padding[1] + more[1])
