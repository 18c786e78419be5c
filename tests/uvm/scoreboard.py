"""Lock-step: every instruction that the chip retires is compared with the golden machine's, by signature and, where
that differs, element by element."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles
from numpy.typing import NDArray
from pyuvm import ConfigDB, uvm_analysis_port, uvm_component, uvm_tlm_analysis_fifo

from tests.uvm.job import Expected, Job
from tests.uvm.retirement_agent import Retirement
from triptych.golden.quartdepth.chip.codec import Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import MICROWORD_BYTES, TABLE_BYTES, Engine, Opcode, Space, Trap
from triptych.golden.quartdepth.chip.machine import Machine, Result, Retired, Run
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.state import Target, Write

ROWS_LATE = 20_000  # cycles in which rows that were handed over leave


class Mismatch(AssertionError):
    """Chip and machine disagree; the message names seed, instruction and first wrong element."""


@dataclass(frozen=True)
class Executed:
    """An instruction that the machine has executed. words: the microwords of a VECTOR."""

    record: Retired
    words: tuple[Microword, ...]


class Scoreboard(uvm_component):
    """Steps the machine as far as the chip's retirements need and compares. `port` publishes what was executed."""

    def build_phase(self) -> None:
        self.dut = cocotb.top
        self.config: ChipConfig = ConfigDB().get(self, "", "CONFIG")
        self.fifo = uvm_tlm_analysis_fifo("fifo", self)
        self.port = uvm_analysis_port("port", self)
        self.machine = Machine(self.config)
        self.compared = 0
        self.listening = False

    def abandon(self) -> None:
        """The chip was reset: what it does until the next program counts no more, and memories may hold anything."""
        self.listening = False
        self.machine = Machine(self.config)

    def begin(self, job: Job) -> None:
        """A program is about to start on the chip."""
        self.listening = True
        self.job = job
        self.memory = job.image()
        self.run: Run = self.machine.start(job.stored(self.memory), self.memory, keep_writes=True)
        self.expected: dict[Engine, deque[Retired]] = {e: deque() for e in Engine}
        self.signatures = {e: (0, 0) for e in Engine}  # of the last instruction, and the sum
        self.rows = int(self.dut.row_count.value)  # that left before the next MATMUL's
        self.written = int(self.dut.write_count.value)  # words before the next VECTOR's

    async def run_phase(self) -> None:
        while True:
            retirement: Retirement = await self.fifo.get()
            if self.listening:
                await self.compare(retirement)

    def _step(self) -> Retired | None:
        record = self.run.step()
        if record is not None:
            words: tuple[Microword, ...] = ()
            if record.instruction.opcode is Opcode.VECTOR:
                store = self.machine.state.store(Space.PROG).reshape(-1, MICROWORD_BYTES)
                first = record.instruction["prog"]
                words = tuple(
                    Microword.decode(w.tobytes()) for w in store[first : first + record.instruction["prog_len"]]
                )
            self.port.write(Executed(record, words))
            self.expected[record.engine].append(record)
        return record

    async def compare(self, seen: Retirement) -> None:
        """Compare one retirement. Raises Mismatch."""
        here = f"{self.job.name}, seed {self.job.seed}"
        while not self.expected[seen.engine]:
            if self._step() is None:
                text = f"{seen.engine.name} retired instruction {seen.pc} ({self.job.text(seen.pc)})"
                raise Mismatch(f"{here}: {text}, the machine ends with {self.run.result()}")
        record = self.expected[seen.engine].popleft()
        where = f"{here}: instruction {record.pc} ({self.job.text(record.pc)})"
        if record.pc != seen.pc:
            raise Mismatch(f"{where} should have retired, {seen.engine.name} retired instruction {seen.pc}")
        if record.signature != seen.signature:
            wrong = await self._first_wrong(record)
            raise Mismatch(f"{where}: signature {seen.signature:#010x}, should be {record.signature:#010x}; {wrong}")
        if record.engine is Engine.MXU:
            self.rows += sum(len(w.data) for w in record.writes)
        elif record.engine is Engine.VPU:
            self.written = int(self.dut.write_count.value)
        total = self.signatures[seen.engine][1] + seen.signature
        self.signatures[seen.engine] = seen.signature, total & 0xFFFFFFFF
        self.compared += 1

    async def finish(self, memory: Memory, ended: Expected) -> Result:
        """The chip has `ended` so, `memory` is what it left: nothing may be missing, the memories are equal.
        Returns how the machine ended. Raises Mismatch."""
        await ClockCycles(self.dut.clk, 2)
        while self._step() is not None:
            pass
        here = f"{self.job.name}, seed {self.job.seed}"
        for engine, records in self.expected.items():
            if records:
                first = records[0]
                raise Mismatch(
                    f"{here}: {engine.name} never retired instruction {first.pc} ({self.job.text(first.pc)})"
                )
        result = self.run.result()
        differs = memory.data != self.memory.data
        if result.trap is not Trap.NONE and result.engine == Engine.STORE:
            differs[:] = False  # what an instruction that traps has written is not specified
        if differs.any():
            at = int(np.flatnonzero(differs)[0])
            text = f"is {memory.data[at]:#04x}, should be {self.memory.data[at]:#04x}"
            raise Mismatch(f"{here}: memory byte {at:#x} {text}")
        if result.trap is not Trap.NONE:
            self.machine.state.spad[:] = self._spad()  # for the same reason
        return result

    async def _first_wrong(self, record: Retired) -> str:
        """Which element differs, read from the chip behind its back."""
        if record.engine is Engine.MXU:
            return await self._first_wrong_row(record.writes[0])
        await ClockCycles(self.dut.clk, 1)
        for target in {w.target: None for w in record.writes}:
            chip, writes = self._bytes(target), [w for w in record.writes if w.target is target]
            final = np.full(chip.size, -1)
            for write in writes:
                final[(write.start[:, None] + np.arange(write.data.shape[1])).reshape(-1)] = write.data.reshape(-1)
            wrong = (final >= 0) & (final != chip)
            for write in writes:
                places = write.start[:, None] + np.arange(write.data.shape[1])
                for row, byte in np.argwhere(wrong[places]):
                    at = int(places[row, byte])
                    return f"{write.locate(int(row), int(byte))} is {chip[at]:#04x}, should be {final[at]:#04x}"
        if record.engine is Engine.VPU:
            return self._first_wrong_write(record.writes)
        kinds = ", ".join(sorted({w.target.value for w in record.writes})) or "nothing"
        return f"what it left is right: a write too many, too few, or undone (it writes {kinds})"

    def _first_wrong_write(self, writes: tuple[Write, ...]) -> str:
        """What a VECTOR left is right: compare all that was written to every byte, one after the other."""
        dut, depth = self.dut, self.config.depth
        chip: dict[int, list[int]] = {}
        for k in range(self.written, int(dut.write_count.value)):
            at = k % len(dut.write_log)
            data, enables = int(dut.write_log[at].value), int(dut.write_log_be[at].value)
            base = int(dut.write_log_addr[at].value) * depth
            for byte in range(depth):
                if enables >> byte & 1:
                    chip.setdefault(base + byte, []).append(data >> 8 * byte & 0xFF)
        turns: dict[int, int] = {}
        for number, write in enumerate(writes):
            for row, start in enumerate(write.start.tolist()):
                for byte, right in enumerate(write.data[row].tolist()):
                    turn = turns.setdefault(start + byte, 0)
                    turns[start + byte] += 1
                    seen = chip.get(start + byte, [])[turn : turn + 1]
                    if seen != [right]:
                        is_ = f"{seen[0]:#04x}" if seen else "missing"
                        place = f"write {number + 1} of {len(writes)}: {write.locate(row, byte)}"
                        return f"{place} is {is_}, should be {right:#04x} (written over since)"
        more = [at for at, values in chip.items() if len(values) > turns.get(at, 0)]
        return f"scratchpad byte {more[0]:#x} was written too often" if more else "all that it wrote is right"

    async def _first_wrong_row(self, write: Write) -> str:
        """Compare the rows in the order in which they leave the matrix engine."""
        size = len(self.dut.row_log)
        order = np.argsort(write.start, kind="stable")
        last = 0
        for _ in range(ROWS_LATE):
            left = int(self.dut.row_count.value) - self.rows
            while last < min(left, len(order)):
                word = int(self.dut.row_log[(self.rows + last) % size].value)
                seen = np.frombuffer(word.to_bytes(4 * self.config.cols, "little"), "<i4")
                right = write.data[order[last]].view("<i4")
                for column in np.flatnonzero(seen != right):
                    place = write.locate(int(order[last]), 4 * int(column))
                    return f"{place} is {seen[column]}, should be {right[column]}"
                last += 1
            if last == len(order):
                return "its rows left it as they should"
            await ClockCycles(self.dut.clk, 1)
        return f"rows {last}.. of {len(order)} never left it, those before are right"

    def _bytes(self, target: Target) -> NDArray[np.uint8]:
        """The chip's copy of what an instruction writes into."""
        if target is Target.SPAD:
            return self._spad()
        if target is Target.MEMORY:
            memory: Memory = ConfigDB().get(self, "", "MEMORY_DRIVER").memory
            return memory.data
        if target is Target.PROG:
            words = self.dut.u_chip.u_vpu.u_program_store.gen_memory[0].u_ram.mem
            data = [int(words[i].value).to_bytes(MICROWORD_BYTES, "little") for i in range(len(words))]
            return np.frombuffer(b"".join(data), np.uint8)
        tables = self.dut.u_chip.u_tables
        out = np.zeros((self.config.tables, TABLE_BYTES), np.uint8)
        for t in range(self.config.tables):
            above = self.machine.state.tables[t * TABLE_BYTES :][:16] & 0xE0  # the chip does not keep these either
            out[t, :16] = [int(tables.decode_q[t][i].value) & 31 | int(above[i]) for i in range(16)]
            thresholds = [int(tables.threshold_q[t][i].value) & 0xFFFF for i in range(15)]
            out[t, 16:46] = np.array(thresholds, "<u2").view(np.uint8)
            rest = slice(t * TABLE_BYTES + 46, (t + 1) * TABLE_BYTES)  # the chip does not keep these
            out[t, 46:] = self.machine.state.tables[rest]
        return out.reshape(-1)

    def _spad(self) -> NDArray[np.uint8]:
        """The chip's scratchpad as bytes."""
        depth = self.config.depth
        banks = [bank.u_ram.mem for bank in self.dut.u_chip.u_spad.gen_bank]
        words = range(self.config.spad_words)
        data = [int(banks[(w ^ w >> 2 ^ w >> 4) & 3][w >> 2].value).to_bytes(depth, "little") for w in words]
        return np.frombuffer(b"".join(data), np.uint8)
