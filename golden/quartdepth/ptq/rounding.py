"""Which way each weight is rounded, under a Kronecker-factored Fisher metric.

The loss that rounding adds is `1/2 vec(E)^T F vec(E)` with E the weights' error. `F = G (x) A` (Martens and Grosse
2015): A the second moment of the layer's quantised input, G that of the gradient at its output. So the objective is
`tr(G E A E^T)`: exact, small, and needs no data while it is minimised. Three ways to lower it, none ever worse than
rounding to nearest: AdaRound's annealing (Nagel et al. 2020); column by column with the error passed on to the columns
to come (Frantar et al. 2022), here with the error of the other rows passed on as well; and a descent that changes
single codes, which finishes either.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ZETA, GAMMA = 1.1, -0.1  # stretch of AdaRound's sigmoid
DAMPING = 0.05  # of both factors: they are estimates
COLUMNS = 128  # whose errors are passed on together
WORK = 50_000_000_000  # multiplications that the descent may take in a layer, within
SWEEPS = (60, 500)  # these numbers of sweeps


@dataclass(frozen=True)
class Metric:
    """G [G,O,O] and A [G,K,K] of a layer, by group."""

    gradient: Tensor
    moment: Tensor

    @classmethod
    def damped(cls, gradient: Tensor, moment: Tensor) -> Metric:
        """With a share of the mean diagonal added to both."""
        return cls(*(_damp(m) for m in (gradient, moment)))

    def of(self, error: Tensor) -> Tensor:
        """`tr(G E A E^T)`, summed over groups."""
        return ((self.gradient @ error @ self.moment) * error).sum()


def _damp(m: Tensor) -> Tensor:
    mean = m.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-20)
    return m + DAMPING * mean[..., None, None] * torch.eye(m.shape[-1], dtype=m.dtype, device=m.device)


def best_scales(weight: Tensor, metric: Metric, top: int, steps: int = 40) -> Tensor:
    """One scale an output, [G,O,1], that rounding to nearest leaves least with, inputs weighted by A's diagonal."""
    importance = metric.moment.diagonal(dim1=1, dim2=2)[:, None]
    peak = weight.abs().amax(2, keepdim=True).clamp(min=1e-12)
    best = torch.full_like(peak, float("inf"))
    chosen = peak / top
    for i in range(steps):
        scale = peak * (1 - 0.6 * i / steps) / top
        error = (weight - scale * (weight / scale).round().clamp(-top, top)).square() * importance
        total = error.sum(2, keepdim=True)
        chosen = torch.where(total < best, scale, chosen)
        best = torch.minimum(total, best)
    return chosen


def nearest(weight: Tensor, scale: Tensor, top: int) -> Tensor:
    """Codes by rounding to nearest."""
    return (weight / scale).round().clamp(-top, top)


def adaround(weight: Tensor, scale: Tensor, metric: Metric, top: int, steps: int, rate: float = 0.05) -> Tensor:
    """Codes [G,O,K] between the neighbours of each weight; never worse than rounding to nearest by `metric`."""
    down = torch.floor(weight / scale).clamp(-top, top - 1)
    rest = (weight / scale - down).clamp(0, 1)
    start = (rest - GAMMA) / (ZETA - GAMMA)
    logits = torch.log(start / (1 - start)).requires_grad_(True)
    size = metric.of(weight - scale * nearest(weight, scale, top)).clamp(min=1e-30)
    optimizer = torch.optim.Adam([logits], lr=rate)
    for step in range(steps):
        done = step / steps
        soft = (logits.sigmoid() * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
        beta = 20 - 18 * max(0.0, (done - 0.2) / 0.8)
        push = (1 - (2 * soft - 1).abs().pow(beta)).sum() / soft.numel() if done > 0.2 else soft.new_zeros(())
        loss = metric.of(weight - scale * (down + soft)) / size + push
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hard = down + (logits.detach() >= 0)
    candidates = [nearest(weight, scale, top), hard]
    return min(candidates, key=lambda q: float(metric.of(weight - scale * q)))


def by_columns(weight: Tensor, scale: Tensor, moment: Tensor, top: int) -> Tensor:
    """Codes [G,O,K] for A alone, row by row: columns in order of their power, each rounded to nearest, what that costs
    made good by the columns that are still free."""
    size = weight.shape[2]
    order = moment.diagonal(dim1=1, dim2=2).mean(0).argsort(descending=True, stable=True)
    w, a = weight[:, :, order].clone(), moment[:, order][:, :, order]
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(a))
    upper = torch.linalg.cholesky(inverse).transpose(1, 2)
    q = torch.empty_like(w)
    for first in range(0, size, COLUMNS):
        last = min(first + COLUMNS, size)
        left = torch.empty_like(w[:, :, first:last])
        for j in range(first, last):
            column = w[:, :, j : j + 1]
            q[:, :, j : j + 1] = nearest(column, scale, top)
            error = (column - scale * q[:, :, j : j + 1]) / upper[:, j : j + 1, j : j + 1]
            left[:, :, j - first : j - first + 1] = error
            w[:, :, j + 1 : last] -= error * upper[:, j : j + 1, j + 1 : last]
        w[:, :, last:] -= left @ upper[:, first:last, last:]
    return q[:, :, order.argsort()]


