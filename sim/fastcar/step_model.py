"""Cycles of `fastcar_step` by phase, in closed form: what `calibration` holds against the RTL and boards are timed by.

Phases follow one another (docs/fastcar.md, A step in RTL); the weight stream runs beside them and fills its FIFO where
the lanes wait. A memory gives `rate` words a cycle to all ports together, `latency` cycles from an address to its data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from triptych.golden.fastcar.config import Chooser, LayerConfig
from triptych.sim.fastcar.performance import engine_cycles, plan_cycles

BYTES = 64
SHORTS = 32


@dataclass(frozen=True)
class StepMachine:
    """Parameters of the RTL (lanes to depth, see `StepSize`) and its memory: words a cycle, latency in cycles."""

    lanes: int
    words: int
    chain: int = 8
    group: int = 1
    vector: int = 8
    depth: int = 512
    rate: float = 1.0
    latency: float = 20.0


@dataclass(frozen=True)
class StepWork:
    """A step: rows at a position, of which `computing` compute the MLP (all where no frame lies behind)."""

    rows: int
    position: int
    computing: int
    chooser: Chooser = Chooser.PUBLISHED
    window: int = 0
    sink: int = 0
    scheduling: bool = True


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


@dataclass(frozen=True)
class _Sizes:
    head_words: int
    row_words: int
    tiles: dict[str, int]
    segments: dict[str, int]
    scale_words: int

    @classmethod
    def of(cls, c: LayerConfig, words: int) -> _Sizes:
        tile = 2 * words
        heads = _ceil(c.q_width, tile) + 2 * _ceil(c.kv_width, tile)
        out = _ceil(c.width, tile)
        return cls(
            _ceil(c.head_dim, BYTES), _ceil(c.width, SHORTS),
            {"heads": heads, "output": out, "hidden": 2 * _ceil(c.ffn, tile), "down": out},
            {"heads": _ceil(c.width, BYTES), "output": _ceil(c.q_width, BYTES), "hidden": _ceil(c.width, BYTES),
             "down": _ceil(c.ffn, BYTES)},
            _ceil(6 * words, BYTES),
        )  # fmt: skip


def attended(work: StepWork) -> int:
    """Keys that attention sees."""
    first = max(0, work.position + 1 - work.window) if work.window else 0
    return min(work.sink, first) + work.position + 1 - first


def weight_words(config: LayerConfig, words: int, *, mlp: bool = True) -> int:
    """Words of a layer's weights and scales, with or without the MLP's."""
    s = _Sizes.of(config, words)
    jobs = ("heads", "output", "hidden", "down") if mlp else ("heads", "output")
    return sum(s.tiles[j] * (s.segments[j] * words + s.scale_words) for j in jobs)


class _Stream:
    """Weight words that lie ready before the lanes, of at most `most`; a word comes every `interval` cycles."""

    def __init__(self, most: float, interval: float) -> None:
        self.most, self.interval, self.ready = most, interval, most

    def pass_by(self, cycles: float) -> None:
        """The lanes wait, and nothing else reads."""
        self.ready = min(self.most, self.ready + cycles / self.interval)

    def take(self, words: float, cycles: float) -> None:
        """A job takes its words."""
        self.ready = min(self.most, max(0.0, self.ready + cycles / self.interval - words))

    def contended(self) -> float:
        """Cycles that other reads wait while the stream fills up beside them."""
        wait = CONTENTION * (self.most - self.ready) * self.interval
        self.ready += CONTENTION * (self.most - self.ready)
        return wait


def layer_phases(config: LayerConfig, machine: StepMachine, work: StepWork) -> dict[str, float]:
    """Cycles of one layer by phase. Raises ValueError for more computing rows than rows."""
    if not 0 <= work.computing <= work.rows:
        raise ValueError(f"{work.computing} of {work.rows} rows cannot compute")
    s, c, m = _Sizes.of(config, machine.words), config, machine
    rows, slices, interval = work.rows, SHORTS // m.vector, max(1.0, 1 / m.rate)
    replays = work.position >= c.frame_tokens
    computing = work.computing if replays else rows
    lanes_rows = (rows if computing else 0) if not work.scheduling else computing
    stream = _Stream(m.depth + 2 * m.words, interval)
    add = rows * s.row_words * (2 + slices)
    norm = s.row_words * slices + NORM
    store = rows * c.kv_heads * (2 * s.head_words + STORE)
    phases: dict[str, float] = {}

    def job(name: str, count: int, load: float) -> None:
        windows = s.segments[name] * m.words
        slow = interval * (1 + s.scale_words / windows)
        stream.pass_by(load)
        engine = engine_cycles(
            s.tiles[name] * 2 * m.words, s.segments[name] * BYTES, count, plan_cycles(count, m.lanes, m.words),
            words=m.words, width=BYTES, interval=slow, prefetched=stream.ready, chain=m.chain,
            between=s.scale_words + 1,
        )  # fmt: skip
        stream.take(s.tiles[name] * (windows + s.scale_words), engine)
        phases[name] = load + engine + JOB

    def read(name: str, words: float, least: float = 0.0) -> None:
        phases[name] = m.latency + 4 + max(words * interval, least) + stream.contended()

    def plain(name: str, cycles: float) -> None:
        phases[name] = cycles
        stream.pass_by(cycles)

    read("record", 2)
    if replays:
        read("chains", rows)
    read("gain", s.row_words)
    job("heads", rows, rows * norm)
    if replays:
        heads = c.kv_heads if work.chooser.is_distance else c.heads
        read("score", rows * c.kv_heads * s.head_words, 2 * rows * heads * s.head_words + DECISION)
    plain("keys", store)
    plain("values", store)
    plain("stored", m.latency + 1)
    keys = attended(work) * s.head_words
    groups = rows * c.kv_heads * _ceil(c.heads // c.kv_heads, m.group)
    here = min(m.group, c.heads // c.kv_heads)
    least = groups * (2 * keys + here * s.head_words + GROUP) + here * c.head_dim / 2
    read("attend", groups * 2 * keys, least)
    job("output", rows, rows * s.segments["output"])
    plain("add", add)
    if computing:
        read("mlp_gain", s.row_words)
        job("hidden", lanes_rows, lanes_rows * norm)
        job("down", lanes_rows, lanes_rows * s.segments["down"])
    else:
        plain("down", EMPTY_JOB)
    if computing < rows:
        read("ring", 0.0, add + computing * RING_COMMAND)
    else:
        plain("ring", add + computing * RING_COMMAND)
    plain("counts", rows * COUNT)
    return phases


CONTENTION = 0.75
"""Of the words that a filling stream still wants, how many come before another port's; RTL-measured."""
JOB = 9
"""Cycles of a job beside its inputs and its engine: taken, planned, its last sums through the row-wise unit."""
EMPTY_JOB = 10
NORM = 14
"""Of a row's norm beside its words: the root, and the last words' way."""
STORE = 2
"""Of a chunk that is written beside two a word: its command."""
GROUP = 18
"""Of a group of query heads beside its words: queries, scores that settle, weights on their way."""
RING_COMMAND = 1
COUNT = 4
DECISION = 12


