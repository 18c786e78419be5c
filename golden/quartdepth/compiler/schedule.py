"""Order and tokens: loads ahead of the computation that they do not touch, and waits for everything that they do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Engine, Opcode, Space
from triptych.golden.quartdepth.compiler.effects import Memory, Spans, effects_of, words_of
from triptych.golden.quartdepth.compiler.emitter import Op
from triptych.golden.quartdepth.compiler.interleave import Scheduled, interleave, mxu_cycles
from triptych.golden.quartdepth.compiler.overlap import overlap

MAX_TOKENS = 0xFFFF  # instructions of an engine in a program
SLACK = 400  # cycles of computation ahead of a load besides its own time: memory latency and queues
STORE_SLACK = 50_000  # the same for what elementwise layers need, so that they can move ahead
FEW = 16  # spans that are faster one by one
WAITS = {engine: f"wait_{engine.name.lower()}" for engine in Engine}


def schedule(ops: Sequence[Op], config: ChipConfig, sizes: dict[Memory, int], most: int) -> list[list[Scheduled]]:
    """Final order with all `wait_*` fields set, cut where an engine would have more than `most` instructions: programs
    to be run one after the other, each when the one before has ended. sizes: words of each memory."""
    listed = [Scheduled(op, effects_of(op.instruction, op.program, config)) for op in ops]
    ordered = _load_early(interleave(overlap(_load_early(listed, config), config), config), config)
    programs = _cut(ordered, most)
    for program in programs:
        _set_waits(program, sizes)
    return programs


def _cut(ordered: list[Scheduled], most: int) -> list[list[Scheduled]]:
    """In order, as few as there can be; where a MATMUL has room its VECTOR has, too, so that they stay together."""
    programs: list[list[Scheduled]] = [[]]
    count = dict.fromkeys(Engine, 0)
    for entry in ordered:
        engines = [Engine.MXU, Engine.VPU] if entry.engine is Engine.MXU else [entry.engine]
        if any(count[engine] >= most for engine in engines):
            programs.append([])
            count = dict.fromkeys(Engine, 0)
        count[entry.engine] += 1
        programs[-1].append(entry)
    return programs


def _load_early(listed: list[Scheduled], config: ChipConfig) -> list[Scheduled]:
    """Moves each LOAD up past what it does not conflict with, until enough computation lies between. Loads of data keep
    their order; microwords, code tables and LayerNorms' parameters are few and may come long before."""
    out: list[Scheduled] = []
    for entry in listed:
        place = len(out)
        i = entry.op.instruction
        if i.opcode is Opcode.LOAD:
            data = i["space"] == Space.SPAD
            patient = data and not entry.op.early
            wanted = 2 * i["rows"] * i["row_bytes"] // config.depth + SLACK if patient else STORE_SLACK
            ahead = 0
            while place and ahead < wanted:
                before = out[place - 1]
                if patient and before.op.instruction.opcode is Opcode.LOAD:
                    break
                if before.effects.conflicts(entry.effects):
                    break
                ahead += mxu_cycles(before.op, config)
                place -= 1
            if place and out[place - 1].op.instruction.opcode is Opcode.MATMUL:
                place += 1  # behind its VECTOR, see Emitter.compute
        out.insert(place, entry)
    return out


Ledger = NDArray[np.int32]
"""[engines that wrote, engines that read; words]: of every word the last instruction, counted from 1."""


def _latest(table: Ledger, spans: Spans) -> list[int]:
    """By row, of all words."""
    if len(spans) == 1:
        last = table[:, spans[0, 0] : spans[0, 1]].max(1)
    elif len(spans) > FEW:
        last = table[:, words_of(spans)].max(1)
    else:
        last = np.max([table[:, a:b].max(1) for a, b in spans.tolist()], axis=0)
    return last.tolist()


def _note(row: NDArray[np.int32], spans: Spans, count: int) -> None:
    if len(spans) > FEW:
        row[words_of(spans)] = count
    else:
        for first, last in spans.tolist():
            row[first:last] = count


def _set_waits(ordered: list[Scheduled], sizes: dict[Memory, int]) -> None:
    kinds = len(Engine)
    ledgers = {memory: np.zeros((2 * kinds, size), dtype=np.int32) for memory, size in sizes.items()}
    count = dict.fromkeys(Engine, 0)
    place = {engine: n for n, engine in enumerate(Engine)}
    # what an engine's instruction has seen retired, by engine and count: through its own waits, theirs, and its order
    seen: dict[Engine, list[dict[Engine, int]]] = {engine: [dict.fromkeys(Engine, 0)] for engine in Engine}
    for entry in ordered:
        engine = entry.engine
        latest = [_latest(ledgers[memory][:kinds], spans) for memory, spans in entry.effects.reads.items()]
        for memory, spans in entry.effects.writes.items():
            both = _latest(ledgers[memory], spans)
            latest += [both[:kinds], both[kinds:]]
        needs = {other: max((row[n] for row in latest), default=0) for other, n in place.items()}
        needs[engine] = 0  # an engine keeps its own order
        known = dict(seen[engine][-1])
        waits = {other: n for other, n in needs.items() if n > known[other]}
        for other in list(waits):  # drop what the other waits imply
            implied = [seen[e][n][other] for e, n in waits.items() if e is not other]
            if max(implied, default=0) >= waits[other]:
                del waits[other]
        for other, n in waits.items():
            entry.op.instruction[WAITS[other]] = n
            for e, m in {**seen[other][n], other: n}.items():
                known[e] = max(known[e], m)
        count[engine] += 1
        known[engine] = count[engine]
        seen[engine].append(known)
        for memory, spans in entry.effects.reads.items():
            _note(ledgers[memory][kinds + place[engine]], spans, count[engine])
        for memory, spans in entry.effects.writes.items():
            _note(ledgers[memory][place[engine]], spans, count[engine])
