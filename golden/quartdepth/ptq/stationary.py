"""Keys and values of attention in four bits, where Fisher error allows: the array then takes one pass instead of two.

What stands on the weights' side of the array is int4 without a table. Three things make up for that, all exact in real
numbers: keys lose their mean over the calibration images, which softmax does not see; each channel of the keys is
divided by a factor that the queries' channel takes (values share the factors of attention's result, chosen before); the
range of values is cut where that leaves less error, not that of keys: the largest ones decide the softmax, and what a
cut adds there is more than Fisher information, square error by channel, says. Then the cheapest maps take four bits
until `SHARE` of the Fisher error of all other four-bit maps is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Stationary, Weighted
from triptych.golden.quartdepth.network.qparams import NARROW, QParams, symmetric_qparams
from triptych.golden.quartdepth.ptq.fisher import Fisher
from triptych.golden.quartdepth.ptq.polish import CUTS, Gains, Stats, code_error, input_gain, spread

SHARE = 0.1


@dataclass(frozen=True)
class Narrow:
    """A map that could have four bits. shift: [C], taken off it. gains: of it and of its counterpart. error: that four
    bits add, as the choice of codes counts it (`polish.Choice`), times pixels."""

    fmap: str
    qparams: QParams
    shift: Tensor
    gains: Gains
    error: float


def candidates(
    graph: FloatGraph, stats: Stats, fisher: Fisher, gains: Mapping[str, Tensor], alphas: tuple[float, ...],
    tick: Callable[[], None],
) -> list[Narrow]:  # fmt: skip
    """The maps that may have four bits, each with its best code, cheapest first. gains: those chosen for others."""
    weighted = {layer.name for layer in graph.weighted}
    found = []
    for layer in graph.layers:
        for one in layer.stationary:
            readers = {n for name in (one.fmap, one.counter) for n in _readers(graph, name)}
            free = one.fmap in weighted and (not one.counter or one.counter in weighted)
            if free and readers == {layer.name} and one.fmap in stats.samples:
                found.append(_best(one, graph, stats, fisher, gains, alphas))
                tick()
    return sorted(found, key=lambda narrow: narrow.error)


def within(found: list[Narrow], budget: float) -> list[Narrow]:
    """As many of them, the cheapest first, as the budget pays for."""
    out, spent = [], 0.0
    for narrow in found:
        spent += narrow.error
        if spent > budget:
            break
        out.append(narrow)
    return out


def shifted(graph: FloatGraph, chosen: list[Narrow]) -> FloatGraph:
    """The same network (exactly, in real numbers) whose chosen maps are less by their shift."""
    shift = {narrow.fmap: narrow.shift for narrow in chosen}
    layers = [
        replace(layer, bias=layer.bias - shift[layer.name]) if isinstance(layer, Weighted) and layer.name in shift
        else layer
        for layer in graph.layers
    ]  # fmt: skip
    return replace(graph, layers=layers)


def _readers(graph: FloatGraph, name: str) -> list[str]:
    return [layer.name for layer in graph.layers if name and name in layer.sources]


def _best(
    one: Stationary, graph: FloatGraph, stats: Stats, fisher: Fisher, gains: Mapping[str, Tensor],
    alphas: tuple[float, ...],
) -> Narrow:  # fmt: skip
    x, weight, places = stats.samples[one.fmap], fisher.maps[one.fmap], stats.places[one.fmap]
    shift = x.mean(1) if one.shifts else x.new_zeros(len(x))
    x = x - shift[:, None]
    if not one.counter:
        gain = input_gain(graph, gains, one.fmap)
        qparams, error = _code(x / gain[:, None], weight * gain.square(), one.shifts)
        return Narrow(one.fmap, qparams, shift, {}, error * places)
    base = spread(x)
    counter, more = stats.samples[one.counter], fisher.maps[one.counter]
    plain = _eight(counter, more)
    options = []
    for alpha in alphas:
        gain = (base / base.max()) ** alpha
        gain = gain / gain.log().mean().exp()
        qparams, error = _code(x / gain[:, None], weight * gain.square(), one.shifts)
        other = _eight(counter * gain[:, None], more / gain.square()) - plain
        both = {one.fmap: gain, one.counter: 1 / gain}
        options.append(Narrow(one.fmap, qparams, shift, both if alpha else {}, (error + other) * places))
    return min(options, key=lambda narrow: narrow.error)


def _eight(x: Tensor, weight: Tensor) -> float:
    return code_error(x, symmetric_qparams(float(x.min()), float(x.max())), weight)


def _code(x: Tensor, weight: Tensor, symmetric: bool) -> tuple[QParams, float]:
    """The best code in -8..7, and what it leaves."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    first, last = NARROW
    tried = []
    for cut in (1.0,) if symmetric else CUTS:
        if symmetric:
            qparams = symmetric_qparams(low, high, narrow=True)
        else:
            scale = max((high - low) * cut / (last - first), 1e-9)
            zero = min(max(round(first - low * cut / scale), first), last)
            qparams = QParams(Format.INT8, scale, zero, narrow=True)
        tried.append((code_error(x, qparams, weight), -cut, qparams))
    error, _, qparams = min(tried, key=lambda t: t[:2])
    return qparams, error
