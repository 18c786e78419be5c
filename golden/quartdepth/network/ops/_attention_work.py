"""Attention on the chip: by sequence, head and block of queries, products and softmax side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    ActFormat,
    Addend,
    Destination,
    Format,
    Function,
    Kind,
    Multiply,
    Reduce,
    Side,
    SourceA,
    WeightFormat,
)
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.emitter import Emitter
from triptych.golden.quartdepth.compiler.geometry import Piece, PieceKey, Rect, Tile, even_block
from triptych.golden.quartdepth.compiler.microcode import FeatureMaps, Program, Slots
from triptych.golden.quartdepth.compiler.places import Place, round_up
from triptych.golden.quartdepth.compiler.work import AtHand, Pair, Tiling, Work

if TYPE_CHECKING:
    from triptych.golden.quartdepth.network.ops._attention_layers import QAttention


@dataclass(frozen=True, eq=False)
class AttentionWork(Work):
    """The grid: sequences, of each the queries in token rows, or the queries where a sequence is one row."""

    layer: QAttention
    query: Place
    key: Place
    value: Place
    out: Place
    bias: Place | None = None

    @property
    def rows(self) -> int:
        """Token rows of a sequence."""
        return self.query.storage.rows // (self.layer.patch[0] * self.layer.patch[1])

    @property
    def tokens(self) -> int:
        """Of a sequence."""
        return self.rows * self.query.storage.cols

    @property
    def keys(self) -> int:
        """Tokens that each query of a sequence looks at."""
        return self.key.storage.rows * self.key.storage.cols // (self.layer.patch[0] * self.layer.patch[1])

    @property
    def grid(self) -> Pair:
        return self.layer.patch[0] * self.layer.patch[1], self.tokens if self.rows == 1 else self.rows

    def block(self, config: ChipConfig) -> int:
        """Queries in a block at most: R, or fewer where the scores of two blocks would take more than half of the
        scratchpad from keys and values."""
        rows = config.rows
        while rows > 8 and 4 * rows * round_up(self.keys, config.depth) > config.spad_bytes:
            rows = -(-rows // 2)
        return rows

    def scratch(self, config: ChipConfig) -> int:
        return self.block(config) * round_up(self.keys, config.depth)

    def tilings(self, comfortable: bool) -> list[Tiling]:
        """A part of the queries only where it must be."""
        cols = self.grid[1]
        parts = [] if comfortable else [(1, -(-cols // (1 << k)), 1) for k in range(1, cols.bit_length() + 1)]
        return [(1, cols, 2), (1, cols, 1), *parts]

    def pieces(self, tile: Tile) -> dict[PieceKey, Piece]:
        rows, out = self.rows, {}
        for role, place in (("query", self.query), ("key", self.key), ("value", self.value), ("out", self.out)):
            each = place.storage.rows // self.grid[0]
            rect = Rect(tile.y0 * each, tile.y1 * each, 0, place.storage.cols)
            if role not in ("key", "value"):
                top, bottom = tile.y0 * rows + tile.x0, (tile.y1 - 1) * rows + tile.x1
                rect = Rect(tile.y0, tile.y1, tile.x0, tile.x1) if rows == 1 else rect._replace(r0=top, r1=bottom)
            out[PieceKey(role, 0)] = Piece(place, rect)
        if self.bias is not None:
            unit, storage = self.tokens // self.grid[1], self.bias.storage
            first, last = (tile.y0, tile.y1) if storage.rows > 1 else (0, 1)
            out[PieceKey("bias", 0)] = Piece(self.bias, Rect(first, last, tile.x0 * unit, tile.x1 * unit))
        return out

    def emit(self, emitter: Emitter, tile: Tile, at_hand: AtHand) -> None:
        """Scores of one block are computed before the values of the block before it are mixed: so the MXU has work
        while the VPU takes powers."""
        unit = self.tokens // self.grid[1]  # tokens
        rows = even_block((tile.x1 - tile.x0) * unit, self.block(emitter.config))
        blocks = [
            Block(s, head, first, min(rows, tile.x1 * unit - first))
            for s in range(tile.y0, tile.y1)
            for head in range(self.layer.heads)
            for first in range(tile.x0 * unit, tile.x1 * unit, rows)
        ]
        for i in range(len(blocks) + 1):
            if i < len(blocks):
                self._scores(emitter, at_hand, blocks[i], i % 2)
            if i:
                self._mix(emitter, at_hand, blocks[i - 1], (i - 1) % 2)

    def _token(self, at_hand: AtHand, role: str, place: Place, token: int) -> int:
        """Address of a token's cell, tokens counted through all sequences."""
        cols = place.storage.cols
        return at_hand.views[PieceKey(role, 0)].address(token // cols, token % cols)

    def _scores(self, emitter: Emitter, at_hand: AtHand, block: Block, bank: int) -> None:
        """queries x keys, then powers of two and their reciprocal sums in the row scalars of `bank`."""
        config, layer, query, key = emitter.config, self.layer, self.query, self.key
        start = block.head * layer.head_dim
        word = 2 * config.depth if layer.packed else config.depth  # channels
        words = (start + layer.head_dim - 1) // word - start // word + 1
        slot = key.element_bytes(int(key.positions[start]) // word * word)
        narrow = WeightFormat.LOW4 if key.qparams.narrow else WeightFormat.INT8
        matmul = dict(
            act_format=ActFormat.TABLE4 if layer.packed else ActFormat.INT8,
            code_table=at_hand.slots.get(layer.query, 0),
            weight_format=WeightFormat.INT4 if layer.packed else narrow,
            act=self._token(at_hand, "query", query, self._place(block)) + start // word * config.depth,
            act_pix=query.storage.cell,
            chunks=words,
            # behind the last head nothing is written: those lanes do not count
            last_elems=min(config.depth, key.bytes - slot - (words - 1) * config.depth),
            n=self.keys,
            wgt=self._token(at_hand, "key", key, block.sequence * self.keys) + slot,
            wgt_n=config.cols * key.storage.cell,
            wgt_t=config.depth,
            wgt_c=key.storage.cell,
        )
        at, pitch = at_hand.scratch[bank], round_up(self.keys, config.depth)
        vector = dict(n=self.keys, a=at, a_pix=pitch, d=at, d_pix=pitch)
        if self.bias is not None:
            sequence = block.sequence if self.bias.storage.rows > 1 else 0
            view = at_hand.views[PieceKey("bias", 0)]
            head = self.bias.element_bytes(int(self.bias.positions[block.head * self.keys]))
            vector |= dict(b=view.address(sequence, block.first) + head, b_pix=self.bias.storage.cell)
        _compute(emitter, softmax(layer, bank, at_hand), block, matmul, vector)

    def _mix(self, emitter: Emitter, at_hand: AtHand, block: Block, bank: int) -> None:
        """powers x values, times the reciprocals."""
        config, layer, value, out = emitter.config, self.layer, self.value, self.out
        start = block.head * layer.head_dim
        chunks = -(-self.keys // config.depth)
        matmul = dict(
            act_format=ActFormat.INT8,
            weight_format=WeightFormat.LOW4 if value.qparams.narrow else WeightFormat.INT8,
            transpose=1,
            act=at_hand.scratch[bank],
            act_pix=round_up(self.keys, config.depth),
            chunks=chunks,
            last_elems=self.keys - (chunks - 1) * config.depth,
            n=layer.head_dim,
            wgt=self._token(at_hand, "value", value, block.sequence * self.keys) + int(value.positions[start]),
            wgt_n=config.cols,
            wgt_t=config.depth * value.storage.cell,
            wgt_c=value.storage.cell,
        )
        slot = out.element_bytes(int(out.positions[start]))
        d = self._token(at_hand, "out", out, self._place(block)) + slot
        vector = dict(n=layer.head_dim, d=d, d_pix=at_hand.views[PieceKey("out", 0)].cell)
        _compute(emitter, mix(layer, at_hand.maps, bank, at_hand.slots), block, matmul, vector)

    def _place(self, block: Block) -> int:
        return block.sequence * self.tokens + block.first


@dataclass(frozen=True)
class Block:
    """Queries [first, first + count) of a sequence, one head."""

    sequence: int
    head: int
    first: int
    count: int


def _compute(emitter: Emitter, program: Program, block: Block, matmul: dict[str, int], vector: dict[str, int]) -> None:
    one = dict(kernel_h=1, kernel_w=1, stride_y=1, stride_x=1)
    picture = dict(in_h=1, in_w=block.count, out_h=1, out_w=block.count, block=block.count)
    emitter.compute(program, one | picture | matmul, dict(h=1, w=block.count, block=block.count) | vector)


def softmax(layer: QAttention, bank: int, at_hand: AtHand) -> Program:
    """Scores of a block from the accumulators and their maxima, powers and their sums, reciprocals. Row scalars
    2 bank and 2 bank + 1; the second holds the reciprocals afterwards. Scores and powers share one place."""
    top, total = 2 * bank, 2 * bank + 1
    int8 = {"src_a": SourceA.SPAD, "fmt_a": Format.INT8, "dst": Destination.INT8}
    return microcode.program(
        {
            "src_a": SourceA.ACC, "mul": Multiply.IMM, "imm_m": layer.score.multiplier, "imm_s": layer.score.shift,
            "out_add": layer.score_zero, "lo": -128, "hi": 127, "dst": Destination.INT8,
            "reduce": Reduce.MAX, "rs_d": top,
            **microcode.add(layer.bias, layer.score_fraction, at_hand.maps, at_hand.slots),
        },
        {
            **int8, "addend": Addend.ROW, "rs_a": top, "mul": Multiply.IMM,
            "imm_m": layer.exponent.multiplier, "imm_s": layer.exponent.shift, "fn": Function.EXP2N,
            "side": Side.SCALE_F, "b_m": layer.weight.multiplier, "b_s": layer.weight.shift,
            "lo": 0, "hi": 127, "reduce": Reduce.SUM, "rs_d": total,
        },
        {"kind": Kind.SCALAR, "rs_a": total, "fn": Function.RECIP, "rs_d": total},
    )  # fmt: skip


def mix(layer: QAttention, maps: FeatureMaps, bank: int, slots: Slots) -> Program:
    """Weighted values from the accumulators, times the reciprocals of row scalar 2 bank + 1."""
    return microcode.program(
        {
            "src_a": SourceA.ACC, "mul": Multiply.ROW, "rs_m": 2 * bank + 1, "imm_s": layer.fraction,
            "side": Side.SCALE_F, "b_m": layer.out.multiplier, "b_s": layer.out.shift, "out_add": layer.zero,
            **microcode.store(maps, layer.name, slots, layer.lo, layer.hi),
        }
    )  # fmt: skip
