"""The loss of depth networks: shape up to a factor, edges at several scales, and a little of the level.

In logarithms, since d1 and AbsRel count ratios. The factor of each picture is taken out by a robust mean (MiDaS,
Ranftl et al. 2020, takes out scale and shift of inverse depth; a depth in metres has no shift), edges are matched as in
MegaDepth (Li and Snavely 2018): differences of the error to its neighbour, at four scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NEAREST, FARTHEST = 0.1, 10.5
_SCALES = 4
_SPREAD = 0.25  # of log errors: what is further off counts little when the factor is found


@dataclass(frozen=True)
class Weights:
    """Of the loss's terms. plain: of the plain difference, which has a gradient where nothing is positive yet."""

    level: float = 0.3
    shape: float = 1.0
    edges: float = 0.5
    plain: float = 0.2


def depth_loss(output: Tensor, depth: Tensor, exact: Tensor, metric: Tensor, weights: Weights = Weights()) -> Tensor:
    """output [B,1,h,w] in metres, depth [B,H,W] in metres, 0 where unknown.

    exact [B]: 1 where depth is exact at edges, 0 where it is a sensor's, off by a pixel: there the finest scale of the
    edges does not count. metric [B]: how much the level counts.
    """
    y = F.interpolate(output.float(), size=depth.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    valid = (depth > NEAREST) & (depth < FARTHEST)
    weight = valid.float()
    count = weight.sum((1, 2)).clamp(min=1)
    known = (weight.sum((1, 2)) > 0).float()
    truth = torch.where(valid, depth, 1.0).float()
    error = (y.clamp(min=0.03).log() - truth.log()) * weight
    factor = common_factor(error.detach(), weight)
    level = (((error - factor) * weight).sum((1, 2)) / count + factor[:, 0, 0]).abs()
    shape = ((error - factor).abs() * weight).sum((1, 2)) / count
    plain = ((y - truth).abs() * weight / (truth + 1)).sum((1, 2)) / count
    edges = torch.zeros_like(level)
    e, m = error, weight
    for scale in range(_SCALES):
        for dim in (1, 2):
            n = e.shape[dim] - 1
            both = m.narrow(dim, 1, n) * m.narrow(dim, 0, n)
            steps = ((e.narrow(dim, 1, n) - e.narrow(dim, 0, n)).abs() * both).sum((1, 2))
            edges = edges + steps / both.sum((1, 2)).clamp(min=1) * (exact if scale == 0 else 1.0)
        e, m = e[:, ::2, ::2], m[:, ::2, ::2]
    each = metric * (weights.level * level + weights.plain * plain) + weights.shape * shape + weights.edges * edges
    return (each * known).sum() / known.sum().clamp(min=1)


def common_factor(error: Tensor, weight: Tensor) -> Tensor:
    """The log factor [B,1,1] that most of a picture's pixels share. error, weight [B,H,W]."""
    shift = (error * weight).sum((1, 2), keepdim=True) / weight.sum((1, 2), keepdim=True).clamp(min=1)
    for _ in range(2):
        near = weight / (1 + ((error - shift) / _SPREAD) ** 2)
        shift = (error * near).sum((1, 2), keepdim=True) / near.sum((1, 2), keepdim=True).clamp(min=1e-6)
    return shift
