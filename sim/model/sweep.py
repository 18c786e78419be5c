"""Which chip for a network: array, scratchpad, lanes, memory and clock, by the compiler's clock and an area model.

A point that cannot be made or compiled is a row with its error. Points of one chip share the compilation.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from triptych.golden import store
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.compiler import estimate as clock
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.vectors import single
from triptych.sim.build import cache
from triptych.sim.build.sources import ROOT, sources
from triptych.sim.errors import TriptychError
from triptych.sim.model.process import SRAM_BIT, TWO_PORTS
from triptych.sim.rtl.run import MemoryTiming, run_program

# um^2 at 45 nm of `small` (128 multipliers, 8 lanes) and of `paper` (1,024; 16 full lanes, 16 others), docs/results.md:
# the chip, the array's engine, the lanes of the vector engine, what is beside them.
_SMALL, _PAPER = (369_423, 120_622, 103_194, 41_294), (1_085_254, 602_131, 284_967, 77_395)
_BESIDE = (_PAPER[3] - _SMALL[3]) / 24  # of a lane, full or not
ARRAY = (_PAPER[1] - _SMALL[1]) / (1024 - 128)
FULL = _SMALL[2] / 8 + _BESIDE
PLAIN = (_PAPER[2] - 2 * _SMALL[2]) / 16 + _BESIDE
REST = (_SMALL[0] - 128 * ARRAY - 8 * FULL + _PAPER[0] - 1024 * ARRAY - 16 * (FULL + PLAIN)) / 2
"""By multiplier, by full lane and by another one; what stays is the mean of both chips'."""

Shape = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Point:
    """depth, cols: the array, D bytes times C columns. rows: of an accumulator bank. spad_kib: scratchpad. lanes: of
    the VPU, 0: as many as columns. gb_s, latency_ns: of the memory. clock_mhz: of the chip. full_lanes: of the lanes,
    0: all."""

    depth: int
    cols: int
    rows: int
    spad_kib: int
    lanes: int
    gb_s: float
    latency_ns: float
    clock_mhz: int
    full_lanes: int = 0

    @property
    def shape(self) -> Shape:
        """What a program is compiled for."""
        return self.depth, self.cols, self.rows, self.spad_kib, *self.both_lanes

    @property
    def both_lanes(self) -> tuple[int, int]:
        """All lanes, and the full ones."""
        lanes = self.lanes or self.cols
        return lanes, self.full_lanes or lanes

    def config(self) -> ChipConfig:
        """The chip. Raises ValueError where it cannot be made."""
        words = self.spad_kib * 1024 // self.depth
        return ChipConfig(
            "sweep", self.depth, self.cols, self.rows, words, lanes=self.lanes, full_lanes=self.full_lanes,
            clock_mhz=self.clock_mhz,
        )  # fmt: skip

    @property
    def latency(self) -> int:
        """In cycles."""
        return max(1, round(self.latency_ns * self.clock_mhz / 1000))

    @property
    def bandwidth(self) -> float:
        """Bytes a cycle."""
        return self.gb_s * 1000 / self.clock_mhz

    @property
    def mm2(self) -> float:
        """Cells and memories at 45 nm, estimated."""
        lanes, full = self.both_lanes
        bits = 8 * 1024 * self.spad_kib + 2 * self.rows * 32 * self.cols
        cells = ARRAY * self.depth * self.cols + FULL * full + PLAIN * (lanes - full) + REST
        return (cells + bits * SRAM_BIT * TWO_PORTS) / 1e6


@dataclass(frozen=True)
class Row:
    """A point's figures, or why there are none. rtl: cycles of the same program on RTL."""

    point: Point
    cycles: int | None = None
    ms: float | None = None
    mac_cycle: float | None = None
    error: str = ""
    pareto: bool = False
    rtl: int | None = None

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        figures = {name: value for name, value in vars(self).items() if name != "point"}
        return {**asdict(self.point), "mm2": round(self.point.mm2, 4), **figures}


def grid(**values: Sequence[Any]) -> list[Point]:
    """Every combination."""
    return [Point(**dict(zip(values, chosen, strict=True))) for chosen in itertools.product(*values.values())]


def evaluate(network: Network, points: Sequence[Point]) -> list[Row]:
    """Points of one shape: compiled once, timed each."""
    try:
        compiled = compile_network(network, points[0].config())
    except Exception as error:  # whatever it is, the sweep goes on
        return [Row(point, error=_reason(error)) for point in points]
    rows = []
    for point in points:
        try:
            memory = clock.Memory(point.latency, point.bandwidth)
            cycles = clock.estimate(compiled.listing, point.config(), memory).cycles
            rows.append(Row(point, cycles, cycles / point.clock_mhz / 1000, round(network.macs / cycles, 1)))
        except Exception as error:
            rows.append(Row(point, error=_reason(error)))
    return rows


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


Mapper = Callable[[Network, list[list[Point]]], Iterable[list[Row]]]


