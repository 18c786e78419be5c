"""The compiler's clock: how long a program takes, without simulating it.

The four engines are followed instruction by instruction, MXU and VPU by groups of accumulator rows, for these pass
between them. What is known exactly is counted (beats, words of weights, elements, instructions that wait in queues,
tokens); what depends on single cycles (banks of the scratchpad, the bus) is a mean. `docs/results.md` has the errors
against RTL.

    estimate(compiled.listing, compiled.config, Memory(latency=100)).cycles
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import NamedTuple

import numpy as np

from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import SPAD_BANKS, ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    ENGINE_OF,
    INSTRUCTION_BYTES,
    ActFormat,
    Engine,
    Opcode,
    WeightFormat,
)
from triptych.golden.quartdepth.compiler.microword_time import Program, Timed, slices, timed

FIRST = 4  # cycles from the start to the first instruction's request
ASK = 2  # from an instruction's way out of fetch's memory to the request that takes its place
DECODE = 2  # from there until decode hands it over
QUEUE = 4  # from there until its engine can have it
BURST = 32  # beats of one of LOAD's bursts
PASSES = 3  # each knows from the one before what moves beside an instruction
PREFETCH = 4  # instructions that are fetched ahead
SETUP_MXU = 5  # from a MATMUL's issue to its first step
TURN_MXU = 2  # between the last step of one MATMUL and the first of the next
LOADER = 4  # from a MATMUL's issue to the first word of its first tile
LOADING = 1.2  # cycles for a word of weights, beside the stream
SWAP = 1  # from a tile that the stream waits for to its first step
TILE = 1  # from one tile's last word to the next one's first
HAND = 6  # from a group's last step to its first row at the VPU
RETIRE_MXU = 4  # from the last step to retirement
START_VPU = 4  # from a VECTOR's issue to its first element
PARAMETER = 1.3  # cycles for a word of the first group of columns' parameters, before the first element
TURN_VPU = 10.5  # from a microword's last element to the first of the next one
RETIRE_VPU = 10  # from the last element to retirement
SAMPLE = 4  # rows of a picture of which banks are counted
HELD = 4  # copies that an engine holds; all but the youngest of them have asked the memory
SETUP_COPY = 6  # from a copy's issue to its first request
RETIRE_COPY = 4  # from a copy's last beat to retirement
CONFLICT = 1.2  # cycles that an operand waits for the scratchpad, for a word of weights that the array reads a cycle
BEHIND = 4  # groups after the array's last wait for an accumulator row, in which the VPU's operands go first (mxu.sv)
BEHIND_WEIGHTS = 0.3  # part of the words of weights that operands wait for then
END = 4  # from the last retirement to the end
_WAITS = {engine: f"wait_{engine.name.lower()}" for engine in Engine}


@dataclass(frozen=True)
class Memory:
    """latency: cycles from an address to the first beat. bandwidth: bytes a cycle, reads and writes together."""

    latency: int = 40
    bandwidth: float = 19.2


class Listed(NamedTuple):
    """An instruction, and its microwords if it is a VECTOR."""

    instruction: Instruction
    program: Program


@dataclass(frozen=True)
class Estimate:
    """cycles: from start to halt. starts, ends: by instruction, when it is issued and when it retires. busy: of each
    engine, the cycles in which it does what it is for."""

    cycles: int
    starts: list[float]
    ends: list[float]
    busy: dict[Engine, float]

    def by_layer(self, listing: Sequence[Listed], layer_of: Sequence[int], layers: int) -> list[float]:
        """Cycles of layers as a run's table has them: of the MXU, from retirement to retirement. The last entry is
        what no layer ends."""
        out, last = [0.0] * (layers + 1), 0.0
        for (instruction, _), layer, end in zip(listing, layer_of, self.ends, strict=False):
            if instruction.opcode is Opcode.MATMUL:
                out[layer] += end - last
                last = end
        out[layers] = self.cycles - last
        return out


def estimate(
    listing: Sequence[Listed], config: ChipConfig, memory: Memory | None = None, lanes: int | None = None
) -> Estimate:
    """Cycles of a whole program, each MATMUL right before its VECTOR. lanes: of the VPU; None: the chip's."""
    memory, lanes = memory or Memory(), lanes or config.lanes
    beside = [0.0] * len(listing)
    for _ in range(PASSES - 1):
        clock = _Clock(config, memory, lanes, beside)
        beside = clock.beside(listing, clock.run(listing))
    return _Clock(config, memory, lanes, beside).run(listing)


