"""An integer network becomes a program and a memory image.

    graph.capture -> quantize.quantize -> compile_network -> machine or RTL

`layout` decides where maps lie, `jobs` turns layers into walks over cells, `steps` packs weights, `plan` decides
what stays on the chip and in which tiles, `emit` writes instructions, `schedule` orders loads and sets the tokens.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.arithmetic.numerics import pack_nibbles, unpack_nibbles
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import INSTRUCTION_BYTES, ROW_SCALARS, Opcode
from triptych.golden.quartdepth.compiler.effects import Memory
from triptych.golden.quartdepth.compiler.emit import emit_network
from triptych.golden.quartdepth.compiler.emitter import Emitter, Op
from triptych.golden.quartdepth.compiler.estimate import Listed, estimate
from triptych.golden.quartdepth.compiler.places import CompileError, InputWindows, Place, round_up
from triptych.golden.quartdepth.compiler.plan import Plan, make_plan
from triptych.golden.quartdepth.compiler.schedule import MAX_TOKENS, schedule
from triptych.golden.quartdepth.compiler.stores import Image
from triptych.golden.quartdepth.network.network import Network

ALIGN = 64  # of blocks in memory: a burst never starts in the middle of one
COARSE = (1, 4, 16, 64)  # how much longer instructions may be than they should


@dataclass(frozen=True)
class LayerRow:
    """One layer in the program: instructions `first` to `last` (exclusive) hold its computation and stores; loads may
    stand earlier. mode: w4a8, w4a4 (two codes a byte), w8a8 (two passes), depthwise, attention or
    vector. ideal_cycles: MACs over the
    MACs that the MXU does in a cycle of that mode."""

    name: str
    mode: str
    macs: int
    ideal_cycles: float
    first: int
    last: int


@dataclass(frozen=True)
class Surface:
    """How a map lies in memory, from byte `address` on."""

    address: int
    place: Place

    def pack(self, codes: NDArray[np.int64]) -> bytes:
        """Bytes of codes [h, w, c] (already arranged in windows where the input is)."""
        storage, qparams = self.place.storage, self.place.qparams
        elements = storage.cell * 8 // qparams.bits
        cells = np.zeros((storage.rows, storage.cols, elements), dtype=np.int64)
        py, px = self.place.patch
        h, w, c = codes.shape
        sequences = codes.reshape(h // py, py, w // px, px, c).transpose(1, 3, 0, 2, 4)
        cells[:, :, self.place.positions] = sequences.reshape(storage.rows, storage.cols, c)
        if qparams.bits == 4:
            return pack_nibbles(cells).tobytes()
        return cells.astype("<i1" if qparams.bits == 8 else "<i2").tobytes()

    def unpack(self, data: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Codes [h, w, c] of the bytes that lie there."""
        storage, qparams = self.place.storage, self.place.qparams
        if qparams.bits == 4:
            flat = unpack_nibbles(data).astype(np.int64)
        else:
            flat = np.ascontiguousarray(data).view("<i1" if qparams.bits == 8 else "<i2").astype(np.int64)
        cells = flat.reshape(storage.rows, storage.cols, -1)[:, :, self.place.positions]
        (py, px), cols = self.place.patch, storage.cols * self.place.fold
        rows, channels = storage.rows // (py * px), cells.shape[2] // self.place.fold
        sequences = cells.reshape(py, px, rows, cols, channels).transpose(2, 0, 3, 1, 4)
        return sequences.reshape(rows * py, cols * px, channels)


