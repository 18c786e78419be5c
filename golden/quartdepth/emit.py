"""Instructions of a planned network, in an order that is right when run one after the other.

Tokens and early loads are the business of `schedule`. An *item* is what belongs together there: the loads, computation
and stores of one tile and weight group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from golden.quartdepth import microcode
from golden.quartdepth.codec import Instruction
from golden.quartdepth.config import ChipConfig
from golden.quartdepth.isa import (
    MICROWORD_BYTES,
    PARAM_BYTES,
    TABLE_BYTES,
    ActFormat,
    Format,
    Opcode,
    Space,
    WeightFormat,
)
from golden.quartdepth.jobs import Job, Walk
from golden.quartdepth.layout import CompileError, Place, round_up
from golden.quartdepth.microcode import Program, Slots
from golden.quartdepth.network import Attend, Code, Convolution, Layer, Normalise, Rescale
from golden.quartdepth.pack import elements_per_step
from golden.quartdepth.plan import Plan, StepPlan
from golden.quartdepth.steps import Group, Piece, PieceKey, Rect, Tile, clip, input_span

ACT_FORMATS = {Format.INT8: ActFormat.INT8, Format.UINT4: ActFormat.UINT4, Format.TABLE4: ActFormat.TABLE4}


@dataclass
class Op:
    """An instruction and where it comes from. program: a VECTOR's microwords."""

    instruction: Instruction
    step: int
    item: int
    program: Program = ()


@dataclass(frozen=True)
class View:
    """Cells of a piece at hand in the scratchpad: `base` is the address of cell (r0, c0)."""

    base: int
    r0: int
    c0: int
    pitch: int
    cell: int

    def address(self, row: int, col: int) -> int:
        """Byte address of a cell of the storage."""
        return self.base + (row - self.r0) * self.pitch + (col - self.c0) * self.cell


class Image:
    """The memory image under construction: blocks of bytes at aligned addresses."""

    def __init__(self, align: int) -> None:
        self.align = align
        self.size = 0
        self.blocks: list[tuple[int, bytes]] = []
        self._known: dict[bytes, int] = {}

    def reserve(self, size: int) -> int:
        """Address of `size` bytes."""
        address = self.size
        self.size = round_up(address + size, self.align)
        return address

    def put(self, data: bytes) -> int:
        """Address of the bytes; equal ones are stored once."""
        if data not in self._known:
            self._known[data] = self.reserve(len(data))
            self.blocks.append((self._known[data], data))
        return self._known[data]


class Store:
    """A small store on the chip (microwords, code tables) that is filled in turn; `emit_load(entry, data)`."""

    def __init__(self, entries: int, what: str, emit_load: Callable[[int, bytes], None]) -> None:
        self.entries, self.what, self.emit_load = entries, what, emit_load
        self.next = 0
        self.held: dict[tuple[bytes, ...], int] = {}

    def ensure(self, words: tuple[bytes, ...], keep: frozenset[tuple[bytes, ...]] = frozenset()) -> int:
        """First entry of `words`, loading them over the oldest others if need be. `keep`: not to be overwritten."""
        if words in self.held:
            return self.held[words]
        if len(words) > self.entries:
            raise CompileError(f"{len(words)} {self.what} do not fit in a store of {self.entries}")
        for _ in range(self.entries + 1):
            first = self.next if self.next + len(words) <= self.entries else 0
            gone = {k for k, at in self.held.items() if at < first + len(words) and first < at + len(k)}
            self.next = first + len(words)
            if not gone & keep:
                break
        else:
            raise CompileError(f"a layer needs more {self.what} at a time than the store's {self.entries}")
        for k in gone:
            del self.held[k]
        self.held[words] = first
        self.emit_load(first, b"".join(words))
        return first