class _Traffic:
    """Words or bytes over time: so many in each of some stretches, in order."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.before: list[float] = [0.0]  # amounts of all before each

    def add(self, start: float, end: float, amount: float) -> None:
        """One more stretch, behind the others."""
        self.starts.append(start)
        self.ends.append(end)
        self.before.append(self.before[-1] + amount)

    def within(self, start: float, end: float) -> float:
        """What moves in a stretch."""
        return self._until(end) - self._until(start)

    def _until(self, time: float) -> float:
        n = bisect_right(self.starts, time)
        if not n:
            return 0.0
        left = max(self.ends[n - 1] - time, 0.0) / max(self.ends[n - 1] - self.starts[n - 1], 1.0)
        return self.before[n] - left * (self.before[n] - self.before[n - 1])


class _Clock:
    """moving: by instruction, what moves beside it: beside a VECTOR words of weights a cycle, beside a copy bytes."""

    def __init__(self, config: ChipConfig, memory: Memory, lanes: int, moving: list[float]) -> None:
        self.config, self.memory, self.moving = config, memory, moving
        self.now = 0  # the instruction in hand
        self.beat = min(memory.bandwidth, config.depth)  # bytes that a cycle brings
        # the memory's answers cover its latency only as far as LOAD asks ahead
        self.flight = config.load_bursts * BURST * config.depth
        self.rate = min(self.beat, self.flight / (memory.latency + SETUP_COPY))
        self.lanes = lanes
        self.weights = _Traffic()  # words that the MXU reads, as far as the VPU waits for them
        self.moved = {engine: _Traffic() for engine in (Engine.LOAD, Engine.STORE)}  # bytes
        self.program = _Traffic()  # bytes of instructions
        self.retired: dict[Engine, list[float]] = {engine: [0.0] for engine in Engine}
        self.issued: dict[Engine, list[float]] = {engine: [] for engine in Engine}
        self.bus = {engine: 0.0 for engine in self.moved}  # when the memory has moved what it was asked for
        self.asked = [-inf]  # when LOAD asked for the first byte of each copy
        self.came = [0.0]  # and when it had the last one
        self.stream = 0.0  # when the MXU's last step so far has gone
        self.taken = 0.0  # when its setup can take an instruction
        self.loaded = 0.0  # when its loader can begin with another tile
        self.vpu = 0.0  # when the VPU is done
        # the last two groups of accumulator rows: when the VPU began to read them, when it had
        self.begun, self.drained = [0.0, 0.0], [0.0, 0.0]
        self.behind = 0  # groups until the array's words go first again
        self.busy = dict.fromkeys(Engine, 0.0)

    def run(self, listing: Sequence[Listed]) -> Estimate:
        """Follows the program."""
        burst = INSTRUCTION_BYTES // self.config.depth
        beats = INSTRUCTION_BYTES / self.beat
        arrived, at = 0.0, 0.0
        read = [float(FIRST - ASK)] * PREFETCH  # when instructions leave fetch's memory
        dispatched = [0.0, 0.0]  # when decode hands them over: two may be behind it
        starts: list[float] = []
        ends: list[float] = []
        matmul: Instruction | None = None
        for n, (i, program) in enumerate(listing):
            self.now = n
            arrived = max(arrived + beats, self._answered(read[n] + ASK) + burst - 1)
            self.program.add(arrived - beats, arrived, INSTRUCTION_BYTES)
            read.append(max(arrived + 1, dispatched[n] + 1))
            if i.opcode is Opcode.HALT:
                break
            engine, fields = ENGINE_OF[i.opcode], i.fields
            mine = self.issued[engine]
            slot = mine[-self.config.queue] if len(mine) >= self.config.queue else 0.0
            at = max(read[-1] + DECODE, at + 1, slot + 1)
            dispatched.append(at)
            ready = max(at + QUEUE, mine[-1] + 1 if mine else 0.0)
            for e, wait in _WAITS.items():
                if wait in fields:
                    ready = max(ready, self.retired[e][fields[wait]] + 1)
            if engine is Engine.MXU:
                matmul, start, end = i, max(ready, self.taken), 0.0
            elif engine is Engine.VPU:
                start = max(ready, self.vpu)
                if matmul is None:
                    end = self._alone(i, timed(program), start)
                else:
                    ends[-1], end = self._pair(matmul, starts[-1], i, timed(program), start)
                    self.retired[Engine.MXU][-1] = ends[-1]
                    matmul = None
            else:
                start, end = self._copy(i, engine, ready)
            mine.append(start)
            self.retired[engine].append(end)
            starts.append(start)
            ends.append(end)
        return Estimate(round(max([read[-1], *ends]) + END), starts, ends, self.busy)

    def _answered(self, time: float) -> float:
        """When an instruction that is asked for arrives: behind all that LOAD has asked for before."""
        answer = time + self.memory.latency
        before = self.came[bisect_right(self.asked, time) - 1]
        return max(answer, min(before, answer + self.flight / self.beat))

    def beside(self, listing: Sequence[Listed], found: Estimate) -> list[float]:
        """What moved beside each instruction, after all have been followed."""
        out = [0.0] * len(listing)
        copies = {engine: iter(zip(moved.starts, moved.ends, strict=True)) for engine, moved in self.moved.items()}
        for n, ((i, _), start, end) in enumerate(zip(listing, found.starts, found.ends, strict=False)):
            engine = ENGINE_OF[i.opcode]
            if engine is Engine.VPU:
                out[n] = self.weights.within(start, end) / (end - start)
            elif engine in copies:
                other = Engine.STORE if engine is Engine.LOAD else Engine.LOAD
                stretch, size = next(copies[engine]), i["rows"] * i["row_bytes"]
                # both directions take turns; the program comes first
                out[n] = min(self.moved[other].within(*stretch), size) + self.program.within(*stretch)
        return out

    def _pair(
        self, i: Instruction, issue: float, v: Instruction, words: tuple[Timed, ...], start: float
    ) -> tuple[float, float]:
        """When a MATMUL and its VECTOR retire. The array may be two groups of accumulator rows ahead."""
        depth, cols = self.config.depth, self.config.cols
        depthwise, n = bool(i["depthwise"]), i["n"]
        paired = i["weight_format"] == WeightFormat.INT4 and i["act_format"] == ActFormat.INT8
        wide = i["weight_format"] == WeightFormat.INT8
        steps = 1 if depthwise else i["kernel_h"] * i["kernel_w"] * i["chunks"]
        tiles = -(-steps // 2) if paired else steps
        passes = 2 if wide or paired else 1  # of a tile
        lane = depth if depthwise else cols
        pixels, block = i["out_h"] * i["out_w"], i["block"]
        stream = max(issue + SETUP_MXU, self.stream + TURN_MXU)
        requested = loaded = max(issue + LOADER, self.loaded)
        taken: float = stream
        self.vpu = start + START_VPU + self._parameters(words[0])
        for first in range(0, pixels, block):
            rows = min(block, pixels - first)
            for left in range(n, 0, -lane):
                columns = min(left, lane)
                if depthwise:
                    beats = _window_beats(i, first, rows)
                    length = beats
                else:
                    beats = rows * passes
                    length = steps * rows * (2 if wide else 1)
                words_of_tile = depth if i["transpose"] else min(columns, cols)
                load = words_of_tile * LOADING + TILE
                could = max(stream, loaded + load - TILE + SWAP)
                begin = max(could, self.begun[0] + 1)
                period = max(beats, load)
                last = begin + (tiles - 1) * period
                requested = load + (loaded if tiles == 1 else last - period + TILE)
                done = last + length - (tiles - 1) * beats
                end = max(done, self.drained[0] + 1 + length - rows)
                # with less than a cycle to spare the array waits for some row, for both go at the VPU's rate
                spare = min(could - self.begun[0], done - self.drained[0] - length + rows) - 1
                self.behind = BEHIND if spare < 1 else max(self.behind - 1, 0)
                share = BEHIND_WEIGHTS if self.behind else 1.0
                self.weights.add(begin, end, share * tiles * words_of_tile)
                self.busy[Engine.MXU] += length
                stream, loaded = end, last + TILE
                groups = -(-columns // cols)
                came = max(self.vpu, end + HAND)
                self._elements(words[0], came, rows * groups)
                self.begun = [self.begun[1], came]
                self.drained = [self.drained[1], self.vpu]
            self._rest(words, rows, v["n"], first + rows >= pixels)
        self.stream, self.loaded = stream, loaded
        self.taken = max(taken, requested)
        self.vpu += RETIRE_VPU
        return stream + RETIRE_MXU, self.vpu

    def _alone(self, v: Instruction, words: tuple[Timed, ...], start: float) -> float:
        """When a VECTOR without products retires."""
        self.vpu = start + START_VPU + self._parameters(words[0])
        pixels, block, n = v["h"] * v["w"], v["block"], v["n"]
        groups = -(-n // self.config.cols)
        if len(words) == 1:
            self._elements(words[0], self.vpu, pixels * (groups if words[0].vector else 1))
            if words[0].reads > 1:
                places = tuple((v[o], v[f"{o}_row"], v[f"{o}_pix"]) for o in "ab")
                shape = min(v["h"], SAMPLE), v["w"], groups
                self.vpu += (
                    pixels * groups * _meeting(shape, places, words[0].bits, self.config.depth, self.config.cols)
                )
        else:
            for first in range(0, pixels, block):
                rows = min(block, pixels - first)
                self._elements(words[0], self.vpu, rows * (groups if words[0].vector else 1))
                self._rest(words, rows, n, first + rows >= pixels)
        self.vpu += RETIRE_VPU
        return self.vpu

    def _parameters(self, word: Timed) -> float:
        """What a VECTOR waits for parameters, eight bytes a channel, before it begins."""
        return word.parameters * PARAMETER * 8 * self.config.cols / self.config.depth

    def _rest(self, words: tuple[Timed, ...], rows: int, n: int, done: bool) -> None:
        """A block's microwords behind the first, and the turn to the next block's."""
        if len(words) == 1:
            return
        groups = -(-n // self.config.cols)
        for word in words[1:]:
            self.vpu += TURN_VPU
            self._elements(word, self.vpu, rows * groups if word.vector else rows)
        self.vpu += 0 if done else TURN_VPU

    def _elements(self, word: Timed, start: float, count: int) -> None:
        """Elements of a microword, in groups of columns."""
        each = slices(word, self.config, self.lanes)
        cycles = float(count * each)
        cycles += count * word.reads * CONFLICT * self.moving[self.now]
        self.busy[Engine.VPU] += count * each
        self.vpu = start + cycles

    def _copy(self, i: Instruction, engine: Engine, ready: float) -> tuple[float, float]:
        """When a LOAD or STORE is issued and retires."""
        size, ends = i["rows"] * i["row_bytes"], self.retired[engine]
        ready = max(ready, ends[-HELD] + 1 if len(ends) > HELD else 0.0)
        asks = max(ready, ends[1 - HELD] + 1 if len(ends) >= HELD else 0.0)
        lead = SETUP_COPY + (self.memory.latency if engine is Engine.LOAD else 0)
        begin = max(self.bus[engine], asks + lead)
        if engine is Engine.LOAD:
            self.asked.append(asks + SETUP_COPY)
        alone = size / (self.rate if engine is Engine.LOAD else self.beat)
        end = begin + alone + self.moving[self.now] / self.beat
        if engine is Engine.LOAD:
            self.came.append(end)
        self.bus[engine] = end
        self.moved[engine].add(begin, end, size)
        self.busy[engine] += size / self.config.depth
        return ready, end + RETIRE_COPY + (self.memory.latency if engine is Engine.STORE else 0)


def _window_beats(i: Instruction, first: int, pixels: int) -> int:
    """Words that a depthwise MATMUL reads for a group of channels of `pixels` pixels from the `first` on: the columns
    of each window that the one before did not have; all three where a row or a block begins."""
    width, fresh = i["out_w"], min(i["stride_x"], 3)
    rows = (first + pixels - 1) // width - first // width  # that begin behind the first pixel
    return 3 * (fresh * (pixels - 1 - rows) + 3 * (rows + 1))


@lru_cache(1 << 16)
def _meeting(
    shape: tuple[int, int, int], places: tuple[tuple[int, int, int], ...], bits: tuple[int, int], depth: int, cols: int
) -> float:
    """The part of a VECTOR's elements whose two operands lie in one bank of the scratchpad: they come one by one.
    shape: rows, pixels of a row and groups that are counted. places: address, row and pixel step of each operand."""
    height, width, groups = shape
    x, group = np.arange(width), np.arange(groups)[:, None]
    same = 0
    for y in range(height):
        banks = []
        for (first, row, pixel), size in zip(places, bits, strict=True):
            at = (first + y * row + x * pixel + group * (cols * size // 8)) // depth
            banks.append((at ^ at >> 2 ^ at >> 4) & (SPAD_BANKS - 1))
        same += int((banks[0] == banks[1]).sum())
    return same / (width * groups * height)
