"""What stays in the scratchpad, what streams through it, and in which tiles.

Every storage starts resident from its making to its last use. Where a step does not fit with tiles of a sensible size,
storages are cut: after their cut they live in memory, and steps that use them there work in tiles whose loads and
stores run beside the computation (two buffers each).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from golden.quartdepth.allocate import Buffer, place
from golden.quartdepth.config import ChipConfig
from golden.quartdepth.layout import CompileError, Layout, Storage, lay_out, round_up
from golden.quartdepth.network import Attend, Convolution, Network
from golden.quartdepth.steps import Piece, PieceKey, Step, Tile, make_steps

STREAMED = -1
TILES = 4  # a step that streams is cut into so many tiles at least, so that its ends are short
PORTION = 8192  # cycles of an instruction: far from any watchdog
FINE_PORTION = 1024  # near elementwise layers, whose portions run between them
VECTOR_PORTION = 512  # about what the MXU can go on for before it needs the VPU
AHEAD = 2  # steps by which an elementwise layer may run ahead
HALO = 4  # a tile should have so many times the rows that neighbouring tiles read twice


@dataclass
class Life:
    """A storage's steps. cut: it is resident up to this step (STREAMED: never)."""

    storage: Storage
    writers: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)
    cut: int = STREAMED
    outside: bool = False  # the network's input or output: lives in memory

    @property
    def resident(self) -> bool:
        """In the scratchpad for some time."""
        return self.cut != STREAMED

    @property
    def in_memory(self) -> bool:
        """Has a copy in memory."""
        return self.outside or not self.resident or any(r > self.cut for r in self.readers)

    def at_hand(self, step: int) -> bool:
        """Step `step` finds it in the scratchpad."""
        return self.resident and self.writers[0] <= step <= self.cut


@dataclass(eq=False)
class StepPlan:
    """How a step runs. slots: 2 where streamed pieces are double-buffered. portion: cycles of the MXU (of the VPU in
    elementwise layers) that an instruction may take. buffers: by piece, one for each slot. blocks: buffers of the
    weights' groups; one, or two in turn. scratch: attention's scores."""

    step: Step
    tiles: list[Tile]
    slots: int
    portion: int
    buffers: dict[PieceKey, list[Buffer]] = field(default_factory=dict)
    blocks: list[Buffer] = field(default_factory=list)
    scratch: list[Buffer] = field(default_factory=list)


@dataclass(eq=False)
class Plan:
    """The whole network's plan; `resident` gives storages their buffers."""

    layout: Layout
    lives: dict[str, Life]
    steps: list[StepPlan]
    resident: dict[str, Buffer]

    @property
    def buffers(self) -> list[Buffer]:
        """All buffers."""
        out = list(self.resident.values())
        for plan in self.steps:
            out += [b for slots in plan.buffers.values() for b in slots] + plan.blocks + plan.scratch
        return out


