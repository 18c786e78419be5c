"""Instructions of attention: by sequence, head and block of queries, products and softmax side by side."""

from __future__ import annotations

from dataclasses import dataclass

from triptych.golden.quartdepth.chip.isa import ActFormat, WeightFormat
from triptych.golden.quartdepth.compiler import microcode
from triptych.golden.quartdepth.compiler.emitter import Emitter, View
from triptych.golden.quartdepth.compiler.layout import round_up
from triptych.golden.quartdepth.compiler.microcode import Program, Slots
from triptych.golden.quartdepth.compiler.steps import PieceKey, Step, Tile
from triptych.golden.quartdepth.network.network import Attend


@dataclass(frozen=True)
class Block:
    """Queries [first, first + count) of a sequence, one head."""

    sequence: int
    head: int
    first: int
    count: int


def emit_attention(
    emitter: Emitter, step: Step, tile: Tile, views: dict[PieceKey, View], scratch: list[int], slots: Slots
) -> None:
    """Scores of one block are computed before the values of the block before it are mixed: so the MXU has work while
    the VPU takes powers. scratch: two places for a block's scores."""
    layer = step.layer
    assert isinstance(layer, Attend)
    work = _Attention(emitter, layer, views, scratch, slots, step.tokens)
    unit = step.tokens // step.grid[1]  # tokens
    rows = emitter.config.rows
    blocks = [
        Block(s, head, first, min(rows, tile.x1 * unit - first))
        for s in range(tile.y0, tile.y1)
        for head in range(layer.heads)
        for first in range(tile.x0 * unit, tile.x1 * unit, rows)
    ]
    for i in range(len(blocks) + 1):
        if i < len(blocks):
            work.scores(blocks[i], i % 2)
        if i:
            work.mix(blocks[i - 1], (i - 1) % 2)


@dataclass
class _Attention:
    emitter: Emitter
    layer: Attend
    views: dict[PieceKey, View]
    scratch: list[int]
    slots: Slots
    tokens: int

    def _token(self, role: str, name: str, token: int) -> int:
        """Address of a token's cell, tokens counted through all sequences."""
        cols = self.emitter.plan.layout.places[name].storage.cols
        return self.views[PieceKey(role, 0)].address(token // cols, token % cols)

    def scores(self, block: Block, bank: int) -> None:
        """queries x keys, then powers of two and their reciprocal sums in the row scalars of `bank`."""
        depth, places = self.emitter.config.depth, self.emitter.plan.layout.places
        query, key = places[self.layer.query], places[self.layer.key]
        start = block.head * self.layer.head_dim
        words = (start + self.layer.head_dim - 1) // depth - start // depth + 1
        slot = int(key.positions[start]) // depth * depth
        matmul = dict(
            act_format=ActFormat.INT8,
            # a narrow key is its own low nibble, and one step reads just that one
            weight_format=WeightFormat.INT4 if key.code.narrow and words == 1 else WeightFormat.INT8,
            act=self._token("query", self.layer.query, self._place(block)) + start // depth * depth,
            act_pix=query.storage.cell,
            chunks=words,
            # behind the last head nothing is written: those lanes do not count
            last_elems=min(depth, key.elements - slot - (words - 1) * depth),
            n=self.tokens,
            wgt=self._token("key", self.layer.key, block.sequence * self.tokens) + slot,
            wgt_n=self.emitter.config.cols * key.storage.cell,
            wgt_t=depth,
            wgt_c=key.storage.cell,
        )
        at, pitch = self.scratch[bank], round_up(self.tokens, depth)
        vector = dict(n=self.tokens, a=at, a_pix=pitch, d=at, d_pix=pitch)
        self._compute(microcode.softmax(self.layer, bank), block, matmul, vector)

    def mix(self, block: Block, bank: int) -> None:
        """powers x values, times the reciprocals."""
        depth, places = self.emitter.config.depth, self.emitter.plan.layout.places
        value, out = places[self.layer.value], places[self.layer.name]
        start = block.head * self.layer.head_dim
        chunks = -(-self.tokens // depth)
        matmul = dict(
            act_format=ActFormat.INT8,
            weight_format=WeightFormat.INT8,
            transpose=1,
            act=self.scratch[bank],
            act_pix=round_up(self.tokens, depth),
            chunks=chunks,
            last_elems=self.tokens - (chunks - 1) * depth,
            n=self.layer.head_dim,
            wgt=self._token("value", self.layer.value, block.sequence * self.tokens) + int(value.positions[start]),
            wgt_n=self.emitter.config.cols,
            wgt_t=depth * value.storage.cell,
            wgt_c=value.storage.cell,
        )
        slot = out.element_bytes(int(out.positions[start]))
        d = self._token("out", self.layer.name, self._place(block)) + slot
        vector = dict(n=self.layer.head_dim, d=d, d_pix=out.storage.cell)
        program = microcode.mix(self.layer, self.emitter.plan.layout.network, bank, self.slots)
        self._compute(program, block, matmul, vector)

    def _place(self, block: Block) -> int:
        return block.sequence * self.tokens + block.first

    def _compute(self, program: Program, block: Block, matmul: dict[str, int], vector: dict[str, int]) -> None:
        rows = self.emitter.config.rows
        one = dict(kernel_h=1, kernel_w=1, stride_y=1, stride_x=1)
        picture = dict(in_h=1, in_w=block.count, out_h=1, out_w=block.count, block=rows)
        self.emitter.compute(program, one | picture | matmul, dict(h=1, w=block.count, block=rows) | vector)
