"""`triptych accuracy`: what quantisation costs, by model, widths and method, on frames never used for calibration.

Our rows are the integer network's own output (`Network.run_integer`); each network also runs on the golden machine,
one frame, and must give the same integers. Rows and networks lie in a working folder, each under a key of all that it
depends on: a run that was cut off goes on, a second run gives the same figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from triptych.golden.files import write
from triptych.golden.provenance import code_digest, digest, sources
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler import run as compiler_run
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.data import metrics
from triptych.golden.quartdepth.data.metrics import distance, score_image
from triptych.golden.quartdepth.data.sequences import Sequence
from triptych.golden.quartdepth.network import network
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import image_codes, integer_output
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.model_file import ModelFile, ModelFileError, load, save, to_bytes
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, run
from triptych.golden.quartdepth.ptq.work import Work
from triptych.sim.bench import method_figures, peers
from triptych.sim.bench.accuracy_table import STEP, TAUGHT, Row, markdown
from triptych.sim.bench.ledger import replace_section
from triptych.sim.bench.peers import Peer
from triptych.sim.build.sources import ROOT
from triptych.sim.depth.models import MODELS, FloatNetwork, Frames, Photos, calibration_frames, float_network, held_out
from triptych.sim.depth.quantize import describe, net_key, recipe_key, repeatable
from triptych.sim.errors import TriptychError

Progress = Callable[[str, int, int], None]
Predict = Callable[[Photos], NDArray[np.float64]]
LEFT_OUT = Recipe(Widths.W4A4, Method.FISHER)  # the network of the leave-one-out rows

OURS = (
    Recipe(Widths.W4A4, Method.MINMAX),
    Recipe(Widths.W4A4, Method.LOGNP),
    Recipe(Widths.W4A4, Method.COMPENSATE),
    Recipe(Widths.W4A4, Method.FISHER),
    Recipe(Widths.W4A4, Method.FULL),
    Recipe(Widths.MIXED, Method.FISHER),
    Recipe(Widths.MIXED, Method.FULL),
    Recipe(Widths.W4A8, Method.MINMAX),
    Recipe(Widths.W4A8, Method.COMPENSATE),
    Recipe(Widths.W4A8, Method.FISHER),
    Recipe(Widths.W4A8, Method.FULL),
    Recipe(Widths.W8A8, Method.MINMAX),
    Recipe(Widths.W8A8, Method.COMPENSATE),
    Recipe(Widths.W8A8, Method.FISHER),
)
BRIEF = tuple(
    Recipe(widths, method)
    for widths in (Widths.W4A4, Widths.W4A8)
    for method in (Method.MINMAX, Method.COMPENSATE, Method.FISHER, Method.FULL)
)
PEER_BITS = ((4, 4), (4, 8), (8, 8))


class Store:
    """What is measured, each value a file, by key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, measure: Callable[[], Any] | None) -> Any:
        """The value under a key, measured if it is not there; None if nothing is to be measured."""
        file = self.folder / f"{key}.json"
        if not file.exists():
            if measure is None:
                return None
            write(file, json.dumps(measure()))
        try:
            return json.loads(file.read_text())
        except ValueError:
            raise TriptychError(f"{file} is damaged: delete it, and its row is measured again") from None


