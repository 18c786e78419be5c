"""What an error of the network's output costs: Fisher information and reconstruction count it in the same way.

Each objective is a space in which outputs are compared, and the second moments of an error's cost there (Fisher
information): noise whose covariance they are, sent backwards, samples them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.ptq.simulate import simulate

BATCH = 4
FLOOR = 0.02  # of the median output: depths below it count alike


class Objective(Enum):
    """How the output is judged.

    LOG_DEPTH: a map of distances (or of anything positive) by its logarithm, as d1 and AbsRel count it. MSE: any map
    by the square of its error. KL: logits, whose channels are classes, by the divergence of their probabilities.
    """

    LOG_DEPTH = "log_depth"
    MSE = "mse"
    KL = "kl"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"no objective {value!r}: choose one of {', '.join(o.value for o in cls)}")


@dataclass(frozen=True)
class Judge:
    """An objective for one network. unit: LOG_DEPTH: the output below which it counts straight on; MSE: the output's
    standard deviation; KL: unused."""

    objective: Objective
    unit: float

    @classmethod
    def of(cls, objective: Objective, graph: FloatGraph, images: Tensor) -> Judge:
        """For the float network's outputs on images [N,C,H,W]."""
        with torch.no_grad():
            output = simulate(graph, images[:BATCH])
        match objective:
            case Objective.LOG_DEPTH:
                return cls(objective, max(FLOOR * float(output.median()), 1e-6))
            case Objective.MSE:
                return cls(objective, max(float(output.std(correction=0)), 1e-6))
        return cls(objective, 1.0)

    def space(self, output: Tensor) -> Tensor:
        """The output [B,C,H,W] as errors count it."""
        match self.objective:
            case Objective.LOG_DEPTH:
                return log_depth(output, self.unit)
            case Objective.MSE:
                return output / self.unit
        return output

    def noise(self, space: Tensor, generator: torch.Generator) -> Tensor:
        """A draw whose covariance is the Hessian of the cost at `space`: the identity, for KL `diag(p) - p p^T` of
        each pixel's probabilities p."""
        drawn = torch.randn(space.shape, generator=generator).to(space)
        if self.objective is not Objective.KL:
            return drawn
        p = space.detach().softmax(1)
        scaled = p.sqrt() * drawn
        return scaled - p * scaled.sum(1, keepdim=True)

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean cost of an output whose float twin's `space` is `target`; in log depth its slopes count too."""
        space = self.space(output)
        match self.objective:
            case Objective.LOG_DEPTH:
                error = space - target
                across = (error[..., 1:] - error[..., :-1]).abs().mean() if error.shape[-1] > 1 else error.new_zeros(())
                down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean() if error.shape[-2] > 1 else across * 0
                return error.abs().mean() + 0.5 * (down + across)
            case Objective.MSE:
                return (space - target).square().mean()
        wanted = target.log_softmax(1)
        return (wanted.exp() * (wanted - space.log_softmax(1))).sum(1).mean()


def log_depth(output: Tensor, floor: float) -> Tensor:
    """The output as errors count it: a logarithm above `floor`, straight on below it."""
    return torch.where(output > floor, output.clamp(min=floor).log(), output / floor - 1 + math.log(floor))
