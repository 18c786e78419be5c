"""Reconstruction of the whole network: the quantised output is taught to be the float network's.

Layer by layer no layer knows what the later ones make of its errors. Here all weight codes, their scales and biases
move together, by gradient through the rounding (straight through), towards the float network's output, as the
objective counts it, on the calibration images and their mirror images. No truth is seen but what the float network
says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Rounded
from triptych.golden.quartdepth.network.qparams import QParams
from triptych.golden.quartdepth.ptq.objective import Judge, Objective
from triptych.golden.quartdepth.ptq.simulate import Weights, simulate


@dataclass(frozen=True)
class Teaching:
    """Length and speed. code_rate: in weight codes, the others relative to scale and to the sums' size."""

    steps: int
    batch: int = 4
    code_rate: float = 0.02
    scale_rate: float = 1e-3
    bias_rate: float = 3e-3
    every: int = 25  # steps between two checkpoints
    top: int = 7


class Student:
    """Weights that move. `state` and `load` make the run resumable."""

    def __init__(self, graph: FloatGraph, rounded: Mapping[str, Rounded], teaching: Teaching) -> None:
        self.teaching = teaching
        self.layers = graph.weighted
        self.start = dict(rounded)
        self.codes = {name: r.codes.clone().requires_grad_(True) for name, r in rounded.items()}
        self.scales = {name: torch.zeros_like(r.scale).requires_grad_(True) for name, r in rounded.items()}
        self.biases = {name: torch.zeros_like(r.bias).requires_grad_(True) for name, r in rounded.items()}
        # a bias moves in units of what its layer's weights can do
        self.units = {name: (r.codes.abs().amax() * r.scale) for name, r in rounded.items()}
        rates = (teaching.code_rate, teaching.scale_rate, teaching.bias_rate)
        parts = (self.codes, self.scales, self.biases)
        self.optimizer = torch.optim.Adam(
            [{"params": list(p.values()), "lr": r, "top": r} for p, r in zip(parts, rates, strict=True)]
        )

    def weights(self) -> dict[str, Weights]:
        """What the layers run with, rounded, differentiable."""
        out = {}
        for layer in self.layers:
            name = layer.name
            latent = self.codes[name].clamp(-self.teaching.top, self.teaching.top)
            codes = latent + (latent.round() - latent).detach()
            r = self.rounded_layer(name)
            out[name] = Weights(codes * layer.by_output(r[0]), r[1])
        return out

    def rounded_layer(self, name: str) -> tuple[Tensor, Tensor]:
        """Scale and bias of a layer."""
        start = self.start[name]
        return start.scale * self.scales[name].exp(), start.bias + self.biases[name] * self.units[name]

    def rounded(self) -> dict[str, Rounded]:
        """The result."""
        top = self.teaching.top
        return {
            name: Rounded(codes.detach().clamp(-top, top).round(), *(t.detach() for t in self.rounded_layer(name)))
            for name, codes in self.codes.items()
        }

    def state(self) -> dict[str, object]:
        parts = {"codes": self.codes, "scales": self.scales, "biases": self.biases}
        return {
            **{k: {n: t.detach().clone() for n, t in v.items()} for k, v in parts.items()},
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, dict[str, Tensor]]) -> None:
        with torch.no_grad():
            for key, part in (("codes", self.codes), ("scales", self.scales), ("biases", self.biases)):
                for name, tensor in part.items():
                    tensor.copy_(state[key][name])
        self.optimizer.load_state_dict(state["optimizer"])


def reconstruct(
    graph: FloatGraph, images: Tensor, codes: Mapping[str, QParams], rounded: Mapping[str, Rounded], teaching: Teaching,
    seed: int, resume: tuple[int, dict[str, dict[str, Tensor]]] | None,
    tick: Callable[[int, float, Callable[[], dict[str, object]]], None], objective: Objective = Objective.LOG_DEPTH,
) -> dict[str, Rounded]:  # fmt: skip
    """Weights whose simulated output is nearer to the float network's; those given if none are, on all images.

    resume: (steps taken, state) of a run that was cut off. `tick` gets the step, the loss and a way to the state.
    """
    student = Student(graph, rounded, teaching)
    judge = Judge.of(objective, graph, images)
    both = torch.cat([images, images.flip(3)])
    with torch.no_grad():
        targets = torch.cat([judge.space(simulate(graph, x)) for x in both.split(4)])
    first = 0
    if resume is not None:
        first, state = resume
        student.load(state)
    for step in range(first, teaching.steps):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)  # so that a resumed run draws the same
        pick = torch.randperm(len(both), generator=generator)[: teaching.batch]
        rate = min(1.0, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / teaching.steps))
        for group in student.optimizer.param_groups:
            group["lr"] = group["top"] * rate
        loss = judge.distance(simulate(graph, both[pick], codes, student.weights()), targets[pick])
        student.optimizer.zero_grad()
        loss.backward()
        student.optimizer.step()
        tick(step + 1, float(loss.detach()), student.state)
    taught = student.rounded()

    def total(chosen: Mapping[str, Rounded]) -> float:
        from triptych.golden.quartdepth.ptq.layerwise import weights_of

        weights = {layer.name: weights_of(layer, chosen[layer.name]) for layer in student.layers}
        with torch.no_grad():
            outputs = torch.cat([simulate(graph, x, codes, weights) for x in images.split(4)])
        return float(judge.distance(outputs, targets[: len(images)]))

    return taught if total(taught) < total(rounded) else dict(rounded)
