"""Which way each weight is rounded: AdaRound under a Kronecker-factored Fisher metric.

The loss that rounding adds is `1/2 vec(E)^T F vec(E)` with E the weights' error. `F = G (x) A` (Martens and Grosse
2015): A the second moment of the layer's quantised input, G that of the gradient at its output. So the objective is
`tr(G E A E^T)`: exact, small, and needs no data while it is minimised. AdaRound (Nagel et al. 2020) anneals a soft
choice between the two neighbours; a descent over single codes on the same objective then finishes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ZETA, GAMMA = 1.1, -0.1  # stretch of AdaRound's sigmoid
DAMPING = 0.05  # of both factors: they are estimates


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
    return m + DAMPING * mean[..., None, None] * torch.eye(m.shape[-1], dtype=m.dtype)


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


def descend(weight: Tensor, scale: Tensor, codes: Tensor, metric: Metric, top: int, sweeps: int = 3000) -> Tensor:
    """Changes one code at a time by one, the one that gains most, until none gains: [G,O,K], never worse."""
    out = codes.clone()
    for g in range(len(weight)):
        gradient, moment = metric.gradient[g], metric.moment[g]
        s, q = scale[g], out[g]
        slope = gradient @ (weight[g] - s * q) @ moment  # half the derivative by the error
        own = s.square() * gradient.diagonal()[:, None] * moment.diagonal()[None]
        for _ in range(sweeps):
            gain_up = torch.where(q < top, own - 2 * s * slope, 0.0)  # q + 1: the error falls by s
            gain_down = torch.where(q > -top, own + 2 * s * slope, 0.0)
            up, down = int(gain_up.argmin()), int(gain_down.argmin())
            a, b = float(gain_up.view(-1)[up]), float(gain_down.view(-1)[down])
            if min(a, b) >= -1e-9 * float(own.mean()):
                break
            sign, at = (1.0, up) if a <= b else (-1.0, down)
            o, k = divmod(at, q.shape[1])
            q[o, k] += sign
            slope -= sign * s[o] * torch.outer(gradient[:, o], moment[k])
    return out
