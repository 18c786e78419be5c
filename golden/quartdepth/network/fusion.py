"""Passes over captured layers: fewer layers, each as the chip runs it.

What an operation does to a graph stands in its file in `ops/` (`Operation.rewrites`). Here is what they share: their
order, dropping layers that nothing reads, and merging a layer into the one before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from triptych.golden.quartdepth.network import registry
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import FloatLayer
from triptych.golden.quartdepth.network.operation import Stage


def fuse(graph: FloatGraph) -> FloatGraph:
    """All rewrites, in order. Raises GraphError where an operation is used in a way that cannot be fused."""
    for stage in Stage:
        for rewrite in registry.rewrites(stage) if stage is not Stage.MERGE else (merge,):
            graph = drop_unused(rewrite(graph))
    return graph


def drop_unused(graph: FloatGraph) -> FloatGraph:
    """The graph without layers that nothing reads."""
    layers = list(graph.layers)
    while True:
        readers = replace(graph, layers=layers).readers()
        kept = [layer for layer in layers if readers[layer.name]]
        if len(kept) == len(layers):
            return replace(graph, layers=kept)
        layers = kept


def merge(graph: FloatGraph, movable: Callable[[FloatLayer], bool] = lambda layer: True) -> FloatGraph:
    """Layers (those that `movable` names) into one that makes a source of theirs and that nothing else reads: the last
    such one that can do their work as well (`FloatLayer.into`)."""
    readers = graph.readers()
    made: dict[str, FloatLayer] = {}
    order: list[str] = []
    renamed: dict[str, str] = {}  # map of a layer that was merged away -> map that now stands for it
    for layer in graph.layers:
        layer = layer.rename(lambda name: renamed.get(name, name))
        free = [s for s in layer.sources if s in made and readers[s] == 1] if movable(layer) else []
        merged = [(order.index(s), whole) for s in free if (whole := layer.into(made[s])) is not None]
        if merged:
            at, whole = max(merged, key=lambda m: m[0])
            made[whole.name] = whole
            if len(layer.sources) > 1:  # it reads the other one now, which may have been made after it
                del order[at]
                order.append(whole.name)
            renamed[layer.name] = whole.name
            readers[whole.name] = readers[layer.name]
            continue
        made[layer.name] = layer
        order.append(layer.name)
    return replace(graph.with_outputs(renamed), layers=[made[name] for name in order])
