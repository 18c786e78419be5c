"""Fisher information of a network's output, by layer and map.

The network's error is counted as its objective does, for depth in log depth, as d1 and AbsRel count it. For an output
with Gaussian noise of one size there the Fisher matrix is `E J^T J`, and `E (J^T e)(J^T e)^T` with e ~ N(0, 1) by pixel
estimates it (for KL, e of the probabilities' covariance): one backward pass for each draw. Layers keep the
second moment G of the gradient at their sums, maps the mean square by channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.ptq.objective import BATCH, Judge, Objective
from triptych.golden.quartdepth.ptq.simulate import simulate


@dataclass(frozen=True)
class Fisher:
    """layers: [G,O,O] mean over places of `g g^T` at the layer's sum. maps: [C] mean of g^2 at the map."""

    layers: dict[str, Tensor]
    maps: dict[str, Tensor]


def _gradient(y: Tensor) -> Tensor:
    return torch.zeros_like(y) if y.grad is None else y.grad


def estimate(
    graph: FloatGraph, images: Tensor, draws: int, seed: int, tick: Callable[[], None],
    objective: Objective = Objective.LOG_DEPTH,
) -> Fisher:  # fmt: skip
    """From images [N,C,H,W] and `draws` draws of noise for each."""
    generator = torch.Generator().manual_seed(seed)
    judge = Judge.of(objective, graph, images)
    layers: dict[str, Tensor] = {}
    maps: dict[str, Tensor] = {}
    count = 0
    for part in images.split(BATCH):
        held: dict[str, Tensor] = {}
        sums: dict[str, Tensor] = {}

        def keep(name: str, y: Tensor, kept: dict[str, Tensor] = held) -> None:
            y.retain_grad()
            kept[name] = y

        def keep_sum(name: str, y: Tensor, kept: dict[str, Tensor] = sums) -> None:
            keep(name, y, kept)

        with torch.enable_grad():
            image = part.clone().requires_grad_(True)
            out = judge.space(simulate(graph, image, observe=keep, sums=keep_sum))
        for draw in range(draws):
            for y in (*held.values(), *sums.values()):
                y.grad = None
            out.backward(judge.noise(out, generator), retain_graph=draw + 1 < draws)
            count += 1
            for name, y in held.items():
                maps[name] = maps.get(name, 0) + _gradient(y).square().mean((0, 2, 3))
            for layer in graph.weighted:
                rows = layer.outputs(_gradient(sums[layer.name]))
                layers[layer.name] = layers.get(layer.name, 0) + rows @ rows.transpose(1, 2) / rows.shape[2]
        tick()
    return Fisher({k: v.detach() / count for k, v in layers.items()}, {k: v / count for k, v in maps.items()})
