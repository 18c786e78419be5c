"""The golden machine: executes programs of the chip to the bit, without its cycles.

Instructions pass through the same four queues and wait for the same tokens as on the chip, in dataflow order: whatever
can start, starts. So a program that deadlocks on the chip deadlocks here (trap WATCHDOG), and one whose waits order all
that must be ordered leaves the same bits. Traps, counts and signatures are those of docs/architecture.md.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from triptych.golden.quartdepth.arithmetic.numerics import signature
from triptych.golden.quartdepth.chip import machine_mxu, machine_vpu
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import ENGINE_OF, Engine, Opcode, Space, Trap
from triptych.golden.quartdepth.chip.memory import BusError, BusHang, Memory, windows
from triptych.golden.quartdepth.chip.program import CONTROL, Fetch, ListedProgram, TrapError, decode, named
from triptych.golden.quartdepth.chip.state import ChipState, Rows, RowStream, Target, Write, row_places

TARGETS = {Space.SPAD: Target.SPAD, Space.PROG: Target.PROG, Space.TABLE: Target.TABLE}
MOST_INSTRUCTIONS = 0xFFFF  # of an engine: what a token count, and a wait field, can hold


@dataclass(frozen=True)
class Retired:
    """One instruction that is done.

    pc: its index in the program. ordinal: how many its engine had retired before. signature: as in `SIG_*`.
    writes: what it wrote, in order; empty unless the run keeps them.
    """

    engine: Engine
    pc: int
    ordinal: int
    signature: int
    instruction: Instruction
    writes: tuple[Write, ...] = ()


@dataclass(frozen=True)
class Result:
    """How a program ended.

    trap: NONE after HALT. pc, engine: of the instruction that trapped (HALT's after HALT); engine 4 is fetch and
    decode. detail: the cause in words. retired: in dataflow order. counts: retired instructions by engine.
    """

    trap: Trap
    pc: int
    engine: int
    detail: str
    retired: tuple[Retired, ...]
    counts: dict[Engine, int]


@dataclass
class _Operation:
    """An instruction in a queue or in its engine."""

    pc: int
    instruction: Instruction
    fields: SimpleNamespace
    rows: Rows | None = None
    hung: bool = False


@dataclass
class _EngineState:
    queue: deque[_Operation] = field(default_factory=deque)
    current: _Operation | None = None
    retired: int = 0

    def oldest(self) -> _Operation | None:
        """The operation that must retire next."""
        return self.current or (self.queue[0] if self.queue else None)


class Machine:
    """A chip of one configuration. Its state starts at zero and stays from run to run, as on the chip; only rows in the
    accumulators are dropped when a run starts."""

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.state = ChipState(config)

    def start(
        self, program: bytes | Sequence[Instruction | bytes] | Fetch, memory: Memory, keep_writes: bool = False
    ) -> Run:
        """A run to be stepped by hand. program: instructions, their bytes, or a `StoredProgram` in memory."""
        self.state.rows = RowStream()
        return Run(self.state, _fetch(program), memory, keep_writes)

    def run(
        self,
        program: bytes | Sequence[Instruction | bytes] | Fetch,
        memory: Memory,
        on_retire: Callable[[Retired], None] | None = None,
    ) -> Result:
        """Run to HALT or trap. `on_retire` sees every record, with its write set, as it retires."""
        run = self.start(program, memory, keep_writes=on_retire is not None)
        retired = []
        while record := run.step():
            if on_retire is not None:
                on_retire(record)
                record = Retired(record.engine, record.pc, record.ordinal, record.signature, record.instruction)
            retired.append(record)
        return run.result(tuple(retired))


class Run:
    """A program under way. `step` until it returns None, then ask for the `result`."""

    def __init__(self, state: ChipState, fetch: Fetch, memory: Memory, keep_writes: bool) -> None:
        self.state = state
        self.memory = memory
        self.keep_writes = keep_writes
        self._fetch = fetch
        self._engines = {engine: _EngineState() for engine in Engine}
        self._dispatched = 0
        self._sent: Counter[Engine] = Counter()  # instructions that were put into the queues
        self._waiting: Instruction | TrapError | None = None  # what decode holds
        self._ended: tuple[Trap, int, int, str] | None = None
        self._bank_ends: deque[int] = deque([0, 0, 0], maxlen=3)  # rows handed over when the last three banks are full

    def step(self) -> Retired | None:
        """Go on until an instruction retires and return its record; None when the program has ended."""
        while self._ended is None:
            moved = self._dispatch()
            if self._ended is not None:
                break
            for engine in sorted(Engine, key=self._age):
                before = self._engines[engine].current
                record = self._advance(engine)
                if record is not None:
                    return record
                if self._ended is not None:
                    return None
                moved |= self._engines[engine].current is not before
            if not moved:
                self._end_without_progress()
        return None

    def result(self, retired: tuple[Retired, ...] = ()) -> Result:
        """How it ended. Raises RuntimeError before that."""
        if self._ended is None:
            raise RuntimeError("the program has not ended: step on")
        counts = {engine: state.retired for engine, state in self._engines.items()}
        return Result(*self._ended, retired, counts)

    def _age(self, engine: Engine) -> int:
        oldest = self._engines[engine].oldest()
        return self._fetch.count if oldest is None else oldest.pc

    def _all_retired(self) -> bool:
        return all(state.oldest() is None for state in self._engines.values())

    def _dispatch(self) -> bool:
        """Fetch, decode and queue until a queue is full or the program is over. True when anything moved."""
        first = self._dispatched
        while self._dispatched < self._fetch.count:
            if self._waiting is None:
                try:
                    self._waiting = self._decode(self._fetch.read(self._dispatched))
                except TrapError as error:
                    self._waiting = error
                except BusError:
                    self._waiting = TrapError(Trap.BUS_FETCH, "the fetch got an error response")
                except BusHang:
                    break
            if not self._place(self._waiting):
                break
            self._waiting = None
            self._dispatched += 1
        else:
            if self._all_retired():
                self._ended = (Trap.NO_HALT, self._fetch.count, CONTROL, "the program ended without HALT")
        return self._dispatched > first

    def _decode(self, data: bytes) -> Instruction:
        """The instruction, checked. Raises TrapError."""
        instruction = decode(data, self.state.config)
        engine = ENGINE_OF.get(instruction.opcode)
        if engine is not None and self._sent[engine] == MOST_INSTRUCTIONS:
            detail = f"more than {MOST_INSTRUCTIONS} {instruction.opcode.name} instructions: no token count holds them"
            raise TrapError(Trap.ILLEGAL_FIELD, detail)
        return instruction

    def _place(self, item: Instruction | TrapError) -> bool:
        """Put what decode holds where it belongs; False when it must wait. Sets the end for HALT and traps."""
        if isinstance(item, TrapError):
            if self._all_retired():
                self._ended = (item.cause, self._dispatched, CONTROL, item.detail)
            return False
        if item.opcode is Opcode.HALT:
            if self._all_retired() and not self.state.rows.available:
                self._ended = (Trap.NONE, self._dispatched, CONTROL, "")
            return False
        engine = ENGINE_OF[item.opcode]
        queue = self._engines[engine].queue
        if len(queue) >= self.state.config.queue:
            return False
        self._sent[engine] += 1
        queue.append(_Operation(self._dispatched, item, named(item)))
        return True

    def _end_without_progress(self) -> None:
        pc = min((self._age(engine) for engine in Engine), default=self._dispatched)
        for engine, state in self._engines.items():
            operation = state.oldest()
            if operation is not None and operation.pc == pc:
                text = f"{operation.instruction.opcode.name} never retires"
                self._ended = (Trap.WATCHDOG, pc, engine, text)
                return
        self._ended = (Trap.WATCHDOG, self._dispatched, CONTROL, "fetch or HALT waits forever")

    def _advance(self, engine: Engine) -> Retired | None:
        """Let an engine take its next instruction and finish it, as far as that is possible."""
        state = self._engines[engine]
        if state.current is None:
            if not state.queue or not self._tokens_met(state.queue[0].fields):
                return None
            state.current = state.queue.popleft()
        operation = state.current
        if operation.hung:
            return None
        try:
            writes = self._execute(engine, operation)
        except TrapError as error:
            self._ended = (error.cause, operation.pc, engine, error.detail)
            return None
        if writes is None:
            return None
        if operation.rows is not None:
            sig = _rows_signature(operation.rows)
            writes = [_rows_write(operation)] if self.keep_writes else []
        else:
            sig = sum(w.signature() for w in writes) & 0xFFFFFFFF
        kept = tuple(writes) if self.keep_writes else ()
        record = Retired(engine, operation.pc, state.retired, sig, operation.instruction, kept)
        state.retired += 1
        state.current = None
        return record

    def _tokens_met(self, i: SimpleNamespace) -> bool:
        waits = (i.wait_load, i.wait_mxu, i.wait_vpu, i.wait_store)
        return all(self._engines[e].retired >= w for e, w in zip(Engine, waits, strict=True))

    def _execute(self, engine: Engine, operation: _Operation) -> list[Write] | None:
        """What the operation wrote, None when it cannot retire yet. Raises TrapError."""
        i = operation.fields
        if engine is Engine.MXU:
            if operation.rows is None:
                operation.rows = machine_mxu.matmul(self.state, i)
                self.state.rows.put(operation.rows)
                for rows in machine_mxu.jobs(self.state, i):
                    self._bank_ends.append(self._bank_ends[-1] + rows)
            return [] if self._drained() >= self._bank_ends[0] else None
        if engine is Engine.VPU:
            if machine_vpu.rows_needed(self.state, i) > self.state.rows.available:
                return None
            return machine_vpu.vector(self.state, i)
        try:
            return self._load(i) if engine is Engine.LOAD else self._store(i)
        except BusError:
            cause = Trap.BUS_LOAD if engine is Engine.LOAD else Trap.BUS_STORE
            raise TrapError(cause, "memory gave an error response") from None
        except BusHang:
            operation.hung = True
            return None

    def _drained(self) -> int:
        """Rows that have left the accumulators: a VECTOR under way takes what there is."""
        rows = self.state.rows
        vector = self._engines[Engine.VPU].current
        if vector is None:
            return rows.taken
        return rows.taken + min(rows.available, machine_vpu.rows_needed(self.state, vector.fields))

    def _load(self, i: SimpleNamespace) -> list[Write]:
        store = self.state.store(Space(i.space))
        target = TARGETS[Space(i.space)]
        local = _local_rows(i, store.size, target)
        data = self.memory.read_rows(_memory_rows(i), i.row_bytes)
        windows(store, i.row_bytes)[local] = data
        return [Write(target, local, data)]

    def _store(self, i: SimpleNamespace) -> list[Write]:
        local = _local_rows(i, self.state.spad.size, Target.SPAD)
        data = windows(self.state.spad, i.row_bytes)[local]
        start = _memory_rows(i)
        self.memory.write_rows(start, data)
        return [Write(Target.MEMORY, start, data)]


def _fetch(program: bytes | Sequence[Instruction | bytes] | Fetch) -> Fetch:
    return ListedProgram(program) if isinstance(program, (bytes, Sequence)) else program


def _memory_rows(i: SimpleNamespace) -> np.ndarray:
    return (i.dram + np.arange(i.rows) * i.dram_row) & 0xFFFFFFFF


def _local_rows(i: SimpleNamespace, size: int, target: Target) -> np.ndarray:
    start = i.spad + np.arange(i.rows) * i.spad_row
    end = int(start[-1]) + i.row_bytes
    if end > size:
        raise TrapError(Trap.RANGE, f"rows up to {end:#x} exceed the {target.value} of {size:#x} bytes")
    return start


def _rows_signature(rows: Rows) -> int:
    pixels, tiles, lanes = rows.values.shape
    places = row_places(pixels, tiles, rows.block)
    return signature(rows.values, places[:, :, None] * lanes + np.arange(lanes))


def _rows_write(operation: _Operation) -> Write:
    assert operation.rows is not None
    pixels, tiles, lanes = operation.rows.values.shape
    start = row_places(pixels, tiles, operation.rows.block).reshape(-1) * 4 * lanes
    data = operation.rows.values.reshape(pixels * tiles, lanes).view(np.uint8)
    return Write(Target.ROWS, start, data, 32, operation.fields.out_w, tiles)
