"""The matrix engine's handshakes: every port is answered from Python with random stalls, clock by clock."""

from __future__ import annotations

import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from numpy.typing import NDArray

from tests.rtl import mxu_jobs
from tests.rtl.mxu_jobs import Job, Outcome
from triptych.golden.quartdepth.arithmetic.codetable import entries_of
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.chip.isa import ActFormat, Opcode, Trap, WeightFormat

CONFIG = CONFIGS["tiny"]
PORTS = ("stream", "weight")


class Bench:
    """Answers the ports of `dut`: a scratchpad, instructions, a taker of rows; each cycle runs through `cycle`."""

    def __init__(self, dut, seed: int) -> None:
        self.dut = dut
        self.random = random.Random(seed)
        self.spad: NDArray[np.uint8] = np.zeros(CONFIG.spad_bytes, np.uint8)
        self.instructions: list[int] = []
        self.stall = (0, 0, 0, 0)
        self.words: dict[str, int | None] = dict.fromkeys(PORTS)
        self.held: tuple[int, int] | None = None  # a row that was offered and not taken
        self.seen = Outcome(Trap.NONE, np.zeros((0, CONFIG.cols), np.int32))
        self.idle = True
        self.behind = False
        self.cycle_class = mxu_jobs.EMPTY

    async def reset(self) -> None:
        d = self.dut
        d.rst_ni.value = 0
        for name in ("instr_valid", "token_wait", "stop", "stream_rgnt", "weight_rgnt", "acc_ready"):
            getattr(d, f"{name}_i").value = 0
        cocotb.start_soon(Clock(d.clk_i, 10, unit="ns").start())
        for _ in range(2):
            await FallingEdge(d.clk_i)
        d.rst_ni.value = 1
        await RisingEdge(d.clk_i)

    def load(self, job: Job) -> None:
        """Takes over a job's memories and work; the engine is idle."""
        self.spad[:] = job.spad
        for t, table in enumerate(job.tables.reshape(-1, 64)):
            for i in range(16):
                self.dut.decode_i[t][i].value = int(entries_of(table[i : i + 1])[0])
        encoded = [Instruction(Opcode.MATMUL, fields).encode() for fields in job.instructions]
        self.instructions = [int.from_bytes(code, "little") for code in encoded]
        self.stall = job.stall
        self.seen = Outcome(Trap.NONE, np.zeros((0, CONFIG.cols), np.int32), classes=[0] * mxu_jobs.CLASSES)

    def _go(self, port: int) -> bool:
        return self.random.randrange(256) >= self.stall[port]

    def _word(self, address: int) -> int:
        at = address * CONFIG.depth
        return int.from_bytes(self.spad[at : at + CONFIG.depth].tobytes(), "little")

    async def cycle(self, stop: bool = False) -> None:
        """One clock: offers after the edge, grants in the middle, sampled at the end."""
        d, seen = self.dut, self.seen
        for name, word in self.words.items():
            noise = self.random.getrandbits(8 * CONFIG.depth)
            getattr(d, f"{name}_rdata_i").value = noise if word is None else word
        d.stop_i.value = int(stop)
        offered = bool(self.instructions) and not stop and (bool(d.instr_valid_i.value) or self._go(3))
        d.instr_valid_i.value = int(offered)
        d.token_wait_i.value = int(bool(self.instructions) and not offered)
        d.instr_i.value = self.instructions[0] if offered else self.random.getrandbits(512)
        d.acc_ready_i.value = int(self._go(2))
        await FallingEdge(d.clk_i)
        for port, name in enumerate(PORTS):
            granted = bool(getattr(d, f"{name}_rreq_o").value) and self._go(port)
            getattr(d, f"{name}_rgnt_i").value = int(granted)
            self.words[name] = self._word(int(getattr(d, f"{name}_raddr_o").value)) if granted else None
        await ReadOnly()
        valid, row = int(d.acc_valid_o.value), int(d.acc_data_o.value) if d.acc_valid_o.value else 0
        assert self.held is None or self.held == (valid, row), "an offered row changed"
        self.held = (valid, row) if valid and not d.acc_ready_i.value and not stop else None
        if valid and d.acc_ready_i.value:
            values = np.frombuffer(row.to_bytes(4 * CONFIG.cols, "little"), "<i4")
            seen.rows = np.concatenate([seen.rows, values[None]])
        taken = offered and bool(d.instr_ready_o.value)
        if d.retire_o.value:
            seen.signatures.append(int(d.retire_sig_o.value))
        seen.trap = Trap(int(d.fault_cause_o.value)) if d.fault_o.value else Trap.NONE
        self.idle, self.behind = bool(d.idle_o.value), bool(d.behind_o.value)
        classes = int(d.class_o.value)
        assert classes.bit_count() == 1
        self.cycle_class = classes.bit_length() - 1
        seen.classes[self.cycle_class] += 1
        seen.cycles += 1
        await RisingEdge(d.clk_i)
        if taken:
            self.instructions.pop(0)
            d.instr_valid_i.value = 0

    async def finish(self, count: int) -> None:
        """Runs until `count` instructions retired and their rows left, or a fault shows."""
        for _ in range(200_000):
            await self.cycle()
            if self.seen.trap is not Trap.NONE or (len(self.seen.signatures) == count and self.idle):
                return
        raise AssertionError(f"never ended: {self.seen.classes}")

    async def run(self, job: Job) -> None:
        """A whole job, compared with the golden machine."""
        self.load(job)
        await self.finish(len(job.instructions))
        wrong = mxu_jobs.difference(mxu_jobs.golden(job, CONFIG), self.seen, CONFIG)
        assert not wrong, f"{wrong}\n{job.instructions}"


