"""Compensation of activation errors in the weights of the next layer, in closed form.

Paper: `dW = -W (x - x^) x^T (x^ x^T)^-1`, damped. Here the target is the layer's whole sum in the float network,
`Y = W x + b + residual`, so that errors of the residual and of the bias are made good too: the ridge regression
`min_D sum |Y - residual^ - (W + D) x^|^2 + damping * mean(diag) |D|^2`, x^ with a last row of ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sums:
    """What the closed form needs of the data, by group: moment `x^ x^T` [G,K,K], cross `(Y - Y^) x^T` [G,O,K] and
    the error's own size `|Y - Y^|^2`."""

    moment: Tensor
    cross: Tensor
    error: Tensor

    @classmethod
    def of(cls, x: Tensor, error: Tensor) -> Sums:
        """From patches x [G,K,n] and errors `Y - Y^` [G,O,n]; what is added up later is float64."""
        moment, cross = x @ x.transpose(1, 2), error @ x.transpose(1, 2)
        return cls(moment.double(), cross.double(), error.double().square().sum())

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.moment + other.moment, self.cross + other.cross, self.error + other.error)

    def left(self, change: Tensor) -> Tensor:
        """`sum |Y - Y^ - D x^|^2`."""
        return self.error - 2 * (self.cross * change).sum() + ((change @ self.moment) * change).sum()


def closed_form(sums: Sums, damping: float) -> Tensor:
    """The D that leaves least: [G,O,K]. Rows of x^ that are always zero get no change."""
    k = sums.moment.shape[-1]
    ridge = damping * sums.moment.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)
    system = sums.moment + ridge[:, None, None] * torch.eye(k, dtype=sums.moment.dtype, device=sums.moment.device)
    return torch.linalg.solve(system, sums.cross.transpose(1, 2)).transpose(1, 2)


def compensate(fit: Sums, held_out: Sums, dampings: tuple[float, ...]) -> tuple[Tensor, float]:
    """The change that leaves least on held-out images, and its damping; no change (damping infinite) if none helps.

    Few places and many inputs let the closed form fit noise: the paper's fixed damping does so in the small maps.
    """
    best, kept, chosen = held_out.error, torch.zeros_like(fit.cross), float("inf")
    for damping in dampings:
        change = closed_form(fit, damping)
        left = held_out.left(change)
        if torch.isfinite(left) and left < best:
            best, kept, chosen = left, change, damping
    return kept, chosen
