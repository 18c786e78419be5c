"""LogNP polishing: channels divided by their spread w, codes by table, each tensor's table chosen by measured error.

`x_i = w_i v_i`: the division goes into the layer that makes the map, the factor into the weights of the layers
that read it (`fold`); behind LayerNorm and GELU the division is an elementwise layer (`with_gains`). That is exact, and
serves every kind of code; `alpha` is how much of the channels' spread is evened out (1: all, as in the paper).
Candidates for v: a uniform code with its range cut or not, the LogNP table (`CodeTable.lognp`), and a free table, the
best levels of the grid (`levels.py`).
What counts is the error that reaches the output by Fisher's measure: of the map's own rounding, and of the rounded
weights that have to carry w.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor

from triptych.golden.quartdepth.arithmetic.codetable import CodeTable, lognp_grid
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import FloatLayer, Weighted
from triptych.golden.quartdepth.network.ops.channel_scale import ChannelScale
from triptych.golden.quartdepth.network.qparams import WEIGHT_TOP, QParams, uniform_qparams
from triptych.golden.quartdepth.ptq.fisher import Fisher
from triptych.golden.quartdepth.ptq.levels import best_tables, table_unit
from triptych.golden.quartdepth.ptq.rounding import Metric, best_scales, nearest
from triptych.golden.quartdepth.ptq.simulate import fake_quantise

PERCENTILE = 0.95  # of |x| in a channel: the paper's w
FLOOR = 1e-3  # of the largest w: a channel that is (almost) never used
CUTS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
# of a group's error that a w which needs a layer of its own must take away: such a layer takes the array .15 % of
# ViT-S's cycles; 15 of its 18 take less, 1 % of the error of all maps together
WORTH = 0.15
Gains = dict[str, Tensor]


class Kind(Enum):
    """Which candidates a tensor may choose from."""

    UNIFORM = "uniform"
    LOGNP = "lognp"
    FREE = "free"


@dataclass(frozen=True)
class Stats:
    """What calibration leaves. samples: [C,S] values of each map at random places. moments: `sum x x^T` an image
    at the input of each layer [G,K,K]. places: pixels of each map."""

    samples: dict[str, Tensor]
    moments: dict[str, Tensor]
    places: dict[str, int]


def made(graph: FloatGraph) -> list[str]:
    """All maps, in running order."""
    return [graph.input, *graph.constants, *(layer.name for layer in graph.layers)]


def with_gains(graph: FloatGraph) -> FloatGraph:
    """The same network with a factor by channel, one, behind every LayerNorm and GELU that a linear layer reads: no
    layer before them can take 1/w."""
    layers: list[FloatLayer] = []
    renamed: dict[str, str] = {}
    shapes = dict(graph.shapes)
    products = {name for layer in graph.layers for name in layer.products}
    for layer in graph.layers:
        if isinstance(layer, Weighted):
            layer = replace(layer, source=renamed.get(layer.source, layer.source))
        layers.append(layer)
        if layer.wants_gain_behind and layer.name in products:
            gain = ChannelScale(f"{layer.name}.gain", layer.name, torch.ones(shapes[layer.name].channels))
            layers.append(gain)
            renamed[layer.name] = gain.name
            shapes[gain.name] = shapes[layer.name]
    return replace(graph, layers=layers, shapes=shapes)


def without_idle_gains(graph: FloatGraph, gains: Gains) -> tuple[FloatGraph, dict[str, str]]:
    """The network without the factors that `gains` leaves at one, and whose place their readers' sources take."""
    idle = {
        layer.name: layer.source
        for layer in graph.layers
        if isinstance(layer, ChannelScale) and bool((gains.get(layer.name, layer.gain) == 1).all())
    }
    layers = [x.rename(lambda name: idle.get(name, name)) for x in graph.layers if x.name not in idle]
    shapes = {name: shape for name, shape in graph.shapes.items() if name not in idle}
    return replace(graph, layers=layers, shapes=shapes), idle


