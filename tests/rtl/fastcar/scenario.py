"""Scenarios for fastcar_core: what goes in, what golden makes of it, what the RTL did."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from golden.fastcar import drs
from golden.fastcar.config import Policy
from golden.fastcar.integer import Linear, accumulate, temporal_score
from sim.fastcar.weight_layout import pack_inputs, pack_weights
from sim.rtl import fastcar_sources
from sim.verilate import Build

HERE = Path(__file__).parent
FLAGS = ("-O3", "--assert", "--x-assign", "unique", "--x-initial", "unique", "--unroll-count", "1")
STREAM = ("delivered", "blocked", "no_region", "no_decision", "memory", "skipped")
CYCLES = ("idle", "plan", "load", "issue", "wait_words", "wait_sums", "finish")
REST = ("lanes_busy", "lanes_spare", "loads_dropped", "rows_computed", "rows_replayed", "total", "quiet", "latency")
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

    def build(self) -> Build:
        """The core with its bench."""
        names = ("Width", "Chain", "Lanes", "Words", "Inputs", "Depth", "MaxBurst")
        values = (self.width, self.chain, self.lanes, self.words, self.inputs, self.depth, self.burst)
        return Build(
            top="fastcar_core",
            sources=tuple(fastcar_sources()),
            cpp=(HERE / "core_bench.cpp",),
            parameters=dict(zip(names, values, strict=True)),
            flags=FLAGS,
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
    """Jobs in order; scores: (q int8[B, heads, d], k' int8[B, kv_heads, d]) a decision, d a multiple of the width."""

    rows: int
    policy: Policy
    threshold: int
    may: NDArray[np.bool_]
    products: list[Product]
    scores: list[tuple[NDArray[np.int8], NDArray[np.int8]]] = field(default_factory=list)
    stall: int = 0  # of 256
    latency: int = 20
    interval: tuple[int, int] = (1, 1)  # cycles between beats, as a fraction
    seed: int = 1
    late: int = 0  # cycle before which no score comes


@dataclass(frozen=True)
class Seen:
    """decisions: index registers. sums: int32[n, 4] of (row, pair, even, odd) in order. counters by name."""

    decisions: list[int]
    sums: NDArray[np.int32]
    counters: dict[str, int]


def expected(scenario: Scenario, size: Size) -> Seen:
    """Golden's decisions and sums, the sums in the order in which tiles leave; and what the counters must add up to."""
    decisions, replays = [], []
    for q, k in scenario.scores:
        replay = drs.replay_bits(temporal_score(q, k), scenario.threshold, scenario.may, scenario.policy)
        replays.append(replay)
        decisions.append(drs.index_register(replay))
    taken = 0
    parts = []
    skipped = delivered = dropped = 0
    for job in scenario.products:
        index = decisions[taken] if job.mlp else (1 << scenario.rows) - 1
        taken += job.mlp and job.last
        rows = drs.computing_rows(index)
        linear = Linear(job.weight, np.zeros(0, np.int16), np.zeros(0, np.uint8))
        acc = accumulate(job.x, linear)
        acc = np.pad(acc, ((0, 0), (0, acc.shape[1] % 2)))
        pairs = acc.shape[1] // 2
        beats = pack_weights(job.weight, size.width, size.words)[..., 0].size
        dropped += (scenario.rows - len(rows)) * -(-job.x.shape[1] // size.width)
        if rows:
            delivered += beats
        else:
            skipped += beats
        for tile in range(0, pairs, size.words):
            for row in rows:
                for pair in range(tile, min(tile + size.words, pairs)):
                    parts.append((row, pair, acc[row, 2 * pair], acc[row, 2 * pair + 1]))
    replayed = sum(int(r.sum()) for r in replays)
    counters = {
        "delivered": delivered, "skipped": skipped, "loads_dropped": dropped,
        "rows_replayed": replayed, "rows_computed": scenario.rows * len(replays) - replayed,
    }  # fmt: skip
    return Seen(decisions, np.array(parts, np.int32).reshape(-1, 4), counters)


def _pack(scenario: Scenario, size: Size) -> bytes:
    memory, regions, jobs, loads = [], [], [], []
    address = 0
    for job in scenario.products:
        words = pack_weights(job.weight, size.width, size.words)
        # Regions lie anywhere: bursts meet 4 KiB boundaries at any place.
        gap = size.width * (len(jobs) * 7 % 11)
        address += gap
        memory.append(bytes(gap) + words.tobytes())
        beats = words[..., 0].size
        # In two pieces, as a layout over several matrices would have it.
        half = beats // 2
        regions += [(address, half, job.mlp, 0), (address + half * size.width, beats - half, job.mlp, job.last)]
        address += words.nbytes
        inputs = pack_inputs(job.x, size.width)
        jobs.append((inputs.shape[1], -(-len(job.weight) // 2), job.mlp, job.last))
        for row in range(scenario.rows):
            for segment in range(inputs.shape[1]):
                last = row == scenario.rows - 1 and segment == inputs.shape[1] - 1
                loads.append(np.array([row, segment, last], "<i4").tobytes() + inputs[row, segment].tobytes())
    beats = []
    for q, k in scenario.scores:
        group = q.shape[1] // k.shape[1]
        for row in range(scenario.rows):
            pieces = [
                (q[row, h, at : at + size.width], k[row, h // group, at : at + size.width])
                for h in range(q.shape[1])
                for at in range(0, q.shape[2], size.width)
            ]
            for number, (a, b) in enumerate(pieces):
                head = np.array([number == len(pieces) - 1, scenario.late], "<i4").tobytes()
                beats.append(head + a.tobytes() + b.tobytes())
    image = b"".join(memory)
    may = int.from_bytes(np.packbits(scenario.may, bitorder="little").tobytes().ljust(4, b"\0"), "little", signed=True)
    header = [
        scenario.seed, scenario.stall, scenario.latency, *scenario.interval, int(scenario.policy), scenario.threshold,
        scenario.rows, may, ENDLESS, len(regions), len(jobs), len(loads), len(beats), 0, len(image),
    ]  # fmt: skip
    tables = np.array(regions, "<i4").tobytes() + np.array(jobs, "<i4").tobytes()
    return np.array(header, "<i4").tobytes() + tables + b"".join(loads) + b"".join(beats) + image


def execute(scenario: Scenario, size: Size, folder: Path, program: Path | None = None) -> Seen:
    """What the RTL makes of it. Raises AssertionError with the bench's word when it hangs or an assertion fails."""
    before, after = folder / "scenario.bin", folder / "seen.bin"
    before.write_bytes(_pack(scenario, size))
    program = program or size.build().executable()
    run = subprocess.run([program, before, after], capture_output=True, text=True, check=False)
    assert run.returncode == 0, (run.stdout + run.stderr)[-2000:]
    data = np.fromfile(after, np.int32)
    n, decisions, sums = (int(v) for v in data[:3])
    counters = dict(zip((*STREAM, *CYCLES, *REST), (int(v) for v in data[3 : 3 + n]), strict=True))
    taken = [int(v) & 0xFFFFFFFF for v in data[3 + n : 3 + n + decisions]]
    return Seen(taken, data[3 + n + decisions :].reshape(sums, 4), counters)


def check(scenario: Scenario, size: Size, folder: Path) -> Seen:
    """Runs it and holds everything against golden, counters included."""
    want, got = expected(scenario, size), execute(scenario, size, folder)
    assert got.decisions == want.decisions
    assert got.sums.shape == want.sums.shape
    assert (got.sums == want.sums).all(), f"sum {np.argwhere(got.sums != want.sums)[0]}"
    for name, value in want.counters.items():
        assert got.counters[name] == value, (name, got.counters)
    c = got.counters
    total = c["total"] + 1  # the clock edges since reset
    assert sum(c[n] for n in CYCLES) == total, c
    assert sum(c[n] for n in STREAM if n != "skipped") == total, c
    assert c["lanes_busy"] + c["lanes_spare"] == size.lanes * c["issue"], c
    return got


def integers(rng: Generator, low: int, high: int, *shape: int) -> NDArray[np.int8]:
    """Uniform int8[shape] in low..high, with the ends well represented."""
    values = rng.integers(low, high + 1, shape)
    ends = rng.random(shape)
    return np.where(ends < 0.1, low, np.where(ends > 0.9, high, values)).astype(np.int8)


def random_scenario(rng: Generator, size: Size, layers: int = 2) -> Scenario:
    """Layers of a dense product and a decision's two MLP products, any shape, any batch, any policy."""
    rows = int(rng.integers(1, 33 if rng.random() < 0.5 else min(32, 2 * size.lanes + 1) + 1))
    policy = Policy(int(rng.integers(4)))
    passes = -(-rows // size.lanes)
    most = size.inputs // passes * size.width
    products, scores = [], []
    for _ in range(layers):
        for mlp, last in ((False, False), (True, False), (True, True)):
            inputs = int(rng.integers(1, min(most, 5 * size.width) + 1))
            outputs = int(rng.integers(1, 6 * size.words))
            x = integers(rng, -128, 127, rows, inputs)
            products.append(Product(integers(rng, -8, 7, outputs, inputs), x, mlp, last))
        heads, kv = ((4, 2), (3, 1), (2, 2))[int(rng.integers(3))]
        shape = (rows, heads, size.width * int(rng.integers(1, 3)))
        scores.append((integers(rng, -128, 127, *shape), integers(rng, -128, 127, rows, kv, shape[2])))
    tas = np.concatenate([temporal_score(q, k) for q, k in scores])
    # A threshold that is met exactly now and then: the comparison is strict.
    threshold = int(rng.choice(tas)) if rng.random() < 0.6 else int(np.quantile(tas, rng.random()))
    return Scenario(
        rows, policy, threshold, rng.random(rows) < rng.choice((0.8, 1.0)), products, scores,
        stall=int(rng.choice((0, 40, 128, 200))), latency=int(rng.integers(1, 60)),
        interval=(int(rng.integers(1, 4)), int(rng.integers(1, 4))), seed=int(rng.integers(1 << 30)),
        late=int(rng.choice((0, 3000))),
    )  # fmt: skip
