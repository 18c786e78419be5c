"""A run as a file: what a command leaves for `triptych report`.

A file says in `machine` which of the three it is of. A part that is missing or damaged costs that part alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from triptych.golden.files import write
from triptych.golden.quartdepth.chip.isa import Engine
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.cycle_classes import CLASSES
from triptych.sim.view.records import FieldError, parts_from_json, to_json
from triptych.sim.view.runs import ChipRun, FpgaRun, GpuRun, Machine, Run

FORMAT = 2
ENDING = ".run.json"
MACHINES: dict[Machine, type[Run]] = {kind.machine: kind for kind in (ChipRun, FpgaRun, GpuRun)}


def save(run: Run, path: Path) -> None:
    """Writes the run as JSON. Raises FileError when the place cannot be written."""
    head = {"format": FORMAT, "machine": run.machine.value}
    write(path, json.dumps(head | to_json(run), separators=(",", ":")) + "\n")


def load(path: Path) -> tuple[Run, list[str]]:
    """Inverse of `save`, and a line for each part of the run that is damaged and was left out.

    Raises TriptychError, in one line, for a file that is missing, no run, of another format or without a usable head.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise TriptychError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise TriptychError(f"{path} is no run: it is no JSON, or half of it ({_line(error)})") from None
    try:
        return _of(value)
    except FieldError as error:
        raise TriptychError(f"{path} is no run that can be shown: {error}") from None


def load_chip(path: Path) -> ChipRun:
    """A chip's run that is whole. Raises TriptychError."""
    run, problems = load(path)
    if problems or not isinstance(run, ChipRun):
        raise TriptychError(f"{path} is no whole run of the chip: {'; '.join(problems) or run.machine}")
    return run


def _of(value: Any) -> tuple[Run, list[str]]:
    if not isinstance(value, dict) or "format" not in value:
        raise FieldError("it has no field 'format'")
    if value["format"] != FORMAT:
        raise FieldError(f"its format is {_line(value['format'])}, this version reads {FORMAT}: run the command again")
    try:
        kind = MACHINES[Machine(str(value.get("machine")))]
    except ValueError:
        raise FieldError(f"machine must be one of {', '.join(Machine)}, not {_line(value.get('machine'))}") from None
    run, problems = parts_from_json(kind, {k: v for k, v in value.items() if k not in ("format", "machine")})
    if isinstance(run, ChipRun):
        run, more = _whole(run)
        problems += more
    return run, [f"{p} (that part of the report is left out)" for p in problems]


def _whole(run: ChipRun) -> tuple[ChipRun, list[str]]:
    """The run without parts that contradict it, and why."""
    checks = {"layers": _check_layers, "counters": _check_counters, "program": _check_program}
    held, problems = dict(vars(run)), []
    for part, check in checks.items():
        try:
            check(ChipRun(**held))
        except FieldError as error:
            problems.append(str(error))
            held[part] = {"layers": [], "counters": {}, "program": None}[part]
    if not held["layers"]:
        held["program"] = None  # it is told by layers
    return ChipRun(**held), problems


def _check_layers(run: ChipRun) -> None:
    for n, layer in enumerate(run.layers):
        if set(layer.classes) != set(CLASSES[Engine.MXU]):
            raise FieldError(f"layers[{n}].classes must be {', '.join(CLASSES[Engine.MXU])}")
        if sum(layer.classes.values()) != layer.cycles:
            raise FieldError(f"layers[{n}].classes sum to {sum(layer.classes.values())}, not to its cycles")
    if run.layers and (total := sum(layer.cycles for layer in run.layers)) != run.cycles:
        raise FieldError(f"layers have {total} cycles, the run {run.cycles}")


def _check_counters(run: ChipRun) -> None:
    for name, classes in run.counters.items():
        if name not in Engine.__members__ or set(classes) != set(CLASSES[Engine[name]]):
            raise FieldError(f"counters.{name} does not have an engine's classes")
        if (total := sum(classes.values())) != run.cycles:
            raise FieldError(f"counters.{name} sum to {total}, the run has {run.cycles} cycles")


def _check_program(run: ChipRun) -> None:
    if run.program is None or not run.layers:
        return
    count = len(run.program.instructions)
    if max(run.program.layer_of, default=0) >= len(run.layers):
        raise FieldError("program.layer_of names layers that are not there")
    if not len(run.program.layer_of) == len(run.program.waits) == count:
        raise FieldError(f"program has {count} instructions, but not as many layers and waits")
    if set(run.program.spans) != set(Engine.__members__):
        raise FieldError(f"program.spans must be of {', '.join(Engine.__members__)}")
    for name, spans in run.program.spans.items():
        for n, (pc, begin, end) in enumerate(spans):
            if pc >= count or not begin <= end <= run.cycles:
                raise FieldError(f"program.spans.{name}[{n}] is no part of the run: {pc}, {begin}, {end}")


def _line(value: object) -> str:
    return " ".join(str(value).split())[:80]
