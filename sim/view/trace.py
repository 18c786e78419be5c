"""A chip run as a timeline: Chrome's trace-event format, which Perfetto reads (ui.perfetto.dev, `vizviewer`).

One process an engine, with as many rows as it has instructions under way at once, and one for what it waited for; the
memory's bytes a cycle and the scratchpad's use as counters. Times are microseconds at the chip's stated clock.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from triptych.golden.quartdepth.chip.isa import Engine
from triptych.sim.view.runs import ChipRun, Program, Samples

Event = dict[str, Any]
WAITS = 100  # number of the row of what an engine waited for
COUNTERS = len(Engine) + 1  # process number


def trace(run: ChipRun) -> str | None:
    """The document, None for a run without a program."""
    if run.program is None:
        return None
    events = [*_names(), *_spans(run, run.program), *_waits(run, run.program)]
    if run.dram is not None:
        events += _counter(run, "DRAM bytes a cycle", "B/cycle", run.dram, run.dram.every)
    if run.scratchpad is not None:
        events += _counter(run, "scratchpad in use", "KiB", run.scratchpad, 1024)
    document = {
        "displayTimeUnit": "ns",
        "otherData": {"title": run.title, "commit": run.origin.source, "cycles": run.cycles},
        "traceEvents": events,
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def _names() -> Iterator[Event]:
    for engine in Engine:
        yield {"ph": "M", "name": "process_name", "pid": int(engine) + 1, "tid": 0, "args": {"name": engine.name}}
        yield {"ph": "M", "name": "thread_name", "pid": int(engine) + 1, "tid": WAITS, "args": {"name": "waits for"}}
        order = {"sort_index": int(engine) + 1}
        yield {"ph": "M", "name": "process_sort_index", "pid": int(engine) + 1, "tid": 0, "args": order}
    yield {"ph": "M", "name": "process_name", "pid": COUNTERS, "tid": 0, "args": {"name": "memory"}}


def _spans(run: ChipRun, program: Program) -> Iterator[Event]:
    """Every instruction from its start to its retirement; those under way at once in rows of their own."""
    clock = run.chip.clock_mhz
    for engine in Engine:
        rows: list[int] = []  # when each is free again
        for pc, begin, end in sorted(program.spans[engine.name], key=lambda s: s[1]):
            row = next((n for n, free in enumerate(rows) if free <= begin), len(rows))
            if row == len(rows):
                rows.append(0)
                name = {"name": f"{engine.name} {row + 1}"}
                yield {"ph": "M", "name": "thread_name", "pid": int(engine) + 1, "tid": row + 1, "args": name}
            rows[row] = end
            layer = run.layers[program.layer_of[pc]]
            operation, _, operands = program.instructions[pc].partition(" ")
            yield {
                "ph": "X", "name": f"{layer.name} {operation}", "cat": layer.mode, "pid": int(engine) + 1,
                "tid": row + 1, "ts": begin / clock, "dur": (end - begin) / clock,
                "args": {"pc": pc, "layer": layer.name, "instruction": operation, "operands": operands,
                         "begin": begin, "end": end},
            }  # fmt: skip


def _waits(run: ChipRun, program: Program) -> Iterator[Event]:
    """Where an engine had nothing under way until another one retired what its next instruction waits for."""
    retired = {e: sorted(end for _, _, end in program.spans[e.name]) for e in Engine}
    for engine in Engine:
        free = 0
        for pc, begin, end in sorted(program.spans[engine.name], key=lambda s: s[1]):
            given = [
                (retired[e][count - 1], e)
                for e, count in zip(Engine, program.waits[pc], strict=True)
                if count and count <= len(retired[e])
            ]
            at, whom = max(given, default=(0, engine))
            if free < at <= begin:
                count = bisect_right(retired[whom], at)
                yield {
                    "ph": "X", "name": f"{whom.name} #{count}", "cat": "token", "pid": int(engine) + 1, "tid": WAITS,
                    "ts": free / run.chip.clock_mhz, "dur": (begin - free) / run.chip.clock_mhz,
                    "args": {"pc": pc, "token": whom.name, "retirement": count, "begin": free, "end": begin},
                }  # fmt: skip
            free = max(free, end)


def _counter(run: ChipRun, name: str, unit: str, samples: Samples, scale: int) -> Iterator[Event]:
    for n, value in enumerate(samples.values):
        time = n * samples.every / run.chip.clock_mhz
        yield {"ph": "C", "name": name, "pid": COUNTERS, "tid": 0, "ts": time, "args": {unit: round(value / scale, 3)}}