@dataclass
class Emitter:
    """Emits step after step."""

    plan: Plan
    config: ChipConfig
    image: Image
    ops: list[Op] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)  # address of storages in memory
    blocks: dict[int, list[int]] = field(default_factory=dict)  # addresses of weight groups, by step
    step: int = 0
    item: int = 0

    def __post_init__(self) -> None:
        self.programs = Store(self.config.prog_words, "microwords", self._load_program)
        self.tables = Store(self.config.tables, "code tables", self._load_table)

    def run(self) -> list[Op]:
        """All instructions but HALT, without waits."""
        for life in self.plan.lives.values():
            if life.in_memory:
                self.memory[life.storage.name] = self.image.reserve(life.storage.size)
        for plan in self.plan.steps:
            self.blocks[plan.step.index] = [self.image.put(g.data) for g in plan.step.groups]
        for plan in self.plan.steps:
            self.step = plan.step.index
            self._step(plan)
        return self.ops

    def emit(self, opcode: Opcode, program: Program = (), **fields: int) -> None:
        """Append an instruction to the current item."""
        values = {k: int(v) for k, v in fields.items() if v}
        self.ops.append(Op(Instruction(opcode, values), self.step, self.item, program))

    def compute(self, program: Program, matmul: dict[str, int] | None, vector: dict[str, int]) -> None:
        """A VECTOR, with the MATMUL that feeds it right before it: a LOAD between the two could wait for the MATMUL
        and keep its VECTOR from being dispatched. The program is loaded if the store does not hold it."""
        first = self.programs.ensure(program)
        if matmul is not None:
            self.emit(Opcode.MATMUL, (), **matmul)
        self.emit(Opcode.VECTOR, program, prog=first, prog_len=len(program), **vector)

    def _load_program(self, first: int, data: bytes) -> None:
        self._load_store(Space.PROG, first * MICROWORD_BYTES, data)

    def _load_table(self, first: int, data: bytes) -> None:
        self._load_store(Space.TABLE, first * TABLE_BYTES, data)

    def _load_store(self, space: Space, at: int, data: bytes) -> None:
        self.emit(Opcode.LOAD, dram=self.image.put(data), spad=at, rows=1, row_bytes=len(data), space=space)

    def _step(self, plan: StepPlan) -> None:
        step = plan.step
        groups: list[Group | None] = list(step.groups) or [None]
        slots = self._slots(step.layer)
        for t, tile in enumerate(plan.tiles):
            views: dict[PieceKey, View] = {}
            pieces = step.pieces(tile, self.plan.layout)
            for key, piece in pieces.items():
                views[key] = self._view(plan, key, piece, t)
                if key in plan.buffers and key.role != "out":
                    self._load(piece, views[key])
            for g, group in enumerate(groups):
                block = 0
                if group is not None:
                    buffer = plan.blocks[(t * len(groups) + g) % len(plan.blocks)]
                    block = buffer.address
                    if len(groups) > 1 or t == 0:
                        at = self.blocks[step.index][g]
                        self.emit(Opcode.LOAD, dram=at, spad=block, rows=1, row_bytes=len(group.data))
                if isinstance(step.layer, Attend):
                    self._attention(plan, tile, views, slots)
                for part, first, last in self._portions(plan, tile, group):
                    for j, job in enumerate(step.jobs):
                        points = clip(job, part)
                        if points is not None:
                            self._job(step.layer, job, j, points, (first, last), group, block, views, slots)
                if g + 1 < len(groups):
                    self.item += 1
            for key, piece in pieces.items():
                if key.role == "out" and self.plan.lives[piece.place.storage.name].in_memory:
                    self._save(piece, views[key], key in plan.buffers)
            self.item += 1

    def _portions(self, plan: StepPlan, tile: Tile, group: Group | None) -> Iterator[tuple[Tile, int, int]]:
        """Parts of a tile and ranges of output elements that take at most `plan.portion` cycles of an engine."""
        if not plan.step.jobs:
            return
        layer, depth, cols = plan.step.layer, self.config.depth, self.config.cols
        heavy = max(plan.step.jobs, key=lambda j: j.kernel[0] * j.kernel[1])
        elements = heavy.output.place.elements
        first, last = (0, elements) if group is None else (group.first, group.last)
        lanes, pixel = cols, 1  # channels and cycles of one unit of a pixel's work
        if isinstance(layer, Normalise):
            pixel = 3
        elif isinstance(layer, Convolution) and layer.depthwise:
            lanes, pixel = 2 * depth, 6 * layer.stride[1]
        elif isinstance(layer, Convolution):
            inputs, fmt = heavy.source.place.elements, heavy.source.place.code.format
            pixel = heavy.kernel[0] * heavy.kernel[1] * -(-inputs // elements_per_step(fmt, self.config))
        units = -(-(last - first) // lanes)
        height, width = tile.y1 - tile.y0, tile.x1 - tile.x0
        most = max(plan.portion // (pixel * units), 1)  # pixels
        if group is not None:  # whole blocks: a bank must last while the VPU does something else
            most = max(most // self.config.rows, 1) * self.config.rows
        rows = min(height, max(most // width, 1))
        width = -(-width // -(-width // most))
        if group is not None:
            units = min(units, max(plan.portion // (pixel * width * rows), 1))
        for y in range(tile.y0, tile.y1, rows):
            for x in range(tile.x0, tile.x1, width):
                part = Tile(y, min(y + rows, tile.y1), x, min(x + width, tile.x1))
                for start in range(first, last, units * lanes):
                    yield part, start, min(start + units * lanes, last)

    def _slots(self, layer: Layer) -> Slots:
        """Code tables of the layer's pictures, loaded."""
        network = self.plan.layout.network
        wanted = {}
        for name in (*layer.sources, layer.name):
            table = network.pictures[name].code.table
            if table is not None:
                wanted[name] = (table.to_bytes(),)
        keep = frozenset(wanted.values())
        return {name: self.tables.ensure(data, keep) for name, data in wanted.items()}

    # ---- pieces

    def _view(self, plan: StepPlan, key: PieceKey, piece: Piece, tile: int) -> View:
        storage, rect = piece.place.storage, piece.rect
        if key in plan.buffers:
            slots = plan.buffers[key]
            alone = key.role == "out"
            cell = piece.place.span if alone else storage.cell
            offset = 0 if alone else piece.place.offset
            base = slots[tile % len(slots)].address + offset
            return View(base, rect.r0, rect.c0, (rect.c1 - rect.c0) * cell, cell)
        base = self.plan.resident[storage.name].address + piece.place.offset
        return View(base, 0, 0, storage.cols * storage.cell, storage.cell)

    def _load(self, piece: Piece, view: View) -> None:
        storage, rect = piece.place.storage, piece.rect
        local = view.base - piece.place.offset
        self._copy(Opcode.LOAD, self.memory[storage.name], storage.cols, storage.cell, rect, local, view.pitch)

    def _save(self, piece: Piece, view: View, alone: bool) -> None:
        storage, rect = piece.place.storage, piece.rect
        memory = self.memory[storage.name]
        local = view.address(rect.r0, rect.c0) - (0 if alone else piece.place.offset)
        if not alone or piece.place.span == storage.cell:
            self._copy(Opcode.STORE, memory, storage.cols, storage.cell, rect, local, view.pitch)
            return
        # a part of a joined picture: pixel by pixel between the other parts
        width, span = rect.c1 - rect.c0, piece.place.span
        whole = width == storage.cols
        rows = 1 if whole else rect.r1 - rect.r0
        pixels = rect.area if whole else width
        for first in range(rows):
            at = ((rect.r0 + first) * storage.cols + rect.c0) * storage.cell + piece.place.offset
            for done in range(0, pixels, 0xFFFF):
                self.emit(
                    Opcode.STORE,
                    dram=memory + at + done * storage.cell,
                    dram_row=storage.cell,
                    spad=local + first * view.pitch + done * span,
                    spad_row=span,
                    rows=min(pixels - done, 0xFFFF),
                    row_bytes=span,
                )

    def _copy(self, opcode: Opcode, memory: int, cols: int, cell: int, rect: Rect, local: int, pitch: int) -> None:
        """Whole cells of a rectangle, as one run of bytes where they lie without gaps on both sides."""
        line, width, rows = cols * cell, (rect.c1 - rect.c0) * cell, rect.r1 - rect.r0
        at = memory + rect.r0 * line + rect.c0 * cell
        if rows == 1 or (width == line and pitch == line):
            self.emit(opcode, dram=at, spad=local, rows=1, row_bytes=rows * width)
        else:
            self.emit(
                opcode, dram=at, dram_row=line, spad=local, spad_row=pitch, rows=rows, row_bytes=width
            )  # fmt: skip

    # ---- convolutions and elementwise layers

    def _job(
        self, layer: Layer, job: Job, index: int, points: Tile, span: tuple[int, int], group: Group | None, block: int,
        views: dict[PieceKey, View], slots: Slots,
    ) -> None:  # fmt: skip
        """Output elements [span) of a job at some grid points."""
        network = self.plan.layout.network
        out = job.output.place
        source, output = views[PieceKey("in", job.in_piece)], views[PieceKey("out", job.out_piece)]
        first, last = span
        vector = {"h": points.y1 - points.y0, "w": points.x1 - points.x0, "n": last - first}
        vector["block"] = self.config.rows
        matmul = None
        vector.update(_stream("d", output, job.output, points, out.element_bytes(first)))
        if job.residual is not None:
            residual = views[PieceKey("res", job.out_piece)]
            place = job.residual.place
            vector.update(_stream("b", residual, job.residual, points, place.element_bytes(first)))
        if isinstance(layer, Convolution):
            assert group is not None
            vector["param"] = block + group.params[index] + (first - group.first) * PARAM_BYTES
            if layer.depthwise:
                vector["block"] = self.config.rows * self.config.cols // self.config.depth
            code = job.source.place.code
            table = slots.get(layer.source, 0)
            weights = (block + group.weights[index], group.first)
            matmul = self._matmul(layer, job, points, span, weights, source, code, table, vector["block"])
            program = microcode.convolution(layer, network, slots)
        else:
            vector.update(_stream("a", source, job.source, points, 0))
            if isinstance(layer, Rescale):
                program = microcode.rescale(layer, network, slots)
            else:
                assert isinstance(layer, Normalise)
                program = microcode.normalise(layer, network, slots)
        self.compute(program, matmul, vector)

    def _matmul(
        self, layer: Convolution, job: Job, points: Tile, span: tuple[int, int], weights: tuple[int, int],
        source: View, code: Code, table: int, block: int,
    ) -> dict[str, int]:  # fmt: skip
        depth, cols = self.config.depth, self.config.cols
        elements = job.source.place.elements
        step = 2 * depth if code.format is Format.UINT4 and not layer.depthwise else depth
        count = span[1] - span[0]
        ahead = span[0] - weights[1]  # elements of the group before the span
        act = 0
        if layer.depthwise:
            chunks, last_elems = -(-count // depth), depth
            act = job.source.place.element_bytes(span[0])
            tiles, wgt = 1, weights[0] + ahead // depth * cols * depth
        else:
            chunks = -(-elements // step)
            rest = elements - (chunks - 1) * step
            last_elems = -(-rest // 2) if code.format is Format.UINT4 else rest
            steps = job.kernel[0] * job.kernel[1] * chunks
            tiles = steps if code.format is Format.UINT4 else -(-steps // 2)
            wgt = weights[0] + ahead * tiles * depth
        spans = [input_span(job, axis, points[2 * axis], points[2 * axis + 1]) for axis in range(2)]
        pads = [max(0, job.pad[a] - points[2 * a] * job.stride[a]) for a in range(2)]
        row, col = (o + s * span[0] for o, s, span in zip(job.source.origin, job.source.step, spans, strict=True))
        pad_value = code.pad * 17 if code.format is Format.UINT4 else code.pad & 0xFF
        return dict(
            act_format=ACT_FORMATS[code.format],
            weight_format=WeightFormat.INT4,
            depthwise=layer.depthwise,
            code_table=table,
            pad_value=pad_value,
            act=source.address(row, col) + act,
            act_row=source.pitch * job.source.step[0],
            act_pix=source.cell * job.source.step[1],
            in_h=spans[0][1] - spans[0][0],
            in_w=spans[1][1] - spans[1][0],
            pad_top=pads[0],
            pad_left=pads[1],
            kernel_h=job.kernel[0],
            kernel_w=job.kernel[1],
            stride_y=job.stride[0],
            stride_x=job.stride[1],
            chunks=chunks,
            last_elems=last_elems,
            out_h=points.y1 - points.y0,
            out_w=points.x1 - points.x0,
            block=block,
            n=count,
            wgt=wgt,
            wgt_n=tiles * cols * depth,
            wgt_t=cols * depth,
            wgt_c=depth,
        )

    # ---- attention

    def _attention(self, plan: StepPlan, tile: Tile, views: dict[PieceKey, View], slots: Slots) -> None:
        """Blocks of queries by sequence and head; a block's softmax runs beside its neighbours' products."""
        layer = plan.step.layer
        assert isinstance(layer, Attend)
        places = self.plan.layout.places
        cols = places[layer.key].storage.cols
        tokens = plan.step.sequences[1] * cols
        blocks = [
            (s, head, first, min(self.config.rows, tile.x1 * cols - first))
            for s in range(tile.y0, tile.y1)
            for head in range(layer.heads)
            for first in range(tile.x0 * cols, tile.x1 * cols, self.config.rows)
        ]
        for i in range(len(blocks) + 1):
            if i < len(blocks):
                self._scores(plan, layer, views, blocks[i], i % 2, tokens)
            if i:
                self._mix(plan, layer, views, blocks[i - 1], (i - 1) % 2, tokens, slots)

    def _token(self, views: dict[PieceKey, View], role: str, place: Place, token: int) -> int:
        """Address of a token's cell, tokens counted through all sequences."""
        view = views[PieceKey(role, 0)]
        return view.address(token // place.storage.cols, token % place.storage.cols)

    def _scores(
        self, plan: StepPlan, layer: Attend, views: dict[PieceKey, View], block: tuple[int, int, int, int], bank: int,
        tokens: int,
    ) -> None:  # fmt: skip
        places, depth = self.plan.layout.places, self.config.depth
        s, head, first, count = block
        query, key = places[layer.query], places[layer.key]
        start = head * layer.head_dim
        words = (start + layer.head_dim - 1) // depth - start // depth + 1
        slot = int(key.positions[start]) // depth * depth
        pitch = round_up(tokens, depth)
        matmul = dict(
            act_format=ActFormat.INT8,
            weight_format=WeightFormat.INT8,
            act=self._token(views, "query", query, s * tokens + first) + start // depth * depth,
            act_pix=query.storage.cell,
            in_h=1, in_w=count, kernel_h=1, kernel_w=1, stride_y=1, stride_x=1,
            chunks=words, last_elems=depth, out_h=1, out_w=count, block=self.config.rows, n=tokens,
            wgt=self._token(views, "key", key, s * tokens) + slot,
            wgt_n=self.config.cols * key.storage.cell,
            wgt_t=depth,
            wgt_c=key.storage.cell,
        )  # fmt: skip
        scratch = plan.scratch[bank].address
        vector = dict(
            h=1, w=count, n=tokens, block=self.config.rows, a=scratch, a_pix=pitch, d=scratch, d_pix=pitch
        )  # fmt: skip
        self.compute(microcode.softmax(layer, bank), matmul, vector)

    def _mix(
        self, plan: StepPlan, layer: Attend, views: dict[PieceKey, View], block: tuple[int, int, int, int], bank: int,
        tokens: int, slots: Slots,
    ) -> None:  # fmt: skip
        places, depth = self.plan.layout.places, self.config.depth
        s, head, first, count = block
        value, out = places[layer.value], places[layer.name]
        start = head * layer.head_dim
        chunks = -(-tokens // depth)
        matmul = dict(
            act_format=ActFormat.INT8,
            weight_format=WeightFormat.INT8,
            transpose=1,
            act=plan.scratch[bank].address,
            act_pix=round_up(tokens, depth),
            in_h=1, in_w=count, kernel_h=1, kernel_w=1, stride_y=1, stride_x=1,
            chunks=chunks, last_elems=tokens - (chunks - 1) * depth,
            out_h=1, out_w=count, block=self.config.rows, n=layer.head_dim,
            wgt=self._token(views, "value", value, s * tokens) + int(value.positions[start]),
            wgt_n=self.config.cols,
            wgt_t=depth * value.storage.cell,
            wgt_c=value.storage.cell,
        )  # fmt: skip
        vector = dict(
            h=1, w=count, n=layer.head_dim, block=self.config.rows,
            d=self._token(views, "out", out, s * tokens + first) + out.element_bytes(int(out.positions[start])),
            d_pix=out.storage.cell,
        )  # fmt: skip
        self.compute(microcode.mix(layer, self.plan.layout.network, bank, slots), matmul, vector)


def _stream(which: str, view: View, walk: Walk, points: Tile, offset: int) -> dict[str, int]:
    row, _, col, _ = walk.cells((points.y0, points.x0), (points.y0, points.x0))
    return {
        which: view.address(row, col) + offset,
        f"{which}_row": view.pitch * walk.step[0],
        f"{which}_pix": view.cell * walk.step[1],
    }
