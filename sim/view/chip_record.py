"""What a run on the RTL leaves for the report: cycles, traffic and scratchpad by layer and over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.codec import disassemble
from triptych.golden.quartdepth.chip.isa import MICROWORD_BYTES, Engine, Opcode, Space
from triptych.golden.quartdepth.compiler.compile import Compiled
from triptych.golden.quartdepth.compiler.effects import Effects, Memory, effects_of, words_of
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.rtl.cycle_classes import CLASSES
from triptych.sim.rtl.run import TRAFFIC_CYCLES, MemoryTiming, RtlRun
from triptych.sim.view.origin import origin
from triptych.sim.view.runs import (
    ChipRun,
    ChipSizes,
    LayerRun,
    MemoryTerms,
    NetworkTerms,
    Picture,
    Program,
    Samples,
    TensorRun,
)

SAMPLES = 600  # of what changes over time, at most
WAITS = ("wait_load", "wait_mxu", "wait_vpu", "wait_store")


def chip_run(
    title: str, name: str, widths: Widths | None, compiled: Compiled, rtl: RtlRun, timing: MemoryTiming,
    bit_exact: bool, errors: Mapping[str, float], pictures: Sequence[Picture],
) -> ChipRun:  # fmt: skip
    """The run's record. name, widths: of the network. errors: of its tensors against floating point, where known."""
    config = compiled.config
    return ChipRun(
        title, origin(),
        ChipSizes(config.name, config.depth, config.cols, config.rows, config.spad_bytes, config.clock_mhz),
        MemoryTerms(timing.bytes_per_cycle, timing.latency),
        NetworkTerms(name, widths, compiled.network.macs, _shape(compiled.network, compiled.network.input)),
        rtl.cycles, rtl.bytes_read, rtl.bytes_written, bit_exact,
        layer_runs(compiled, rtl), rtl.counters, _program(compiled, rtl), _traffic(rtl), _scratchpad(compiled, rtl),
        _tensors(compiled.network, errors), list(pictures),
    )  # fmt: skip


def _shape(network: Network, name: str) -> tuple[int, int, int]:
    shape = network.maps[name].shape
    return shape.height, shape.width, shape.channels


def layer_runs(compiled: Compiled, rtl: RtlRun) -> list[LayerRun]:
    """Every layer's cycles by class, and bytes; last what no layer's instruction ended."""
    names = CLASSES[Engine.MXU]
    classes = np.zeros((len(compiled.layers) + 1, len(names)), np.int64)
    mxu_pcs = [int(pc) for _, e, pc, _ in rtl.retirements.tolist() if e == Engine.MXU]
    for pc, row in zip(mxu_pcs, rtl.mxu_classes, strict=True):
        classes[compiled.layer_of[pc]] += row
    # What no instruction of the matrix engine ended: before the first one and after the last.
    classes[-1] = [rtl.counters["MXU"][c] for c in names] - classes.sum(axis=0)
    moved = {Opcode.LOAD: np.zeros(len(compiled.layers), np.int64)}
    moved[Opcode.STORE] = moved[Opcode.LOAD].copy()
    for pc, instruction in enumerate(compiled.instructions):
        if instruction.opcode in moved:
            bytes_moved = instruction["rows"] * instruction["row_bytes"]
            moved[instruction.opcode][compiled.layer_of[pc]] += bytes_moved
    layers = [
        LayerRun(
            row.name, row.mode, row.macs, row.ideal_cycles, int(classes[i].sum()),
            dict(zip(names, classes[i].tolist(), strict=True)),
            int(moved[Opcode.LOAD][i]), int(moved[Opcode.STORE][i]),
        )
        for i, row in enumerate(compiled.layers)
    ]  # fmt: skip
    rest = dict(zip(names, classes[-1].tolist(), strict=True))
    return [*layers, LayerRun("(start and end)", "vector", 0, 0.0, int(classes[-1].sum()), rest, 0, 0)]


def _program(compiled: Compiled, rtl: RtlRun) -> Program:
    return Program(
        [disassemble(i) for i in compiled.instructions],
        list(compiled.layer_of),
        [(i["wait_load"], i["wait_mxu"], i["wait_vpu"], i["wait_store"]) for i in compiled.instructions],
        rtl.spans(),
    )


def _traffic(rtl: RtlRun) -> Samples:
    """Bytes over the memory port in each of at most SAMPLES intervals; the last one may be cut short."""
    step = -(-len(rtl.traffic) // SAMPLES) or 1
    total = rtl.bytes_read + rtl.bytes_written
    ends = np.append(rtl.traffic[step - 1 :: step], total) if len(rtl.traffic) else np.array([total])
    return Samples(step * TRAFFIC_CYCLES, np.diff(ends, prepend=0).astype(float).tolist())


def _scratchpad(compiled: Compiled, rtl: RtlRun) -> Samples:
    """Bytes in words that hold what is still to be read, at SAMPLES times: a word from the start of the instruction
    that writes it to the retirement of the last one that reads it before it is written again."""
    config = compiled.config
    every = -(-rtl.cycles // SAMPLES)
    change = np.zeros(rtl.cycles // every + 3, np.int64)
    born, read = (np.full(config.spad_words, -1, np.int64) for _ in range(2))
    times = {pc: (begin, end) for spans in rtl.spans().values() for pc, begin, end in spans}

    def close(words: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts the lives of words that were read since they were written; returns the words that begin anew."""
        ended = words[(read[words] >= 0) & (born[words] >= 0)]
        np.add.at(change, -(-born[ended] // every), 1)
        np.add.at(change, np.minimum(-(-read[ended] // every), len(change) - 1), -1)
        born[ended] = read[ended] = -1
        return words[born[words] < 0]

    for pc, effects in enumerate(program_effects(compiled)):
        begin, end = times.get(pc, (0, 0))
        if Memory.SPAD in effects.reads:
            words = words_of(effects.reads[Memory.SPAD])
            read[words] = np.maximum(read[words], end)
        if Memory.SPAD in effects.writes:
            born[close(words_of(effects.writes[Memory.SPAD]))] = begin
    close(np.arange(config.spad_words))
    return Samples(every, (np.cumsum(change)[: rtl.cycles // every + 1] * config.depth).astype(float).tolist())


def program_effects(compiled: Compiled) -> list[Effects]:
    """What each instruction reads and writes; a VECTOR's microwords are those that LOADs have put into the store."""
    store: dict[int, bytes] = {}
    found = []
    for instruction in compiled.instructions:
        if instruction.opcode is Opcode.LOAD and instruction["space"] == Space.PROG:
            _load_microwords(instruction.fields, compiled.image, store)
        first = instruction["prog"]
        words = tuple(store[first + n] for n in range(instruction["prog_len"])) if instruction["prog_len"] else ()
        found.append(effects_of(instruction, words, compiled.config))
    return found


def _load_microwords(fields: Mapping[str, int], image: bytes, store: dict[int, bytes]) -> None:
    for row in range(fields["rows"]):
        at = fields.get("dram", 0) + row * fields.get("dram_row", 0)
        to = fields.get("spad", 0) + row * fields.get("spad_row", 0)
        for offset in range(0, fields["row_bytes"], MICROWORD_BYTES):
            store[(to + offset) // MICROWORD_BYTES] = image[at + offset : at + offset + MICROWORD_BYTES]


def _tensors(network: Network, errors: Mapping[str, float]) -> list[TensorRun]:
    return [
        TensorRun(name, _shape(network, name), m.qparams.bits, m.qparams.format.name, errors.get(name))
        for name, m in network.maps.items()
    ]
