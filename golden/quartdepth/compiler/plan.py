"""What stays in the scratchpad, what streams through it, and in which tiles.

Every storage starts resident from its making to its last use. Where a cluster does not fit with tiles of a sensible
size, storages are cut: after their cut they live in memory, and clusters that use them there work in tiles whose loads
and stores run beside the computation (two buffers each). Time is counted in clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.allocate import Buffer, place
from triptych.golden.quartdepth.compiler.clusters import (
    Cluster,
    ClusterPlan,
    Operand,
    TileSet,
    make_clusters,
    tile_options,
)
from triptych.golden.quartdepth.compiler.geometry import Piece, PieceKey
from triptych.golden.quartdepth.compiler.layout import lay_out
from triptych.golden.quartdepth.compiler.lowering import Layout
from triptych.golden.quartdepth.compiler.places import CompileError, Storage, round_up
from triptych.golden.quartdepth.compiler.steps import Step, make_steps
from triptych.golden.quartdepth.network.network import Network

STREAMED = -1
PORTION = 8192  # cycles of an instruction: far from any watchdog
FINE_PORTION = 1024  # near layers that keep the VPU, whose portions run between them
VECTOR_PORTION = 384  # about what the MXU can go on for before it needs the VPU
HALVES_PORTION = 224  # the same where many microwords take two cycles a group (docs/method.md)
GROUP_PARTS = (4, 8)  # a group of weights takes such a part of the scratchpad at most
AHEAD = 2  # clusters by which a layer that keeps the VPU may run ahead


@dataclass
class Life:
    """A storage's clusters. cut: it is resident up to this one (STREAMED: never)."""

    storage: Storage
    writers: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)
    cut: int = STREAMED
    outside: bool = False  # the network's input or output, or a constant: lives in memory
    inner: bool = False  # made and read tile by tile in one cluster: lives in that cluster's buffers

    @property
    def resident(self) -> bool:
        """In the scratchpad as a whole for some time."""
        return self.cut != STREAMED

    @property
    def in_memory(self) -> bool:
        """Has a copy in memory."""
        return not self.inner and (self.outside or not self.resident or any(r > self.cut for r in self.readers))

    def at_hand(self, cluster: int) -> bool:
        """A cluster finds all of it in the scratchpad."""
        return self.resident and self.writers[0] <= cluster <= self.cut


@dataclass(eq=False)
class Plan:
    """The whole network's plan; `resident` gives storages their buffers."""

    layout: Layout
    lives: dict[str, Life]
    clusters: list[ClusterPlan]
    resident: dict[str, Buffer]

    @property
    def steps(self) -> list[Step]:
        """All steps in order."""
        return [step for plan in self.clusters for step in plan.cluster.steps]

    @property
    def buffers(self) -> list[Buffer]:
        """All buffers, each once."""
        out = list(self.resident.values())
        for plan in self.clusters:
            out += [b for slots in plan.buffers.values() for b in slots]
            out += [b for blocks in plan.blocks for b in blocks] + plan.scratch
        return list(dict.fromkeys(out))

    @property
    def traffic(self) -> int:
        """Bytes between memory and scratchpad."""
        return sum(self._traffic(plan) for plan in self.clusters)

    def _traffic(self, plan: ClusterPlan) -> int:
        total = 0
        for number, step in enumerate(plan.cluster.steps):
            weights = sum(len(group.data) for group in step.groups)
            total += weights * (len(plan.tiles) if len(step.groups) > 1 else 1)
            for tiles in plan.tiles:
                for key, piece in step.work.pieces(tiles[number]).items():
                    name = piece.place.storage.name
                    read = key.role != "out" and Operand(number, key) in plan.buffers and name != plan.cluster.inner
                    if read or (key.role == "out" and self.lives[name].in_memory):
                        total += piece.rect.area * buffer_cell(key, piece)
        return total