def make_plan(network: Network, config: ChipConfig) -> Plan:
    """Layout, steps, residency, tiles and addresses. Raises CompileError where a layer cannot fit."""
    apart: frozenset[str] = frozenset()
    while True:
        layout = lay_out(network, config, apart)
        steps = make_steps(layout, config, config.spad_bytes // 4, config.spad_bytes // 2)
        planner = _Planner(layout, steps, config)
        plan = planner.run()
        joined = {life.storage.name for life in plan.lives.values() if life.in_memory and len(life.writers) > 1}
        if joined <= apart:
            return plan
        apart |= joined


class _Planner:
    def __init__(self, layout: Layout, steps: list[Step], config: ChipConfig) -> None:
        self.layout, self.steps, self.config = layout, steps, config
        self.align = max(config.depth, 2 * config.cols)  # of INT16 groups
        # weight groups at hand: the one in use and the next one
        self.turns = [min(len(step.groups), 2) or 1 for step in steps]
        self.lives: dict[str, Life] = {}
        for name, storage in layout.storages.items():
            self.lives[name] = Life(storage)
        places = layout.places
        for step in steps:
            self.lives[places[step.layer.name].storage.name].writers.append(step.index)
            for source in step.layer.sources:
                self.lives[places[source].storage.name].readers.append(step.index)
        for name in (layout.network.input, layout.network.output):
            self.lives[places[name].storage.name].outside = True
        for life in self.lives.values():
            if not life.outside:
                life.cut = max(life.readers)

    def run(self) -> Plan:
        for comfortable in (True, False):
            for step in self.steps:
                cuts = {name: life.cut for name, life in self.lives.items()}
                while self._tiles(step, self._room(step.index), comfortable) is None:
                    if not self._evict(step.index):
                        if not comfortable and self.turns[step.index] == 1:
                            raise CompileError(self._too_large(step))
                        if not comfortable:
                            self.turns[step.index] = 1
                            continue
                        for name, cut in cuts.items():  # it was of no use
                            self.lives[name].cut = cut
                        break
        while True:
            plan, missing = self._attempt()
            if missing is None:
                return plan
            if not any(self._evict(s) for s in range(missing.first, missing.last + 1)):
                raise CompileError(f"no room for {missing.name}, {missing.size} of {self.config.spad_bytes} bytes")

    def _too_large(self, step: Step) -> str:
        room = self._room(step.index)
        return (
            f"'{step.layer.name}' does not fit in the scratchpad of '{self.config.name}': {room} bytes are free, "
            "and its smallest tile needs more"
        )

    def _touched(self, step: Step) -> set[str]:
        names = (step.layer.name, *step.layer.sources)
        return {self.layout.places[n].storage.name for n in names}

    def _blocks(self, step: Step) -> int:
        return step.block_bytes * self.turns[step.index]

    def _scratch(self, step: Step) -> int:
        if not isinstance(step.layer, Attend):
            return 0
        key = self.layout.places[step.layer.key]
        tokens = key.storage.rows * key.storage.cols // step.grid[0]
        return self.config.rows * round_up(tokens, self.config.depth)

    def _room(self, index: int) -> int:
        """Bytes for a step's streamed tiles: what residents and weights, its own and the next step's, leave."""
        used = sum(round_up(x.storage.size, self.align) for x in self.lives.values() if x.at_hand(index))
        step = self.steps[index]
        used += self._blocks(step) + 2 * self._scratch(step)
        if index + 1 < len(self.steps) and len(self.steps[index + 1].groups) == 1:
            used += self._blocks(self.steps[index + 1])
        return self.config.spad_bytes - used

    def _streamed(self, step: Step, tile: Tile) -> dict[PieceKey, Piece]:
        return {
            key: piece
            for key, piece in step.pieces(tile, self.layout).items()
            if not self.lives[piece.place.storage.name].at_hand(step.index)
        }

    def _size(self, step: Step, tiles: list[Tile]) -> dict[PieceKey, int]:
        sizes: dict[PieceKey, int] = {}
        for tile in tiles:
            for key, piece in self._streamed(step, tile).items():
                size = piece.rect.area * self.cell(key, piece)
                sizes[key] = max(sizes.get(key, 0), size)
        return sizes

    @staticmethod
    def cell(key: PieceKey, piece: Piece) -> int:
        """Bytes of a cell in a tile's buffer: written parts of joined pictures lie there alone."""
        return piece.place.span if key.role == "out" else piece.place.storage.cell

    def _tiles(self, step: Step, room: int, comfortable: bool) -> tuple[list[Tile], int] | None:
        """The largest tiles whose streamed pieces fit in `room`, and their slots."""
        rows, cols = step.grid
        whole = [Tile(0, rows, 0, cols)]
        if not self._size(step, whole):
            return (whole, 1) if room >= 0 else None
        if isinstance(step.layer, Attend):
            options = [(1, cols, 2), (1, cols, 1)]  # a part of the queries only where it must be
            options += [] if comfortable else [(1, -(-cols // (1 << k)), 1) for k in range(1, cols.bit_length() + 1)]
        else:
            overlap = max(j.kernel[0] - j.stride[0] for j in step.jobs)
            least = min(rows, max(1, HALO * overlap)) if comfortable else 1
            most = max(least, -(-rows // TILES))
            options = [(h, cols, 2) for h in range(most, least - 1, -1)]
            if not comfortable:
                widths = [-(-cols // (1 << k)) for k in range(1, cols.bit_length() + 1)]
                options += [(1, w, 2) for w in widths] + [(1, cols, 1)] + [(1, w, 1) for w in widths]
        for height, width, slots in options:
            tiles = [
                Tile(y, min(y + height, rows), x, min(x + width, cols))
                for y in range(0, rows, height)
                for x in range(0, cols, width)
            ]
            if slots * sum(self._size(step, tiles).values()) <= room:
                return tiles, slots
        return None

    def _portion(self, step: Step) -> int:
        if not self._on_mxu(step):
            return VECTOR_PORTION
        near = self.steps[max(step.index - 3, 0) : step.index + 2]
        return PORTION if all(self._on_mxu(s) for s in near) else FINE_PORTION

    @staticmethod
    def _on_mxu(step: Step) -> bool:
        return isinstance(step.layer, Convolution | Attend)

    def _evict(self, index: int) -> bool:
        """Cuts one storage that is resident at a step: the largest that the step does not touch, else the largest."""
        touched = self._touched(self.steps[index])
        alive = [x for x in self.lives.values() if x.at_hand(index)]
        if not alive:
            return False
        victim = max(alive, key=lambda x: (x.storage.name not in touched, x.storage.size, x.storage.name))
        before = [r for r in victim.readers if r < index]
        joined = len(victim.writers) > 1  # parts of joined pictures go to memory whole, or not at all
        victim.cut = max(before) if before and not joined else STREAMED
        return True

    def _attempt(self) -> tuple[Plan, Buffer | None]:
        """Tiles for all steps, and addresses; or the buffer that found no room."""
        resident = {}
        for name, life in self.lives.items():
            if life.resident:
                home = life.writers[0]
                # what the VPU alone makes can be made while the MXU is busy with earlier steps
                ahead = 0 if all(self._on_mxu(self.steps[w]) for w in life.writers) else AHEAD
                resident[name] = Buffer(name, life.storage.size, max(home - ahead, 0), life.cut, home)
        plan = Plan(self.layout, self.lives, [self._step(step) for step in self.steps], resident)
        while True:
            missing = place(plan.buffers, self.config.spad_bytes, self.align)
            early = [b for b in plan.buffers if b.early]
            if missing is None or not early:
                return plan, missing
            # loading ahead is worth less than a place
            near = [b for b in early if b.first <= missing.last and missing.first <= b.last]
            for buffer in [missing] if missing.early else near or early:
                buffer.first += 1

    def _step(self, step: Step) -> StepPlan:
        found = self._tiles(step, self._room(step.index), True) or self._tiles(step, self._room(step.index), False)
        if found is None:
            raise CompileError(self._too_large(step))
        tiles, slots = found
        plan = StepPlan(step, tiles, min(slots, len(tiles)), self._portion(step))
        index, early = step.index, max(step.index - 1, 0)
        for key, size in self._size(step, tiles).items():
            first = early if key.role != "out" else index
            names = [f"{step.layer.name}/{key.role}{key.piece}.{slot}" for slot in range(plan.slots)]
            plan.buffers[key] = [Buffer(n, size, first if i == 0 else index, index, index) for i, n in enumerate(names)]
        for slot in range(self.turns[index] if step.groups else 0):
            first = early if slot == 0 else index
            plan.blocks.append(Buffer(f"{step.layer.name}/weights.{slot}", step.block_bytes, first, index, index))
        if size := self._scratch(step):
            plan.scratch = [Buffer(f"{step.layer.name}/scores.{i}", size, index, index, index) for i in range(2)]
        return plan