def layer_cycles(config: LayerConfig, machine: StepMachine, work: StepWork) -> float:
    """Of one layer."""
    return sum(layer_phases(config, machine, work).values())


def step_cycles(config: LayerConfig, machine: StepMachine, work: StepWork, layers: int = 1) -> float:
    """Of a step through `layers` alike layers: what begins and ends it too."""
    s = _Sizes.of(config, machine.words)
    turns = (2 if work.position >= config.frame_tokens else 1) * (machine.latency + 5 + config.head_dim)
    rows = machine.latency + work.rows * s.row_words * (2 + SHORTS // machine.vector)
    result = work.rows * (2 * s.row_words + 3) + machine.latency
    # What is read first shares the memory with the words that fill the streams' FIFOs.
    fill = FILL * (machine.depth + 2 * machine.words + SCALE_DEPTH) * max(1.0, 1 / machine.rate)
    return START + turns + rows + result + fill + layers * layer_cycles(config, machine, work)


START = 40
"""Registers' last write, setup, done."""
SCALE_DEPTH = 64
FILL = 0.45
"""Of the words that fill FIFOs at a step's start, how many come before what is waited for; RTL-measured."""


def without_replay(work: StepWork) -> StepWork:
    """The same step with every row computing."""
    return replace(work, computing=work.rows)