@dataclass(frozen=True)
class Bench:
    """What the rows of a model are measured with. wanted: whether a row of this name is to be measured."""

    name: str
    net: FloatNetwork
    tests: list[Sequence]
    folder: Path
    progress: Progress
    wanted: Callable[[str], bool]

    @property
    def store(self) -> Store:
        """The rows."""
        return Store(self.folder / self.name)

    def rows(self, widths: str, method: str, key: str, make: Callable[[], tuple[Predict, str]]) -> list[Row]:
        """A row for each test sequence. make: what predicts metres [h,w] of a photo [H,W,3], and the note."""
        data = repr([(s.name, s.split, s.ids) for s in self.tests])
        scoring = code_digest(sources(metrics))
        whole = digest(*(part.encode() for part in (key, widths, method, scoring, data)))

        def measure() -> list[dict[str, Any]]:
            predict, note = make()
            self.progress(f"{self.name} {widths} {method}: scoring", 0, 0)
            return [asdict(self._score(s, widths, method, predict, note)) for s in self.tests]

        found = self.store.get(whole, measure if self.wanted(f"{widths} {method}") else None)
        return [Row(**row) for row in found or ()]

    def _score(self, s: Sequence, widths: str, method: str, predict: Predict, note: str) -> Row:
        region = MODELS[self.name].region
        row = Row(self.name, s.name, widths, method, [], [], [], [], [], note)
        for rgb, depth in zip(s.rgb, s.depth, strict=True):
            metres = predict(rgb)
            scores = score_image(metres, depth, region)
            if scores is not None:
                row.d1.append(scores.raw.d1)
                row.d1_scaled.append(scores.scaled.d1)
                row.abs_rel.append(scores.scaled.abs_rel)
                row.rmse.append(scores.scaled.rmse)
                row.distance.append(distance(metres, self.net.depth(rgb)))
        return row

    def quantised(self, recipe: Recipe, frames: Frames, title: str, label: str = "") -> ModelFile | None:
        """Our network, from its file or made; None if it is not there and not to be made."""
        recipe = replace(recipe, teaching=MODELS[self.name].teaching)
        file = self.folder / self.name / f"{recipe.widths.value}-{recipe.method.value}{label}.triptych"
        key = recipe_key(self.net, frames, recipe)
        try:
            stored = load(file)
            if stored.about["key"] == key:
                return stored
        except ModelFileError:
            pass  # not there yet, or of another version
        if not self.wanted(title):
            return None
        self.progress(f"{self.name} {title}", 0, 0)
        work = Work(None if label else self.folder / f"{self.name}.work")
        result = run(self.net.graph, self.net.pictures(frames.rgb), recipe, self.progress, work, self.net.device)
        about = describe(self.name, self.net, frames, recipe, result)
        model = ModelFile(result.network, self.net.metres, about)
        save(model, file)
        return model

    def ours(self, recipe: Recipe, frames: Frames, without: str = "") -> list[Row]:
        """Rows of our network. without: the sequence that it was calibrated without."""
        method = STEP[recipe.method] + (f", calibrated without {without}" if without else "")
        model = self.quantised(
            recipe, frames, f"{recipe.widths.value} {method}", f"-without-{without}" if without else ""
        )
        return [] if model is None else self.scored(model, recipe.widths, method)

    def scored(self, model: ModelFile, widths: Widths, method: str) -> list[Row]:
        """Rows of a quantised network, with the machine's verdict."""
        title = f"{widths.value} {method}"
        content = to_bytes(model)
        smaller = f"{self.net.bytes / len(content):.1f}x smaller"
        predict = predictor(self.net, model.network)
        key = digest(content, code_digest(sources(network)).encode())
        rows = self.rows(widths.value, method, key, lambda: (predict, smaller))
        config = MODELS[self.name].chip
        checked = digest(content, config.encode(), code_digest(sources(network, compiler_run)).encode())
        photo = self.net.fit(self.tests[0].rgb[:1])[0]
        verdict = self.store.get(
            checked, (lambda: on_machine(model.network, photo, config)) if self.wanted(title) else None
        )
        return [Row(**asdict(row) | {"note": f"{smaller}; {verdict or 'machine not run'}"}) for row in rows]

    def boxed(self) -> ModelFile | None:
        """The network in the box. Raises TriptychError if it was made of other weights than those shipped."""
        file = MODELS[self.name].boxed
        if file is None:
            return None
        stored = load(file)
        if stored.about["weights"] != self.net.weights:
            raise TriptychError(
                f"{file.name} is of other weights than the float network: teach it anew (train/teach.py)"
            )
        return stored

    def peer(self, peer: Peer, bits: tuple[int, int], frames: Frames) -> list[Row]:
        """Rows of a peer's network."""
        widths = f"w{bits[0]}a{bits[1]}"

        def make() -> tuple[Predict, str]:
            self.progress(f"{self.name} {widths} {peer.value}", 0, 0)
            images = [image.to(self.net.device) for image in self.net.tensors(frames.rgb)]
            module, setting = peers.quantised(self.net.moved, images, peer, bits)
            return replace(self.net, module=module).depth, setting

        code = code_digest(sources(peers))
        key = digest(*(part.encode() for part in (net_key(self.net), frames.name, f"{peer} {bits}", code)))
        return self.rows(widths, peer.value, key, make)

    def peer_rows(self) -> list[tuple[Peer, tuple[int, int]]]:
        """The peers' rows."""
        return [] if MODELS[self.name].brief else [(peer, bits) for bits in PEER_BITS for peer in Peer]

    def lacks_peers(self) -> bool:
        """Whether a peer's row is to be measured."""
        asked = [(peer, bits) for peer, bits in self.peer_rows() if self.wanted(f"w{bits[0]}a{bits[1]} {peer.value}")]
        if not asked:
            return False
        frames, stored = calibration_frames(self.name), replace(self, wanted=lambda title: False)
        return any(not stored.peer(peer, bits, frames) for peer, bits in asked)

    def all(self) -> Iterator[list[Row]]:
        """All rows of the model."""
        model = MODELS[self.name]
        yield self.rows("fp32", "float", net_key(self.net), lambda: (self.net.depth, ""))
        if (boxed := self.boxed()) is not None:
            yield self.scored(boxed, Widths.W4A4, TAUGHT)
        frames = calibration_frames(self.name)
        for recipe in BRIEF if model.brief else OURS:
            yield self.ours(recipe, frames)
        for peer, bits in self.peer_rows():
            yield self.peer(peer, bits, frames)
        places = model.calibration[1] if model.left_out else ()
        for place in places:
            others = calibration_frames(self.name, tuple(p for p in places if p != place))
            only = replace(self, tests=[t for t in self.tests if t.name == place])
            yield only.ours(LEFT_OUT, others, place)


