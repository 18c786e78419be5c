"""The whole method: from a float network and calibration images to the integer network.

    statistics, Fisher -> polish (w, tables) -> layer by layer (compensate, round) -> reconstruct -> integer network

Every stage that took time is kept in a working file, so that a run that was cut off goes on where it stopped and ends
with the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from golden.quartdepth.chip.isa import Format
from golden.quartdepth.method.fisher import Fisher, estimate
from golden.quartdepth.method.layerwise import LayerRecord, Steps, quantise_layers
from golden.quartdepth.method.matrix import second_moment
from golden.quartdepth.method.polish import Choice, Kind, Stats, choose, fold, input_gain
from golden.quartdepth.method.reconstruct import Teaching, reconstruct
from golden.quartdepth.method.simulate import simulate
from golden.quartdepth.network.layers import Conv, FloatGraph, Transposed
from golden.quartdepth.network.network import Network
from golden.quartdepth.network.quantize import Bits, QuantizeError, Rounded, calibrate, quantize_ranges

SAMPLES = 4096  # places of each picture that tables are chosen on
MIXED_SHARE = 0.10  # of the MACs that the mixed mode may run at eight bits beside the first and the last layer
Progress = Callable[[str, int, int], None]


class Widths(Enum):
    """Weights and activations. MIXED: w4a4, but eight bits into the first and last layer and where they help most."""

    W8A8 = "w8a8"
    W4A8 = "w4a8"
    W4A4 = "w4a4"
    MIXED = "mixed"


class Method(Enum):
    """Each does what the one before it does, and one step more."""

    MINMAX = "minmax"
    LOGNP = "lognp"
    COMPENSATE = "compensate"
    FISHER = "fisher"
    FULL = "full"


@dataclass(frozen=True)
class Recipe:
    """What is done, and with which seed. Two runs of one recipe on the same images give the same network."""

    widths: Widths
    method: Method
    seed: int = 4
    draws: int = 2  # of Fisher's noise, an image
    adaround: int = 150
    teaching: int = 240
    alphas: tuple[float, ...] = (0.0, 0.5, 1.0)

    def reaches(self, method: Method) -> bool:
        """Whether the step is part of it."""
        order = list(Method)
        return order.index(self.method) >= order.index(method)


@dataclass(frozen=True)
class Result:
    """The integer network and how it came about."""

    network: Network
    choices: list[Choice]
    layers: list[LayerRecord]


class Work:
    """Stages of a run that are done, in one file; without a file nothing is kept."""

    def __init__(self, file: Path | None, key: str) -> None:
        self.file, self.key = file, key
        self.stages: dict[str, Any] = {}
        if file is not None and file.exists():
            try:
                stored = pickle.loads(file.read_bytes())
            except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError):
                stored = {}
            if stored.get("key") == key:
                self.stages = stored["stages"]

    def keep(self, name: str, value: Any) -> None:
        """Stores a stage, whole or not at all."""
        self.stages[name] = value
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.file.with_name(f".{self.file.name}.{os.getpid()}")
            temporary.write_bytes(pickle.dumps({"key": self.key, "stages": self.stages}))
            os.replace(temporary, self.file)

    def stage(self, name: str, compute: Callable[[], Any]) -> Any:
        """The stage's value, computed if it is not there."""
        if name not in self.stages:
            self.keep(name, compute())
        return self.stages[name]

    def finish(self) -> None:
        """The work is done: its file goes."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)


def fingerprint(graph: FloatGraph, images: Tensor, recipe: Recipe) -> str:
    """What a run depends on."""
    digest = hashlib.sha256(repr((asdict(recipe), torch.__version__)).encode())
    digest.update(images.numpy().tobytes())
    for layer in graph.layers:
        digest.update(layer.name.encode())
        for value in vars(layer).values():
            digest.update(value.numpy().tobytes() if isinstance(value, Tensor) else repr(value).encode())
    return digest.hexdigest()


def measure(graph: FloatGraph, images: Tensor, seed: int, tick: Callable[[], None]) -> Stats:
    """Samples of every picture and second moments at every layer's input, of the float network."""
    samples: dict[str, list[Tensor]] = {}
    moments: dict[str, Tensor] = {}
    places: dict[str, int] = {}
    generator = torch.Generator().manual_seed(seed)
    share = max(1, SAMPLES // len(images))
    readers: dict[str, list[Conv | Transposed]] = {name: [] for name in graph.shapes}
    for layer in graph.layers:
        if isinstance(layer, Conv | Transposed):
            readers[layer.source].append(layer)

    def observe(name: str, picture: Tensor) -> None:
        if not torch.isfinite(picture).all():
            raise QuantizeError(f"'{name}' holds values that are not finite: check weights and images")
        flat = picture[0].flatten(1)
        places[name] = flat.shape[1]
        pick = torch.randperm(flat.shape[1], generator=generator)[:share]
        samples.setdefault(name, []).append(flat[:, pick])
        for layer in readers[name]:
            moment = second_moment(layer, picture)
            moments[layer.name] = moments[layer.name] + moment if layer.name in moments else moment

    with torch.no_grad():
        for image in images.split(1):
            observe(graph.input, image)
            simulate(graph, image, observe=observe)
            tick()
    joined = {name: torch.cat(parts, 1) for name, parts in samples.items()}
    return Stats(joined, {name: m / len(images) for name, m in moments.items()}, places)


def eight_bit_pictures(graph: FloatGraph, fisher: Fisher, choices: list[Choice], places: dict[str, int]) -> set[str]:
    """Pictures that the mixed mode keeps at eight bits: the last layer's input, then those whose four-bit code costs
    most for each MAC that reads it, until `MIXED_SHARE` of the MACs is spent."""
    macs: dict[str, int] = {}
    for layer in graph.layers:
        if isinstance(layer, Conv | Transposed):
            pixels = len(graph.shapes[layer.source if isinstance(layer, Transposed) else layer.name])
            macs[layer.source] = macs.get(layer.source, 0) + pixels * layer.weight.numel()
    total = sum(macs.values())
    last = next(layer.source for layer in graph.layers if layer.name == graph.output and isinstance(layer, Conv))
    chosen, spent = {last}, 0
    ranked = sorted(choices, key=lambda c: -c.error * places[c.picture] / (macs.get(c.picture, 0) + 1))
    for choice in ranked:
        cost = macs.get(choice.picture, 0)
        if choice.picture not in chosen and spent + cost <= MIXED_SHARE * total:
            chosen.add(choice.picture)
            spent += cost
    return chosen


def run(
    graph: FloatGraph, images: list[Tensor], recipe: Recipe, progress: Progress, work_file: Path | None = None
) -> Result:
    """Quantises. images: calibration, [1,C,H,W] float32 in 0..1. Raises QuantizeError as `quantize` does."""
    ranges = calibrate(graph, images)
    bits = Bits.W4A8 if recipe.widths in (Widths.W8A8, Widths.W4A8) else Bits.W4A4
    top = 127 if recipe.widths is Widths.W8A8 else 7
    if recipe.method is Method.MINMAX and recipe.widths is not Widths.MIXED:
        return Result(quantize_ranges(graph, ranges, bits, weight_top=top), [], [])
    batch = torch.cat(images)
    work = Work(work_file, fingerprint(graph, batch, recipe))
    count = [0]

    def ticker(text: str, total: int) -> Callable[[], None]:
        count[0] = 0

        def tick() -> None:
            count[0] += 1
            progress(text, count[0], total)

        return tick

    stats: Stats = work.stage("stats", lambda: measure(graph, batch, recipe.seed, ticker("statistics", len(images))))
    passes = -(-len(images) // 4)
    fisher: Fisher = work.stage(
        "fisher", lambda: estimate(graph, batch, recipe.draws, recipe.seed, ticker("Fisher information", passes))
    )
    progress("choosing tables", 0, 0)
    plain = quantize_ranges(graph, ranges, bits)
    narrow = {name for name, p in plain.pictures.items() if p.code.format is Format.UINT4 and name in stats.samples}

    def polish(narrow: set[str]) -> Any:
        kinds = set(Kind) if recipe.method is not Method.MINMAX else {Kind.UNIFORM}
        return choose(graph, stats, fisher, narrow, kinds, recipe.alphas)

    gains, codes, choices = work.stage("polish", lambda: polish(narrow))
    eight: set[str] = set()
    if recipe.widths is Widths.MIXED:
        eight = eight_bit_pictures(graph, fisher, choices, stats.places)
        gains, codes, choices = work.stage("polish mixed", lambda: polish(narrow - eight))
    folded = fold(graph, gains) if bits is Bits.W4A4 else graph
    ranges = calibrate(folded, images)
    base = quantize_ranges(folded, ranges, bits, codes, eight)
    used = {name: base.pictures[name].code for name in base.pictures}
    gradients = {}
    for layer in folded.layers:
        if isinstance(layer, Conv | Transposed):
            w = input_gain(graph, gains, layer.name) if bits is Bits.W4A4 else torch.ones(len(layer.bias))
            g = fisher.layers[layer.name]
            outer = (w[:, None] * w[None])[None] if len(g) == 1 else w.square()[:, None, None]
            gradients[layer.name] = g * outer
    steps = Steps(recipe.reaches(Method.COMPENSATE), recipe.adaround if recipe.reaches(Method.FISHER) else 0, top)
    done: dict[str, Rounded] = dict(work.stages.get("layers", {}))
    records: list[LayerRecord] = list(work.stages.get("records", []))
    total = len(gradients)

    def layer_done(name: str, rounded: Rounded, record: LayerRecord | None) -> None:
        if record is not None:
            records.append(record)
        progress(f"layer {name}", len(done), total)
        if len(done) % 8 == 0 or len(done) == total:
            work.stages["records"] = list(records)
            work.keep("layers", dict(done))

    rounded = quantise_layers(folded, batch, used, gradients, steps, done, layer_done)
    if recipe.reaches(Method.FULL) and recipe.teaching:
        rounded = _reconstructed(folded, batch, used, rounded, recipe, top, work, progress)
    network = quantize_ranges(folded, ranges, bits, codes, eight, rounded, top)
    work.finish()
    return Result(network, choices, records)


def _reconstructed(
    graph: FloatGraph, batch: Tensor, codes: Any, rounded: dict[str, Rounded], recipe: Recipe, top: int, work: Work,
    progress: Progress,
) -> dict[str, Rounded]:  # fmt: skip
    teaching = Teaching(recipe.teaching, top=top)

    def tick(step: int, loss: float, state: Callable[[], dict[str, object]]) -> None:
        progress(f"reconstruction, loss {loss:.4f}", step, teaching.steps)
        if step % teaching.every == 0:
            work.keep("teaching", (step, state()))

    resume = work.stages.get("teaching")
    return reconstruct(graph, batch, codes, rounded, teaching, recipe.seed, resume, tick)
