"""`triptych accuracy`: what quantisation costs, by model, widths and method, on frames never used for calibration.

Our rows are the integer network's own output (`Network.run_integer`); each network also runs on the golden machine,
one frame, and must give the same integers. Rows lie in a working folder, each under a key of all that it depends on:
a run that was cut off goes on, a second run gives the same figures.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from golden.quartdepth.chip.config import chip_config
from golden.quartdepth.compiler.compile import compile_network
from golden.quartdepth.compiler.run import run_on_machine
from golden.quartdepth.meter import metrics
from golden.quartdepth.meter.metrics import Scores, score_image
from golden.quartdepth.meter.photo import to_input
from golden.quartdepth.meter.sequences import Sequence
from golden.quartdepth.method import model_file
from golden.quartdepth.method.model_file import ModelFile
from golden.quartdepth.method.recipe import Method, Recipe, Widths, Work, run
from golden.quartdepth.network.network import Network
from golden.quartdepth.network.quantize import image_codes
from sim import peers
from sim.ledger import replace_section, table, write_text
from sim.method_figures import depth_figure, polish_figure, save
from sim.models import MODELS, FloatNetwork, Model, Photos, calibration_frames, float_network, held_out
from sim.peers import Peer
from sim.quantize import describe
from sim.rtl import ROOT

Progress = Callable[[str, int, int], None]
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
RESAMPLES, SEED = 2000, 4
LEAVE_OUT = "calibrated without it"

OURS = (
    (Widths.W4A4, Method.MINMAX),
    (Widths.W4A4, Method.LOGNP),
    (Widths.W4A4, Method.COMPENSATE),
    (Widths.W4A4, Method.FISHER),
    (Widths.W4A8, Method.MINMAX),
    (Widths.W4A8, Method.COMPENSATE),
    (Widths.W4A8, Method.FISHER),
    (Widths.MIXED, Method.FISHER),
    (Widths.W8A8, Method.MINMAX),
    (Widths.W4A4, Method.FULL),
)
LEFT_OUT = Recipe(Widths.W4A4, Method.FISHER)  # the network of the leave-one-out rows
PEERS = ((Peer.GPTQ, (4, 4)), (Peer.QRONOS, (4, 4)), (Peer.GPTQ, (4, 8)), (Peer.QRONOS, (4, 8)))
INTRODUCTION = """
`triptych accuracy`. Median-scaled d1 with the 95 % interval of a bootstrap over images, AbsRel and RMSE (metres) scaled
too, raw d1 beside them. Loss: FP32's d1 less the row's. Calibration: train frames alone. Our rows are the integer
network, bit for bit what the chip computes ("machine equal": compared with the golden machine on a test frame). Label:
`cpu-measured`.
""".strip()
ABOUT_PEERS = """
The peers are simulated by Brevitas, which leaves in float the sums, concatenations, attention's products, softmax,
LayerNorm and biases, and keeps its first and last layer at eight bits.
""".strip()
STEP = {
    Method.MINMAX: "min-max",
    Method.LOGNP: "ours: LogNP",
    Method.COMPENSATE: "ours: + compensation",
    Method.FISHER: "ours: + Fisher rounding",
    Method.FULL: "ours: + reconstruction",
}


@dataclass(frozen=True)
class Row:
    """Scores by image of one network on one sequence. note: file size and the machine's verdict, or the setting."""

    model: str
    sequence: str
    widths: str
    method: str
    d1: list[float]
    d1_scaled: list[float]
    abs_rel: list[float]
    rmse: list[float]
    note: str


def interval(values: list[float]) -> tuple[float, float]:
    """95 % of the means of resampled images (percentile bootstrap)."""
    v = np.array(values)
    pick = np.random.default_rng(SEED).integers(len(v), size=(RESAMPLES, len(v)))
    low, high = np.percentile(v[pick].mean(1), (2.5, 97.5))
    return float(low), float(high)


