"""A chip by docs/numerics.md: stores, copies, and instructions one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tests.second.matmul import Matmul
from tests.second.vector import Vector
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import FIELDS, MICROWORD, MICROWORD_BYTES, Opcode, Space


def signature(written: Iterable[tuple[int, bytes]]) -> int:
    """Of (byte address, bytes) that were written: docs/architecture.md, `SIG_*`. What a word lacks counts as zero."""
    total = 0
    for start, data in written:
        for k in range(0, len(data), 4):
            a = (start + k) // 4
            word = int.from_bytes(data[k : k + 4], "little") ^ a
            count = a & 31
            total += (word << count | word >> 32 - count) & 0xFFFFFFFF
    return total & 0xFFFFFFFF


class Chip:
    """Everything is zero at first. memory: what the program copies from and to, changed in place."""

    def __init__(self, config: ChipConfig, memory: bytearray) -> None:
        self.config = config
        self.memory = memory
        self.spad = bytearray(config.spad_bytes)
        self.prog = bytearray(config.prog_words * MICROWORD_BYTES)
        self.tables = bytearray(config.tables * 64)
        self.rows: deque[list[int]] = deque()
        self.scalars = [[0] * config.rows for _ in range(4)]

    def run(self, instruction: Instruction) -> int:
        """Carries out one instruction, HALT excepted. Returns its signature."""
        i = instruction
        f = {field.name: i[field.name] for field in FIELDS[i.opcode]}
        if i.opcode in (Opcode.LOAD, Opcode.STORE):
            return signature(self._copy(i.opcode, f))
        if i.opcode is Opcode.MATMUL:
            c = self.config
            rows = list(Matmul(f, self.spad, self.tables, c.depth, c.cols).rows())
            self.rows.extend(rows)
            values = b"".join((v & 0xFFFFFFFF).to_bytes(4, "little") for row in rows for v in row)
            return signature([(0, values)])
        if i.opcode is Opcode.VECTOR:
            first = f["prog"] * MICROWORD_BYTES
            data = self.prog[first : first + f["prog_len"] * MICROWORD_BYTES]
            decoded = [Microword.decode(bytes(data[k : k + 32])) for k in range(0, len(data), MICROWORD_BYTES)]
            words = [{field.name: word[field.name] for field in MICROWORD} for word in decoded]
            vector = Vector(f, self.spad, self.tables, self.rows, self.scalars, self.config.cols)
            vector.run(words)
            return signature(vector.written)
        return 0

    def _copy(self, opcode: Opcode, f: dict[str, int]) -> Iterable[tuple[int, bytes]]:
        store = {Space.SPAD: self.spad, Space.PROG: self.prog, Space.TABLE: self.tables}[Space(f.get("space", 0))]
        for row in range(f["rows"]):
            far, near, size = f["dram"] + row * f["dram_row"], f["spad"] + row * f["spad_row"], f["row_bytes"]
            source, at, target, to = self.memory, far, store, near
            if opcode is Opcode.STORE:
                source, at, target, to = store, near, self.memory, far
            target[to : to + size] = source[at : at + size]
            yield to, bytes(source[at : at + size])
