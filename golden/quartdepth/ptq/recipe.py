"""The whole method: from a float network and calibration images to the integer network.

    statistics, Fisher -> polish (w, tables) -> layer by layer (compensate, round) -> reconstruct -> integer network

Every stage that took time is kept in a working file, so that a run that was cut off goes on where it stopped and ends
with the same bytes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from triptych.golden.provenance import code_digest, sources
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network import registry
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Range, Rounded, Weighted
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import QParams, QuantizeError
from triptych.golden.quartdepth.network.quantize import calibrate, quantize_ranges
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq import stationary
from triptych.golden.quartdepth.ptq.centre import centred, offset_codes
from triptych.golden.quartdepth.ptq.fisher import Fisher, estimate
from triptych.golden.quartdepth.ptq.layerwise import LayerRecord, Steps, quantise_layers
from triptych.golden.quartdepth.ptq.matrix import second_moment
from triptych.golden.quartdepth.ptq.objective import BATCH, Objective
from triptych.golden.quartdepth.ptq.polish import (
    Choice,
    Gains,
    Kind,
    Stats,
    choose,
    fold,
    input_gain,
    with_gains,
    without_idle_gains,
)
from triptych.golden.quartdepth.ptq.reconstruct import Teaching, reconstruct
from triptych.golden.quartdepth.ptq.simulate import simulate
from triptych.golden.quartdepth.ptq.stationary import Narrow, codes_of, shifted
from triptych.golden.quartdepth.ptq.turn import Turn, errors, merged, possible, turned
from triptych.golden.quartdepth.ptq.work import Work

SAMPLES = 2048  # places of each map that tables are chosen on,
VALUES = 1 << 17  # and values, at most
KEEP_EVERY = 8  # layers between two checkpoints
MIXED_SHARE = 0.10  # of the MACs that the mixed mode may run at eight bits beside the first and the last layer
CPU = torch.device("cpu")
Progress = Callable[[str, int, int], None]


class Method(Enum):
    """Each does what the one before it does, and one step more."""

    MINMAX = "minmax"
    LOGNP = "lognp"
    COMPENSATE = "compensate"
    FISHER = "fisher"
    FULL = "full"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"no method {value!r}: choose one of {', '.join(m.value for m in cls)}")


@dataclass(frozen=True)
class Recipe:
    """What is done, and with which seed. Two runs of one recipe on the same images give the same network. centre: W4A4
    maps behind LayerNorms, and values, lose their mean (`centre.py`). fine_end: what the last layers with weights read
    keeps eight bits at W4A4, too. attention: of the Fisher error of all other four-bit maps, what keys, values and
    queries in four bits may add."""

    widths: Widths
    method: Method
    seed: int = 4
    draws: int = 2  # of Fisher's noise, an image
    annealing: int = 0
    teaching: int = 160
    alphas: tuple[float, ...] = (0.0, 0.5, 1.0)
    objective: Objective = Objective.LOG_DEPTH
    centre: bool = False
    fine_end: bool = False
    attention: float = stationary.SHARE

    def __post_init__(self) -> None:
        for field, kind in (("widths", Widths), ("method", Method), ("objective", Objective)):
            object.__setattr__(self, field, kind(getattr(self, field)))  # raises ValueError; their text will do

    def reaches(self, method: Method) -> bool:
        """Whether the step is part of it."""
        order = list(Method)
        return order.index(self.method) >= order.index(method)


@dataclass(frozen=True)
class Result:
    """The integer network and how it came about. graph: the float network as it was quantised, on the CPU; ranges: of
    its maps; rounded: weights of its layers (empty for plain min-max)."""

    network: Network
    choices: list[Choice]
    layers: list[LayerRecord]
    graph: FloatGraph
    ranges: dict[str, Range]
    rounded: dict[str, Rounded]


def fingerprint(graph: FloatGraph, images: Tensor) -> str:
    """What every stage depends on: network, images, the code that stages run, PyTorch, the kind of device."""
    digest = hashlib.sha256(f"{torch.__version__} {images.device.type}".encode())
    digest.update(code_digest(sources(sys.modules[__name__], registry)).encode())
    digest.update(images.cpu().numpy().tobytes())
    for constant in graph.constants.values():
        digest.update(constant.cpu().numpy().tobytes())
    for layer in graph.layers:
        for value in vars(layer).values():
            digest.update(value.cpu().numpy().tobytes() if isinstance(value, Tensor) else repr(value).encode())
    return digest.hexdigest()


def measure(graph: FloatGraph, images: Tensor, seed: int, tick: Callable[[], None]) -> Stats:
    """Samples of every map and second moments at every layer's input, of the float network."""
    samples: dict[str, list[Tensor]] = {}
    moments: dict[str, Tensor] = {}
    places: dict[str, int] = {}
    generator = torch.Generator().manual_seed(seed)
    readers: dict[str, list[Weighted]] = {name: [] for name in graph.shapes}
    for layer in graph.weighted:
        readers[layer.source].append(layer)

    def observe(name: str, fmap: Tensor) -> None:
        if not torch.isfinite(fmap).all():
            raise QuantizeError(f"'{name}' holds values that are not finite: check weights and images")
        flat = fmap[0].flatten(1)
        places[name] = flat.shape[1]
        share = max(1, min(SAMPLES, VALUES // len(flat)) // len(images))
        pick = torch.randperm(flat.shape[1], generator=generator)[:share].to(flat.device)
        samples.setdefault(name, []).append(flat[:, pick])
        for layer in readers[name]:
            moment = second_moment(layer, fmap)
            moments[layer.name] = moments[layer.name] + moment if layer.name in moments else moment

    with torch.no_grad():
        for image in images.split(1):
            observe(graph.input, image)
            simulate(graph, image, observe=observe)
            tick()
    joined = {name: torch.cat(parts, 1) for name, parts in samples.items()}
    return Stats(joined, {name: m / len(images) for name, m in moments.items()}, places)


def last_inputs(graph: FloatGraph) -> set[str]:
    """What the last layers with weights read: the output's, or those behind which only sums, concatenations and the
    like lead to it."""
    made = {layer.name: layer for layer in graph.layers}
    found: set[str] = set()
    waiting = list(graph.outputs)
    while waiting:
        layer = made.get(waiting.pop())
        if layer is not None and layer.products:
            found |= set(layer.products)
        elif layer is not None:
            waiting += layer.sources
    return found


def eight_bit_maps(graph: FloatGraph, choices: list[Choice], places: dict[str, int]) -> set[str]:
    """Maps that the mixed mode keeps at eight bits: the last layer's input, then those whose four-bit code costs
    most for each MAC that reads it, until `MIXED_SHARE` of the MACs is spent."""
    macs: dict[str, int] = {}
    for layer in graph.weighted:
        macs[layer.source] = macs.get(layer.source, 0) + layer.macs(graph.shapes)
    total = sum(macs.values())
    chosen, spent = last_inputs(graph), 0
    ranked = sorted(choices, key=lambda c: -c.error * places[c.fmap] / (macs.get(c.fmap, 0) + 1))
    for choice in ranked:
        cost = macs.get(choice.fmap, 0)
        if choice.fmap not in chosen and spent + cost <= MIXED_SHARE * total:
            chosen.add(choice.fmap)
            spent += cost
    return chosen


def run(
    graph: FloatGraph, images: list[Tensor], recipe: Recipe, progress: Progress, work: Work | None = None,
    device: str = "cpu",
) -> Result:  # fmt: skip
    """Quantises. images: calibration, [1,C,H,W] float32 in 0..1. Raises QuantizeError as `quantize` does, before the
    long steps."""
    widths, top = recipe.widths, recipe.widths.weight_top
    if recipe.method is Method.MINMAX and widths is not Widths.MIXED:
        ranges = calibrate(graph, images)
        return Result(quantize_ranges(graph, ranges, widths), [], [], graph, ranges, {})
    if widths.narrow and recipe.method is not Method.MINMAX:
        graph = with_gains(graph)
    ranges = calibrate(graph, images)
    plain = quantize_ranges(graph, ranges, widths)
    graph, batch = graph.to(torch.device(device)), torch.cat(images).to(device)
    work = work or Work()
    base = f"{fingerprint(graph, batch)} seed {recipe.seed}"
    ticks = _ticker(progress, "statistics", len(images))
    stats: Stats = work.stage(f"{base} stats", lambda: measure(graph, batch, recipe.seed, ticks))
    ticks = _ticker(progress, "Fisher information", -(-len(images) // BATCH))
    base += f" draws {recipe.draws} {recipe.objective.value}"

    def informed() -> Fisher:
        return estimate(graph, batch, recipe.draws, recipe.seed, ticks, recipe.objective)

    fisher: Fisher = work.stage(f"{base} Fisher", informed)
    gains: Gains = {}
    codes: dict[str, QParams] = {}
    choices: list[Choice] = []
    eight: set[str] = set()
    evened: frozenset[str] = frozenset()
    if widths.narrow:
        narrow = {n for n, p in plain.maps.items() if p.qparams.format is Format.UINT4 and n in stats.samples}
        kinds = {Kind.UNIFORM} if recipe.method is Method.MINMAX else set(Kind)
        if recipe.method is not Method.MINMAX:
            kept, stats, fisher = _turned(graph, batch, (stats, fisher), narrow, recipe, progress, work, base)
            evened = frozenset(name for turn in kept for name in turn.maps)
            graph = turned(graph, kept)
            base += f" turned {sorted(evened)}"
        if recipe.centre and widths is Widths.W4A4 and recipe.method is not Method.MINMAX:
            graph, gone = centred(graph, {name: x.mean(1) for name, x in stats.samples.items()})
            narrow = {gone.get(name, name) for name in narrow}
            ticks = _ticker(progress, "statistics, centred", len(images))
            base += " centred"
            stats = work.stage(f"{base} stats", lambda: measure(graph, batch, recipe.seed, ticks))
        if recipe.fine_end and widths is Widths.W4A4:
            eight = last_inputs(graph)
            narrow -= eight
            base += f" eight {sorted(eight)}"
        ticks = _ticker(progress, "choosing tables", len(narrow))

        def polish() -> tuple[Gains, dict[str, QParams], list[Choice]]:
            return choose(graph, stats, fisher, narrow, kinds, recipe.alphas, ticks)

        base += f" alphas {recipe.alphas} {sorted(k.value for k in kinds)}"
        gains, codes, choices = work.stage(f"{base} polish", polish)
        if widths is Widths.MIXED:
            eight = eight_bit_maps(graph, choices, stats.places)
            narrow -= eight
            base += " mixed"
            gains, codes, choices = work.stage(f"{base} polish", polish)
    if widths is Widths.W4A4 and recipe.method is not Method.MINMAX:
        four = _four_bit_operands(graph, stats, fisher, gains, choices, recipe, evened, progress)
        base += f" four {sorted(narrow.fmap for narrow in four)}"
        for each in four:
            gains |= each.gains
        codes |= codes_of(four)
        graph = shifted(graph, four)
    folded, idle = without_idle_gains(fold(graph, gains), gains)
    codes = {idle.get(name, name): qparams for name, qparams in codes.items()}
    codes = offset_codes(folded, codes)
    eight = {idle.get(name, name) for name in eight}
    on_cpu = folded.to(CPU)
    ranges = calibrate(on_cpu, images)
    maps = quantize_ranges(on_cpu, ranges, widths, codes, eight).maps
    used = {name: fmap.qparams for name, fmap in maps.items()}
    steps = Steps(recipe.reaches(Method.COMPENSATE), recipe.reaches(Method.FISHER), top, recipe.annealing)
    base += f" {widths.value} {steps}"
    gradients = _gradients(graph, gains, fisher)
    rounded, records = _layers(folded, batch, used, gradients, steps, work, f"{base} layers", progress)
    if recipe.reaches(Method.FULL):
        teaching = Teaching(recipe.teaching, top=top)
        key = f"{base} {teaching}"

        def tick(step: int, loss: float, state: Callable[[], dict[str, Any]]) -> None:
            progress(f"reconstruction, loss {loss:.4f}", step, teaching.steps)
            if step % teaching.every == 0:
                work.keep(key, (step, state()))

        rounded = reconstruct(
            folded, batch, used, rounded, teaching, recipe.seed, work.get(key), tick, recipe.objective
        )
    chosen = {n: Rounded(r.codes.cpu(), r.scale.cpu(), r.bias.cpu()) for n, r in rounded.items()}
    network = quantize_ranges(on_cpu, ranges, widths, codes, eight, chosen)
    return Result(network, choices, records, on_cpu, ranges, chosen)


def _turned(
    graph: FloatGraph, batch: Tensor, known: tuple[Stats, Fisher], narrow: set[str], recipe: Recipe, progress: Progress,
    work: Work, base: str,
) -> tuple[list[Turn], Stats, Fisher]:  # fmt: skip
    """The groups of maps whose Fisher error falls when they are turned, and what is then known of all maps."""
    four = recipe.widths is Widths.W4A4
    wanted = set(narrow)
    for layer in graph.layers if four else []:
        wanted.update(one.fmap for one in layer.stationary)
    turns = [turn for turn in possible(graph) if not wanted.isdisjoint(turn.maps)]
    if not turns:
        return [], *known
    other = turned(graph, turns)
    ticks = _ticker(progress, "statistics, turned", len(batch))
    stats: Stats = work.stage(f"{base} turned stats", lambda: measure(other, batch, recipe.seed, ticks))
    draws = _ticker(progress, "Fisher information, turned", -(-len(batch) // BATCH))

    def informed() -> Fisher:
        return estimate(other, batch, recipe.draws, recipe.seed, draws, recipe.objective)

    fisher: Fisher = work.stage(f"{base} turned Fisher", informed)
    names = frozenset(name for turn in turns for name in turn.maps)
    ticks = _ticker(progress, "what to turn", 2 * len(names & wanted))

    def compared() -> list[bool]:
        before = errors(graph, known, turns, narrow, four, recipe.alphas, (), ticks)
        after = errors(other, (stats, fisher), turns, narrow, four, recipe.alphas, names, ticks)
        return [b > a for b, a in zip(before, after, strict=True)]

    falls = work.stage(f"{base} turned alphas {recipe.alphas} {four}", compared)
    kept = [turn for turn, less in zip(turns, falls, strict=True) if less]
    return kept, *merged(graph, {name for turn in kept for name in turn.maps}, known, (stats, fisher))


def _four_bit_operands(
    graph: FloatGraph, stats: Stats, fisher: Fisher, gains: Gains, choices: list[Choice], recipe: Recipe,
    evened: frozenset[str], progress: Progress,
) -> list[Narrow]:  # fmt: skip
    """Attention's keys, values and queries that take four bits. evened: maps that were turned."""
    total = sum(len(layer.stationary) for layer in graph.layers)
    ticks = _ticker(progress, "keys and values", total)
    found = stationary.candidates(graph, stats, fisher, gains, recipe.alphas, evened, ticks)
    budget = recipe.attention * sum(choice.error * stats.places[choice.fmap] for choice in choices)
    return stationary.within(found, budget)


def _ticker(progress: Progress, text: str, total: int) -> Callable[[], None]:
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        progress(text, count, total)

    return tick


def _gradients(graph: FloatGraph, gains: Gains, fisher: Fisher) -> dict[str, Tensor]:
    """Fisher's gradient factors for the folded network: a sum divided by w has a gradient w times as large."""
    out = {}
    for layer in graph.weighted:
        w, g = input_gain(graph, gains, layer.name), fisher.layers[layer.name]
        out[layer.name] = g * ((w[:, None] * w[None])[None] if len(g) == 1 else w.square()[:, None, None])
    return out


def _layers(
    graph: FloatGraph, batch: Tensor, codes: dict[str, QParams], gradients: dict[str, Tensor], steps: Steps, work: Work,
    key: str, progress: Progress,
) -> tuple[dict[str, Rounded], list[LayerRecord]]:  # fmt: skip
    done, records = work.get(key, ({}, []))
    total = len(gradients)

    def tick(name: str, record: LayerRecord) -> None:
        records.append(record)
        progress(f"layer {name}", len(done), total)
        if len(done) % KEEP_EVERY == 0 or len(done) == total:
            work.keep(key, (dict(done), list(records)))

    return quantise_layers(graph, batch, codes, gradients, steps, done, tick), records
