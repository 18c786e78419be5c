"""MATMUL by docs/numerics.md: rows of accumulators, one product at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.second.arithmetic import entry, nibble, signed, wrap32
from triptych.golden.quartdepth.chip.isa import ActFormat, WeightFormat


class Matmul:
    """One instruction. fields: by name. spad, tables: bytes of the two stores. depth, columns: D and C."""

    def __init__(self, fields: Mapping[str, int], spad: bytearray, tables: bytearray, depth: int, columns: int) -> None:
        self.f = fields
        self.spad = spad
        self.table = tables[64 * fields["code_table"] :][:64]
        self.depth, self.columns = depth, columns
        self.codes = fields["act_format"] != ActFormat.INT8

    def rows(self) -> Iterator[list[int]]:
        """Rows of C accumulators in the order in which they leave."""
        f, d, c = self.f, self.depth, self.columns
        pixels = f["out_h"] * f["out_w"]
        if f["depthwise"]:
            tiles = [j for j in range(f["chunks"] * (d // c)) if j * c < f["n"]]
        else:
            tiles = list(range(-(-f["n"] // c)))
        for first in range(0, pixels, f["block"]):
            for j in tiles:
                for pixel in range(first, min(first + f["block"], pixels)):
                    oy, ox = divmod(pixel, f["out_w"])
                    one = self._depthwise if f["depthwise"] else self._full
                    yield [wrap32(one(oy, ox, j, column)) for column in range(c)]

    def _place(self, oy: int, ox: int, ky: int, kx: int) -> int | None:
        """Address of the input pixel that a tap reads, None outside of the picture."""
        f = self.f
        iy = oy * f["stride_y"] + ky - f["pad_top"]
        ix = ox * f["stride_x"] + kx - f["pad_left"]
        inside = 0 <= iy < f["in_h"] and 0 <= ix < f["in_w"]
        return f["act"] + iy * f["act_row"] + ix * f["act_pix"] if inside else None

    def _value(self, code: int) -> int:
        return entry(self.table, code) if self.f["act_format"] == ActFormat.TABLE4 else code

    def _lane(self, place: int | None, chunk: int, lane: int) -> tuple[int, ...]:
        """What a lane streams in a step: an int8, or what two codes stand for."""
        f = self.f
        if chunk == f["chunks"] - 1 and lane >= f["last_elems"]:
            return (0, 0) if self.codes else (0,)
        if place is None:
            byte = f["pad_value"]
            if self.codes:
                return (self._value(byte & 15),) * 2
        else:
            byte = self.spad[place + chunk * self.depth + lane]
        return (self._value(byte & 15), self._value(byte >> 4)) if self.codes else (signed(byte, 8),)

    def _weights(self, j: int, step: int, lane: int, column: int) -> tuple[int, ...]:
        f = self.f
        tile = step >> 1 if f["weight_format"] == WeightFormat.INT4 and not self.codes else step
        at = f["wgt"] + j * f["wgt_n"] + tile * f["wgt_t"]
        at += lane * f["wgt_c"] + column if f["transpose"] else column * f["wgt_c"] + lane
        byte = self.spad[at]
        if f["weight_format"] == WeightFormat.INT8:
            return (signed(byte, 8),)
        if f["weight_format"] == WeightFormat.LOW4:
            return (signed(byte & 15, 4),)
        low, high = signed(byte & 15, 4), signed(byte >> 4, 4)
        return (low, high) if self.codes else ((high,) if step & 1 else (low,))

    def _full(self, oy: int, ox: int, j: int, column: int) -> int:
        f = self.f
        if j * self.columns + column >= f["n"]:
            return 0
        total = 0
        for ky in range(f["kernel_h"]):
            for kx in range(f["kernel_w"]):
                place = self._place(oy, ox, ky, kx)
                for chunk in range(f["chunks"]):
                    step = (ky * f["kernel_w"] + kx) * f["chunks"] + chunk
                    for lane in range(self.depth):
                        streamed = self._lane(place, chunk, lane)
                        if any(streamed):
                            weights = self._weights(j, step, lane, column)
                            total += sum(a * w for a, w in zip(streamed, weights, strict=True))
        return total

    def _depthwise(self, oy: int, ox: int, j: int, column: int) -> int:
        f, d, c = self.f, self.depth, self.columns
        group, part = divmod(j, d // c)
        channel = part * c + column  # within the group
        if group * d + channel >= f["n"]:
            return 0
        total = 0
        for tap in range(9):
            place = self._place(oy, ox, tap // 3, tap % 3)
            if self.codes:
                code = f["pad_value"] & 15 if place is None else nibble(self.spad, place + group * d // 2, channel)
                value = self._value(code)
            else:
                value = signed(f["pad_value"] if place is None else self.spad[place + group * d + channel], 8)
            byte = self.spad[f["wgt"] + group * f["wgt_t"] + column * f["wgt_c"] + tap]
            total += value * signed(byte >> 4 * part & 15, 4)
        return total
