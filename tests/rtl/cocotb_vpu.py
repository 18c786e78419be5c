"""The vector engine's handshakes: every port is answered from Python with random stalls, clock by clock."""

from __future__ import annotations

import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from tests.rtl import vpu_jobs
from tests.rtl.vpu_jobs import Job
from triptych.golden.quartdepth.arithmetic.codetable import entries_of
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.chip.isa import Opcode, Trap

CONFIG = CONFIGS["tiny"]
READ_PORTS = ("a", "b", "p")


class Bench:
    """Answers the ports of `dut`: a scratchpad, rows, instructions; each cycle runs through `cycle`."""

    def __init__(self, dut, seed: int) -> None:
        self.dut = dut
        self.random = random.Random(seed)
        self.spad = bytearray(CONFIG.spad_bytes)
        self.rows: list[int] = []
        self.instructions: list[int] = []
        self.stall = (0, 0, 0, 0, 0)
        self.words: dict[str, int | None] = dict.fromkeys(READ_PORTS)
        self.signatures: list[int] = []
        self.rows_taken = 0
        self.fault = Trap.NONE
        self.idle = True
        self.issued = 0
        self.classes = [0] * vpu_jobs.ONE_CLASS

    async def reset(self) -> None:
        d = self.dut
        d.rst_ni.value = 0
        for name in ("instr_valid", "token_wait", "stop", "a_rgnt", "b_rgnt", "p_rgnt", "wgnt", "acc_valid", "prog_we"):
            getattr(d, f"{name}_i").value = 0
        cocotb.start_soon(Clock(d.clk_i, 10, unit="ns").start())
        for _ in range(2):
            await FallingEdge(d.clk_i)
        d.rst_ni.value = 1
        await RisingEdge(d.clk_i)

    async def load(self, job: Job) -> None:
        """Takes over a job's memories and work; the engine is idle."""
        d = self.dut
        self.spad[:] = job.spad.tobytes()
        for t, table in enumerate(job.tables.reshape(-1, 64)):
            for i in range(16):
                d.decode_i[t][i].value = int(entries_of(table[i : i + 1])[0])
            for i, threshold in enumerate(table[16:46].view("<i2")):
                d.threshold_i[t][i].value = int(threshold)
        image = vpu_jobs.program_image(job, CONFIG)
        d.prog_we_i.value = 1
        for at in range(0, len(image), CONFIG.depth):
            d.prog_addr_i.value = at // CONFIG.depth
            d.prog_wdata_i.value = int.from_bytes(image[at : at + CONFIG.depth], "little")
            await RisingEdge(d.clk_i)
        d.prog_we_i.value = 0
        self.rows = [int.from_bytes(row.astype("<i4").tobytes(), "little") for row in job.rows]
        encoded = [Instruction(Opcode.VECTOR, fields).encode() for fields in job.instructions]
        self.instructions = [int.from_bytes(code, "little") for code in encoded]
        self.stall = job.stall
        self.signatures, self.rows_taken, self.issued, self.fault = [], 0, 0, Trap.NONE

    def _go(self, port: int) -> bool:
        return self.random.randrange(256) >= self.stall[port]

    async def cycle(self, stop: bool = False) -> None:
        """One clock: offers after the edge, grants in the middle, sampled at the end."""
        d = self.dut
        width = 8 * CONFIG.depth
        for name, word in self.words.items():
            getattr(d, f"{name}_rdata_i").value = self.random.getrandbits(width) if word is None else word
        d.stop_i.value = int(stop)
        row_offered = bool(self.rows) and (bool(d.acc_valid_i.value) or self._go(4))
        d.acc_valid_i.value = int(row_offered)
        if row_offered:
            d.acc_data_i.value = self.rows[0]
        instr_offered = bool(self.instructions) and not stop and (bool(d.instr_valid_i.value) or self._go(4))
        d.instr_valid_i.value = int(instr_offered)
        d.token_wait_i.value = int(bool(self.instructions) and not instr_offered)
        if instr_offered:
            d.instr_i.value = self.instructions[0]
        await FallingEdge(d.clk_i)
        for port, name in enumerate(READ_PORTS):
            granted = bool(getattr(d, f"{name}_rreq_o").value) and self._go(port)
            getattr(d, f"{name}_rgnt_i").value = int(granted)
            self.words[name] = self._word(int(getattr(d, f"{name}_raddr_o").value)) if granted else None
        written = bool(d.wreq_o.value) and self._go(3)
        d.wgnt_i.value = int(written)
        await ReadOnly()
        if written:
            at = int(d.waddr_o.value) * CONFIG.depth
            data = int(d.wdata_o.value).to_bytes(CONFIG.depth, "little")
            enabled = int(d.wbe_o.value)
            for b in range(CONFIG.depth):
                if enabled >> b & 1:
                    self.spad[at + b] = data[b]
        row_taken = row_offered and bool(d.acc_ready_o.value)
        if row_taken:
            self.rows.pop(0)
            self.rows_taken += 1
        instr_taken = instr_offered and bool(d.instr_ready_o.value)
        if instr_taken:
            self.instructions.pop(0)
            self.issued += 1
        if d.retire_o.value:
            self.signatures.append(int(d.retire_sig_o.value))
        self.fault = Trap(int(d.fault_cause_o.value)) if d.fault_o.value else Trap.NONE
        self.idle = bool(d.idle_o.value)
        classes = int(d.class_o.value)
        assert classes.bit_count() == 1
        self.classes[classes.bit_length() - 1] += 1
        await RisingEdge(d.clk_i)
        if row_taken:
            d.acc_valid_i.value = 0
        if instr_taken:
            d.instr_valid_i.value = 0

    def _word(self, address: int) -> int:
        at = address * CONFIG.depth
        return int.from_bytes(self.spad[at : at + CONFIG.depth], "little")

    async def finish(self, count: int) -> None:
        """Runs until `count` instructions retired or a fault shows."""
        for _ in range(100_000):
            await self.cycle()
            if self.fault is not Trap.NONE or (len(self.signatures) == count and self.idle):
                return
        raise AssertionError("never ended")


