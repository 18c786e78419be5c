"""A run as a file: what `triptych depth` leaves for `triptych report`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from triptych.golden.files import write
from triptych.golden.quartdepth.chip.isa import Engine
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.cycle_classes import CLASSES
from triptych.sim.view.fields import FieldError, Fields

FORMAT = 1


@dataclass(frozen=True)
class LayerRun:
    """One layer of a run.

    ideal_cycles: MACs over the array's rate in the layer's mode. cycles: of all the MXU's classes between the
    retirement of the instruction before the layer's first and of its last one, so that layers sum to the whole.
    classes: those cycles by MXU class. dram_bytes: what its loads and stores move.
    """

    name: str
    kind: str
    mode: str
    macs: int
    ideal_cycles: float
    cycles: int
    classes: dict[str, int]
    dram_bytes: int


@dataclass(frozen=True)
class RunFile:
    """One run of a network on the RTL. `spans`: engine -> list of (issue, retire, layer index) in cycles."""

    title: str
    config: str
    bits: str
    clock_mhz: int
    bytes_per_cycle: float
    macs_per_cycle: int
    cycles: int
    counters: dict[str, dict[str, int]]
    layers: list[LayerRun]
    spans: dict[str, list[tuple[int, int, int]]]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the network."""
        return sum(layer.macs for layer in self.layers)

    @property
    def utilization(self) -> float:
        """Ideal over actual cycles of the matrix engine, 0..1."""
        return sum(layer.ideal_cycles for layer in self.layers) / self.cycles

    def save(self, path: Path) -> None:
        """Writes the run as JSON. Raises TriptychError when the place cannot be written."""
        write(path, json.dumps({"format": FORMAT, **asdict(self)}) + "\n")

    @classmethod
    def load(cls, path: Path) -> RunFile:
        """Inverse of `save`. Raises TriptychError for a file that is missing, damaged or of another format, or for a
        field that no run can have, which it names."""
        try:
            run = Fields(json.loads(path.read_text()))
            if run.whole("format") != FORMAT:
                raise TriptychError(f"{path} has another format than this version writes: run `triptych depth` again")
            return _read(run)
        except OSError as error:
            raise TriptychError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, FieldError) else f"it is no JSON ({error})"
            raise TriptychError(f"{path} is not a run of `triptych depth`: {reason}") from error


def _read(run: Fields) -> RunFile:
    layers = [_read_layer(layer) for layer in run.objects("layers")]
    lanes = run.object("spans")
    spans: dict[str, list[tuple[int, int, int]]] = {}
    for engine in Engine:
        spans[engine.name] = []
        for n, (begin, end, layer) in enumerate(lanes.rows(engine.name, 3)):
            place = f"{lanes.place(engine.name)}[{n}]"
            if end < begin:
                raise FieldError(f"{place} ends before it begins: {begin}, {end}")
            if layer >= len(layers):
                raise FieldError(f"{place} is of layer {layer}: there are {len(layers)}")
            spans[engine.name].append((begin, end, layer))
    lanes.end()
    counters = {}
    engines = run.object("counters")
    for name in engines.value:
        classes = engines.object(name)
        counters[name] = {c: classes.whole(c) for c in classes.value}
    found = RunFile(
        run.text("title"), run.text("config"), run.text("bits"), run.whole("clock_mhz", 1),
        run.number("bytes_per_cycle", positive=True), run.whole("macs_per_cycle", 1), run.whole("cycles", 1),
        counters, layers, spans,
    )  # fmt: skip
    run.end()
    return found


def _read_layer(layer: Fields) -> LayerRun:
    classes = layer.object("classes")
    found = LayerRun(
        layer.text("name"), layer.text("kind"), layer.text("mode"), layer.whole("macs"), layer.number("ideal_cycles"),
        layer.whole("cycles"), {c: classes.whole(c) for c in CLASSES[Engine.MXU]}, layer.whole("dram_bytes"),
    )  # fmt: skip
    classes.end()
    layer.end()
    return found
