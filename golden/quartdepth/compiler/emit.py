"""Instructions of a planned network, cluster by cluster and tile by tile: loads, computation, stores.

The order is right when run one instruction after the other. Tokens and early loads are the business of `schedule`.
"""

from __future__ import annotations

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.allocate import Buffer
from triptych.golden.quartdepth.compiler.clusters import ClusterPlan, Operand
from triptych.golden.quartdepth.compiler.emitter import Emitter, View, buffer_view
from triptych.golden.quartdepth.compiler.geometry import PieceKey, Rect, Tile
from triptych.golden.quartdepth.compiler.microcode import Slots
from triptych.golden.quartdepth.compiler.plan import FINE_PORTION, PORTION, Plan
from triptych.golden.quartdepth.compiler.work import AtHand, Group


def emit_network(plan: Plan, emitter: Emitter, most_instructions: int, coarse: int) -> bool:
    """All instructions but HALT; False, and not all of them, if an engine has more than `most_instructions`. coarse: so
    many times the cycles of the plan's portions, up to those of a long one, and beyond where that is not enough."""
    if too_many(plan, emitter.config, most_instructions, coarse):
        return False
    for cluster in plan.clusters:
        slots = _code_tables(plan, cluster, emitter)
        held: dict[Buffer, Rect] = {}
        for turn, tiles in enumerate(cluster.tiles):
            if max(emitter.counts.values(), default=0) > most_instructions:
                return False
            for number, tile in enumerate(tiles):
                emitter.step = cluster.cluster.steps[number].index
                cycles = _cycles(cluster, number, coarse)
                _emit_tile(plan, cluster, emitter, number, tile, turn, slots, held, cycles)
    return max(emitter.counts.values(), default=0) <= most_instructions


def _cycles(cluster: ClusterPlan, number: int, coarse: int) -> int:
    """What one instruction of a cluster's step may take."""
    return min(cluster.portions[number] * coarse, PORTION * max(coarse // (PORTION // FINE_PORTION), 1))


def too_many(plan: Plan, config: ChipConfig, most_instructions: int, coarse: int) -> bool:
    """Whether the VECTORs alone are more: counted before any is made, which takes a quarter of the time."""
    vectors = 0
    for cluster in plan.clusters:
        for tiles in cluster.tiles:
            for number, tile in enumerate(tiles):
                step, cycles = cluster.cluster.steps[number], _cycles(cluster, number, coarse)
                groups: list[Group | None] = list(step.groups) or [None]
                for group in groups:
                    vectors += step.work.least_vectors(tile, group, cycles, config)
            if vectors > most_instructions:
                return True
    return False


def _code_tables(plan: Plan, cluster: ClusterPlan, emitter: Emitter) -> Slots:
    """Slots of the code tables of all maps that the cluster touches, loaded."""
    emitter.step = cluster.cluster.first.index
    maps = plan.layout.network.maps
    names = [n for step in cluster.cluster.steps for n in (*step.layer.sources, step.layer.name)]
    wanted = {n: (table.to_bytes(),) for n in names if (table := maps[n].qparams.table) is not None}
    keep = frozenset(wanted.values())
    return {name: emitter.tables.ensure(data, keep) for name, data in wanted.items()}


def _emit_tile(
    plan: Plan, cluster: ClusterPlan, emitter: Emitter, number: int, tile: Tile, turn: int, slots: Slots,
    held: dict[Buffer, Rect], cycles: int,
) -> None:  # fmt: skip
    """One tile of one step. turn: the tile's place in the sequence, which decides between two buffers. held: what the
    cluster's buffers have been loaded with: keys and values serve many tiles of queries."""
    step, inner = cluster.cluster.steps[number], cluster.cluster.inner
    views: dict[PieceKey, View] = {}
    pieces = step.work.pieces(tile)
    for key, piece in pieces.items():
        buffers = cluster.buffers.get(Operand(number, key))
        if buffers is None:
            views[key] = emitter.resident_view(piece)
            continue
        buffer = buffers[turn % len(buffers)]
        views[key] = buffer_view(piece, buffer.address, key.role == "out")
        if key.role != "out" and piece.place.storage.name != inner and held.get(buffer) != piece.rect:
            emitter.load_piece(piece, views[key])
            held[buffer] = piece.rect
    groups: list[Group | None] = list(step.groups) or [None]
    scratch, maps = [b.address for b in cluster.scratch], plan.layout.network.maps
    for g, group in enumerate(groups):
        block = 0
        if group is not None:
            blocks = cluster.blocks[number]
            block = blocks[(turn * len(groups) + g) % len(blocks)].address
            if len(groups) > 1 or turn == 0:
                emitter.load_block(group.data, block, step.layer.leads)
        at_hand = AtHand(views, group, block, slots, maps, scratch, cycles)
        step.work.emit(emitter, tile, at_hand)
    for key, piece in pieces.items():
        if key.role == "out" and plan.lives[piece.place.storage.name].in_memory:
            emitter.store_piece(piece, views[key], Operand(number, key) in cluster.buffers)