def small_job(rng: np.random.Generator) -> Job:
    """A random job of at most a thousand steps."""
    while True:
        job = mxu_jobs.random_job(rng, CONFIG)
        if sum(mxu_jobs.steps(f, CONFIG) for f in job.instructions) <= 1000:
            return job


@cocotb.test()
async def random_matmuls(dut) -> None:
    rng = np.random.default_rng(31)
    bench = Bench(dut, 1)
    await bench.reset()
    for _ in range(6):
        await bench.run(small_job(rng))


@cocotb.test()
async def retires_when_the_last_row_has_a_bank(dut) -> None:
    """Two column tiles fit into the banks; a third needs the first one's row gone, not only in the output register."""
    bench = Bench(dut, 4)
    await bench.reset()
    for tiles, taken in ((1, 0), (2, 0), (3, 1), (4, 2)):
        job = small_job(np.random.default_rng(34))
        sizes = {"out_h": 1, "out_w": 1, "chunks": 1, "kernel_h": 1, "kernel_w": 1, "block": 1, "wgt_n": 0, "wgt": 0}
        job.instructions = [mxu_jobs.random_matmul(np.random.default_rng(35), CONFIG, depthwise=0, **sizes)]
        job.instructions[0]["n"] = tiles * CONFIG.cols
        bench.load(job)
        for _ in range(taken):
            bench.stall = (0, 0, 256, 0)
            for _ in range(200):
                await bench.cycle()
            assert not bench.seen.signatures
            bench.stall = (0, 0, 0, 0)
            rows = len(bench.seen.rows)
            while len(bench.seen.rows) == rows:
                await bench.cycle()
        bench.stall = (0, 0, 256, 0)
        for _ in range(200):
            await bench.cycle()
        assert len(bench.seen.signatures) == 1
        assert not bench.idle
        bench.stall = (0, 0, 0, 0)
        await bench.finish(1)


@cocotb.test()
async def behind_for_four_groups(dut) -> None:
    """From a step's wait for a row until four groups have gone without another one; a stop ends it. The cycle's class
    says what the step did: both are of the cycle before."""
    bench, chance = Bench(dut, 5), random.Random(36)
    await bench.reset()
    sizes = {"out_h": 8, "out_w": 4, "kernel_h": 1, "kernel_w": 1, "chunks": 2, "n": 3 * CONFIG.cols, "wgt": 0,
             "block": 8, "weight_format": WeightFormat.INT8, "act_format": ActFormat.INT8, "transpose": 0}  # fmt: skip
    work = mxu_jobs.random_matmul(np.random.default_rng(37), CONFIG, depthwise=0, **sizes)
    steps = mxu_jobs.steps(work, CONFIG) // 12  # of a group: four blocks of three column tiles
    left = fallen = renewed = 0
    for stopped in (False, False, True, True, False):
        job = Job(np.zeros(CONFIG.spad_bytes, np.uint8), np.zeros(CONFIG.tables * 64, np.uint8), [work] * 6)
        bench.load(job)
        active = 0
        while len(bench.seen.signatures) < 6 or not bench.idle:
            if chance.random() < 0.01:  # nobody takes a row, or some are taken, or all as soon as they come
                bench.stall = (32, 0, chance.choice((256, 200, 0, 0, 0)), 0)
            await bench.cycle()
            if bench.cycle_class == mxu_jobs.ACC:
                renewed += 0 < left < 4
                left = 4
            elif bench.cycle_class == mxu_jobs.ACTIVE:
                active += 1
                if left and active % steps == 0:
                    left -= 1
                    fallen += left == 0
            assert bench.behind == (left > 0), (left, active, steps)
            if stopped and left == 2:
                await bench.cycle(stop=True)
                left = 0
                await bench.cycle(stop=True)
                assert not bench.behind
                break
    assert fallen > 2
    assert renewed > 2


@cocotb.test()
async def stop_at_any_moment(dut) -> None:
    """A stop drops everything, rows included, and the next instruction is not disturbed."""
    rng = np.random.default_rng(32)
    bench = Bench(dut, 2)
    await bench.reset()
    for _ in range(12):
        bench.load(small_job(rng))
        for _ in range(int(rng.integers(3, 150))):
            await bench.cycle()
        await bench.cycle(stop=True)
        retired, rows = len(bench.seen.signatures), len(bench.seen.rows)
        for _ in range(3):
            await bench.cycle(stop=True)
            assert bench.idle
        assert (len(bench.seen.signatures), len(bench.seen.rows)) == (retired, rows)
        await bench.run(small_job(rng))


@cocotb.test()
async def fault_stands_until_stop(dut) -> None:
    rng = np.random.default_rng(33)
    bench = Bench(dut, 3)
    await bench.reset()
    for name in ("act", "wgt"):
        job = small_job(rng)
        victim = job.instructions[-1]
        victim |= {"pad_top": 0, "pad_left": 0, name: CONFIG.spad_bytes}
        bench.load(job)
        await bench.finish(len(job.instructions))
        assert len(bench.seen.signatures) == len(job.instructions) - 1
        for _ in range(20):
            assert bench.seen.trap is Trap.RANGE
            await bench.cycle()
        await bench.cycle(stop=True)
        await bench.cycle(stop=True)
        assert bench.seen.trap is Trap.NONE
        assert bench.idle