def on_dask(scheduler: str | None) -> Mapper:
    """Tasks on a Dask cluster: the scheduler's at an address, or a local one with a process for each core. Raises
    TriptychError without Dask, or when nothing answers there."""
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError:
        raise TriptychError("sweeps run on Dask: pip install -c constraints.txt -e '.[sweep]'") from None

    def run(network: Network, tasks: list[list[Point]]) -> Iterable[list[Row]]:
        try:
            cluster = None if scheduler else LocalCluster(threads_per_worker=1, dashboard_address=None, silence_logs=50)
            client = Client(scheduler or cluster, timeout="10s")
        except (OSError, ValueError) as error:
            raise TriptychError(f"no Dask scheduler answers at {scheduler}: {_reason(error)}") from error
        with client:
            held = client.scatter(network, broadcast=True)
            futures = {client.submit(evaluate, held, task): task for task in tasks}
            for future in as_completed(futures):
                if future.status == "finished":
                    yield future.result()
                else:  # a worker that died
                    yield [Row(point, error=_reason(future.exception())) for point in futures[future]]

    return run


def sweep(
    network: Network, points: Sequence[Point], mapper: Mapper, step: Callable[[str, int, int], None], keep: bool = False
) -> list[Row]:
    """All points, in their order, those on the Pareto front of time and area marked. keep: points that took their time
    before with the same network and compiler are taken from there, others are put there."""
    shapes: dict[Shape, list[Point]] = {}
    found: dict[Point, Row] = {}
    mark = _mark(network) if keep else ""
    for point in points:
        if keep and (row := cache.kept("sweep", cache.fingerprint([], mark, point))) is not None:
            found[point] = row
        else:
            shapes.setdefault(point.shape, []).append(point)
    for done, rows in enumerate(mapper(network, list(shapes.values())) if shapes else [], 1):
        found |= {row.point: row for row in rows}
        for row in rows:
            if keep and not row.error:
                cache.value("sweep", cache.fingerprint([], mark, row.point), partial(_same, row))
        step("chips", done, len(shapes))
    return front([found[point] for point in points])


def _same(row: Row) -> Row:
    return row


def _mark(network: Network) -> str:
    """Of a network and of all that makes its program and its cycles."""
    root = ROOT / "golden" / "quartdepth"
    code = [path for part in ("arithmetic", "chip", "compiler", "network") for path in (root / part).rglob("*.py")]
    return cache.fingerprint(sorted(code), hashlib.sha256(store.pack(network)).hexdigest())


def front(rows: Sequence[Row]) -> list[Row]:
    """The rows, marked where no other is both faster and smaller."""

    def beaten(row: Row) -> bool:
        mine = (row.ms or 0.0, row.point.mm2)
        others = [(r.ms, r.point.mm2) for r in rows if r.ms is not None]
        return any(o != mine and o[0] <= mine[0] and o[1] <= mine[1] for o in others)

    return [replace(row, pareto=row.ms is not None and not beaten(row)) for row in rows]


def on_rtl(network: Network, row: Row) -> Row:
    """The row with the cycles of RTL, kept where nothing changed. Raises TriptychError when it traps."""
    key = cache.fingerprint(sources(), _mark(network), row.point)
    return replace(row, rtl=cache.value("sweep-rtl", key, lambda: _cycles(network, row)))


def _cycles(network: Network, row: Row) -> int:
    config = row.point.config()
    compiled = compile_network(network, config)
    image = np.frombuffer(compiled.memory(single.random_codes(network, 1)), np.uint8)
    timing = MemoryTiming(row.point.latency, row.point.bandwidth)
    run = run_program(config, image, compiled.prog_base, len(compiled.instructions), timing=timing)
    if run.trap is not Trap.NONE:
        raise TriptychError(f"the chip trapped: {run.trap.name} at instruction {run.trap_pc}")
    return run.cycles


def plot_sweep(rows: Sequence[Row]) -> Figure:
    """Time over area, the Pareto front joined; rings: run on RTL."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    good = [r for r in rows if r.ms is not None]
    best = sorted((r for r in good if r.pareto), key=lambda r: r.point.mm2)
    axes.scatter(
        [r.point.mm2 for r in good], [r.ms or 0 for r in good], s=12, color="#999999", label="compiler's clock"
    )
    axes.plot([r.point.mm2 for r in best], [r.ms or 0 for r in best], "o-", color="#1b7837", ms=5, label="Pareto front")
    for r in best:
        p = r.point
        text = f"{p.depth}x{p.cols}, {p.spad_kib} KiB"
        axes.annotate(text, (p.mm2, r.ms or 0), textcoords="offset points", xytext=(4, 4), fontsize=6)
    run = [r for r in rows if r.rtl is not None]
    if run:
        axes.scatter([r.point.mm2 for r in run], [(r.rtl or 0) / r.point.clock_mhz / 1000 for r in run], s=70,
                     facecolors="none", edgecolors="#c51b7d", label="RTL")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("mm² at 45 nm (estimated)")
    axes.set_ylabel("ms a frame")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
