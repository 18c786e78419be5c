"""Attention, norm, residual and the writer of a step, each by itself: random shapes and stalls, golden's bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.rtl.fastcar.planting import VARIABLE, chosen, plant
from tests.rtl.fastcar.unit_case import execute, int8s, noticed, unit_build
from triptych.golden.fastcar.config import TINY
from triptych.golden.fastcar.integer import LayerState, attention, rms_norm, sat16
from triptych.golden.fastcar.random_layer import random_layer

GROUP, HEAD_WORDS, KEY_WORDS, TOKENS, ROW_WORDS, ROWS = 2, 16, 2, 64, 8, 32
ATTENTION, NORM, RESIDUAL, WRITER = range(4)


@pytest.fixture(scope="module")
def program() -> Path:
    return unit_build("step_units").executable()


def check_attention(program: Path, folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kv_heads, each = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    heads, rows = kv_heads * each, int(rng.integers(1, 5))
    head_dim = 2 * int(rng.integers(1, 65 if heads <= HEAD_WORDS // 2 else 33))
    seen = int(rng.integers(1, TOKENS + 1))
    config = replace(TINY, heads=heads, kv_heads=kv_heads, head_dim=head_dim, context=TOKENS)
    layer = replace(
        random_layer(TINY, seed), score_multiplier=int(rng.integers(1, 1 << 15)), score_shift=int(rng.integers(6, 30)),
        attention_shift=int(rng.integers(0, 8)),
    )  # fmt: skip
    q = int8s(rng, rows, heads, head_dim)
    state = LayerState.empty(config, rows)
    for position in range(seen):
        state.store(position, int8s(rng, rows, kv_heads, head_dim), int8s(rng, rows, kv_heads, head_dim))
    want = attention(q, state, layer, [slice(0, seen)])

    head_bytes = 64 * -(-head_dim // 64)
    queries = np.zeros((2 * ROWS, HEAD_WORDS * 64), np.int8)
    padded = np.zeros((rows, heads, head_bytes), np.int8)
    padded[..., :head_dim] = q
    queries[:rows, : heads * head_bytes] = padded.reshape(rows, -1)
    words = []
    for row in range(rows):
        for head in range(kv_heads):
            for _ in range(-(-each // GROUP)):
                for cache in (state.keys, state.values):
                    word = np.zeros((seen, head_bytes), np.int8)
                    word[:, :head_dim] = cache[row, head, :seen]
                    words.append(word)
    stream = np.concatenate(words, axis=None)
    row_bytes = 64 * -(-want.shape[1] // 64)
    found = execute(program, folder, ATTENTION, seed, [
        rows, heads, kv_heads, head_dim, seen, layer.score_multiplier, layer.score_shift, layer.attention_shift,
        queries, stream, rows * row_bytes, row_bytes,
    ])  # fmt: skip
    assert np.frombuffer(found, "<i4", 1)[0] == stream.nbytes // 64, f"seed {seed}"
    got = np.frombuffer(found, np.int8, offset=4).reshape(rows, row_bytes)
    assert np.array_equal(got[:, : want.shape[1]], want), f"seed {seed}"


def check_norm(program: Path, folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, index = int(rng.integers(1, ROW_WORDS * 32 + 1)), int(rng.integers(1, 1 << ROWS))
    top = int(rng.choice((1, 200, 32767)))
    x = np.zeros((ROWS, ROW_WORDS * 32), np.int16)
    x[:, :width] = rng.integers(-top - 1, top + 1, (ROWS, width))
    gain = np.zeros(ROW_WORDS * 32, np.int16)
    gain[:width] = rng.integers(-32768, 32768, width)
    shift = int(rng.integers(-15, 17))
    squares = (x.astype(np.int64) ** 2).sum(axis=1)
    found = execute(program, folder, NORM, seed, [index, width, shift, x, gain, squares])
    computing = [row for row in range(ROWS) if index >> row & 1]
    segments = -(-width // 64)
    tags = [
        (row, s, int(row == computing[-1] and s == segments - 1)) for row in computing for s in range(segments)
    ]  # fmt: skip
    count = int(np.frombuffer(found, "<i4", 1)[0])
    assert np.frombuffer(found, "<i4", 3 * count, 4).reshape(-1, 3).tolist() == [list(t) for t in tags], f"seed {seed}"
    want = np.zeros((len(computing), segments * 64), np.int8)
    want[:, :width] = rms_norm(x[computing, :width], gain[:width], shift)
    got = np.frombuffer(found, np.int8, offset=4 + 12 * count).reshape(want.shape)
    assert np.array_equal(got[:, :width], want[:, :width]), f"seed {seed}"


def check_residual(program: Path, folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, width = int(rng.integers(1, ROWS + 1)), int(rng.integers(1, ROW_WORDS * 32 + 1))
    outside, fresh, keep = int(rng.integers(0, 1 << ROWS)), int(rng.integers(2)), int(rng.integers(2))
    row_words = -(-width // 32)
    x, delta, ring = (rng.integers(-32768, 32768, (ROWS, ROW_WORDS * 32)).astype(np.int16) for _ in range(3))
    from_ring = [row for row in range(rows) if outside >> row & 1]
    stream = ring[from_ring, : row_words * 32]
    found = execute(program, folder, RESIDUAL, seed, [rows, width, outside, fresh, keep, x, delta, stream])
    added = np.where(np.isin(np.arange(ROWS), from_ring)[:, None], ring, delta).astype(np.int64)
    want = sat16(added + (0 if fresh else x.astype(np.int64)))[:rows, :width]
    after = np.frombuffer(found, np.int16, x.size, 4).reshape(x.shape)
    assert np.frombuffer(found, "<i4", 1)[0] == stream.nbytes // 64, f"seed {seed}"
    assert np.array_equal(after[:rows, :width], want), f"seed {seed}"
    assert not after[:rows, width : row_words * 32].any(), f"seed {seed}"
    assert np.array_equal(after[rows:], x[rows:]), f"seed {seed}"
    at = 4 + x.nbytes
    assert np.array_equal(np.frombuffer(found, "<i8", rows, at), (want.astype(np.int64) ** 2).sum(axis=1))
    kept = np.frombuffer(found, np.int16, offset=at + 8 * rows + 4)
    leaves = [row for row in range(rows) if keep and row not in from_ring]
    masked = delta[leaves, : row_words * 32].copy()
    masked[:, width:] = 0
    assert np.array_equal(kept, masked.ravel()), f"seed {seed}"


def check_writer(program: Path, folder: Path, seed: int, faulty: bool = False) -> None:
    rng = np.random.default_rng(seed)
    pages = 6
    image = np.zeros(pages * 4096, np.uint8)
    parts: list[int | NDArray[np.generic]] = []
    touched: list[int] = []
    commands = int(rng.integers(1, 12))
    for _ in range(commands):
        first = int(rng.integers(0, pages * 64 - 1))
        words = int(rng.integers(1, min(150, pages * 64 - first) + 1))
        data = rng.integers(0, 256, (words, 64)).astype(np.uint8)
        strobes = rng.integers(0, 256, (words, 8)).astype(np.uint8)
        if rng.integers(2):
            strobes[:] = 255
        parts += [64 * first, data, strobes]
        mask = np.unpackbits(strobes, axis=1, bitorder="little").astype(bool).ravel()
        image[64 * first : 64 * (first + words)][mask] = data.ravel()[mask]
        touched += range(first, first + words)
    response = int(rng.integers(2, 4))
    error = 64 * int(rng.choice(touched)) if faulty else -1
    found = execute(
        program, folder, WRITER, seed, [int(rng.integers(1, 60)), image.nbytes, error, response, commands, *parts]
    )
    fault, idle, bursts, answered, crossing, after = np.frombuffer(found, "<i4", 6).tolist()
    assert (fault, idle) == ((response - 1 if faulty else 0), 1), f"seed {seed}"
    assert (answered, crossing, after) == (bursts, 0, 0), f"seed {seed}"
    if not faulty:
        assert np.array_equal(np.frombuffer(found, np.uint8, offset=24), image), f"seed {seed}"


CHECKS = {"attention": check_attention, "norm": check_norm, "residual": check_residual, "writer": check_writer}


@pytest.mark.parametrize("unit", CHECKS)
def test_unit(program: Path, tmp_path: Path, unit: str) -> None:
    for seed in range(24):
        CHECKS[unit](program, tmp_path, seed)


def test_every_burst_of_the_writer_may_fail(program: Path, tmp_path: Path) -> None:
    """The cause is kept, what was promised is written and answered, and no burst begins behind it."""
    for seed in range(40):
        check_writer(program, tmp_path, seed, faulty=True)


# name: the unit that sees it, file, text, what stands there instead
BUGS = {
    "scores of the key before": ("attention", "attention_scores.sv", "(first_q[1] ? '0", "(first_q[BUG ? 0 : 1] ? '0"),
    "a negative value is a large one": ("attention", "fastcar_pkg.sv", "(negative ? ", "(negative && !BUG ? "),
    "a head too many": ("attention", "attention_unit.sv", "(behind < 8'(Group)) ?", "(behind < 8'(Group) && !BUG) ?"),
    "no tie to rs": (
        "norm", "row_norm.sv", "? 4'((bits - 6'd30) >> 1)", "? 4'((bits - (BUG ? 6'd31 : 6'd30)) >> 1)",
    ),
    "a load that does not wait": (
        "norm", "row_norm.sv", "!(load_valid_o && !load_ready_i)", "(BUG || !(load_valid_o && !load_ready_i))",
    ),
    "the ring's word is taken early": (
        "residual", "row_add.sv", "word_ends && outside;", "(BUG ? word_valid_i : word_ends) && outside;",
    ),
    "a row of squares late": ("residual", "row_add.sv", "begins ? '0 : squares_q", "begins && !BUG ? '0 : squares_q"),
    "a burst over a page": (
        "writer", "step_writer.sv", "(page_left < 7'(MaxBurst))", "(page_left < 7'(MaxBurst) && !BUG)",
    ),
    "idle before the answer": (
        "writer", "step_writer.sv", "!active_q && open_q == '0;", "!active_q && (open_q == '0 || BUG);",
    ),
    "a word counts twice": ("residual", "walk_counter.sv", "word_o + 1'b1;", "word_o + WordW'(BUG ? 2 : 1);"),
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    return chosen(unit_build("step_units", plant(folder, {name: bug[1:] for name, bug in BUGS.items()})), folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", *BUGS])
def test_planted_bug_is_caught(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(VARIABLE, str(["none", *BUGS].index(name)))
    unit = BUGS[name][0] if name in BUGS else None
    assert noticed(CHECKS, unit, planted, tmp_path, 24) is (name != "none")
