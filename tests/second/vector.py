"""VECTOR by docs/numerics.md: microwords over pixels, one lane at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from tests.second.arithmetic import encode, entry, nibble, rounding_shift, saturate, signed, wrap32
from triptych.golden.quartdepth.arithmetic import functions
from triptych.golden.quartdepth.chip.isa import (
    Addend,
    Destination,
    Format,
    Function,
    Kind,
    Multiply,
    Reduce,
    Side,
    SourceA,
)

Word = Mapping[str, int]


class Vector:
    """One instruction. fields: by name. rows: accumulators that wait. scalars: of each of the four, one a pixel of a
    block. written: (address, bytes) in their order."""

    def __init__(
        self, fields: Mapping[str, int], spad: bytearray, tables: bytearray, rows: deque[list[int]],
        scalars: list[list[int]], columns: int,
    ) -> None:  # fmt: skip
        self.f = fields
        self.written: list[tuple[int, bytes]] = []
        self.spad, self.tables, self.rows, self.scalars, self.columns = spad, tables, rows, scalars, columns

    def run(self, words: Sequence[Word]) -> None:
        """Takes effect in the scratchpad and in the row scalars."""
        f = self.f
        pixels = f["h"] * f["w"]
        for first in range(0, pixels, f["block"]):
            block = range(first, min(first + f["block"], pixels))
            for word in words:
                if word["kind"] == Kind.SCALAR:
                    for p in range(len(block)):
                        self._scalar(word, p)
                    continue
                for group in range(-(-f["n"] // self.columns)):
                    for p, pixel in enumerate(block):
                        self._pixel(word, group, p, *divmod(pixel, f["w"]))

    def _table(self, number: int) -> bytearray:
        return self.tables[64 * number :][:64]

    def _element(self, stream: str, fmt: int, table: int, group: int, y: int, x: int, lane: int) -> int:
        f, c = self.f, self.columns
        granule = c if fmt == Format.INT8 else c // 2
        at = f[stream] + y * f[f"{stream}_row"] + x * f[f"{stream}_pix"] + group * granule
        if fmt == Format.INT8:
            return signed(self.spad[at + lane], 8)
        code = nibble(self.spad, at, lane)
        return entry(self._table(table), code) if fmt == Format.TABLE4 else code

    def _parameter(self, channel: int) -> tuple[int, int, int, int]:
        """Bias, multiplier, shift, zero point."""
        at = self.f["param"] + 8 * channel
        data = self.spad[at : at + 8]
        return (
            int.from_bytes(data[:4], "little", signed=True), int.from_bytes(data[4:6], "little", signed=True),
            data[6], signed(data[7], 8),
        )  # fmt: skip

    def _product(self, w: Word, x: int, p: int, group: int, lane: int, b: int) -> int:
        kind = w["mul"]
        if kind == Multiply.NONE:
            return x
        factor, count = w["imm_m"], w["imm_s"]
        if kind == Multiply.PARAM:
            _, factor, count, _ = self._parameter(group * self.columns + lane)
        elif kind == Multiply.ROW:
            pair = self.scalars[w["rs_m"]][p]
            factor, count = signed(pair, 16), (pair >> 16 & 255) + w["imm_s"]
        elif kind == Multiply.SQUARE:
            x = factor = saturate(x, 16)
        elif kind == Multiply.B:
            factor = saturate(b + w["b_add"], 16)
        return saturate(rounding_shift(x * factor, count), 32)

    def _pixel(self, w: Word, group: int, p: int, y: int, x: int) -> None:
        """One group of channels of one pixel: every lane is read before any is written."""
        row = self.rows.popleft() if w["src_a"] == SourceA.ACC else None
        valid = min(self.columns, self.f["n"] - group * self.columns)
        results = [self._lane(w, group, p, y, x, lane, row) for lane in range(valid)]
        self._write(w, group, y, x, results)
        if w["reduce"] == Reduce.NONE:
            return
        table = self._table(w["table_e"])
        values = [entry(table, v) for v in results] if w["encode"] else results
        scalars = self.scalars[w["rs_d"]]
        if group:
            values = [scalars[p], *values]
        scalars[p] = max(values) if w["reduce"] == Reduce.MAX else wrap32(sum(values))

    def _lane(self, w: Word, group: int, p: int, y: int, x: int, lane: int, row: list[int] | None) -> int:
        a = self._element("a", w["fmt_a"], w["table_a"], group, y, x, lane) if row is None else row[lane]
        b = 0
        if w["side"] in (Side.ADD_B, Side.MAX_B) or w["mul"] == Multiply.B:
            b = self._element("b", w["fmt_b"], w["table_b"], group, y, x, lane)
        addend = w["imm_add"] if w["addend"] == Addend.IMM else 0
        if w["addend"] == Addend.BIAS:
            addend = self._parameter(group * self.columns + lane)[0]
        elif w["addend"] == Addend.ROW:
            addend = -self.scalars[w["rs_a"]][p]
        y_ = self._product(w, wrap32((a << w["a_shl"]) + addend), p, group, lane, b)
        z = y_
        if w["side"] in (Side.ADD_B, Side.MAX_B):
            second = saturate(rounding_shift((b + w["b_add"]) * w["b_m"], w["b_s"]), 32)
            z = saturate(y_ + second, 32) if w["side"] == Side.ADD_B else max(y_, second)
        elif w["side"] == Side.SCALE_F:
            f = saturate(y_, 16)
            if w["fn"] != Function.IDENT:
                f = int(functions.lookup(Function(w["fn"]).name, f))
            z = saturate(rounding_shift(f * w["b_m"], w["b_s"]), 32)
        zero = self._parameter(group * self.columns + lane)[3] if w["zp_param"] else w["out_add"]
        v = min(max(rounding_shift(z, w["z_s"]) + zero, w["lo"]), w["hi"])
        return encode(self._table(w["table_e"]), saturate(v, 16)) if w["encode"] else v

    def _write(self, w: Word, group: int, y: int, x: int, results: list[int]) -> None:
        if w["dst"] == Destination.NONE:
            return
        f, c = self.f, self.columns
        granule = {Destination.INT8: c, Destination.NIBBLE: c // 2, Destination.INT16: 2 * c}[Destination(w["dst"])]
        at = f["d"] + y * f["d_row"] + x * f["d_pix"] + group * granule
        if w["dst"] == Destination.NIBBLE:
            padded = [*results, 0]
            data = bytes((padded[k] & 15) | (padded[k + 1] & 15) << 4 for k in range(0, len(results), 2))
        else:
            size = granule // c
            data = b"".join((v & (1 << 8 * size) - 1).to_bytes(size, "little") for v in results)
        self.spad[at : at + len(data)] = data
        self.written.append((at, data))

    def _scalar(self, w: Word, p: int) -> None:
        x = wrap32(self.scalars[w["rs_a"]][p] + (w["imm_add"] if w["addend"] == Addend.IMM else 0))
        y = saturate(rounding_shift(x * w["imm_m"], w["imm_s"]), 32) if w["mul"] == Multiply.IMM else x
        if w["fn"] in (Function.RECIP, Function.RSQRT):
            y = int(functions.lookup(Function(w["fn"]).name, y))
        self.scalars[w["rs_d"]][p] = y