class Store:
    """Rows that are measured, by key."""

    def __init__(self, file: Path, measuring: bool = True) -> None:
        self.file, self.measuring = file, measuring
        self.rows: dict[str, list[dict[str, Any]]] = {}
        if self.file.exists():
            self.rows = json.loads(self.file.read_text())

    def get(self, key: str, measure: Callable[[], list[Row]]) -> list[Row]:
        """The rows under a key, measured if they are not there (none, if nothing is to be measured)."""
        digest = hashlib.sha256(key.encode()).hexdigest()[:24]
        if digest not in self.rows and not self.measuring:
            return []
        if digest not in self.rows:
            self.rows[digest] = [asdict(row) for row in measure()]
            write_text(self.file, json.dumps(self.rows))
        return [Row(**row) for row in self.rows[digest]]


def score(name: str, widths: str, method: str, predict: Predict, tests: list[Sequence], note: str) -> list[Row]:
    """A row for each sequence."""
    rows = []
    for s in tests:
        found = (score_image(predict(rgb), d, MODELS[name].region) for rgb, d in zip(s.rgb, s.depth, strict=True))
        kept: list[Scores] = [x for x in found if x is not None]
        rows.append(Row(
            name, s.name, widths, method, [x.raw.d1 for x in kept], [x.scaled.d1 for x in kept],
            [x.scaled.abs_rel for x in kept], [x.scaled.rmse for x in kept], note,
        ))  # fmt: skip
    return rows


def predictor(network: Network, unit: float) -> Predict:
    """Metres [h,w] of the integer network."""
    code = network.pictures[network.output].code
    return lambda rgb: code.decode(network.run_integer(image_codes(network, rgb)))[:, :, 0] * unit


def on_machine(network: Network, rgb: NDArray[np.uint8]) -> str:
    """Whether the golden machine gives the integer network's output."""
    if any(getattr(x, "weight", np.zeros(1)).max() > 7 for x in network.layers if hasattr(x, "bias")):
        return "integers, no chip program (int8 weights)"
    codes = image_codes(network, rgb)
    compiled = compile_network(network, chip_config("small"))
    same = bool((run_on_machine(compiled, codes) == network.run_integer(codes)).all())
    return "machine equal" if same else "MACHINE DIFFERS"


