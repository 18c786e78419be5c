"""A product of two maps on the chip: blocks of pixels of the one stream past the other, which stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import ActFormat, Multiply, SourceA, WeightFormat
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.emitter import Emitter
from triptych.golden.quartdepth.compiler.geometry import Piece, PieceKey, Rect, Tile, even_block
from triptych.golden.quartdepth.compiler.places import Place
from triptych.golden.quartdepth.compiler.work import AtHand, Pair, Tiling, Work

if TYPE_CHECKING:
    from triptych.golden.quartdepth.network.ops.matmul import QMatMul


@dataclass(frozen=True, eq=False)
class MatMulWork(Work):
    """The grid: rows of the first map, or its pixels if they are one row."""

    layer: QMatMul
    first: Place
    second: Place
    out: Place

    @property
    def grid(self) -> Pair:
        storage = self.first.storage
        return 1, storage.cols if storage.rows == 1 else storage.rows

    def tilings(self, comfortable: bool) -> list[Tiling]:
        """A part of the pixels only where it must be."""
        count = self.grid[1]
        parts = [] if comfortable else [(1, -(-count // (1 << k)), 1) for k in range(1, count.bit_length() + 1)]
        return [(1, count, 2), (1, count, 1), *parts]

    def pieces(self, tile: Tile) -> dict[PieceKey, Piece]:
        out = {PieceKey("second", 0): Piece(self.second, _whole(self.second))}
        for role, place in (("first", self.first), ("out", self.out)):
            one = place.storage.rows == 1
            rect = Rect(0, 1, tile.x0, tile.x1) if one else Rect(tile.x0, tile.x1, 0, place.storage.cols)
            out[PieceKey(role, 0)] = Piece(place, rect)
        return out

    def emit(self, emitter: Emitter, tile: Tile, at_hand: AtHand) -> None:
        """A MATMUL and its VECTOR for each block of R pixels."""
        cols = self.first.storage.cols
        unit = 1 if self.first.storage.rows == 1 else cols
        rows = even_block((tile.x1 - tile.x0) * unit, emitter.config.rows)
        program = self._program(at_hand)
        stationary = self._stationary(emitter.config, at_hand)
        views = [at_hand.views[PieceKey(role, 0)] for role in ("first", "out")]
        for at in range(tile.x0 * unit, tile.x1 * unit, rows):
            count = min(rows, tile.x1 * unit - at)
            act, d = (view.address(at // cols, at % cols) for view in views)
            matmul = dict(
                kernel_h=1, kernel_w=1, stride_y=1, stride_x=1, in_h=1, in_w=count, out_h=1, out_w=count, block=count,
                act_format=ActFormat.INT8, weight_format=WeightFormat.INT8,
                act=act, act_pix=self.first.storage.cell, n=self.layer.channels, **stationary,
            )  # fmt: skip
            vector = dict(h=1, w=count, block=count, n=self.layer.channels, d=d, d_pix=self.out.storage.cell)
            emitter.compute(program, matmul, vector)

    def _stationary(self, config: ChipConfig, at_hand: AtHand) -> dict[str, int]:
        """The second map by pixels, or by channels."""
        view, cell = at_hand.views[PieceKey("second", 0)], self.second.storage.cell
        chunks = -(-self.layer.depth // config.depth)
        fields = dict(
            chunks=chunks, last_elems=self.layer.depth - (chunks - 1) * config.depth, wgt=view.address(0, 0), wgt_c=cell
        )
        if self.layer.by_channel:
            return fields | dict(transpose=1, wgt_n=config.cols, wgt_t=config.depth * cell)
        return fields | dict(wgt_n=config.cols * cell, wgt_t=config.depth)

    def _program(self, at_hand: AtHand) -> microcode.Program:
        layer = self.layer
        return microcode.program(
            {
                "src_a": SourceA.ACC, "mul": Multiply.IMM, "imm_m": layer.scale.multiplier, "imm_s": layer.scale.shift,
                "out_add": at_hand.maps[layer.name].qparams.zero,
                **microcode.store(at_hand.maps, layer.name, at_hand.slots, layer.lo, layer.hi),
            }
        )  # fmt: skip


def _whole(place: Place) -> Rect:
    return Rect(0, place.storage.rows, 0, place.storage.cols)
