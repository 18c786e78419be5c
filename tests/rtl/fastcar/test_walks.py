"""Regions of the caches and of weights, rows and heads that leave, chain counts, what becomes of sums, each unit by
itself: random shapes and stalls, golden's bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from tests.rtl.fastcar.planting import VARIABLE, chosen, plant
from tests.rtl.fastcar.unit_case import execute, noticed, unit_build
from triptych.golden.fastcar.config import Chooser, LayerConfig
from triptych.golden.fastcar.integer import ROPE_GUARD, rope, rope_tables, sat8, sat16, swiglu, visible
from triptych.golden.quartdepth.arithmetic.numerics import rs

CACHES, STORE, COUNTS, SUMS, WEIGHTS = range(5)
HEADS, DELTA, HIDDEN = range(3)
WORDS, MAX_HEAD_DIM, ROWS = 16, 256, 32
TILE = 2 * WORDS
QUERY, KEY, SCORED, SCORED_VALUE, DELTA_PAIR, _, HIDDEN_PAIR = range(7)
"""What is written: the writer's number, doubled, plus one for keys and for values."""


def check_caches(program: Path, folder: Path, seed: int) -> None:
    """Every word in the order in which golden sees positions."""
    rng = np.random.default_rng(seed)
    rows, kv_heads, head_dim = (
        int(rng.integers(1, 5)),
        int(rng.integers(1, 4)),
        2 * int(rng.integers(1, MAX_HEAD_DIM // 2 + 1)),
    )
    head_words, context = -(-head_dim // 64), int(rng.integers(2, 80))
    position, score, value = int(rng.integers(1, context)), seed % 4 == 0, int(rng.integers(2))
    window, sink = (int(rng.integers(0, 40)), int(rng.integers(0, 9))) if seed % 2 else (0, 0)
    rounds, frame = int(rng.integers(1, 5)), int(rng.integers(1, position + 1))
    keys, values = (int(v) for v in rng.integers(0, 1 << 30, 2))
    stride, first = context * head_words, int(rng.integers(0, 1 << 20))
    seen = visible(position, window, sink)
    old, newest = seen[0].stop if len(seen) == 2 else 0, seen[-1].start
    found = execute(program, folder, CACHES, seed, [
        int(score), value, rows, kv_heads, head_dim, keys, values, first, stride, (position - frame) * head_words,
        old, newest, sum(s.stop - s.start for s in seen), rounds,
    ])  # fmt: skip
    told = np.frombuffer(found, np.dtype([("addr", "<u8"), ("beats", "<i4")]), (len(found) - 8) // 12)
    got = [int(r["addr"]) // 64 + i for r in told for i in range(r["beats"])]
    want = []
    for head in range(rows * kv_heads):
        place = first + head * stride
        if score:
            begin = (values if value else keys) + place + (position - frame) * head_words
            want += range(begin, begin + head_words)
        else:
            for _ in range(rounds):
                for array in (keys, values):
                    for part in seen:
                        begin = array + place
                        want += range(begin + part.start * head_words, begin + part.stop * head_words)
    assert got == want, f"seed {seed}"
    assert int(np.frombuffer(found, "<u8", 1, len(found) - 8)[0]) == first + rows * kv_heads * stride, f"seed {seed}"


def check_store(program: Path, folder: Path, seed: int) -> None:
    """Heads to their caches, or rows to theirs: what is behind a chunk's bytes is zeros, what is between them stays."""
    rng = np.random.default_rng(seed)
    rows, chunks = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    size = int(rng.choice((rng.integers(1, 200), 32768)))
    words = -(-size // 64)
    stride, first, base = words + int(rng.integers(0, 3)), int(rng.integers(0, 4)), int(rng.integers(0, 1 << 20))
    row_words = chunks * words + int(rng.integers(0, 3))
    memory = rng.integers(0, 256, (ROWS, row_words, 64)).astype(np.uint8)
    before = rng.integers(0, 256, (first + rows * chunks * stride + 4, 64)).astype(np.uint8)
    found = execute(
        program, folder, STORE, seed, [rows, chunks, words, size, base, first, stride, row_words, memory, before]
    )
    want, commands = before.copy(), []
    for n in range(rows * chunks):
        part = memory[n // chunks, n % chunks * words :][:words].copy()
        part.reshape(-1)[size:] = 0
        at = first + n * stride
        want[at : at + words] = part
        commands += [64 * at, words]
    assert np.frombuffer(found, "<i4", 1)[0] == rows * chunks, f"seed {seed}"
    assert np.frombuffer(found, "<i4", len(commands), 4).tolist() == commands, f"seed {seed}"
    assert np.array_equal(np.frombuffer(found, np.uint8, offset=4 + 4 * len(commands)), want.ravel()), f"seed {seed}"


def check_counts(program: Path, folder: Path, seed: int) -> None:
    """A byte a row: who may replay, and one more for who did, at most 255, nothing for who computed."""
    rng = np.random.default_rng(seed)
    rows, stride, first = int(rng.integers(1, ROWS + 1)), int(rng.integers(1, 200)), int(rng.integers(0, 64))
    base = int(rng.choice((rng.integers(0, 1 << 20), (1 << 30) - 4, (1 << 31) - 16)))  # in 512 bytes
    before = rng.choice([0, 1, 2, 3, 7, 254, 255], first + rows * stride + 64).astype(np.uint8)
    before = np.concatenate([before, np.zeros(-len(before) % 64, np.uint8)])
    places = first + stride * np.arange(rows)
    cap, index = int(rng.choice([0, 1, 2, 7, 255])), int(rng.integers(0, 1 << 32))
    words = before.reshape(-1, 64)[places // 64]
    found = execute(program, folder, COUNTS, seed, [rows, base, first, stride, cap, index, words, before])
    chain = before[places].astype(np.int64)
    may = (chain < cap) | (cap == 0)
    taken, told = np.frombuffer(found, "<i4", 2).view("<u4").tolist()
    assert taken == rows, f"seed {seed}"
    assert [told >> row & 1 for row in range(rows)] == may.tolist(), f"seed {seed}"
    assert np.frombuffer(found, "<u8", 1, 8)[0] == first + rows * stride, f"seed {seed}"
    replay = np.array([not index >> row & 1 for row in range(rows)])
    want = before.copy()
    want[places] = np.where(replay, np.minimum(chain + 1, 255), 0)
    after = np.frombuffer(found, np.uint8, want.size, len(found) - want.size)
    assert np.array_equal(after, want), f"seed {seed}"
    commands = np.frombuffer(found, "<i4", 2 * rows, 20).reshape(-1, 2)
    assert commands.tolist() == [[int(p) // 64 * 64, 1] for p in places], f"seed {seed}"


class Sums:
    """Sums of a job, outputs to whole tiles, their scales, and the int16 that they become."""

    def __init__(self, rng: Generator, rows: list[int], outputs: int) -> None:
        top = 1 << int(rng.integers(4, 25))
        self.rows = rows
        self.sums = rng.integers(-top, top, (len(rows), outputs))
        multiplier, shift = rng.integers(0, 1 << 15, outputs), rng.integers(0, 36, outputs)
        self.values = sat16(rs(self.sums * multiplier, shift))
        image = np.zeros((outputs // TILE, -(-3 * TILE // 64) * 64), np.uint8)
        image[:, : 2 * TILE] = multiplier.astype(np.int16).reshape(-1, TILE).view(np.uint8)
        image[:, 2 * TILE : 3 * TILE] = shift.reshape(-1, TILE)
        self.scales = image

    def order(self) -> NDArray[np.int32]:
        """Tile by tile, in a tile row by row: (row, pair, even, odd)."""
        return np.array([
            (row, pair, self.sums[n, 2 * pair], self.sums[n, 2 * pair + 1])
            for tile in range(len(self.scales)) for n, row in enumerate(self.rows)
            for pair in range(tile * WORDS, (tile + 1) * WORDS)
        ], np.int32)  # fmt: skip


Places = dict[tuple[int, int, int, int], int]


def heads_places(kind: int, rows: list[int], heads: NDArray[np.int8]) -> Places:
    """int8[rows, heads, head_dim], each head from a word on, pair by pair."""
    words, found = -(-heads.shape[2] // 64), {}
    for n, row in enumerate(rows):
        for head in range(heads.shape[1]):
            for pair in range(heads.shape[2] // 2):
                even, odd = heads[n, head, 2 * pair : 2 * pair + 2].view(np.uint8)
                found[kind, row, head * words + pair // 32, pair % 32] = int(odd) << 8 | int(even)
    return found


def check_sums(program: Path, folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = seed // 3 % 3
    kv_heads, each = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    head_dim = int(rng.choice((MAX_HEAD_DIM, 2 * rng.integers(1, 65))))
    heads, chooser, shift = kv_heads * each, Chooser(int(rng.integers(5))), int(rng.integers(0, 30))
    config = LayerConfig(
        width=64, ffn=64, heads=heads, kv_heads=kv_heads, head_dim=head_dim, frame_tokens=16, context=64
    )
    cos, sin = rope_tables(config)
    now, before = int(rng.integers(16, 64)), int(rng.integers(0, 16))
    rows = sorted(rng.choice(ROWS, int(rng.integers(1, 5)), replace=False).tolist())
    widths = [n * head_dim for n in (heads, kv_heads, kv_heads)]
    padded = [-(-w // TILE) * TILE for w in widths]
    outputs = sum(padded) if kind == HEADS else TILE * (1 + (kind == HIDDEN)) * int(rng.integers(1, 5))
    made = Sums(rng, rows, outputs)
    found = execute(program, folder, SUMS, seed, [
        kind, int(chooser), heads, kv_heads, head_dim, shift,
        *(np.concatenate([cos[p], sin[p]]).astype(np.int32) for p in (now, before)), made.order(), made.scales,
    ])  # fmt: skip
    want: Places = {}
    if kind == HEADS:
        parts = np.split(made.values, np.cumsum(padded)[:-1], axis=1)
        q, k, v = (
            part[:, :width].reshape(len(rows), -1, head_dim).astype(np.int16)
            for part, width in zip(parts, widths, strict=True)
        )
        turned = rope(q, cos[now], sin[now])
        want |= heads_places(QUERY, rows, turned) | heads_places(KEY, rows, rope(k, cos[now], sin[now]))
        want |= heads_places(SCORED_VALUE, rows, sat8(v))
        if chooser is Chooser.KEY:
            want |= heads_places(SCORED, rows, rope(k, cos[before], sin[before]))
        elif chooser is not Chooser.VALUE:
            scored = sat8(rs(q.astype(np.int64), ROPE_GUARD)) if chooser is Chooser.PUBLISHED else turned
            want |= heads_places(SCORED, rows, scored)
    elif kind == DELTA:
        pairs = made.values.astype("<i2").reshape(len(rows), -1, 2).view("<i4")[..., 0]
        want = {(DELTA_PAIR, row, p, 0): int(pairs[n, p]) for n, row in enumerate(rows) for p in range(outputs // 2)}
    else:
        tiles = made.values.reshape(len(rows), -1, 2, TILE).astype(np.int16)
        hidden = swiglu(tiles[:, :, 0], tiles[:, :, 1], shift).reshape(len(rows), 1, -1)
        want = heads_places(HIDDEN_PAIR, rows, hidden)
    assert np.frombuffer(found, "<i4", 1)[0] == made.scales.size // 64, f"seed {seed}"
    written = np.frombuffer(found, "<i4", offset=4).reshape(-1, 5).tolist()
    got = {tuple(w[:4]): w[4] for w in written}
    assert len(got) == len(written), f"seed {seed}: a place is written twice"
    assert got == want, f"seed {seed}"


def check_weights(program: Path, folder: Path, seed: int) -> None:
    """Layer by layer what attention takes, then what the MLP takes, up to the last of 40 bits."""
    rng = np.random.default_rng(seed)
    layers, decides = int(rng.choice((rng.integers(1, 6), 128, 255))), seed % 2
    sizes = [int(rng.choice((rng.integers(1, 100), rng.integers(1 << 23, 1 << 24)))) for _ in range(2)]
    base = int(rng.choice((rng.integers(0, 1 << 20), (1 << 26) - 1, (1 << 32) - 1)))  # words
    found = execute(program, folder, WEIGHTS, seed, [layers, *sizes, decides, base])
    told = np.frombuffer(found, np.dtype([("addr", "<u8"), ("beats", "<i4"), ("mlp", "<i4")]))
    beats = np.array(sizes * layers)
    places = base + np.concatenate([[0], np.cumsum(beats)[:-1]])
    assert told["addr"].tolist() == (64 * places % (1 << 40)).tolist(), f"seed {seed}"
    assert told["beats"].tolist() == beats.tolist(), f"seed {seed}"
    assert told["mlp"].tolist() == [0, decides] * layers, f"seed {seed}"


CHECKS = {
    "caches": check_caches,
    "store": check_store,
    "counts": check_counts,
    "sums": check_sums,
    "weights": check_weights,
}


@pytest.fixture(scope="module")
def program() -> Path:
    return unit_build("walk_units").executable()


@pytest.mark.parametrize("unit", CHECKS)
def test_unit(program: Path, tmp_path: Path, unit: str) -> None:
    for seed in range(36):
        CHECKS[unit](program, tmp_path, seed)


# name: the unit that sees it, file, text, what stands there instead
BUGS = {
    "the window begins a head's cache": (
        "caches", "cache_walk.sv", "place_q + place_t'(window_place);",
        "place_q + (BUG ? '0 : place_t'(window_place));",
    ),
    "a round too few": (
        "caches", "cache_walk.sv", "round_q == rounds_i - 8'd1)", "(round_q == rounds_i - 8'd1 || BUG))",
    ),
    "a score's region is asked for again": (
        "caches", "cache_walk.sv", "head_ends = score_i ||", "head_ends = (score_i && !(BUG && round_q == '0)) ||",
    ),
    "bytes behind the row's end leave": (
        "store", "store_walk.sv", "mask_word(data_i, tail_bytes(12'(word), {2'd0, bytes_i}))",
        "mask_word(data_i, BUG ? '1 : tail_bytes(12'(word), {2'd0, bytes_i}))",
    ),
    "a word leaves before it is read": (
        "store", "store_walk.sv", "state_d = Read;\n        if (chunk_ends)",
        "state_d = BUG ? Send : Read;\n        if (chunk_ends)",
    ),
    "chunks lie side by side": (
        "store", "store_walk.sv", "place_q + stride_i;", "place_q + (BUG ? place_t'(words_i) : stride_i);",
    ),
    "a count runs over": ("counts", "chain_counts.sv", "(count_q[row_q] == '1) ?", "(count_q[row_q] == '1 && !BUG) ?"),
    "a chain as long as the cap may go on": (
        "counts", "chain_counts.sv", "count_q[r] < cap_i;", "(BUG ? count_q[r] <= cap_i : count_q[r] < cap_i);",
    ),
    "a count waits for nobody": (
        "counts", "chain_counts.sv", "state_q == Store && store_ready_i", "state_q == Store && (store_ready_i || BUG)",
    ),
    "an MLP of as many words as attention": (
        "weights", "region_walk.sv", "mlp_q ? mlp_i : attention_i;", "(mlp_q && !BUG) ? mlp_i : attention_i;",
    ),
    "at most 127 layers": (
        "weights", "region_walk.sv", "left_d = layers_i;", "left_d = layers_i & ~(8'(BUG) << 7);",
    ),
    "padding is a head": ("sums", "row_pipe.sv", "&& !head.padding;", "&& (!head.padding || BUG);"),
    "a value is turned": ("sums", "row_pipe.sv", "scored_o.data = value;", "scored_o.data = BUG ? turned : value;"),
    "the gate of the row before": (
        "sums", "row_pipe.sv", "32'(tag_q[0].row) << Shift", "32'(BUG ? tag_q[1].row : tag_q[0].row) << Shift",
    ),
    "scales of a tile for the next one's first sum": (
        "sums", "sum_scaler.sv", "loaded_q && !other;", "loaded_q && (!other || BUG);",
    ),
    "a head's words are the pair's": (
        "sums", "head_cursor.sv", "here.word + 12'(head_words_i);", "here.word + (BUG ? 12'd1 : 12'(head_words_i));",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    return chosen(unit_build("walk_units", plant(folder, {name: bug[1:] for name, bug in BUGS.items()})), folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", *BUGS])
def test_planted_bug_is_caught(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(VARIABLE, str(["none", *BUGS].index(name)))
    unit = BUGS[name][0] if name in BUGS else None
    assert noticed(CHECKS, unit, planted, tmp_path, 36) is (name != "none")
