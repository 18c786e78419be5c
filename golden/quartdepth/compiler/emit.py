"""Instructions of a planned network, cluster by cluster and tile by tile: loads, computation, stores.

The order is right when run one instruction after the other. Tokens and early loads are the business of `schedule`.
"""

from __future__ import annotations

from triptych.golden.quartdepth.compiler.allocate import Buffer
from triptych.golden.quartdepth.compiler.clusters import ClusterPlan, Operand
from triptych.golden.quartdepth.compiler.emit_attention import emit_attention
from triptych.golden.quartdepth.compiler.emit_jobs import Operands, emit_portion, portions
from triptych.golden.quartdepth.compiler.emitter import Emitter, View, buffer_view
from triptych.golden.quartdepth.compiler.microcode import Slots
from triptych.golden.quartdepth.compiler.steps import Group, PieceKey, Rect, Tile
from triptych.golden.quartdepth.network.network import Attend


def emit_network(emitter: Emitter) -> None:
    """All instructions but HALT."""
    for plan in emitter.plan.clusters:
        slots = _code_tables(emitter, plan)
        held: dict[Buffer, Rect] = {}
        for turn, tiles in enumerate(plan.tiles):
            for number, tile in enumerate(tiles):
                emitter.step = plan.cluster.steps[number].index
                _emit_tile(emitter, plan, number, tile, turn, slots, held)


def _code_tables(emitter: Emitter, plan: ClusterPlan) -> Slots:
    """Slots of the code tables of all pictures that the cluster touches, loaded."""
    emitter.step = plan.cluster.first.index
    pictures = emitter.plan.layout.network.pictures
    names = [n for step in plan.cluster.steps for n in (*step.layer.sources, step.layer.name)]
    wanted = {n: (table.to_bytes(),) for n in names if (table := pictures[n].code.table) is not None}
    keep = frozenset(wanted.values())
    return {name: emitter.tables.ensure(data, keep) for name, data in wanted.items()}


def _emit_tile(
    emitter: Emitter, plan: ClusterPlan, number: int, tile: Tile, turn: int, slots: Slots, held: dict[Buffer, Rect]
) -> None:
    """One tile of one step. turn: the tile's place in the sequence, which decides between two buffers. held: what the
    cluster's buffers have been loaded with: keys and values serve many tiles of queries."""
    step, inner = plan.cluster.steps[number], plan.cluster.inner
    views: dict[PieceKey, View] = {}
    pieces = step.pieces(tile, emitter.plan.layout)
    for key, piece in pieces.items():
        buffers = plan.buffers.get(Operand(number, key))
        if buffers is None:
            views[key] = emitter.resident_view(piece)
            continue
        buffer = buffers[turn % len(buffers)]
        views[key] = buffer_view(piece, buffer.address, key.role == "out")
        if key.role != "out" and piece.place.storage.name != inner and held.get(buffer) != piece.rect:
            emitter.load_piece(piece, views[key])
            held[buffer] = piece.rect
    groups: list[Group | None] = list(step.groups) or [None]
    for g, group in enumerate(groups):
        block = 0
        if group is not None:
            blocks = plan.blocks[number]
            block = blocks[(turn * len(groups) + g) % len(blocks)].address
            if len(groups) > 1 or turn == 0:
                emitter.load_block(group.data, block)
        if isinstance(step.layer, Attend):
            emit_attention(emitter, step, tile, views, [b.address for b in plan.scratch], slots)
            continue
        operands = Operands(views, group, block, slots)
        for portion in portions(step, tile, group, plan.portions[number], emitter.config):
            emit_portion(emitter, step, portion, operands)
    for key, piece in pieces.items():
        if key.role == "out" and emitter.plan.lives[piece.place.storage.name].in_memory:
            emitter.store_piece(piece, views[key], Operand(number, key) in plan.buffers)
