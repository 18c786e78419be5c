"""Cycle model of a decoder layer on a board: weight streams, lanes, KV reads, TAS, replay ring, DRS (docs/fastcar.md).

A cluster is the matrix-vector engine of `rtl/fastcar`: a window of T weight words arrives, T times the word interval;
its lanes take it in the passes that DRS plans; a tile's sums leave one a cycle. The three overlap, so a tile takes the
longest of them. `tests/rtl/fastcar` holds this against the cycles of the RTL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from math import ceil
from statistics import NormalDist

from triptych.golden.fastcar import drs
from triptych.golden.fastcar.config import Chooser, LayerConfig, Policy
from triptych.sim.fastcar.boards import PJ_PER_MAC, Board
from triptych.sim.fastcar.dram import efficiency

CHAIN = 8
"""DSPs of a chain in the lanes."""
ENGINE_FILL = 7
"""Cycles of the engine's pipeline beside a chain, from a word in its window to a sum out; RTL-measured."""
SUM_LATENCY = 5
"""Of them, from a product's issue to its sum in place."""
DECISION = 10
"""Cycles from the last q.k' in the array to the plan in the mapping registers; RTL-measured, test_decision_time."""
ROW_UNIT_FILL = 40
"""Assumed pipeline depth of the row-wise unit (norm, RoPE, softmax, SwiGLU)."""
CONSTANT_BYTES = 3
"""Multiplier and shift of an output channel."""


class Schedule(Enum):
    """Who takes a weight window. DRS: compacted rows, spare lanes split rows. STATIC: rows bound to lanes, every pass
    runs unless the whole batch replays (the closed form's DRS-off). STATIC_DROP: the same, empty passes left out."""

    DRS = "drs"
    STATIC = "static"
    STATIC_DROP = "static-drop"


@dataclass(frozen=True)
class Work:
    """What the MLP of a step asks of the lanes. cycles: lane cycles of a window of `board.lanes` words."""

    computing: int
    cycles: int


@lru_cache(maxsize=4096)
def plan_cycles(computing: int, lanes: int, words: int) -> int:
    """Lane cycles of a window of `words` words under DRS: the longest share of each of golden's passes."""
    passes = drs.assignments((1 << computing) - 1, lanes, words)
    return sum(max(a.end - a.begin for a in p) for p in passes)