def measure(
    name: str, folder: Path, peers: bool, every: int | None, progress: Progress, measuring: bool = True
) -> Iterator[list[Row]]:
    """All rows of a model; not measuring: those that are measured already."""
    model = load_model(name)
    unit = model.metres_per_unit or 1.0
    every = every or MODELS[name].every
    tests = held_out(name, every)
    frames = calibration_frames(name)
    store, work = Store(folder / f"{name}.json", measuring), Work(folder / f"{name}.work")
    state = b"".join(v.numpy().tobytes() for v in model.state_dict().values())
    base = f"{name} {every} {hashlib.sha256(state).hexdigest()} {torch.__version__} {_sources()}"
    images = list(to_input(frames).split(1))
    graph = float_graph(model, images[0])

    def ours(widths: Widths, method: Method, only: list[Sequence], chosen: NDArray[np.uint8], text: str) -> list[Row]:
        progress(f"{name} {widths.value} {method.value}", 0, 0)
        recipe = Recipe(widths, method)
        result = run(graph, list(to_input(chosen).split(1)), recipe, progress, work if chosen is frames else None)
        size = len(to_bytes(ModelFile(result.network, unit, {})))
        note = f"{float_bytes(model) / size:.1f}x smaller; {on_machine(result.network, only[0].rgb[0])}"
        progress(f"{name} {widths.value} {method.value}: scoring", 0, 0)
        return score(name, widths.value, text, predictor(result.network, unit), only, note)

    def exact(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
        return graph.run(to_input(rgb[None]))[0, 0].numpy().astype(np.float64) * unit

    yield store.get(f"{base} fp32", lambda: score(name, "fp32", "float", exact, tests, ""))
    for widths, method in OURS:
        yield store.get(
            f"{base} {Recipe(widths, method)}",
            lambda widths=widths, method=method: ours(widths, method, tests, frames, STEP[method]),  # type: ignore[misc]
        )
    if peers:
        for peer, bits in PEERS:
            yield store.get(
                f"{base} {bits} {peer}",
                lambda bits=bits, peer=peer: _peer(name, model, images, bits, peer, tests, progress),  # type: ignore[misc]
            )
    places = MODELS[name].calibration[1]
    for left_out in places if len(places) > 1 else ():
        others = tuple(p for p in places if p != left_out)
        only = [t for t in tests if t.name == left_out]
        chosen = calibration_frames(name, others)
        text = f"{STEP[LEFT_OUT.method]}, {LEAVE_OUT}"
        yield store.get(
            f"{base} without {left_out} {LEFT_OUT}",
            lambda only=only, chosen=chosen, text=text: ours(LEFT_OUT.widths, LEFT_OUT.method, only, chosen, text),  # type: ignore[misc]
        )


def _peer(
    name: str, model: METER, images: list[torch.Tensor], bits: tuple[int, int], peer: Peer, tests: list[Sequence],
    progress: Progress,
) -> list[Row]:  # fmt: skip
    widths = f"w{bits[0]}a{bits[1]}"
    progress(f"{name} {widths} {peer.value}", 0, 0)
    net, setting = quantised(model, images, peer, bits)
    unit = model.metres_per_unit or 1.0

    def predict(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.no_grad():
            out: NDArray[np.float64] = net(to_input(rgb[None]))[0, 0].numpy().astype(np.float64) * unit
        return out

    return score(name, widths, peer.value, predict, tests, setting)


def _sources() -> str:
    """Of the code that makes the figures."""
    import golden.quartdepth.method as method

    folder = Path(str(method.__file__)).parent
    files = [*sorted(folder.glob("*.py")), *sorted((folder.parent / "network").glob("*.py"))]
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def markdown(model: str, rows: list[Row]) -> str:
    """Tables by sequence, in Markdown."""
    parts = [f"## Accuracy after quantisation: {MODELS[model].title}", INTRODUCTION]
    if any(r.method in {peer.value for peer in Peer} for r in rows):
        parts.append(ABOUT_PEERS)
    for sequence in dict.fromkeys(r.sequence for r in rows):
        here = [r for r in rows if r.sequence == sequence]
        exact = float(np.mean(next(r for r in here if r.widths == "fp32").d1_scaled))
        lines = []
        for r in here:
            low, high = interval(r.d1_scaled)
            mean = float(np.mean(r.d1_scaled))
            lines.append([
                r.widths, r.method, f"{mean:.3f} [{low:.3f}, {high:.3f}]", f"{exact - mean:+.3f}",
                f"{np.mean(r.abs_rel):.3f}", f"{np.mean(r.rmse):.2f}", f"{np.mean(r.d1):.3f}", r.note,
            ])  # fmt: skip
        header = ["widths", "method", "d1 scaled", "loss", "AbsRel", "RMSE", "d1 raw", "note"]
        parts += [f"### {sequence}, n = {len(here[0].d1)}", table(header, lines)]
    return "\n\n".join(parts)


def run_accuracy(
    models: list[str], peers: bool, every: int | None, measuring: bool, folder: Path, progress: Progress
) -> str:
    """Measures what is not measured yet, puts each model's tables into docs/results.md and returns them.

    With `every` other than the model's own nothing is published.
    """
    torch.set_num_threads(1)  # one order of summation wherever this runs
    texts = []
    for name in models:
        rows = [row for part in measure(name, folder, peers, every, progress, measuring) for row in part]
        texts.append(markdown(name, rows))
        write_text(folder / f"{name}.md", texts[-1] + "\n")
        if every is None:
            replace_section(f"accuracy-{name}", texts[-1])
    if every is None and "meter" in models:
        save(polish_figure(), ROOT / "docs/img/method_polish.png")
        save(examples("meter", folder, progress), ROOT / "docs/img/method_depth.png")
    return "\n\n".join(texts)


def examples(name: str, folder: Path, progress: Progress) -> Figure:
    """A test frame of each sequence: float, W4A4 by min-max and by our method."""
    model = load_model(name)
    frames = calibration_frames(name)
    images = list(to_input(frames).split(1))
    graph, work = float_graph(model, images[0]), Work(folder / f"{name}.work")
    photos = [s.rgb[len(s.rgb) // 2] for s in held_out(name, MODELS[name].every)]
    maps = {"FP32": [graph.run(to_input(rgb[None]))[0, 0].numpy().astype(np.float64) for rgb in photos]}
    for title, method in (("W4A4 min-max", Method.MINMAX), ("W4A4 ours", Method.FISHER)):
        network = run(graph, images, Recipe(Widths.W4A4, method), progress, work).network
        maps[title] = [predictor(network, 1.0)(rgb) for rgb in photos]
    return depth_figure(photos, maps)
