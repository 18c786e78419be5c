"""Keys, values and queries of attention in four bits, where Fisher error allows: the array then takes one pass instead
of two, and half the steps where queries are coded as well.

What stands on the weights' side of the array is int4 without a table; queries stream and take one, whose entry 0 means
zero, for what a zero point adds would differ from key to key. Three things make up for four bits, all exact in real
numbers: keys lose their mean over the calibration images, which softmax does not see; each channel of the keys is
divided by a factor that the queries' channel takes (values share the factors of attention's result, chosen before);
and where both were turned (`turn.py`) no channel stands out, so that the range may be cut. That of keys as they were is
not: the largest ones decide the softmax, and what a cut adds there is more than Fisher information, square error by
channel, says. Then the cheapest maps take four bits until `SHARE` of the Fisher error of all other four-bit maps is
spent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Stationary, Weighted
from triptych.golden.quartdepth.network.qparams import NARROW, QParams, symmetric_qparams
from triptych.golden.quartdepth.ptq.fisher import Fisher
from triptych.golden.quartdepth.ptq.levels import best_tables
from triptych.golden.quartdepth.ptq.polish import CUTS, Gains, Stats, code_error, input_gain, spread

SHARE = 0.1  # all 36 of ViT-S, turned: d1 lost .032, distance .0674 (test frames), attention at the highest rate; .03
# leaves one map of values out, .017 and .0637; 0 all of them, .021 and .0614; before rotations .033 and .0862


@dataclass(frozen=True)
class Narrow:
    """A map that could have four bits. shift: [C], taken off it. gains: of it and of its counterpart. error: that four
    bits add, as the choice of codes counts it (`polish.Choice`), times pixels. behind: a map that must have four bits
    for this one to have them."""

    fmap: str
    qparams: QParams
    shift: Tensor
    gains: Gains
    error: float
    behind: str = ""


def candidates(
    graph: FloatGraph, stats: Stats, fisher: Fisher, gains: Mapping[str, Tensor], alphas: tuple[float, ...],
    turned: Collection[str], tick: Callable[[], None],
) -> list[Narrow]:  # fmt: skip
    """The maps that may have four bits, each with its best code, cheapest first. gains: those chosen for others.
    turned: maps whose channels a rotation has evened out."""
    weighted = {layer.name for layer in graph.weighted}
    found = []
    for layer in graph.layers:
        for one in layer.stationary:
            readers = {n for name in (one.fmap, one.counter) for n in _readers(graph, name)}
            free = one.fmap in weighted and (not one.counter or one.counter in weighted)
            if free and readers == {layer.name} and one.fmap in stats.samples:
                whole = one.shifts and one.fmap not in turned
                found += _best(one, graph, stats, fisher, gains, alphas, (1.0,) if whole else CUTS)
                tick()
    return sorted(found, key=lambda narrow: narrow.error)


def within(found: list[Narrow], budget: float) -> list[Narrow]:
    """As many of them, the cheapest first, as the budget pays for."""
    out: list[Narrow] = []
    spent, left = 0.0, list(found)
    while ready := [n for n in left if not n.behind or n.behind in {taken.fmap for taken in out}]:
        narrow = min(ready, key=lambda n: n.error)
        spent += narrow.error
        if spent > budget:
            break
        left.remove(narrow)
        out.append(narrow)
    return out


def codes_of(chosen: list[Narrow]) -> dict[str, QParams]:
    """Their codes: keys that meet coded queries lie two a byte."""
    packed = {narrow.behind for narrow in chosen}
    return {n.fmap: replace(n.qparams, packed=True) if n.fmap in packed else n.qparams for n in chosen}


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
    alphas: tuple[float, ...], cuts: tuple[float, ...],
) -> list[Narrow]:  # fmt: skip
    """The map and, where it has a counterpart, that."""
    x, weight, places = stats.samples[one.fmap], fisher.maps[one.fmap], stats.places[one.fmap]
    shift = x.mean(1) if one.shifts else x.new_zeros(len(x))
    x = x - shift[:, None]
    if not one.counter:
        gain = input_gain(graph, gains, one.fmap)
        qparams, error = _code(x / gain[:, None], weight * gain.square(), cuts, one.shifts)
        return [Narrow(one.fmap, qparams, shift, {}, error * places)]
    base = spread(x)
    counter, more = stats.samples[one.counter], fisher.maps[one.counter]
    still = counter.new_zeros(len(counter))
    plain = _eight(counter, more)
    options = []
    for alpha in alphas:
        gain = (base / base.max()) ** alpha
        gain = gain / gain.log().mean().exp()
        qparams, error = _code(x / gain[:, None], weight * gain.square(), cuts, one.shifts)
        v, by = counter * gain[:, None], more / gain.square()
        eight = _eight(v, by)
        streamed = best_tables(v, by, 1, zeros=(0,)) if one.streams else ()
        four, table = min(((code_error(v, t, by), t) for t in streamed), key=lambda t: t[0], default=(eight, None))
        both = {one.fmap: gain, one.counter: 1 / gain} if alpha else {}
        option = [Narrow(one.fmap, qparams, shift, both, (error + eight - plain) * places)]
        if table is not None:
            option.append(Narrow(one.counter, table, still, {}, (four - eight) * stats.places[one.counter], one.fmap))
        options.append(option)
    return min(options, key=lambda option: sum(narrow.error for narrow in option))


def _eight(x: Tensor, weight: Tensor) -> float:
    return code_error(x, symmetric_qparams(float(x.min()), float(x.max())), weight)


def _code(x: Tensor, weight: Tensor, cuts: tuple[float, ...], symmetric: bool) -> tuple[QParams, float]:
    """The best code in -8..7, and what it leaves."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    first, last = NARROW
    tried = []
    for cut in cuts:
        if symmetric:
            qparams = symmetric_qparams(low * cut, high * cut, narrow=True)
        else:
            scale = max((high - low) * cut / (last - first), 1e-9)
            zero = min(max(round(first - low * cut / scale), first), last)
            qparams = QParams(Format.INT8, scale, zero, narrow=True)
        tried.append((code_error(x, qparams, weight), -cut, qparams))
    error, _, qparams = min(tried, key=lambda t: t[:2])
    return qparams, error