def groups(graph: FloatGraph) -> list[list[str]]:
    """Maps that must share w (sums; values and what attention makes of them), each group in running order; those
    that cannot have one are left out: input, constants, output, what LayerNorm reads and makes, queries and keys, what
    GELU makes, and concatenations, whose w is that of their parts."""
    parent = {name: name for name in made(graph)}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    pinned = {graph.input, *graph.outputs, *graph.constants}
    for layer in graph.layers:
        for source in layer.shares_gain:
            parent[find(source)] = find(layer.name)
        pinned |= set(layer.no_gain)
    joined = {layer.name for layer in graph.layers if layer.joins}
    roots: dict[str, list[str]] = {}
    for name in parent:
        roots.setdefault(find(name), []).append(name)
    return [members for members in roots.values() if not pinned & set(members) and not joined & set(members)]


def input_gain(graph: FloatGraph, gains: Mapping[str, Tensor], fmap: str) -> Tensor:
    """w of a map, ones where it has none; of a concatenation those of its parts."""
    for layer in graph.layers:
        if layer.name == fmap and layer.joins:
            return torch.cat([input_gain(graph, gains, part) for part in layer.joins])
    return gains.get(fmap, torch.ones(graph.shapes[fmap].channels, device=graph.device))


def fold(graph: FloatGraph, gains: Gains) -> FloatGraph:
    """The same network (exactly, in real numbers) whose maps hold x / w."""
    layers = [
        layer.regained(input_gain(graph, gains, layer.sources[0]), input_gain(graph, gains, layer.name))
        for layer in graph.layers
    ]
    return replace(graph, layers=layers)


def spread(samples: Tensor) -> Tensor:
    """The paper's w [C]: the 95th percentile of |x| by channel, floored; ones for a map that is always zero."""
    w = samples.abs().quantile(PERCENTILE, 1)
    peak = samples.abs().amax(1)
    w = torch.maximum(w, 0.1 * peak)  # a channel that is mostly zero (ReLU) has its peaks still
    top = float(w.max())
    return torch.ones_like(w) if top <= 0 else w.clamp(min=FLOOR * top)


def lognp_code(low: float, high: float, w: float, cut: float) -> QParams | None:
    """LogNP code of values in low..high, polished by w, the outermost `1 - cut` of the polished range cut off."""
    low, high = min(low, 0.0), max(high, 0.0)
    bottom, top = (math.copysign(math.log2(1 + abs(v) / w), v) * cut for v in (low, high))
    step = max((top - bottom) / 15, 1e-6)
    zero_point = min(max(round(-bottom / step), 0), 15)
    unit = table_unit(max(-low, high))
    try:
        table = CodeTable.lognp(step, zero_point, unit / w)
    except ValueError:
        return None
    scale, zero = lognp_grid(step, zero_point)
    return QParams(Format.TABLE4, scale * w, zero, table, unit)


def candidates(v: Tensor, weight: Tensor, kinds: set[Kind]) -> Iterator[QParams]:
    """Codes to try for samples v [C,S] whose channels count by `weight` [C]."""
    low, high = float(v.min()), float(v.max())
    if Kind.UNIFORM in kinds:
        for cut in CUTS:
            yield uniform_qparams(low * cut, high * cut, Format.UINT4)
    if Kind.LOGNP in kinds:
        base = max(float(v.abs().quantile(PERCENTILE) if v.numel() < 1 << 23 else v.abs().max()), 1e-9)
        for factor in (0.1, 0.25, 0.5, 1.0, 2.0):
            for cut in (1.0, 0.9, 0.8):
                qparams = lognp_code(low, high, base * factor, cut)
                if qparams is not None:
                    yield qparams
    if Kind.FREE in kinds:
        yield from best_tables(v, weight)


def code_error(v: Tensor, qparams: QParams, weight: Tensor) -> float:
    """Mean over places of the weighted square error of samples v [C,S]."""
    return float(((v - fake_quantise(v, qparams)).square().mean(1) * weight).sum())


def best_code(v: Tensor, weight: Tensor, kinds: set[Kind]) -> tuple[QParams, float]:
    """The candidate with least error."""
    scored = [(code_error(v, qparams, weight), i, qparams) for i, qparams in enumerate(candidates(v, weight, kinds))]
    error, _, qparams = min(scored, key=lambda s: s[:2])
    return qparams, error


