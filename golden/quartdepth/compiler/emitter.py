"""Writes instructions: the list so far, stores and memory image, and pieces between memory and scratchpad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field

from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import ENGINE_OF, MICROWORD_BYTES, TABLE_BYTES, Engine, Opcode, Space
from triptych.golden.quartdepth.compiler.geometry import Piece
from triptych.golden.quartdepth.compiler.microcode import Program
from triptych.golden.quartdepth.compiler.places import Storage
from triptych.golden.quartdepth.compiler.stores import Image, Store

MAX_ROWS = 0xFFFF  # of a LOAD or STORE


@dataclass
class Op:
    """An instruction and the step that it belongs to. program: a VECTOR's microwords. early: a LOAD that may come long
    before what needs it."""

    instruction: Instruction
    step: int
    program: Program = ()
    early: bool = False


@dataclass(frozen=True)
class View:
    """Cells of a piece at hand in the scratchpad: `base` is the address of cell (r0, c0)."""

    base: int
    r0: int
    c0: int
    pitch: int
    cell: int

    def address(self, row: int, col: int) -> int:
        """Byte address of a cell of the storage."""
        return self.base + (row - self.r0) * self.pitch + (col - self.c0) * self.cell


@dataclass
class Emitter:
    """Instructions in an order that is right when run one after the other, without waits.

    resident: scratchpad addresses of storages that are there as a whole for some time. in_memory: the storages that
    have a copy in memory; memory: their addresses there.
    """

    config: ChipConfig
    image: Image
    resident: Mapping[str, int]
    in_memory: InitVar[Iterable[Storage]]
    ops: list[Op] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    step: int = 0
    counts: Counter[Engine] = field(default_factory=Counter)  # of instructions

    def __post_init__(self, in_memory: Iterable[Storage]) -> None:
        self.programs = Store(self.config.prog_words, "microwords", self._load_program)
        self.tables = Store(self.config.tables, "code tables", self._load_table)
        for storage in in_memory:
            self.memory[storage.name] = self.image.reserve(storage.size)

    def emit(self, opcode: Opcode, program: Program = (), **fields: int) -> None:
        """Append an instruction of the current step."""
        values = {k: int(v) for k, v in fields.items() if v}
        self.ops.append(Op(Instruction(opcode, values), self.step, program))
        self.counts[ENGINE_OF[opcode]] += 1

    def compute(self, program: Program, matmul: dict[str, int] | None, vector: dict[str, int]) -> None:
        """A VECTOR, with the MATMUL that feeds it right before it: a LOAD between the two could wait for the MATMUL
        and keep its VECTOR from being dispatched. The program is loaded if the store does not hold it."""
        first = self.programs.ensure(program)
        if matmul is not None:
            self.emit(Opcode.MATMUL, (), **matmul)
        self.emit(Opcode.VECTOR, program, prog=first, prog_len=len(program), **vector)

    def load_block(self, data: bytes, spad: int, early: bool = False) -> None:
        """Load constant bytes. early: long before they are needed, if there is room."""
        self.emit(Opcode.LOAD, dram=self.image.put(data), spad=spad, rows=1, row_bytes=len(data))
        self.ops[-1].early = early

    def _load_program(self, first: int, data: bytes) -> None:
        self._load_store(Space.PROG, first * MICROWORD_BYTES, data)

    def _load_table(self, first: int, data: bytes) -> None:
        self._load_store(Space.TABLE, first * TABLE_BYTES, data)

    def _load_store(self, space: Space, at: int, data: bytes) -> None:
        self.emit(Opcode.LOAD, dram=self.image.put(data), spad=at, rows=1, row_bytes=len(data), space=space)

    def resident_view(self, piece: Piece) -> View:
        """A piece of a storage that is at hand as a whole."""
        storage = piece.place.storage
        base = self.resident[storage.name] + piece.place.offset
        return View(base, 0, 0, storage.cols * storage.cell, storage.cell)

    def load_piece(self, piece: Piece, view: View) -> None:
        """Memory to a tile's buffer, whole cells."""
        self._copy(Opcode.LOAD, piece, view.base - piece.place.offset, view.pitch)

    def store_piece(self, piece: Piece, view: View, alone: bool) -> None:
        """Scratchpad to memory. alone: the buffer holds this map's part of each cell and nothing else."""
        place, rect = piece.place, piece.rect
        local = view.address(rect.r0, rect.c0) - (0 if alone else place.offset)
        if alone and place.span != place.storage.cell:
            self._store_part(piece, local, view.pitch)
        else:
            self._copy(Opcode.STORE, piece, local, view.pitch)

    def _copy(self, opcode: Opcode, piece: Piece, local: int, pitch: int) -> None:
        """Whole cells of a rectangle, as one run of bytes where they lie without gaps on both sides."""
        storage, rect = piece.place.storage, piece.rect
        line, width, rows = storage.cols * storage.cell, (rect.c1 - rect.c0) * storage.cell, rect.r1 - rect.r0
        at = self.memory[storage.name] + rect.r0 * line + rect.c0 * storage.cell
        if rows == 1 or (width == line and pitch == line):
            self.emit(opcode, dram=at, spad=local, rows=1, row_bytes=rows * width)
        else:
            self.emit(opcode, dram=at, dram_row=line, spad=local, spad_row=pitch, rows=rows, row_bytes=width)

    def _store_part(self, piece: Piece, local: int, pitch: int) -> None:
        """A part of a joined map, pixel by pixel between the other parts."""
        place, rect = piece.place, piece.rect
        cell, width = place.storage.cell, rect.c1 - rect.c0
        whole = width == place.storage.cols
        pixels = rect.area if whole else width
        for row in range(1 if whole else rect.r1 - rect.r0):
            at = ((rect.r0 + row) * place.storage.cols + rect.c0) * cell + place.offset
            for done in range(0, pixels, MAX_ROWS):
                self.emit(
                    Opcode.STORE,
                    dram=self.memory[place.storage.name] + at + done * cell,
                    dram_row=cell,
                    spad=local + row * pitch + done * place.span,
                    spad_row=place.span,
                    rows=min(pixels - done, MAX_ROWS),
                    row_bytes=place.span,
                )


def buffer_view(piece: Piece, base: int, alone: bool) -> View:
    """A piece in a tile's buffer at `base`."""
    place, rect = piece.place, piece.rect
    cell = place.span if alone else place.storage.cell
    return View(base + (0 if alone else place.offset), rect.r0, rect.c0, (rect.c1 - rect.c0) * cell, cell)
