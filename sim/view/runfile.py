"""A run as a file: what `triptych depth` leaves for `triptych report`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from triptych.golden.files import write
from triptych.sim.errors import TriptychError

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
        """Inverse of `save`. Raises TriptychError when the file is missing, damaged or of another format."""
        try:
            data = json.loads(path.read_text())
            if data.pop("format") != FORMAT:
                raise TriptychError(f"{path} has another format than this version writes: run `triptych depth` again")
            data["layers"] = [LayerRun(**layer) for layer in data["layers"]]
            data["spans"] = {e: [(int(a), int(b), int(c)) for a, b, c in spans] for e, spans in data["spans"].items()}
            return cls(**data)
        except OSError as error:
            raise TriptychError(f"cannot read {path}: {error.strerror}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TriptychError(f"{path} is not a run of `triptych depth` ({error})") from error
