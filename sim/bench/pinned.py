"""`triptych hashes`: the integer networks of METER and ViT-S + DPT, and their programs, are what is committed.

Everything that judges a network against golden moves with golden: a quantiser that rounds otherwise gives another
network, and chip and golden still agree on it. These hashes do not move; a change is committed with its reason.
METER's ranges are kept beside them, to three digits, so that no processor's order of summation shows; they are measured
anew when the file holds none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from triptych.golden.files import write
from triptych.golden.provenance import digest
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Range
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import calibrate, quantize_ranges
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq import model_file
from triptych.golden.quartdepth.zoo import meter, shipped
from triptych.sim.bench import committed_file
from triptych.sim.build.sources import ROOT
from triptych.sim.depth import calibration

FILE = ROOT / "tests" / "golden" / "hashes.json"
SIZE = (128, 192)  # METER's input here: height, width
VIT = "ViT-S + DPT"
WIDTHS = (Widths.W4A8, Widths.W4A4)
COMMAND = "triptych hashes --commit REASON"
REMEDY = f"if that is meant, run `{COMMAND}`"


@dataclass(frozen=True)
class Hashes:
    """network: of layers, maps and all integers in them. program: of the memory image with the program in it."""

    network: str
    program: str
    instructions: int


def hashes(network: Network, config: str) -> Hashes:
    """Of a network, and of its program for a size of the chip."""
    compiled = compile_network(network, chip_config(config))
    held = model_file.content(model_file.ModelFile(network, None, {}))
    return Hashes(digest(*held), digest(bytes(compiled.image)), len(compiled.instructions))


def _ranges(graph: FloatGraph) -> dict[str, Range]:
    """METER's, on rendered rooms, to three digits."""
    rooms = [torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 255 for p in calibration.rooms(SIZE)]
    return {n: (float(f"{low:.2e}"), float(f"{high:.2e}")) for n, (low, high) in calibrate(graph, rooms).items()}


def measure(ranges: Mapping[str, Range] | None = None, vit: bool = True) -> tuple[dict[str, Hashes], dict[str, Range]]:
    """Hashes by network, and METER's ranges. ranges: those of before; measured anew when None. vit: of it as well, the
    larger part of the time."""
    graph = capture(meter.fuse(meter.load_weights(None)), torch.zeros(1, 3, *SIZE))
    ranges = _ranges(graph) if ranges is None else ranges
    out = {f"METER {w.value}": hashes(quantize_ranges(graph, ranges, w), "small") for w in WIDTHS}
    if vit:
        out[VIT] = hashes(model_file.load(shipped.VIT).network, "paper")
    return out, dict(ranges)


def _file(path: Path) -> dict[str, Any]:
    return committed_file.read(path, {"changes": [], "networks": {}, "ranges": {}}, COMMAND)


def committed(path: Path = FILE) -> tuple[dict[str, Hashes], dict[str, Range]]:
    """Hashes and ranges of the file. Raises TriptychError when it is damaged."""
    held = _file(path)
    ranges = {name: (float(low), float(high)) for name, (low, high) in held["ranges"].items()}
    return {name: Hashes(**found) for name, found in held["networks"].items()}, ranges


def differences(found: Mapping[str, Hashes], wanted: Mapping[str, Hashes]) -> list[str]:
    """A line for each network that is not as committed: whether its integers changed or its program alone."""
    lines = [f"{name}: measured no more" for name in wanted if name not in found]
    for name, new in found.items():
        old = wanted.get(name)
        if old is None:
            lines.append(f"{name}: not committed")
        elif new.network != old.network:
            lines.append(f"{name}: another network ({old.instructions} -> {new.instructions} instructions)")
        elif new != old:
            lines.append(f"{name}: the same network, another program ({old.instructions} -> {new.instructions})")
    return lines


def commit(found: Mapping[str, Hashes], ranges: Mapping[str, Range], reason: str, path: Path = FILE) -> None:
    """Writes the hashes, and the reason with what changed. Raises TriptychError without a reason."""
    held = _file(path)
    before = {name: Hashes(**old) for name, old in held["networks"].items()}
    committed_file.explain(held, reason, "networks or programs", changed=differences(found, before))
    held["networks"] = {name: asdict(new) for name, new in found.items()}
    held["ranges"] = {name: list(ends) for name, ends in ranges.items()}
    parts = [
        f'"{key}": ' + (_rows(value) if isinstance(value, dict) else json.dumps(value, indent=1))
        for key, value in held.items()
    ]
    write(path, "{\n" + ",\n".join(parts) + "\n}\n")


def _rows(held: Mapping[str, Any]) -> str:
    """A line an entry, so that differences read well."""
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in held.items()) + "}"
