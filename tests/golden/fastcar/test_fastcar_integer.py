"""The integer layer: each operation against float64 with an argued bound, and what replay must keep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.golden.fastcar import integer, silu
from triptych.golden.fastcar.config import (
    ALWAYS_REPLAY,
    LLAMA_7B,
    NEVER_REPLAY,
    TINY,
    Chooser,
    Controls,
    LayerConfig,
    Policy,
)
from triptych.golden.fastcar.integer import LayerState, Linear, StepTrace, layer_step, rope_tables
from triptych.golden.fastcar.random_layer import random_layer, random_rows, random_state

SEEDS = st.integers(0, 2**31)
HEADS = st.sampled_from([(1, 1), (2, 1), (4, 2), (6, 2), (3, 3)])


@st.composite
def configs(draw: Any) -> LayerConfig:
    heads, kv_heads = draw(HEADS)
    return LayerConfig(
        width=draw(st.integers(1, 40)),
        ffn=draw(st.integers(1, 50)),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=2 * draw(st.integers(1, 8)),
        frame_tokens=draw(st.integers(1, 6)),
        context=40,
    )


def run(config: LayerConfig, seed: int, rows: int, positions: range, controls: list[Controls]) -> list[StepTrace]:
    """Steps of a random layer from a random state; step i has `controls[i % len]`."""
    layer, state, turns = random_layer(config, seed), random_state(config, rows, seed), rope_tables(config)
    return [
        layer_step(config, layer, turns, state, random_rows(config, rows, seed + p), p, controls[i % len(controls)])
        for i, p in enumerate(positions)
    ]


def assert_same(a: StepTrace, b: StepTrace) -> None:
    for name, value in vars(a).items():
        np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)


def test_silu_over_all_inputs() -> None:
    assert silu.worst_error() < 0.66
    assert silu.main(["--check"]) == 0


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 3000), st.sampled_from([1, 40, 2500, 32767]))
def test_rms_norm_is_within_half_a_unit(seed: int, width: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-size, size + 1, (3, width)).astype(np.int16)
    gain = rng.integers(-32768, 32768, width).astype(np.int16)
    shift = int(rng.integers(0, 12))
    root = np.sqrt((x.astype(np.float64) ** 2).sum(1, keepdims=True))
    exact = x / np.maximum(root, 1) * gain * 2.0**-shift
    got = integer.rms_norm(x, gain, shift)
    # RSQRT's mantissa is within 0.8 of at least 2^14; S keeps at least 29 bits: relative error below 2^-14.
    bound = 0.5 + np.abs(exact) * 2.0**-14 + 1e-9
    assert (np.abs(got - np.clip(exact, -128, 127)) <= bound).all()


def test_rms_norm_of_the_largest_and_the_smallest_rows() -> None:
    full = np.full((1, 16384), -32768, dtype=np.int16)
    gain = np.full(16384, 1 << 14, dtype=np.int16)
    assert (integer.rms_norm(full, gain, 1) == -64).all()  # 1 / sqrt(16384) * 2^13
    assert (integer.rms_norm(np.zeros_like(full), gain, 0) == 0).all()


def test_sums_are_exact_at_the_widest_projection() -> None:
    rng = np.random.default_rng(3)
    weight = rng.integers(-8, 8, (5, 16384), dtype=np.int8)
    weight[0] = -8
    x = rng.integers(-128, 128, (4, 16384), dtype=np.int8)
    x[0] = -128
    linear = Linear(weight, np.ones(5, dtype=np.int16), np.zeros(5, dtype=np.uint8))
    acc = integer.accumulate(x, linear)
    np.testing.assert_array_equal(acc, x.astype(np.int64) @ weight.T.astype(np.int64))
    assert acc[0, 0] == 1 << 24


@settings(max_examples=40)
@given(SEEDS, st.integers(0, 2047))
def test_rope_turns_by_the_position(seed: int, position: int) -> None:
    config = replace(LLAMA_7B, heads=2, kv_heads=2, head_dim=16)
    cos, sin = rope_tables(config)
    v = np.random.default_rng(seed).integers(-12000, 12000, (2, 3, 16)).astype(np.int16)
    angle = position * 10000.0 ** (-np.arange(8) / 8)
    turned = (v[..., 0::2] + 1j * v[..., 1::2]) * np.exp(1j * angle) / 128
    exact = np.stack([turned.real, turned.imag], -1).reshape(v.shape)
    # A table entry is within 2^-15, two products: 2 * 2^15 / 128 * 2^-15 units; and the final half.
    assert (np.abs(integer.rope(v, cos[position], sin[position]) - np.clip(exact, -128, 127)) <= 0.5 + 2 / 128).all()


@settings(max_examples=40)
@given(SEEDS, configs(), st.integers(0, 39), st.integers(0, 12), st.integers(0, 5))
def test_attention_is_within_its_bound(seed: int, config: LayerConfig, position: int, window: int, sink: int) -> None:
    layer, state = random_layer(config, seed), random_state(config, 2, seed)
    layer = replace(layer, attention_shift=0)
    q = np.random.default_rng(seed).normal(0, 40, (2, config.heads, config.head_dim)).clip(-128, 127).astype(np.int8)
    got = integer.attention(q, state, layer, integer.visible(position, window, sink))
    sees = [j for j in range(position + 1) if not window or j > position - window or j < sink]
    group = config.heads // config.kv_heads
    keys = np.repeat(state.keys[:, :, sees], group, axis=1).astype(np.float64)
    values = np.repeat(state.values[:, :, sees], group, axis=1).astype(np.float64)
    score = np.einsum("bhe,bhje->bhj", q, keys)
    p = np.exp2((score - score.max(2, keepdims=True)) * layer.score_multiplier / 2.0**layer.score_shift / 1024)
    exact = np.einsum("bhj,bhje->bhe", p, values) / p.sum(2, keepdims=True)
    # Octaves are rounded to 2^-11 (relative 3.4e-4 of p), EXP2N errs by 0.7 of 2^15, p by half of 1/4095 and its own
    # truncation; a weight's error moves the mean by at most twice the largest value.
    wrong = (3.6e-4 * p + 0.75 / 4095).sum(2, keepdims=True) / p.sum(2, keepdims=True)
    bound = 0.5 + 2 * np.abs(values).max() * wrong + np.abs(exact) * 2.0**-13
    assert (np.abs(got.reshape(exact.shape) - exact.clip(-128, 127)) <= bound).all()


@settings(max_examples=30)
@given(SEEDS, st.integers(0, 24))
def test_swiglu_is_within_its_bound(seed: int, shift: int) -> None:
    gate, up = np.random.default_rng(seed).integers(-32768, 32768, (2, 3, 200)).astype(np.int16)
    x = gate / 2048
    exact = x / (1 + np.exp(-x)) * 2048 * up * 2.0**-shift
    bound = 0.5 + 0.66 * np.abs(up.astype(np.float64)) * 2.0**-shift
    assert (np.abs(integer.swiglu(gate, up, shift) - exact.clip(-128, 127)) <= bound).all()


@settings(max_examples=25)
@given(configs(), SEEDS, st.sampled_from(Chooser))
def test_a_row_does_not_depend_on_its_neighbours(config: LayerConfig, seed: int, chooser: Chooser) -> None:
    controls = Controls(threshold=-40000 if chooser.is_distance else 0, chooser=chooser)
    layer, turns, x = random_layer(config, seed), rope_tables(config), random_rows(config, 3, seed)
    whole = random_state(config, 3, seed)
    alone = LayerState(*(a[1:2].copy() for a in (whole.keys, whole.values, whole.ring, whole.chain)))
    together = layer_step(config, layer, turns, whole, x, 20, controls)
    single = layer_step(config, layer, turns, alone, x[1:2], 20, controls)
    np.testing.assert_array_equal(together.y[1:2], single.y)
    assert together.index >> 1 & 1 == single.index


@settings(max_examples=25)
@given(configs(), SEEDS, st.integers(0, 2**32 - 1))
def test_the_ring_gives_back_the_same_place_of_the_last_frame(config: LayerConfig, seed: int, pattern: int) -> None:
    """An oracle that keeps each position's MLP output by position, without slots."""
    layer, state, turns = random_layer(config, seed), LayerState.empty(config, 2), rope_tables(config)
    kept: dict[tuple[int, int], np.ndarray] = {}
    for position in range(32):
        force = ALWAYS_REPLAY if pattern >> position & 1 else NEVER_REPLAY
        trace = layer_step(
            config, layer, turns, state, random_rows(config, 2, position), position, Controls(threshold=force)
        )
        replays = force == ALWAYS_REPLAY and position >= config.frame_tokens
        assert trace.index == (0 if replays else 3)
        for row in range(2):
            if replays:
                kept[row, position] = kept[row, position - config.frame_tokens]
            else:
                kept[row, position] = integer.mlp(trace.middle[row : row + 1], layer)[1][0]
            np.testing.assert_array_equal(trace.delta_mlp[row], kept[row, position])
            np.testing.assert_array_equal(trace.y[row], integer.add(trace.middle[row], kept[row, position]))