def predictor(net: FloatNetwork, integers: Network) -> Predict:
    """Metres [h,w] of the integer network."""
    return lambda rgb: integer_output(integers, net.fit(rgb[None])[0])[:, :, 0] * (net.metres or 1.0)


def on_machine(integers: Network, rgb: Photos, config: str) -> str:
    """Whether the golden machine gives the integer network's output."""
    codes = image_codes(integers, rgb)
    compiled = compile_network(integers, chip_config(config))
    same = bool((run_on_machine(compiled, codes) == integers.run_integer(codes)).all())
    return "machine equal" if same else "MACHINE DIFFERS"


def run_accuracy(
    models: list[str], every: int | None, rows: str | None, backbone: Path | None, device: str, folder: Path,
    progress: Progress,
) -> str:  # fmt: skip
    """Measures what is not measured yet, puts each model's tables into docs/results.md and returns them.

    every: score other frames than the model's own. rows: measure those alone whose widths and method contain this ("":
    all, None: none). Nothing is published with `every` or with some rows alone. device: of float networks and method.
    """
    repeatable(device)
    publish = every is None and not rows

    def wanted(title: str) -> bool:
        return rows is not None and rows in title

    # all are opened, and the peers asked for, before the first one is measured: what is missing is said at once
    benches = [
        Bench(
            name, float_network(name, None, backbone, None, device), held_out(name, every or MODELS[name].every),
            folder, progress, wanted,
        )
        for name in models
    ]  # fmt: skip
    if util.find_spec("brevitas") is None and any(chosen.lacks_peers() for chosen in benches):
        raise TriptychError(
            f"the peers need Brevitas: pip install brevitas=={peers.VERSION}, or --rows ours without them"
        )
    texts = []
    for chosen in benches:
        texts.append(markdown(chosen.name, [row for part in chosen.all() for row in part]))
        write(folder / f"{chosen.name}.md", texts[-1] + "\n")
        if publish:
            replace_section(f"accuracy-{chosen.name}", texts[-1])
            if (figure := examples(chosen)) is not None:
                method_figures.save(figure, ROOT / f"docs/img/method_depth_{chosen.name}.png")
    if publish and "meter" in models:
        method_figures.save(method_figures.polish_figure(), ROOT / "docs/img/method_polish.png")
    return "\n\n".join(texts)


def examples(chosen: Bench) -> Figure | None:
    """A test frame of each sequence: float, W4A4 by min-max and by our method; None if a network is not there."""
    frames = calibration_frames(chosen.name)
    photos = [s.rgb[len(s.rgb) // 2] for s in chosen.tests]
    maps = {"FP32": [chosen.net.depth(rgb) for rgb in photos]}
    boxed = chosen.boxed()
    for title, method in (("W4A4 min-max", Method.MINMAX), ("W4A4 ours", Method.FULL)):
        recipe = Recipe(Widths.W4A4, method)
        stored = boxed if boxed and method is Method.FULL else None
        stored = stored or chosen.quantised(recipe, frames, f"{recipe.widths.value} {STEP[method]}")
        if stored is None:
            return None
        predict = predictor(chosen.net, stored.network)
        maps[title] = [predict(rgb) for rgb in photos]
    return method_figures.depth_figure(photos, maps)