def work(index: int, rows: int, lanes: int, schedule: Schedule = Schedule.DRS) -> Work:
    """The MLP work of an index register, from golden's plan of the passes over a window of `lanes` words."""
    computing = len(drs.computing_rows(index))
    if schedule is Schedule.DRS:
        return Work(computing, plan_cycles(computing, lanes, lanes))
    if schedule is Schedule.STATIC:
        return Work(computing, -(-rows // lanes) * lanes if computing else 0)
    return Work(computing, len(drs.static_assignments(index, rows, lanes, lanes)) * lanes)


@dataclass(frozen=True)
class LayerCycles:
    """A layer's step in cycles of the fabric's clock, by what they went to, and what it moved and computed.

    attention_weights: q, k, v, o. kv: reading keys and values. mlp: gate, up, down. exposed: latencies that no prefetch
    hides. ring: replayed deltas read and refreshed ones written, keys of TAS, appended keys and values, constants.
    weight_bytes, skipped_bytes: of the streamer. other_bytes: the rest. macs: W4A8 products.
    """

    attention_weights: float
    kv: float
    mlp: float
    exposed: float
    ring: float
    weight_bytes: float
    skipped_bytes: float
    other_bytes: float
    macs: float
    computing: float

    @property
    def cycles(self) -> float:
        """All of it."""
        return self.attention_weights + self.kv + self.mlp + self.exposed + self.ring

    def scaled(self, share: float) -> LayerCycles:
        """Every figure times `share`."""
        return replace(self, **{k: v * share for k, v in vars(self).items()})

    def plus(self, other: LayerCycles) -> LayerCycles:
        """The sum of two, figure by figure."""
        return replace(self, **{k: v + getattr(other, k) for k, v in vars(self).items()})

    def joules(self, board: Board) -> float:
        """Energy by the board's assumed pJ a bit and PJ_PER_MAC, memory and products only."""
        bits = 8 * (self.weight_bytes + self.other_bytes)
        return 1e-12 * (bits * board.timing.pj_per_bit + self.macs * PJ_PER_MAC)


def weight_efficiency(board: Board, piece: int = 1 << 20) -> float:
    """Share of the pin rate that a cluster's stream of contiguous `piece` bytes gets, from DRAM timing and bursts."""
    t = board.timing
    clusters_a_channel = max(1, board.clusters // board.channels)
    piece = max(t.line, min(piece, 1 << 20) // t.line * t.line)
    chunk = min(board.burst_bytes, piece)
    return efficiency(
        t, streams=clusters_a_channel, chunk=chunk, piece=piece, latency=board.latency,
        window=board.outstanding * board.burst_bytes * clusters_a_channel,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def word_interval(board: Board, piece: int = 1 << 20) -> float:
    """Cycles between the weight words of a cluster: its share of the DRAM, and no more than one a cycle."""
    bytes_a_cycle = board.peak_bytes_per_second / board.clusters / (board.clock_mhz * 1e6)
    return max(1.0, board.width / (bytes_a_cycle * weight_efficiency(board, piece)))


def engine_cycles(
    outputs: int, inputs: int, computing: int, window: int, *, words: int, width: int, interval: float,
    prefetched: float = 0.0, chain: int = CHAIN, between: int = 0,
) -> float:  # fmt: skip
    """Cycles of one engine from its start to its last sum, for `outputs` x `inputs` weights.

    window: lane cycles of a window of `words` words, of `width` inputs of two outputs each. interval: cycles between
    words. prefetched: words that lie ready at the start. between: cycles that a tile's sums wait before they leave (for
    their scales). Zero when no row computes.
    """
    if not computing:
        return 0.0
    pairs = ceil(outputs / 2)
    tiles, segments = ceil(pairs / words), ceil(inputs / width)
    drain = computing * words + between
    tile = max(segments * window, drain)
    # Two sets of accumulators: from the third on, a tile begins when the tile before its predecessor has left.
    late = max(0.0, (segments * window + chain + SUM_LATENCY + drain) / 2 - tile) * max(0, tiles - 2)
    first = max(0.0, words - prefetched) * interval
    total = tiles * segments * words
    # The windows take a word a cycle, however many lie ready; two windows may be full at the start.
    stream = max((total - prefetched) * interval, total - 2.0 * words, 0.0) + window
    last = computing * (pairs - (tiles - 1) * words) + between
    return max(stream, first + tiles * tile + late) + last + chain + ENGINE_FILL


def _projection(
    board: Board, interval: float, outputs: int, inputs: int, rows: Work, gap: float = 0.0
) -> tuple[float, float]:
    """Cycles of a projection on all clusters, and those that the row-wise unit's `gap` before it adds.

    interval: of its words.

    While the lanes wait or drain the streamer fills its FIFO, so the stage takes the longer of two: its words' time on
    the bus, or the gap and the engine from a full FIFO on.
    """
    if not rows.computing:
        return 0.0, 0.0
    share = ceil(outputs / board.clusters)
    words = ceil(share / 2 / board.lanes) * board.lanes * ceil(inputs / board.width)
    engine = engine_cycles(
        share, inputs, rows.computing, rows.cycles, words=board.lanes, width=board.width, interval=interval,
        prefetched=board.fifo_words,
    )  # fmt: skip
    busy = max(words * interval, engine)
    return busy, max(0.0, gap + engine - busy)


def layer_cycles(
    config: LayerConfig, board: Board, *, rows: int, mlp: Work, position: int, window: int = 0, sink: int = 0,
    replay: bool = True, chooser: Chooser = Chooser.PUBLISHED,
) -> LayerCycles:  # fmt: skip
    """One token of `rows` rows through one layer.

    mlp: the rows whose MLP is computed (see `work`). position: of the token, 0-based; window, sink: of local attention
    (0: all keys). replay: scores are
    evaluated, as `chooser` has them, and the ring kept. Raises ValueError for more computing rows than rows.
    """
    if not 0 <= mlp.computing <= rows:
        raise ValueError(f"{mlp.computing} of {rows} rows cannot compute")
    every = work((1 << rows) - 1, rows, board.lanes)
    interval = word_interval(board)
    q, kv, d, f = config.q_width, config.kv_width, config.width, config.ffn
    group = config.heads // config.kv_heads
    attended = min(position + 1, window + sink) if window else position + 1
    kv_bytes = 2.0 * rows * kv * attended
    kv_interval = word_interval(board, (min(attended, window) if window else attended) * config.head_dim)
    kv_words = kv_bytes / board.clusters / board.width
    kv_time = kv_words * max(kv_interval, ceil(group / board.lanes))

    vector = board.vector
    norm = ROW_UNIT_FILL + 2 * rows * d / vector
    scores = ROW_UNIT_FILL + rows * (q + kv) / vector  # RoPE before the scores
    softmax = ROW_UNIT_FILL + attended / 16  # of the last head, before o
    query = _projection(board, interval, q, d, every, norm)
    rest = [
        _projection(board, interval, kv, d, every),
        _projection(board, interval, kv, d, every),
        _projection(board, interval, d, q, every, softmax),
    ]
    hidden = board.fifo_words * interval
    mlp_norm = ROW_UNIT_FILL + 2 * mlp.computing * d / vector
    swiglu = ROW_UNIT_FILL + 2 * board.lanes * board.clusters * mlp.computing / vector  # of the last tiles
    mlps = [
        _projection(board, interval, f, d, mlp, mlp_norm),
        _projection(board, interval, f, d, mlp),
        _projection(board, interval, d, f, mlp, swiglu),
    ]
    mlp_bytes = 3 * d * f / 2

    attention_time = query[0] + sum(busy for busy, _ in rest)
    exposed = query[1] + sum(late for _, late in [*rest, *mlps]) + max(0.0, scores - hidden)
    if replay:
        # TAS is known behind Q, a distance behind V: until the MLP's weights are due there is the rest of attention.
        products, until = (kv, rest[2][0]) if chooser.is_distance else (q, attention_time - query[0])
        decision = ROW_UNIT_FILL + rows * products / (board.width * board.clusters) + DECISION
        exposed += max(0.0, decision - until - kv_time)

    ring = 2.0 * rows * d if replay else 0.0  # a delta of int16 a row: read when replayed, written when refreshed
    keys = float(rows * kv) if replay else 0.0
    appended = 2.0 * rows * kv
    constants = CONSTANT_BYTES * (q + 2 * kv + d + (2 * f + d if mlp.computing else 0)) + 4.0 * d
    other = ring + keys + appended + constants
    per_cycle = board.peak_bytes_per_second * weight_efficiency(board, 4096) / (board.clock_mhz * 1e6)
    turns = 2 * (2 if replay else 1) * board.timing.turn * 1e-3 * board.clock_mhz
    attention_bytes = (d * q + 2 * d * kv + q * d) / 2
    return LayerCycles(
        attention_weights=attention_time,
        kv=kv_time,
        mlp=sum(busy for busy, _ in mlps),
        exposed=exposed,
        ring=other / per_cycle + turns,
        weight_bytes=attention_bytes + (mlp_bytes if mlp.computing else 0.0),
        skipped_bytes=0.0 if mlp.computing else mlp_bytes,
        other_bytes=other + kv_bytes,
        macs=rows * (2.0 * attention_bytes + 2.0 * attended * q) + 3.0 * mlp.computing * d * f,
        computing=float(mlp.computing),
    )


def index_cycles(
    config: LayerConfig, board: Board, index: int, *, rows: int, position: int, window: int = 0, sink: int = 0,
    schedule: Schedule = Schedule.DRS,
) -> LayerCycles:  # fmt: skip
    """`layer_cycles` of an index register (bit b: row b computes)."""
    mlp = work(index, rows, board.lanes, schedule)
    return layer_cycles(config, board, rows=rows, mlp=mlp, position=position, window=window, sink=sink)


def dense_cycles(
    config: LayerConfig, board: Board, *, rows: int, position: int, window: int = 0, sink: int = 0
) -> LayerCycles:
    """The layer without replay: no TAS, no ring, every row computes."""
    mlp = work((1 << rows) - 1, rows, board.lanes)
    return layer_cycles(config, board, rows=rows, mlp=mlp, position=position, window=window, sink=sink, replay=False)


def deciders(policy: Policy, rows: int, skip: float) -> list[tuple[int, float]]:
    """The groups that decide together, as (rows, probability to replay), for i.i.d. rows that replay with `skip`.

    PAIR: `skip` is the pair's own share. ALL: each row must want to. MEAN: Gaussian TAS, their mean against the same
    threshold. Raises ValueError for a skip ratio outside 0..1.
    """
    if not 0.0 <= skip <= 1.0:
        raise ValueError(f"a skip ratio must be in 0..1, not {skip}")
    chance = skip
    if policy is Policy.ALL:
        chance = skip**rows
    elif policy is Policy.MEAN and 0.0 < skip < 1.0:
        normal = NormalDist()
        chance = normal.cdf(normal.inv_cdf(skip) * rows**0.5)
    return [(len(group), chance) for group in drs.groups(policy, rows)]


def _works(groups: list[tuple[int, float]], lanes: int, schedule: Schedule) -> Iterator[tuple[float, Work]]:
    """Every kind of step with its probability."""
    rows = sum(size for size, _ in groups)
    states: dict[tuple[int, int, bool], float] = {(0, 0, False): 1.0}  # computing rows, busy passes, this pass is busy
    row = 0
    for size, chance in groups:
        after: dict[tuple[int, int, bool], float] = {}
        for (computing, passes, busy), p in states.items():
            for replays, share in ((True, chance), (False, 1.0 - chance)):
                now, count = busy, passes
                for place in range(row, row + size) if schedule is Schedule.STATIC_DROP else ():
                    now = False if place % lanes == 0 else now
                    if not replays and not now:
                        now, count = True, count + 1
                key = (computing + (0 if replays else size), count, now)
                after[key] = after.get(key, 0.0) + p * share
        states, row = after, row + size
    merged: dict[Work, float] = {}
    for (computing, passes, _), p in states.items():
        if schedule is Schedule.STATIC_DROP:
            step = Work(computing, passes * lanes)
        else:
            step = work((1 << computing) - 1, rows, lanes, schedule)
        merged[step] = merged.get(step, 0.0) + p
    yield from ((p, step) for step, p in merged.items() if p > 0.0)


def expected_cycles(
    config: LayerConfig, board: Board, *, rows: int, skip: float, policy: Policy = Policy.PER_SAMPLE, position: int,
    window: int = 0, sink: int = 0, schedule: Schedule = Schedule.DRS,
) -> LayerCycles:  # fmt: skip
    """The mean step over independent rows of which each would replay with probability `skip`."""
    total: LayerCycles | None = None
    for p, mlp in _works(deciders(policy, rows, skip), board.lanes, schedule):
        step = layer_cycles(config, board, rows=rows, mlp=mlp, position=position, window=window, sink=sink).scaled(p)
        total = step if total is None else total.plus(step)
    assert total is not None
    return total


def mlp_share(config: LayerConfig) -> float:
    """m: the MLP's share of a layer's weights."""
    mlp = 3 * config.width * config.ffn
    return mlp / (mlp + 2 * config.width * (config.q_width + config.kv_width))


def kv_share(config: LayerConfig, attended: float) -> float:
    """k: int8 bytes of keys and values that a row reads, over the layer's int4 weight bytes."""
    mlp = 3 * config.width * config.ffn
    weights = (mlp + 2 * config.width * (config.q_width + config.kv_width)) / 2
    return 2 * config.kv_width * attended / weights


def closed_form(
    m: float, k: float, ridge: float, *, rows: int, skip: float, policy: Policy = Policy.PER_SAMPLE,
    schedule: Schedule = Schedule.DRS,
) -> float:  # fmt: skip
    """Layer time over the time to stream its weights, `max(1-m, (1-m) B/B0) + k B + m E[1{n>0} max(1, n/B0)]`.

    STATIC puts B in n's place. The time of the dense layer is that of skip = 0.
    """
    mlp = 0.0
    for p, step in _works(deciders(policy, rows, skip), 1, Schedule.STATIC_DROP):
        lanes = step.computing if schedule is Schedule.DRS else rows
        mlp += p * max(1.0, lanes / ridge) if step.computing else 0.0
    return (1 - m) * max(1.0, rows / ridge) + k * rows + m * mlp