@settings(max_examples=25)
@given(configs(), SEEDS, st.sampled_from(Chooser))
def test_the_threshold_is_strict(config: LayerConfig, seed: int, chooser: Chooser) -> None:
    position = config.frame_tokens + 3
    score = int(run(config, seed, 1, range(position, position + 1), [Controls(chooser=chooser)])[0].score[0])
    for threshold, computes in ((score, 1), (score - 1, 0), (score + 1, 1)):
        controls = Controls(threshold=threshold, chooser=chooser)
        assert run(config, seed, 1, range(position, position + 1), [controls])[0].index == computes


@settings(max_examples=25)
@given(configs(), SEEDS, st.sampled_from(Chooser))
def test_scores_by_hand(config: LayerConfig, seed: int, chooser: Chooser) -> None:
    position, before = config.frame_tokens + 5, 5
    layer, state = random_layer(config, seed), random_state(config, 2, seed)
    trace = run(config, seed, 2, range(position, position + 1), [Controls(chooser=chooser)])[0]
    group = config.heads // config.kv_heads
    k = integer.project(trace.normed, layer.k).clip(-32768, 32767).astype(np.int16)
    turns = rope_tables(config)
    turned = integer.rope(k.reshape(2, config.kv_heads, -1), turns[0][before], turns[1][before])
    for row in range(2):
        score = 0
        for head in range(config.kv_heads if chooser.is_distance else config.heads):
            for e in range(config.head_dim):
                if chooser is Chooser.VALUE:
                    score -= (int(trace.v[row, head, e]) - int(state.values[row, head, before, e])) ** 2
                elif chooser is Chooser.KEY:
                    score -= (int(turned[row, head, e]) - int(state.keys[row, head, before, e])) ** 2
                else:
                    query = trace.q_before if chooser is Chooser.PUBLISHED else trace.q_after
                    weight = int(layer.head_weights[head]) if chooser is Chooser.HEADS else 1
                    score += weight * int(query[row, head, e]) * int(state.keys[row, head // group, before, e])
        assert trace.score[row] == score


def test_choosers_ask_differently() -> None:
    traces = [run(TINY, 5, 4, range(20, 21), [Controls(chooser=chooser)])[0] for chooser in Chooser]
    assert len({tuple(t.score.tolist()) for t in traces}) == len(Chooser)
    np.testing.assert_array_equal(traces[0].q_after, traces[1].q_after)


def test_distances_of_what_did_not_change_are_zero() -> None:
    """The same token again, a frame later: its value is the cached one; its key too, turned to the old place."""
    for chooser in (Chooser.VALUE, Chooser.KEY):
        layer, state, turns = random_layer(TINY, 3), LayerState.empty(TINY, 2), rope_tables(TINY)
        x = random_rows(TINY, 2, 9)
        traces = [layer_step(TINY, layer, turns, state, x, p, Controls(chooser=chooser)) for p in (4, 12)]
        assert traces[1].score.tolist() == [0, 0]


def test_the_largest_scores_fit_in_their_registers() -> None:
    full = np.full((1, 128, 128), -128, np.int8)
    assert int(integer.temporal_score(full, full, np.full(128, 7, np.int8))[0]) == 7 << 28
    assert int(integer.distance_score(full, np.full_like(full, 127))[0]) == -(255**2 << 14) > -(1 << 30)


@pytest.mark.parametrize("cap", [1, 2, 5])
def test_the_chain_cap_makes_every_slot_refresh(cap: int) -> None:
    config = replace(TINY, frame_tokens=4)
    layer, state, turns = random_layer(config, 1), LayerState.empty(config, 1), rope_tables(config)
    controls = Controls(threshold=ALWAYS_REPLAY, chain_cap=cap)
    computed = [
        layer_step(config, layer, turns, state, random_rows(config, 1, p), p, controls).index for p in range(60)
    ]
    frames = [p // 4 for p in range(60)]
    assert computed == [int(frame % (cap + 1) == 0) for frame in frames]


def test_the_chain_count_stays_a_byte() -> None:
    state = random_state(TINY, 1, 0)
    state.chain[:] = 255
    trace = layer_step(
        TINY, random_layer(TINY, 0), rope_tables(TINY), state, random_rows(TINY, 1, 0), 30, Controls(ALWAYS_REPLAY)
    )
    assert trace.index == 0
    assert state.chain[0, 30 % 8] == 255


def test_replayed_rows_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    mlp = integer.mlp
    monkeypatch.setattr(integer, "mlp", lambda x, layer: (seen.append(len(x)), mlp(x, layer))[1])
    traces = run(TINY, 7, 6, range(16, 32), [Controls(threshold=0)])
    assert sum(seen) == sum(t.index.bit_count() for t in traces)
    assert 0 < sum(seen) < 6 * 16
    for trace in traces:
        assert not trace.hidden[[not trace.index >> row & 1 for row in range(6)]].any()


@pytest.mark.parametrize("policy", Policy)
def test_policies_in_the_layer(policy: Policy) -> None:
    for trace in run(TINY, 11, 5, range(16, 40), [Controls(threshold=0, policy=policy)]):
        computes = [bool(trace.index >> row & 1) for row in range(5)]
        tas = [int(t) for t in trace.score]
        replays = {
            Policy.PER_SAMPLE: [t > 0 for t in tas],
            Policy.PAIR: [sum(tas[b & ~1 : (b & ~1) + 2]) > 0 for b in range(5)],
            Policy.ALL: [all(t > 0 for t in tas)] * 5,
            Policy.MEAN: [sum(tas) > 0] * 5,
        }[policy]
        assert computes == [not r for r in replays]


def test_the_window_hides_the_rest() -> None:
    config, layer = TINY, random_layer(TINY, 2)
    controls = Controls(window=4, sink=2)

    def output(change: int) -> np.ndarray:
        state = random_state(config, 1, 3)
        state.keys[:, :, change] = 100
        state.values[:, :, change] = -100
        state = LayerState(state.keys, state.values, state.ring, state.chain)
        return layer_step(config, layer, rope_tables(config), state, random_rows(config, 1, 4), 30, controls).attended

    hidden = output(10)
    for position in (2, 26):
        np.testing.assert_array_equal(hidden, output(position))
    for position in (0, 1, 27, 29):
        assert (hidden != output(position)).any()


def test_visible() -> None:
    assert integer.visible(9, 0, 5) == [slice(0, 10)]
    assert integer.visible(9, 4, 2) == [slice(0, 2), slice(6, 10)]
    assert integer.visible(9, 4, 8) == [slice(0, 6), slice(6, 10)]
    assert integer.visible(2, 4, 2) == [slice(0, 3)]


def test_bad_use_is_refused() -> None:
    layer, turns = random_layer(TINY, 0), rope_tables(TINY)
    state = LayerState.empty(TINY, 2)
    with pytest.raises(ValueError, match="position 64"):
        layer_step(TINY, layer, turns, state, random_rows(TINY, 2, 0), 64, Controls())
    with pytest.raises(ValueError, match="2 rows"):
        layer_step(TINY, layer, turns, state, random_rows(TINY, 3, 0), 0, Controls())
    for wrong in ({"heads": 3}, {"head_dim": 7}, {"width": 0}, {"context": 5000}):
        with pytest.raises(ValueError, match="must be"):
            replace(TINY, **wrong)
    with pytest.raises(ValueError, match="int32"):
        Controls(threshold=1 << 31)


@pytest.mark.slow
def test_a_layer_of_llama_size() -> None:
    """Rows of two, run together and alone, at the largest width: the float32 sums stay exact."""
    layer, turns = random_layer(LLAMA_7B, 0), rope_tables(LLAMA_7B)
    state, x = LayerState.empty(LLAMA_7B, 1), random_rows(LLAMA_7B, 1, 0)
    trace = layer_step(LLAMA_7B, layer, turns, state, x, 0, Controls())
    acc = trace.normed[:, None].astype(np.int32) * layer.q.weight
    got = integer.accumulate(trace.normed, layer.q)
    np.testing.assert_array_equal(got, acc.sum(2))
