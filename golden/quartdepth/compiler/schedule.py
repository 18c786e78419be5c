"""Order and tokens: loads ahead of the computation that they do not touch, and waits for everything that they do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Engine, Opcode, Space
from triptych.golden.quartdepth.compiler.effects import Memory, effects_of
from triptych.golden.quartdepth.compiler.emitter import Op
from triptych.golden.quartdepth.compiler.interleave import Scheduled, interleave, mxu_cycles
from triptych.golden.quartdepth.compiler.places import CompileError

MAX_TOKENS = 0xFFFF
SLACK = 400  # cycles of computation ahead of a load besides its own time: memory latency and queues
STORE_SLACK = 50_000  # the same for microwords and code tables, so that elementwise layers can move ahead
WAITS = {engine: f"wait_{engine.name.lower()}" for engine in Engine}


def schedule(ops: Sequence[Op], config: ChipConfig, sizes: dict[Memory, int]) -> list[Scheduled]:
    """Final order with all `wait_*` fields set. sizes: words of each memory. Raises CompileError for more than 65535
    instructions of an engine."""
    listed = [Scheduled(op, effects_of(op.instruction, op.program, config)) for op in ops]
    ordered = _load_early(interleave(_load_early(listed, config), config), config)
    _set_waits(ordered, sizes)
    return ordered


def _load_early(listed: list[Scheduled], config: ChipConfig) -> list[Scheduled]:
    """Moves each LOAD up past what it does not conflict with, until enough computation lies between. Loads of data keep
    their order; microwords and code tables are few and may come long before."""
    out: list[Scheduled] = []
    for entry in listed:
        place = len(out)
        i = entry.op.instruction
        if i.opcode is Opcode.LOAD:
            data = i["space"] == Space.SPAD
            wanted = 2 * i["rows"] * i["row_bytes"] // config.depth + SLACK if data else STORE_SLACK
            ahead = 0
            while place and ahead < wanted:
                before = out[place - 1]
                if data and before.op.instruction.opcode is Opcode.LOAD:
                    break
                if before.effects.conflicts(entry.effects):
                    break
                ahead += mxu_cycles(before.op, config)
                place -= 1
            if place and out[place - 1].op.instruction.opcode is Opcode.MATMUL:
                place += 1  # behind its VECTOR, see Emitter.compute
        out.insert(place, entry)
    return out


class _Ledger:
    """For every word of a memory: the last instruction (counted by engine, from 1) that read and that wrote it."""

    def __init__(self, words: int) -> None:
        self.read = {engine: np.zeros(words, dtype=np.int32) for engine in Engine}
        self.wrote = {engine: np.zeros(words, dtype=np.int32) for engine in Engine}


def _latest(table: NDArray[np.int32], words: NDArray[np.int64]) -> int:
    return int(table[words].max()) if words.size else 0


def _set_waits(ordered: list[Scheduled], sizes: dict[Memory, int]) -> None:
    ledgers = {memory: _Ledger(size) for memory, size in sizes.items()}
    count = dict.fromkeys(Engine, 0)
    # what an engine's instruction has seen retired, by engine and count: through its own waits, theirs, and its order
    seen: dict[Engine, list[dict[Engine, int]]] = {engine: [dict.fromkeys(Engine, 0)] for engine in Engine}
    for entry in ordered:
        engine = entry.engine
        needs = dict.fromkeys(Engine, 0)
        for memory, words in entry.effects.reads.items():
            for other in Engine:
                needs[other] = max(needs[other], _latest(ledgers[memory].wrote[other], words))
        for memory, words in entry.effects.writes.items():
            for other in Engine:
                ledger = ledgers[memory]
                needs[other] = max(
                    needs[other], _latest(ledger.wrote[other], words), _latest(ledger.read[other], words)
                )
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
        if count[engine] > MAX_TOKENS:
            raise CompileError(f"the program has more than {MAX_TOKENS} {engine.name} instructions")
        known[engine] = count[engine]
        seen[engine].append(known)
        for memory, words in entry.effects.reads.items():
            ledgers[memory].read[engine][words] = count[engine]
        for memory, words in entry.effects.writes.items():
            ledgers[memory].wrote[engine][words] = count[engine]
