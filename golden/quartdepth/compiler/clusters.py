"""Steps that run together, tile by tile.

Most clusters are one step. A layer that leads (LayerNorm) runs with the linear layers that read it: what it makes is
never held as a whole, only the tiles at work, and the VPU normalises one tile while the MXU multiplies the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.compiler.allocate import Buffer
from triptych.golden.quartdepth.compiler.geometry import PieceKey, Tile, even_block
from triptych.golden.quartdepth.compiler.lowering import Layout
from triptych.golden.quartdepth.compiler.places import round_up
from triptych.golden.quartdepth.compiler.steps import Step

TILES = 12  # a cluster that streams is cut into so many tiles at least: the next one can load while it ends
FINE_TILES = 24  # the same where tiles keep so many
FINE_PIXELS = 512  # pixels: shorter ones are all turns and latency
HALO = 2  # a tile should have so many times the rows that neighbouring tiles read twice

TileSet = tuple[Tile, ...]  # one tile of each step


class Operand(NamedTuple):
    """A piece of a step: `step` counts in the cluster."""

    step: int
    key: PieceKey


@dataclass(frozen=True, eq=False)
class Cluster:
    """`steps` in order; all but the first read what the first makes. inner: the storage that only they use."""

    index: int
    steps: list[Step]
    inner: str | None = None

    @property
    def first(self) -> Step:
        return self.steps[0]


@dataclass(eq=False)
class ClusterPlan:
    """How a cluster runs. slots: 2 where tiles are double-buffered. portions: by step, cycles of the MXU (of the VPU
    in elementwise layers) that an instruction may take. buffers: by operand, one for each slot. blocks: by step,
    buffers of the weights' groups; one, or two in turn. scratch: attention's scores."""

    cluster: Cluster
    tiles: list[TileSet]
    slots: int
    portions: list[int]
    buffers: dict[Operand, list[Buffer]] = field(default_factory=dict)
    blocks: list[list[Buffer]] = field(default_factory=list)
    scratch: list[Buffer] = field(default_factory=list)


def make_clusters(steps: list[Step], layout: Layout, alone: frozenset[str]) -> list[Cluster]:
    """Clusters of all steps in order. alone: layers that must not have others in their cluster."""
    out: list[Cluster] = []
    place = 0
    while place < len(steps):
        first = steps[place]
        count = 1 if first.layer.name in alone else 1 + _followers(first, steps[place + 1 :], layout)
        inner = layout.places[first.layer.name].storage.name if count > 1 else None
        out.append(Cluster(len(out), steps[place : place + count], inner))
        place += count
    return out


def _followers(first: Step, rest: list[Step], layout: Layout) -> int:
    """How many of the next steps run with a layer that leads: all its readers, if they can and stand right behind."""
    name = first.layer.name
    if not first.layer.leads or name in layout.network.outputs:
        return 0
    readers = layout.network.readers(name)
    if [step.layer for step in rest[: len(readers)]] != readers:
        return 0
    if any(not step.layer.follows(name) or len(step.groups) > 1 for step in rest[: len(readers)]):
        return 0
    return len(readers)


def tile_options(
    cluster: Cluster, layout: Layout, config: ChipConfig, comfortable: bool, whole: bool
) -> Iterator[tuple[list[TileSet], int]]:
    """Tilings and slots to try, best first. whole: nothing has to stream. Comfortable ones are of a sensible size."""
    first = cluster.first
    rows, cols = first.work.grid
    if len(cluster.steps) > 1:
        unit_y, unit_x = _units(cluster, layout)
        # enough rows, or columns of a single one, for whole blocks of each sequence
        height = unit_y * -(-config.rows // max(cols // unit_x, 1))
        heights = range(min(height, rows), 0, -unit_y) if rows >= unit_y else range(rows, 0, -1)
        options = [(h, cols, 2) for h in heights if h % unit_y == 0 or h == rows]
        if rows == unit_y:
            options = [(rows, even_block(-(-cols // unit_x), config.rows) * unit_x, 2)]
        if not comfortable:
            options += [(unit_y, cols, 1)]
    elif whole:
        options = [(rows, cols, 1)]
    elif (own := first.work.tilings(comfortable)) is not None:
        options = own
    else:
        least = min(rows, max(1, HALO * first.work.overlap)) if comfortable else 1
        fine = max(-(-rows // FINE_TILES), -(-FINE_PIXELS // cols))
        most = max(least, min(-(-rows // TILES), fine))
        options = [(h, cols, 2) for h in range(most, least - 1, -1)]
        if rows == 1:
            options = [(1, even_block(cols, round_up(-(-cols // TILES), config.rows)), 2)]
        if not comfortable:
            widths = [-(-cols // (1 << k)) for k in range(1, cols.bit_length() + 1)]
            options += [(1, w, 2) for w in widths] + [(1, cols, 1)] + [(1, w, 1) for w in widths]
    for height, width, slots in options:
        yield _tiles(cluster, layout, height, width), slots


def _patch(step: Step, layout: Layout) -> tuple[int, int]:
    return layout.places[step.layer.name].patch


def _units(cluster: Cluster, layout: Layout) -> tuple[int, int]:
    patches = [_patch(step, layout) for step in cluster.steps[1:]]
    return max(p[0] for p in patches), max(p[1] for p in patches)


def _tiles(cluster: Cluster, layout: Layout, height: int, width: int) -> list[TileSet]:
    rows, cols = cluster.first.work.grid
    out = []
    for y in range(0, rows, height):
        for x in range(0, cols, width):
            tile = Tile(y, min(y + height, rows), x, min(x + width, cols))
            others = []
            for step in cluster.steps[1:]:
                py, px = _patch(step, layout)
                others.append(Tile(tile.y0 // py, tile.y1 // py, tile.x0 // px, tile.x1 // px))
            out.append((tile, *others))
    return out