def _compare(bench: Bench, job: Job) -> None:
    want = vpu_jobs.golden(job, CONFIG)
    assert bench.fault is want.trap
    assert bench.signatures == want.signatures
    assert bench.rows_taken == want.parts_taken
    assert bytes(bench.spad) == want.spad.tobytes()


@cocotb.test()
async def random_programs(dut) -> None:
    rng = np.random.default_rng(21)
    bench = Bench(dut, 1)
    await bench.reset()
    for _ in range(6):
        job = vpu_jobs.random_job(rng, CONFIG, 2)
        await bench.load(job)
        await bench.finish(len(job.instructions))
        _compare(bench, job)


@cocotb.test()
async def stop_at_any_moment(dut) -> None:
    """After a stop the engine falls idle, retires nothing, and the next program is not disturbed."""
    rng = np.random.default_rng(22)
    bench = Bench(dut, 2)
    await bench.reset()
    for turn in range(14):
        job = vpu_jobs.random_job(rng, CONFIG, 1)
        await bench.load(job)
        while turn < 4 and not bench.issued:  # in each of the cycles in which an instruction is set up
            await bench.cycle()
        for _ in range(turn if turn < 4 else int(rng.integers(5, 120))):
            await bench.cycle()
        retired = len(bench.signatures)
        for n in range(400):
            await bench.cycle(stop=True)
            assert len(bench.signatures) == retired or n == 0
            if bench.idle:
                break
        assert bench.idle
        taken = bench.rows_taken
        await bench.cycle(stop=True)
        assert bench.rows_taken == taken
        dut.acc_valid_i.value = 0
        job = vpu_jobs.random_job(rng, CONFIG, 1)
        await bench.load(job)
        await bench.finish(len(job.instructions))
        _compare(bench, job)


@cocotb.test()
async def fault_stands_until_stop(dut) -> None:
    rng = np.random.default_rng(23)
    bench = Bench(dut, 3)
    await bench.reset()
    for change, trap in (({"a": 4}, Trap.ALIGNMENT), ({"a": 1 << 23}, Trap.RANGE)):
        job = vpu_jobs.fresh(rng, CONFIG)
        job.instructions[0] |= change
        await bench.load(job)
        await bench.finish(1)
        for _ in range(20):
            assert bench.fault is trap
            assert not bench.idle
            await bench.cycle()
        await bench.cycle(stop=True)
        await bench.cycle(stop=True)
        assert bench.fault is Trap.NONE
        assert bench.idle
        assert not bench.signatures
