"""The instructions of random programs, one by one: MATMULs with the VECTORs that take their rows, and the rest."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kit.accesses import (
    Loaded,
    Range,
    table_range,
)
from tests.kit.random_copies import NoRoom
from tests.kit.random_vectors import Vectors
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.isa import (
    ActFormat,
    Opcode,
    WeightFormat,
)

MAX_STEPS = 2000  # of the MXU in one MATMUL


@dataclass
class Builder(Vectors):
    """Appends random instructions to `program`; `memory` gets the data that they load."""

    def matmul_and_vectors(self) -> None:
        """One or two MATMULs, directly followed by the VECTORs that drain them: nothing between them can wait. Where no
        destination can be found that none of what the MATMULs read meets, others are drawn."""
        matmuls = [self.matmul()]
        if self.chance(20):
            matmuls.append(matmuls[0] if self.chance(50) else self.matmul())
        vectors = self._drains([m for m, _ in matmuls])
        prepared: list[Loaded] = []
        for words, _, _, _ in vectors:  # microwords are loaded before the MATMULs
            prepared.append(self.prepare(words, prepared))
        first = len(self.program)
        for matmul, reads in matmuls:
            self.add(Instruction(Opcode.MATMUL, dict(matmul.fields)), reads, [])
        # A VECTOR that waits for its own MATMUL would deadlock unless all rows fit in the two banks.
        banks = sum(self._banks(m) for m, _ in matmuls)
        keep = [] if banks <= 2 else [r for a in self.accesses[first:] for r in a.reads]
        try:
            for (words, shape, n, block), prog in zip(vectors, prepared, strict=True):
                self.vector(words, shape, n, block, keep, prog.first, idle=False)
        except NoRoom:
            del self.program[first:], self.accesses[first:]
            self.matmul_and_vectors()

    def _banks(self, m: Instruction) -> int:
        blocks = -(-m["out_h"] * m["out_w"] // m["block"])
        return blocks * -(-m["n"] // (self.config.depth if m["depthwise"] else self.config.cols))

    def _drains(self, matmuls: list[Instruction]) -> list[tuple[list[Microword], tuple[int, int], int, int]]:
        """Microwords, shape, channels and block of VECTORs that together take all rows."""
        cols, first = self.config.cols, matmuls[0]
        pixels = [m["out_h"] * m["out_w"] for m in matmuls]
        tiles = [-(-m["n"] // cols) for m in matmuls]
        rows = sum(p * t for p, t in zip(pixels, tiles, strict=True))
        if self.config.lanes < cols:  # rows leave in parts, block by block: each VECTOR mirrors its MATMUL
            return [(self.words(1), self._shape(p), m["n"], m["block"]) for m, p in zip(matmuls, pixels, strict=True)]
        if len(matmuls) == 1 and self.chance(75):  # the usual case: the VECTOR mirrors the MATMUL
            n = self.pick([first["n"], self.number((tiles[0] - 1) * cols + 1, tiles[0] * cols)])
            return [(self.words(1), self._shape(pixels[0]), n, first["block"])]
        block = self.number(1, self.config.rows)
        if rows % 2 == 0 and self.chance(50):  # two microwords that read accumulators
            return [(self.words(2), self._shape(rows // 2), self.number(1, cols), block)]
        cut = self.number(0, rows - 1)
        parts = [part for part in (cut, rows - cut) if part]
        return [(self.words(1), self._shape(part), self.number(1, cols), block) for part in parts]

    def _shape(self, pixels: int) -> tuple[int, int]:
        height = self.pick([h for h in range(1, pixels + 1) if pixels % h == 0])
        return height, pixels // height

    def matmul(self) -> tuple[Instruction, list[Range]]:
        """A MATMUL without waits, and what it reads."""
        while True:
            try:
                return self._try_matmul()
            except NoRoom:
                continue

    def _try_matmul(self) -> tuple[Instruction, list[Range]]:
        c, d = self.config.cols, self.config.depth
        depthwise = self.chance(25)
        act_format = self.pick(list(ActFormat))
        int4 = depthwise or act_format is not ActFormat.INT8
        weight_format = WeightFormat.INT4 if int4 else self.pick(list(WeightFormat))
        int4 = weight_format is WeightFormat.INT4
        transpose = not int4 and self.chance(50)
        kernel = (3, 3) if depthwise else (self.small(4), self.small(4))
        n = self.small(3 * d)
        chunks = -(-n // d) if depthwise else self.small(4)
        in_h, in_w, out_h, out_w = (self.small(10) for _ in range(4))
        tiles, taps = -(-n // c), kernel[0] * kernel[1]
        steps = taps * chunks * (2 if weight_format is WeightFormat.INT8 else 1)
        if out_h * out_w * tiles * steps > MAX_STEPS:
            raise NoRoom
        half = depthwise and act_format is not ActFormat.INT8
        pixel = -(-chunks * (d // 2 if half else d) // d) * d
        pix = self.pick([pixel, pixel + self.number(0, 3) * d, self.number(0, 4) * d])
        row = self.pick([in_w * pix, in_w * pix + self.number(0, 5) * d, self.number(0, 8) * d])
        act_size = (in_h - 1) * row + (in_w - 1) * pix + pixel
        act = self.place(act_size, d)
        columns, unit = min(n, c), c if transpose else d
        wgt_c = self.pick([d, -(-n // d) * d, self.number(0, 3) * d])
        if depthwise:
            k_tiles, n_tiles = chunks, 1
        else:
            paired = int4 and act_format is ActFormat.INT8
            k_tiles, n_tiles = (-(-taps * chunks // 2) if paired else taps * chunks), tiles
        wgt_t = self.pick([c * d, self.number(0, 12) * unit])
        wgt_n = self.pick([c if transpose else k_tiles * c * d, self.number(0, 20) * unit])
        tile = (d - 1) * wgt_c + c if transpose else (columns - 1) * wgt_c + d
        wgt_size = (n_tiles - 1) * wgt_n + (k_tiles - 1) * wgt_t + tile
        wgt = self.place(wgt_size, unit)
        most = self.config.rows * c // d if depthwise else self.config.rows
        fields = {
            **{"act_format": act_format, "weight_format": weight_format},
            **{"depthwise": depthwise, "transpose": transpose},
            **{"code_table": self.number(0, self.config.tables - 1), "pad_value": self.number(0, 255)},
            **{"act": act, "act_row": row, "act_pix": pix, "in_h": in_h, "in_w": in_w},
            **{"pad_top": self.number(0, 3) * self.chance(50), "pad_left": self.number(0, 15) * self.chance(30)},
            **{"kernel_h": kernel[0], "kernel_w": kernel[1], "chunks": chunks, "last_elems": self.number(1, d)},
            **{"stride_y": self.small(7), "stride_x": self.small(7), "out_h": out_h, "out_w": out_w, "n": n},
            **{"block": min(most, self.small(most)), "wgt": wgt, "wgt_n": wgt_n, "wgt_t": wgt_t, "wgt_c": wgt_c},
        }
        strides = {"act_row": (in_h, 24, d), "act_pix": (in_w, 20, d), "wgt_n": (n_tiles, 24, unit)}
        strides |= {"wgt_t": (k_tiles, 24, unit), "wgt_c": (2 if transpose else columns, 24, d)}
        fields |= {name: self.anything(bits, one) for name, (count, bits, one) in strides.items() if count == 1}
        reads = [Range("SPAD", act, act + act_size), Range("SPAD", wgt, wgt + wgt_size)]
        if act_format is ActFormat.TABLE4:
            reads.append(table_range(fields["code_table"]))
        return Instruction(Opcode.MATMUL, {k: int(v) for k, v in fields.items()}), reads
