"""Hadamard rotations: maps that only linear layers make and read are turned by an orthogonal matrix.

A turned map spreads what stood out in a few channels over all of them, so that sixteen levels do for it. The matrix
goes into the weights of the layers that make and read the map: exact in real numbers, no operation at run time.
LayerNorm (its gain folded away) and the sums of a residual stream commute with a matrix that keeps the vector of ones,
attention with one by head: on queries and keys, and on values and its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Turns
from triptych.golden.quartdepth.network.qparams import uniform_qparams
from triptych.golden.quartdepth.ptq.fisher import Fisher
from triptych.golden.quartdepth.ptq.polish import Kind, Stats, choose, code_error, made
from triptych.golden.quartdepth.ptq.stationary import candidates

SIGNS = 0  # seed of a matrix' signs


@dataclass(frozen=True, eq=False)
class Turn:
    """Maps that turn together, and their matrix [C,C], float64 on the CPU."""

    maps: frozenset[str]
    matrix: Tensor


def flat(size: int) -> Tensor:
    """An orthogonal matrix [size, size] of entries as even as its size allows: Hadamard's of its power of two times a
    cosine transform of what is left. Its first row is constant."""
    rest = size // (size & -size)
    wave = np.cos(np.pi / rest * np.outer(np.arange(rest), np.arange(rest) + 0.5)) * math.sqrt(2 / rest)
    wave[0] = 1 / math.sqrt(rest)
    matrix, two = torch.from_numpy(wave), torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / math.sqrt(2)
    while len(matrix) < size:
        matrix = torch.kron(two, matrix)
    return matrix


def keeping_mean(size: int) -> Tensor:
    """An orthogonal matrix of even entries that maps the vector of ones to itself."""
    signs = np.random.default_rng(SIGNS).choice([-1.0, 1.0], size)
    signs[0] = 1.0
    basis = flat(size)
    return basis.T @ (torch.from_numpy(signs)[:, None] * basis)


def possible(graph: FloatGraph) -> list[Turn]:
    """What can be turned, group by group, in running order."""
    together: dict[str, list[str]] = {name: [name] for name in made(graph)}
    mean: set[str] = set()
    block: dict[str, set[int]] = {}
    stuck = {graph.input, *graph.outputs}
    for layer in graph.layers:
        turns: tuple[Turns, ...] = layer.turns
        stuck |= {layer.name, *layer.sources} - {name for each in turns for name in each.maps}
        for each in turns:
            joined = list(dict.fromkeys(name for one in each.maps for name in together[one]))
            together.update(dict.fromkeys(joined, joined))
            if each.mean:
                mean.update(each.maps)
            if each.block:
                for name in each.maps:
                    block.setdefault(name, set()).add(each.block)
    found = []
    for names in {id(names): names for names in together.values()}.values():
        blocks = set().union(*(block.get(name, set()) for name in names))
        keeps = not mean.isdisjoint(names)
        if not stuck.isdisjoint(names) or len(blocks) > 1 or (blocks and keeps):
            continue
        channels = graph.shapes[names[0]].channels
        size = blocks.pop() if blocks else channels
        if size == 1:
            continue
        matrix = keeping_mean(size) if keeps else flat(size)
        found.append(Turn(frozenset(names), torch.block_diag(*[matrix] * (channels // size))))
    return found


def turned(graph: FloatGraph, turns: Collection[Turn]) -> FloatGraph:
    """The same network (exactly, in real numbers) whose maps of these groups hold the matrix times x."""
    some = next(layer.weight for layer in graph.weighted)
    matrices = {name: turn.matrix.to(some) for turn in turns for name in turn.maps}
    constants = {
        name: torch.einsum("ij,bjhw->bihw", matrices[name].to(value), value) if name in matrices else value
        for name, value in graph.constants.items()
    }
    return replace(graph, layers=[layer.turned(matrices) for layer in graph.layers], constants=constants)


def errors(
    graph: FloatGraph, known: tuple[Stats, Fisher], turns: Collection[Turn], narrow: set[str], four: bool,
    alphas: tuple[float, ...], turned: Collection[str], tick: Callable[[], None],
) -> list[float]:  # fmt: skip
    """The Fisher error of each group's maps with the best codes that they can have. narrow: maps of four bits. four:
    keys, values and queries may have them too. turned: maps that are."""
    stats, fisher = known
    each = {name: 0.0 for turn in turns for name in turn.maps}
    gains, codes, choices = choose(graph, stats, fisher, narrow, set(Kind), alphas, tick, each)
    found = candidates(graph, stats, fisher, gains, alphas, turned, tick) if four else []
    for choice in choices:
        if choice.fmap in each:
            each[choice.fmap] += choice.error * stats.places[choice.fmap]
    for one in found:
        if one.fmap in each:
            each[one.fmap] += one.error
    for name in (each.keys() & stats.samples.keys()) - codes.keys():
        x = stats.samples[name]
        eight = uniform_qparams(float(x.min()), float(x.max()), Format.INT8)
        each[name] += code_error(x, eight, fisher.maps[name]) * stats.places[name]
    return [sum(each[name] for name in sorted(turn.maps)) for turn in turns]


def merged(
    graph: FloatGraph, names: Collection[str], plain: tuple[Stats, Fisher], other: tuple[Stats, Fisher]
) -> tuple[Stats, Fisher]:
    """Statistics and Fisher information of the network of which only these maps are turned, from those of the
    networks of which none and all are: a map's own do not depend on what others hold."""
    source = {layer.name: layer.source for layer in graph.weighted}

    def pick(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: (b if name in names else a)[name] for name in a}

    moments = {name: (other if source[name] in names else plain)[0].moments[name] for name in plain[0].moments}
    stats = Stats(pick(plain[0].samples, other[0].samples), moments, plain[0].places)
    return stats, Fisher(pick(plain[1].layers, other[1].layers), pick(plain[1].maps, other[1].maps))
