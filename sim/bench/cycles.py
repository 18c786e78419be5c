"""`triptych cycles`: twelve layers on RTL, whose cycles equal the committed figures exactly.

RTL takes the same number of cycles for the same program, whatever the machine: a figure that differs is a change of the
RTL or of the compiler, and is committed with the reason for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych.golden.files import write
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format, Trap
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.vectors import single
from triptych.sim.bench import committed_file
from triptych.sim.build.sources import ROOT
from triptych.sim.build.verilate import Build
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import run_program

FIGURES = ROOT / "tests" / "rtl" / "cycles.json"
CONFIG = "small"
UINT4, TABLE4 = Format.UINT4, Format.TABLE4


def layers() -> dict[str, Network]:
    """The twelve, one of every kind that networks spend their time in; several blocks, tiles and bursts each."""
    return {
        "linear": single.matmul(197, 96, 160, seed=1),
        "linear, 4-bit codes": single.matmul(197, 384, 96, UINT4, UINT4, seed=2),
        "linear, coded by a table": single.matmul(130, 192, 96, TABLE4, TABLE4, seed=3),
        "linear and GELU": single.gelu_linear(130, 96, 192, UINT4, UINT4, seed=4),
        "attention": single.attention(65, 2, 32, seed=5, inner=64),
        "LayerNorm": single.layer_norm(197, 192, UINT4, seed=6),
        "3x3 and a residual": single.conv2d((24, 32, 48), 32, source=UINT4, output=UINT4, residual=True, seed=7),
        "3x3, stride 2": single.conv2d((32, 48, 24), 48, stride=(2, 2), seed=8),
        "depthwise": single.depthwise((24, 32, 48), seed=9),
        "transposed 2x2": single.conv_transpose((12, 16, 48), 32, (2, 2), (2, 2), (0, 0), (0, 0), UINT4, seed=10),
        "columns doubled": single.doubled((24, 32, 40), 1, seed=11),
        "sum with a constant": single.summed((24, 32, 64), UINT4, Format.INT8, UINT4, seed=12),
    }


@dataclass(frozen=True)
class Figures:
    """program: hash of memory image and program, which tells a change of the compiler from one of the RTL. cycles: from
    start to HALT. engines: cycles by engine and class."""

    program: str
    cycles: int
    engines: dict[str, dict[str, int]]


def measure(name: str, network: Network, build: Build | None = None) -> Figures:
    """One layer on RTL. build: another model than the chip's own. Raises TriptychError when it traps, or leaves
    anything but what the integer network says."""
    config = chip_config(CONFIG)
    compiled = compile_network(network, config)
    codes = single.random_codes(network, 1)
    image = np.frombuffer(compiled.memory(codes), np.uint8)
    run = run_program(config, image, compiled.prog_base, len(compiled.instructions), build=build)
    if run.trap is not Trap.NONE:
        raise TriptychError(f"'{name}': the chip trapped: {run.trap.name} at instruction {run.trap_pc}")
    if not np.array_equal(compiled.read_output(run.memory), network.run_integer(codes)):
        raise TriptychError(f"'{name}': the chip's result is wrong; its cycles say nothing")
    return Figures(hashlib.sha256(image.tobytes()).hexdigest()[:16], run.cycles, run.counters)


def measure_all(build: Build | None = None) -> dict[str, Figures]:
    """The twelve layers by name. Raises TriptychError as `measure` does."""
    return {name: measure(name, network, build) for name, network in layers().items()}


def _file(path: Path) -> dict[str, Any]:
    return committed_file.read(path, {"changes": [], "layers": {}}, "triptych cycles --commit REASON")


def committed(path: Path = FIGURES) -> dict[str, Figures]:
    """The figures of the file. Raises TriptychError when it is damaged."""
    return {name: Figures(**figures) for name, figures in _file(path)["layers"].items()}


def differences(found: Mapping[str, Figures], wanted: Mapping[str, Figures]) -> list[str]:
    """A line for each layer that is not as wanted: what changed, by engine and class."""
    lines = [f"{name}: measured no more" for name in wanted if name not in found]
    for name, new in found.items():
        old = wanted.get(name)
        if old is None:
            lines.append(f"{name}: {new.cycles} cycles, not committed")
        elif new != old:
            program = "the same program" if new.program == old.program else "another program"
            moved = [
                f"{engine} {kind} {old.engines[engine].get(kind, 0)} -> {count}"
                for engine, classes in new.engines.items()
                for kind, count in classes.items()
                if old.engines[engine].get(kind, 0) != count
            ]
            lines.append(f"{name}: {old.cycles} -> {new.cycles} cycles ({program}): {', '.join(moved) or 'no class'}")
    return lines


def commit(found: Mapping[str, Figures], reason: str, path: Path = FIGURES) -> None:
    """Writes the figures, and the reason with the totals that changed. Raises TriptychError without a reason."""
    held = _file(path)
    totals = {name: figures["cycles"] for name, figures in held["layers"].items()}
    changed = {n: [totals.get(n), f.cycles] for n, f in found.items() if totals.get(n) != f.cycles}
    committed_file.explain(held, reason, "the cycles", cycles=changed)
    held["layers"] = {name: asdict(figures) for name, figures in found.items()}
    write(path, _text(held))


def _text(held: Mapping[str, Any]) -> str:
    """JSON, a line for each change and each engine of a layer, so that differences read well."""
    changes = ",\n".join(f"  {json.dumps(change)}" for change in held["changes"])
    rows = []
    for name, figures in held["layers"].items():
        engines = ",\n".join(f"    {json.dumps(e)}: {json.dumps(c)}" for e, c in figures["engines"].items())
        head = f'"program": {json.dumps(figures["program"])}, "cycles": {figures["cycles"]}'
        rows.append(f'  {json.dumps(name)}: {{{head}, "engines": {{\n{engines}}}}}')
    body = ",\n".join(rows)
    return f'{{"changes": [\n{changes}],\n "layers": {{\n{body}}}}}\n'