def make_plan(network: Network, config: ChipConfig) -> Plan:
    """Layout, steps, residency, tiles and addresses: of two sizes of weight groups, the one that moves fewer bytes.
    Raises CompileError where a layer cannot fit."""
    try:
        return _sized_plan(network, config, True)
    except CompileError:
        return _sized_plan(network, config, False)  # a folded last convolution needs more room


def _sized_plan(network: Network, config: ChipConfig, folding: bool) -> Plan:
    large, small = (config.spad_bytes // part for part in GROUP_PARTS)
    try:
        plan = _plan(network, config, large, folding)
    except CompileError:
        return _plan(network, config, small, folding)
    if all(step.block_bytes <= small for step in plan.steps):
        return plan  # the other one would be the same
    try:
        other = _plan(network, config, small, folding)
    except CompileError:
        return plan
    return other if other.traffic < plan.traffic else plan


def _plan(network: Network, config: ChipConfig, group_bytes: int, folding: bool) -> Plan:
    apart: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()
    dense = True
    while True:
        layout = lay_out(network, config, apart, dense, folding)
        steps = make_steps(layout, config, group_bytes, config.spad_bytes)
        clusters = make_clusters(steps, layout, alone)
        try:
            plan = _Planner(layout, clusters, config).run()
        except CompileError:
            together = {c.first.layer.name for c in clusters if len(c.steps) > 1}
            if not together:
                raise
            alone |= together
            continue
        if dense and any(_splits_words(c, plan, config) for c in plan.clusters):
            dense = False
            continue
        joined = {life.storage.name for life in plan.lives.values() if life.in_memory and len(life.writers) > 1}
        if joined <= apart:
            return plan
        apart |= joined


def _splits_words(cluster: ClusterPlan, plan: Plan, config: ChipConfig) -> bool:
    """A tile moves a part of a row whose pixels share words: the copy engines cannot."""
    for tiles in cluster.tiles:
        for number, step in enumerate(cluster.cluster.steps):
            for key, piece in step.work.pieces(tiles[number]).items():
                storage = piece.place.storage
                narrow = (piece.rect.c0, piece.rect.c1) != (0, storage.cols)
                if Operand(number, key) in cluster.buffers and storage.cell % config.depth and narrow:
                    return True
    return False


class _Planner:
    def __init__(self, layout: Layout, clusters: list[Cluster], config: ChipConfig) -> None:
        self.layout, self.clusters, self.config = layout, clusters, config
        self.align = max(config.depth, 2 * config.cols)  # of INT16 groups
        # weight groups at hand: the one in use and the next one
        self.turns = {step.index: min(len(step.groups), 2) or 1 for c in clusters for step in c.steps}
        self.lives: dict[str, Life] = {}
        for name, storage in layout.storages.items():
            self.lives[name] = Life(storage)
        places = layout.places
        for cluster in clusters:
            for step in cluster.steps:
                self.lives[places[step.layer.name].storage.name].writers.append(cluster.index)
                for source in step.layer.sources:
                    self.lives[places[source].storage.name].readers.append(cluster.index)
            if cluster.inner is not None:
                self.lives[cluster.inner].inner = True
        for name in (layout.network.input, *layout.network.outputs, *layout.network.constants):
            self.lives[places[name].storage.name].outside = True
        for life in self.lives.values():
            if not life.outside and not life.inner:
                life.cut = max(life.readers)

    def run(self) -> Plan:
        """Residency first, then addresses, giving up residents until both work out."""
        for comfortable in (True, False):
            for cluster in self.clusters:
                cuts = {name: life.cut for name, life in self.lives.items()}
                while self._tiles(cluster, comfortable) is None:
                    if self._evict(cluster):
                        continue
                    if comfortable:
                        for name, cut in cuts.items():  # it was of no use
                            self.lives[name].cut = cut
                        break
                    if all(self.turns[step.index] == 1 for step in cluster.steps):
                        raise CompileError(self._too_large(cluster))
                    self.turns.update({step.index: 1 for step in cluster.steps})
        while True:
            plan, missing = self._attempt()
            if missing is None:
                return plan
            if not any(self._evict(c) for c in self.clusters[missing.first : missing.last + 1]):
                raise CompileError(f"no room for {missing.name}, {missing.size} of {self.config.spad_bytes} bytes")

    def _too_large(self, cluster: Cluster) -> str:
        return (
            f"'{cluster.first.layer.name}' does not fit in the scratchpad of '{self.config.name}': "
            f"{self._room(cluster.index)} bytes are free, and its smallest tile needs more"
        )

    def _blocks(self, cluster: Cluster) -> int:
        return sum(round_up(step.block_bytes, self.align) * self.turns[step.index] for step in cluster.steps)

    def _room(self, index: int) -> int:
        """Bytes for a cluster's tiles: what residents and weights, its own and the next one's, leave."""
        used = sum(round_up(x.storage.size, self.align) for x in self.lives.values() if x.at_hand(index))
        cluster = self.clusters[index]
        used += self._blocks(cluster) + 2 * sum(step.work.scratch(self.config) for step in cluster.steps)
        if index + 1 < len(self.clusters):
            following = self.clusters[index + 1]
            if all(len(step.groups) <= 1 for step in following.steps):
                used += self._blocks(following)
        return self.config.spad_bytes - used

    def _streamed(self, cluster: Cluster, tiles: TileSet) -> dict[Operand, Piece]:
        """Pieces that need a buffer of their own; what is inner is counted where it is made."""
        out = {}
        for n, (step, tile) in enumerate(zip(cluster.steps, tiles, strict=True)):
            for key, piece in step.work.pieces(tile).items():
                name = piece.place.storage.name
                if not self.lives[name].at_hand(cluster.index) and not (n and name == cluster.inner):
                    out[Operand(n, key)] = piece
        return out

    def _sizes(self, cluster: Cluster, tiles: list[TileSet]) -> dict[Operand, int]:
        sizes: dict[Operand, int] = {}
        for tile in tiles:
            self._widen(sizes, cluster, tile)
        return sizes

    def _widen(self, sizes: dict[Operand, int], cluster: Cluster, tile: TileSet) -> None:
        """Buffers' sizes, so that a tile has room in them too."""
        for operand, piece in self._streamed(cluster, tile).items():
            size = round_up(piece.rect.area * buffer_cell(operand.key, piece), self.align)
            sizes[operand] = max(sizes.get(operand, 0), size)

    def _fit(self, cluster: Cluster, tiles: list[TileSet], room: int) -> bool:
        """All tiles' buffers have room; most tilings fail at the first tile."""
        sizes: dict[Operand, int] = {}
        for tile in tiles:
            self._widen(sizes, cluster, tile)
            if sum(sizes.values()) > room:
                return False
        return True

    def _tiles(self, cluster: Cluster, comfortable: bool) -> tuple[list[TileSet], int] | None:
        """The first tiling whose pieces fit in the room that is left, and its slots."""
        room = self._room(cluster.index)
        everything, _ = next(tile_options(cluster, self.layout, self.config, comfortable, True))
        whole = len(cluster.steps) == 1 and not self._streamed(cluster, everything[0])
        options = tile_options(cluster, self.layout, self.config, comfortable, whole)
        for tiles, slots in options:
            if self._fit(cluster, tiles, room // slots):
                return tiles, slots
        return None

    def _portion(self, step: Step) -> int:
        if not step.layer.on_mxu:
            return VECTOR_PORTION if self.config.full_lanes == self.config.cols else HALVES_PORTION
        steps = [s for cluster in self.clusters for s in cluster.steps]
        near = steps[max(step.index - 3, 0) : step.index + 2]
        return PORTION if all(self._busy(s) for s in near) else FINE_PORTION

    def _busy(self, step: Step) -> bool:
        """The MXU bounds it."""
        return step.layer.on_mxu and not step.work.keeps_vpu(self.config)

    def _evict(self, cluster: Cluster) -> bool:
        """Cuts one storage that is resident at a cluster: the largest that it does not touch, else the largest."""
        names = {n for step in cluster.steps for n in (step.layer.name, *step.layer.sources)}
        touched = {self.layout.places[n].storage.name for n in names}
        alive = [x for x in self.lives.values() if x.at_hand(cluster.index)]
        if not alive:
            return False
        victim = max(alive, key=lambda x: (x.storage.name not in touched, x.storage.size, x.storage.name))
        before = [r for r in victim.readers if r < cluster.index]
        joined = len(victim.writers) > 1  # parts of joined maps go to memory whole, or not at all
        victim.cut = max(before) if before and not joined else STREAMED
        return True

    def _attempt(self) -> tuple[Plan, Buffer | None]:
        """Tiles for all clusters, and addresses; or the buffer that found no room."""
        resident = {}
        steps = [step for cluster in self.clusters for step in cluster.steps]
        for name, life in self.lives.items():
            if life.resident:
                home = life.writers[0]
                made = [s for s in steps if self.layout.places[s.layer.name].storage.name == name]
                # what the VPU mostly makes can be made while the MXU is busy with earlier clusters
                ahead = 0 if all(self._busy(s) for s in made) else AHEAD
                resident[name] = Buffer(name, life.storage.size, max(home - ahead, 0), life.cut, home)
        plan = Plan(self.layout, self.lives, [self._cluster(c) for c in self.clusters], resident)
        while True:
            missing = place(plan.buffers, self.config.spad_bytes, self.align)
            early = [b for b in plan.buffers if b.early]
            if missing is None or not early:
                return plan, missing
            # loading ahead is worth less than a place
            near = [b for b in early if b.first <= missing.last and missing.first <= b.last]
            for buffer in [missing] if missing.early else near or early:
                buffer.first += 1

    def _cluster(self, cluster: Cluster) -> ClusterPlan:
        found = self._tiles(cluster, True) or self._tiles(cluster, False)
        if found is None:
            raise CompileError(self._too_large(cluster))
        tiles, slots = found
        portions = [self._portion(step) for step in cluster.steps]
        plan = ClusterPlan(cluster, tiles, min(slots, len(tiles)), portions)
        index = early = cluster.index
        while early:  # loads run beside the products of the cluster before, or of the one before that
            early -= 1
            if any(step.layer.on_mxu for step in self.clusters[early].steps):
                break
        for operand, size in self._sizes(cluster, tiles).items():
            step, key = cluster.steps[operand.step], operand.key
            inner = key.role == "out" and cluster.inner is not None and operand.step == 0
            ahead = key.role != "out" or inner
            names = [f"{step.layer.name}/{key.role}{key.piece}.{slot}" for slot in range(plan.slots)]
            plan.buffers[operand] = [
                Buffer(n, size, early if ahead and (inner or i == 0) else index, index, index)
                for i, n in enumerate(names)
            ]
        for step in cluster.steps[1:]:  # all read the first step's tile from where it is made
            plan.buffers[Operand(cluster.steps.index(step), PieceKey("in", 0))] = plan.buffers[
                Operand(0, PieceKey("out", 0))
            ]
        for step in cluster.steps:
            count = self.turns[step.index] if step.groups else 0
            names = [f"{step.layer.name}/weights.{slot}" for slot in range(count)]
            plan.blocks.append(
                [Buffer(n, step.block_bytes, early if i == 0 else index, index, index) for i, n in enumerate(names)]
            )
            if size := step.work.scratch(self.config):
                names = [f"{step.layer.name}/scores.{i}" for i in range(2)]
                plan.scratch = [Buffer(n, size, index, index, index) for n in names]
        return plan


def buffer_cell(key: PieceKey, piece: Piece) -> int:
    """Bytes of a cell in a tile's buffer: written parts of joined maps lie there alone."""
    return piece.place.span if key.role == "out" else piece.place.storage.cell
