"""FastCar's core in simulation: one Verilator build a size, scenarios in, sums, decisions and counters out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar.config import Policy
from triptych.sim.build import children
from triptych.sim.build.sources import ROOT, checker, fastcar_sources
from triptych.sim.build.verilate import Build
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.weight_layout import pack_inputs, pack_weights

MAIN = ROOT / "sim" / "rtl" / "cpp" / "fastcar_core_main.cpp"
FLAGS = ("-O3", "--assert", "--x-assign", "unique", "--x-initial", "unique", "--unroll-count", "1")
STREAM = ("delivered", "blocked", "no_region", "no_decision", "memory", "skipped")
CYCLES = ("idle", "plan", "load", "issue", "wait_words", "wait_sums", "finish")
REST = (
    "lanes_busy", "lanes_spare", "loads_dropped", "rows_computed", "rows_replayed", "total", "quiet", "latency",
    "fault",
)  # fmt: skip
ENDLESS = 4_000_000


@dataclass(frozen=True)
class Size:
    """Parameters of fastcar_core."""

    width: int = 16
    chain: int = 4
    lanes: int = 4
    words: int = 4
    inputs: int = 256
    depth: int = 64
    burst: int = 16
    lut_chains: int = 0

    def build(self, sources: Sequence[Path] | None = None) -> Build:
        """The core with its bench. sources: instead of those of `rtl/fastcar`."""
        names = ("Width", "Chain", "Lanes", "Words", "Inputs", "Depth", "MaxBurst", "LutChains")
        values = (self.width, self.chain, self.lanes, self.words, self.inputs, self.depth, self.burst, self.lut_chains)
        return Build(
            top="fastcar_core",
            sources=(*(sources or fastcar_sources()), *checker("fastcar_core")),
            cpp=(MAIN,),
            parameters=dict(zip(names, values, strict=True)),
            flags=FLAGS,
            headers=(MAIN.with_name("memory_model.h"), MAIN.with_name("coverage.h")),
            cxxflags=("-std=c++20", f"-DWIDTH={self.width}"),
        )


@dataclass(frozen=True)
class Product:
    """A job: `weight` int8[outputs, inputs] times `x` int8[rows, inputs], for all rows or (mlp) for those deciding."""

    weight: NDArray[np.int8]
    x: NDArray[np.int8]
    mlp: bool = False
    last: bool = False


@dataclass
class Scenario:
    """Jobs in order; scores: (q int8[B, heads, d], k' int8[B, kv_heads, d], weights int8[heads]) a decision, d a
    multiple of the width. distance: they are squared distances, as many heads on both sides, and the weight is -1."""

    rows: int
    policy: Policy
    threshold: int
    may: NDArray[np.bool_]
    products: list[Product]
    scores: list[tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int8]]] = field(default_factory=list)
    distance: bool = False
    stall: int = 0  # of 256
    latency: int = 20
    interval: tuple[int, int] = (1, 1)  # cycles between beats, as a fraction
    seed: int = 1
    late: int = 0  # cycle before which no score comes
    error: int = -1  # byte of the weights whose beat gets `response` (2 SLVERR, 3 DECERR)
    response: int = 2


@dataclass(frozen=True)
class Seen:
    """decisions: index registers. sums: int32[n, 4] of (row, pair, even, odd) in order. counters by name."""

    decisions: list[int]
    sums: NDArray[np.int32]
    counters: dict[str, int]


def _pack(scenario: Scenario, size: Size) -> bytes:
    memory: list[bytes] = []
    regions: list[tuple[int, ...]] = []
    jobs: list[tuple[int, ...]] = []
    loads: list[bytes] = []
    address = 0
    for job in scenario.products:
        words = pack_weights(job.weight, size.width, size.words)
        # Regions lie anywhere: bursts meet 4 KiB boundaries at any place.
        gap = size.width * (len(jobs) * 7 % 11)
        address += gap
        memory.append(bytes(gap) + words.tobytes())
        count = words[..., 0].size
        # In two pieces, as a layout over several matrices would have it.
        half = count // 2
        regions += [(address, half, job.mlp, 0), (address + half * size.width, count - half, job.mlp, job.last)]
        address += words.nbytes
        inputs = pack_inputs(job.x, size.width)
        jobs.append((inputs.shape[1], -(-len(job.weight) // 2), job.mlp, job.last))
        for row in range(scenario.rows):
            for segment in range(inputs.shape[1]):
                last = row == scenario.rows - 1 and segment == inputs.shape[1] - 1
                loads.append(np.array([row, segment, last], "<i4").tobytes() + inputs[row, segment].tobytes())
    beats: list[bytes] = []
    for q, k, weights in scenario.scores:
        group = q.shape[1] // k.shape[1]
        for row in range(scenario.rows):
            pieces = [
                (q[row, h, at : at + size.width], k[row, h // group, at : at + size.width], weights[h])
                for h in range(q.shape[1])
                for at in range(0, q.shape[2], size.width)
            ]
            for number, (a, b, weight) in enumerate(pieces):
                head = np.array([number == len(pieces) - 1, scenario.late, weight], "<i4").tobytes()
                beats.append(head + a.tobytes() + b.tobytes())
    image = b"".join(memory)
    may = int.from_bytes(np.packbits(scenario.may, bitorder="little").tobytes().ljust(4, b"\0"), "little", signed=True)
    header = [
        scenario.seed, scenario.stall, scenario.latency, *scenario.interval, int(scenario.policy), scenario.threshold,
        scenario.rows, may, ENDLESS, len(regions), len(jobs), len(loads), len(beats), len(image),
        scenario.error, scenario.response, scenario.distance,
    ]  # fmt: skip
    tables = np.array(regions, "<i4").tobytes() + np.array(jobs, "<i4").tobytes()
    return np.array(header, "<i4").tobytes() + tables + b"".join(loads) + b"".join(beats) + image


def execute(scenario: Scenario, size: Size, folder: Path, program: Path | None = None) -> Seen:
    """What the RTL makes of it. program: the size's executable, where many runs share it.

    Raises TriptychError when it hangs or an assertion fails.
    """
    before, after = folder / "scenario.bin", folder / "seen.bin"
    before.write_bytes(_pack(scenario, size))
    program = program or size.build().executable()
    run = children.run([program, before, after])
    if run.status:
        raise TriptychError(f"the core did not run to its end: {run.text[-2000:]}")
    data = np.fromfile(after, np.int32)
    n, decisions, sums = (int(v) for v in data[:3])
    counters = dict(zip((*STREAM, *CYCLES, *REST), (int(v) for v in data[3 : 3 + n]), strict=True))
    taken = [int(v) & 0xFFFFFFFF for v in data[3 + n : 3 + n + decisions]]
    return Seen(taken, data[3 + n + decisions :].reshape(sums, 4), counters)