@dataclass(frozen=True, eq=False)
class Compiled:
    """A program and what it works on.

    program lies at `prog_base` of `image`, the memory's content from address 0; `memory_size` bytes are needed in all.
    listing: the instructions, and the microwords of each VECTOR. programs: the lengths of the programs in it, each with
    its HALT: one, where nobody asked for more.
    layer_of: for each instruction the index in `layers` of the layer that it works for.
    made: addresses and bytes of the maps that the program itself makes in memory.
    cycles: as `estimate` has them.
    """

    config: ChipConfig
    network: Network
    listing: list[Listed]
    programs: list[int]
    image: bytes
    prog_base: int
    memory_size: int
    input: Surface
    outputs: dict[str, Surface]
    windows: InputWindows | None
    layers: list[LayerRow]
    layer_of: list[int]
    made: list[tuple[int, int]]
    plan: Plan
    cycles: int

    @cached_property
    def instructions(self) -> list[Instruction]:
        """In order."""
        return [listed.instruction for listed in self.listing]

    @property
    def program(self) -> bytes:
        """The instructions' bytes."""
        return b"".join(i.encode() for i in self.instructions)

    def pack_input(self, codes: NDArray[np.int64]) -> bytes:
        """Bytes to write at `input.address` for input codes [h, w, c] of the network. Raises ValueError for a wrong
        shape or codes that the input does not have."""
        self.network.check_codes(self.network.input, codes)
        if self.windows is not None:
            codes = self.windows.arrange(codes, self.input.place.qparams.pad)
        return self.input.pack(codes)

    def memory(self, codes: NDArray[np.int64]) -> bytes:
        """The whole memory, program and input in place."""
        memory = bytearray(self.image.ljust(self.memory_size, b"\0"))
        data = self.pack_input(codes)
        memory[self.input.address : self.input.address + len(data)] = data
        return bytes(memory)

    def read_output(self, memory: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Codes [h, w, c] of the first output from the memory after the run."""
        return self.read_outputs(memory)[self.network.output]

    def read_outputs(self, memory: NDArray[np.uint8]) -> dict[str, NDArray[np.int64]]:
        """Codes [h, w, c] of all outputs, by their maps, from the memory after the run."""
        return {
            name: surface.unpack(memory[surface.address : surface.address + surface.place.storage.size])
            for name, surface in self.outputs.items()
        }


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """Within: Python looks for no unreachable cycles. A compiler makes millions of small objects and keeps most of them
    to the end: searching them takes a sixth of its time and finds nothing."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@no_search_for_cycles()
def compile_network(network: Network, config: ChipConfig, cut: int | None = None) -> Compiled:
    """Compile for a chip. cut: instructions of an engine at which another program begins, MAX_TOKENS at most; without
    it there is one, of longer instructions where they are too many. Raises CompileError in one line when a layer cannot
    run there, or one program cannot hold all."""
    if network.input in network.outputs or not network.layers:
        raise CompileError("the network has no layer")
    plan = make_plan(network, config)
    emitter = _emitted(plan, config, cut is not None)
    image = emitter.image
    _put_constants(plan, emitter)
    sizes = {
        Memory.SPAD: config.spad_words,
        Memory.DRAM: -(-image.size // config.depth),
        Memory.PROG: config.prog_words,
        Memory.TABLE: config.tables,
        Memory.ROWS: ROW_SCALARS,
    }
    programs = schedule(emitter.ops, config, sizes, cut or MAX_TOKENS)
    halt = Op(Instruction(Opcode.HALT), len(plan.steps) - 1)
    ops = [op for program in programs for op in (*(entry.op for entry in program), halt)]
    listing = [Listed(op.instruction, op.program) for op in ops]
    lengths = [len(program) + 1 for program in programs]
    prog_base = image.put(b"".join(i.encode() for i, _ in listing))
    memory = bytearray(image.size)
    for address, data in image.blocks:
        memory[address : address + len(data)] = data
    places, storages = plan.layout.places, plan.layout.storages
    given = {places[name].storage.name for name in (network.input, *network.constants)}
    return Compiled(
        config,
        network,
        listing,
        lengths,
        bytes(memory),
        prog_base,
        round_up(image.size, 4096),
        Surface(emitter.memory[network.input], places[network.input]),
        {name: Surface(emitter.memory[name], places[name]) for name in network.outputs},
        plan.layout.windows,
        _layer_table(plan, ops, network, config),
        [op.step for op in ops],
        [(at, storages[name].size) for name, at in emitter.memory.items() if name not in given],
        plan,
        sum(estimate(program, config).cycles for program in split(listing, lengths)),
    )


def split(listing: list[Listed], lengths: list[int]) -> list[list[Listed]]:
    """The programs that a listing is made of."""
    ends = np.cumsum(lengths).tolist()
    return [listing[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _emitted(plan: Plan, config: ChipConfig, any_number: bool) -> Emitter:
    """All instructions but HALT, longer ones where there would be more than tokens count and not any number will do.
    Raises CompileError where there are more however long they are."""
    resident = {name: buffer.address for name, buffer in plan.resident.items()}
    stored = [life.storage for life in plan.lives.values() if life.in_memory]
    for coarse in COARSE:
        emitter = Emitter(config, Image(ALIGN), resident, stored)
        if emit_network(plan, emitter, sys.maxsize if any_number else MAX_TOKENS, coarse):
            return emitter
    raise CompileError(f"the program has more than {MAX_TOKENS} instructions of an engine")


def _put_constants(plan: Plan, emitter: Emitter) -> None:
    """Maps that no layer makes, as data of the image."""
    for name, codes in plan.layout.network.constants.items():
        place = plan.layout.places[name]
        if place.patch != (1, 1) or place.storage.name != name:
            raise CompileError(f"the constant '{name}' cannot be a part of a concatenation or an operand of attention")
        emitter.image.blocks.append((emitter.memory[name], Surface(emitter.memory[name], place).pack(codes)))


def _layer_table(plan: Plan, ops: list[Op], network: Network, config: ChipConfig) -> list[LayerRow]:
    rows = []
    special = {"w4a4": config.macs_w4a4, "w8a8": config.macs_w4a8 / 2}
    named = {layer.name: layer for layer in network.layers}
    places: dict[int, list[int]] = {}
    for n, op in enumerate(ops):
        if op.instruction.opcode not in (Opcode.LOAD, Opcode.HALT):
            places.setdefault(op.step, []).append(n)
    for step in plan.steps:
        layer, mine = step.layer, places[step.index]
        macs, mode = named.get(layer.name, layer).macs(network.maps), layer.mode(plan.layout)
        rates = [special.get(part, config.macs_w4a8) for part in layer.rates(plan.layout)]
        ideal = sum(macs / len(rates) / rate for rate in rates)
        rows.append(LayerRow(layer.name, mode, macs, ideal, mine[0], mine[-1] + 1))
    return rows


__all__ = ["INSTRUCTION_BYTES", "CompileError", "Compiled", "LayerRow", "Surface", "compile_network"]