def weight_error(graph: FloatGraph, layer: Weighted, gain: Tensor, stats: Stats, fisher: Fisher) -> float:
    """What rounding the layer's weights to nearest costs when its inputs hold x / gain."""
    by_input = layer.by_input(gain)
    moment = stats.moments[layer.name] / (by_input.transpose(1, 2) * by_input)
    weight = layer.to_matrix(layer.scaled(gain))
    metric = Metric.damped(fisher.layers[layer.name], moment)
    scale = best_scales(weight, metric, WEIGHT_TOP, 10)
    return float(metric.of(weight - scale * nearest(weight, scale, WEIGHT_TOP)))


@dataclass(frozen=True)
class Choice:
    """What was chosen for a map, for the record: kind of code, alpha, and error relative to the min-max code."""

    fmap: str
    kind: str
    alpha: float
    error: float
    minmax: float


def choose(
    graph: FloatGraph, stats: Stats, fisher: Fisher, narrow: set[str], kinds: set[Kind], alphas: tuple[float, ...],
    tick: Callable[[], None], only: Collection[str] | None = None,
) -> tuple[Gains, dict[str, QParams], list[Choice]]:  # fmt: skip
    """w of every group, and codes of the maps `narrow` (4 bits), each followed by a `tick`: those that leave least
    error. only: of the groups of these maps, and none for others."""
    readers: dict[str, list[Weighted]] = {name: [] for name in graph.shapes}
    whole: dict[str, list[str]] = {name: [] for name in graph.shapes}  # concatenations that a map is part of
    for layer in graph.layers:
        if isinstance(layer, Weighted):
            readers[layer.source].append(layer)
        for part in layer.joins:
            whole[part].append(layer.name)
    gains: Gains = {}
    codes: dict[str, QParams] = {}
    used: dict[str, float] = {}
    factors = {layer.name for layer in graph.layers if isinstance(layer, ChannelScale)}
    for members in groups(graph):
        if only is not None and not narrow.intersection(members, only):
            continue
        base = spread(torch.cat([stats.samples[m] for m in members], 1))
        best: tuple[float, float, Tensor, dict[str, QParams]] | None = None
        for alpha in alphas:
            gain = (base / base.max()) ** alpha
            found: dict[str, QParams] = {}
            error = 0.0
            for m in members:
                if m in narrow:
                    weight = fisher.maps[m] * gain.square()
                    found[m], own = best_code(stats.samples[m] / gain[:, None], weight, kinds)
                    error += own * stats.places[m]
                for name in (m, *whole[m]):
                    for reader in readers[name]:
                        all_gains = input_gain(graph, {**gains, **dict.fromkeys(members, gain)}, name)
                        error += weight_error(graph, reader, all_gains, stats, fisher)
            if alpha and not factors.isdisjoint(members):
                error /= 1 - WORTH
            if best is None or error < best[0]:
                best = error, alpha, gain, found
        assert best is not None
        for _ in best[3]:
            tick()
        gains.update(dict.fromkeys(members, best[2]))
        codes.update(best[3])
        used.update(dict.fromkeys(members, best[1]))
    for name in made(graph):  # concatenations, and maps without w
        if name in narrow and name not in codes and (only is None or name in only):
            gain = input_gain(graph, gains, name)
            weight = fisher.maps[name] * gain.square()
            codes[name], _ = best_code(stats.samples[name] / gain[:, None], weight, kinds)
            tick()
    record = []
    for name, qparams in codes.items():
        x, weight, gain = stats.samples[name], fisher.maps[name], input_gain(graph, gains, name)
        plain = uniform_qparams(float(x.min()), float(x.max()), Format.UINT4)
        own = code_error(x / gain[:, None], qparams, weight * gain.square())
        kind = "uniform" if qparams.table is None else "table"
        record.append(Choice(name, kind, used.get(name, 0.0), own, code_error(x, plain, weight)))
    return gains, codes, record