def by_rows_and_columns(weight: Tensor, scale: Tensor, metric: Metric, top: int, rounds: int = 4) -> Tensor:
    """`by_columns` towards weights that also make good, by G's other rows, what those rows have lost."""
    best = by_columns(weight, scale, metric.moment, top)
    least = float(metric.of(weight - scale * best))
    own = metric.gradient.diagonal(dim1=1, dim2=2)
    others = metric.gradient - torch.diag_embed(own)
    step = 0.5
    for _ in range(rounds if weight.shape[1] > 1 else 0):
        passed_on = others @ (weight - scale * best) / own[:, :, None]
        q = by_columns(weight + step * passed_on, scale, metric.moment, top)
        size = float(metric.of(weight - scale * q))
        if size < least:
            best, least = q, size
        else:
            step /= 2
    return best


def descend(weight: Tensor, scale: Tensor, codes: Tensor, metric: Metric, top: int) -> Tensor:
    """Changes codes by one, in a sweep the best of each row, for as many rows as gain most together, until none gains
    or `WORK` is spent: [G,O,K], never worse."""
    out = codes.clone()
    sweeps = min(max(WORK // (weight.shape[1] ** 2 * weight.shape[2]), SWEEPS[0]), SWEEPS[1])
    for g in range(len(weight)):
        gradient, moment = metric.gradient[g], metric.moment[g]
        s, q = scale[g], out[g]
        slope = gradient @ (weight[g] - s * q) @ moment  # half the derivative by the error
        own = s.square() * gradient.diagonal()[:, None] * moment.diagonal()[None]
        least = -1e-9 * float(own.mean())
        for _ in range(sweeps):
            up = torch.where(q < top, own - 2 * s * slope, torch.inf)  # q + 1: the error falls by s
            down = torch.where(q > -top, own + 2 * s * slope, torch.inf)
            gain, column = torch.minimum(up, down).min(1)
            change = torch.where(up.gather(1, column[:, None]) <= down.gather(1, column[:, None]), s, -s)[:, 0]
            rows = gain.argsort(stable=True)
            change, k = change[rows], column[rows]
            # what the changes of several rows do to each other: the sum over a leading block
            cross = change[:, None] * change[None] * gradient[rows][:, rows] * moment[k][:, k]
            between = cross.cumsum(0).cumsum(1).diagonal() - cross.diagonal().cumsum(0)
            total = gain[rows].cumsum(0) + between
            count = int(total.argmin()) + 1
            if float(total[count - 1]) >= least:
                break
            rows, change, k = rows[:count], change[:count], k[:count]
            q[rows, k] += change.sign()
            slope -= (gradient[:, rows] * change) @ moment[k]
    return out


def fisher_rounding(weight: Tensor, scale: Tensor, metric: Metric, top: int, annealing: int = 0) -> Tensor:
    """Codes [G,O,K] of least `metric` that we know to find; never worse than rounding to nearest. annealing: steps of
    AdaRound, whose result is tried as well."""
    starts = [nearest(weight, scale, top), by_rows_and_columns(weight, scale, metric, top)]
    if annealing:
        starts.append(adaround(weight, scale, metric, top, annealing))
    best = min(starts, key=lambda q: float(metric.of(weight - scale * q)))
    return descend(weight, scale, best, metric, top)
