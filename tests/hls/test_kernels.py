"""Single kernels in C simulation against golden: lanes, weight streamer, attention, TAS, replay ring."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.hls.lane_case import LaneCase
from triptych.golden.fastcar import integer
from triptych.golden.fastcar.config import Chooser, LayerConfig
from triptych.golden.fastcar.integer import LayerState
from triptych.golden.fastcar.random_layer import random_layer, random_state
from triptych.sim.fastcar.csim import LANE_COUNTERS, STREAM_COUNTERS, CSim, Deadlock, Shape, simulator
from triptych.sim.fastcar.image import BYTES, REGISTERS, SHORTS, DeviceState, pack_head_weights

LANES = 4
SEEDS = range(20)


@pytest.fixture(scope="module")
def sim() -> CSim:
    return CSim.build(LANES, checked=True)


def random_config(rng: np.random.Generator) -> LayerConfig:
    kv_heads = int(rng.integers(1, 5))
    return LayerConfig(
        width=int(rng.integers(1, 300)), ffn=int(rng.integers(1, 300)), heads=kv_heads * int(rng.integers(1, 10)),
        kv_heads=kv_heads, head_dim=2 * int(rng.integers(1, 65)), frame_tokens=int(rng.integers(1, 9)), context=24,
    )  # fmt: skip


def shape_of(config: LayerConfig, layers: int, rows: int, position: int) -> Shape:
    c = config
    return Shape(
        layers, rows, position, c.width, c.ffn, c.heads, c.kv_heads, c.head_dim, c.frame_tokens, c.context, 1
    )  # fmt: skip


def head_words(heads: np.ndarray) -> np.ndarray:
    """int8[n, words * 64] of int8[..., head_dim]."""
    flat = heads.reshape(-1, heads.shape[-1])
    out = np.zeros((len(flat), -(-flat.shape[1] // BYTES) * BYTES), np.int8)
    out[:, : flat.shape[1]] = flat
    return out


def run_lanes(sim: CSim, case: LaneCase) -> tuple[np.ndarray, np.void]:
    results, counters = np.zeros_like(case.expected), np.zeros(1, LANE_COUNTERS)
    sim.call(
        "lane_array", case.jobs, len(case.jobs), case.passes, len(case.passes), case.weights, len(case.weights),
        case.scales, len(case.scales), case.activations, len(case.activations), results, len(results), counters,
    )  # fmt: skip
    return results, counters[0]


@pytest.mark.parametrize("lanes", [LANES, 16])
def test_lane_array(lanes: int) -> None:
    sim = simulator(lanes)
    for seed in SEEDS:
        case = LaneCase.random(sim.limits, seed)
        with sim.shaken(seed, 64 * (seed % 2)):
            results, counters = run_lanes(sim, case)
        assert (results == case.expected).all(), f"seed {seed}"
        assert sum(int(v) for v in counters) - int(counters["cycles"]) == int(counters["cycles"]) * lanes


def test_lanes_that_want_more_weights_than_come(sim: CSim) -> None:
    case = LaneCase.random(sim.limits, 1)
    short = LaneCase(case.jobs, case.passes, case.weights[:-1], case.scales, case.activations, case.expected)
    with pytest.raises(Deadlock, match="lane_array waits for data on stream 'weights'"):
        run_lanes(sim, short)


def test_weight_streamer_brings_what_is_wanted_and_nothing_else(sim: CSim) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng([seed, 1])
        config, layers = random_config(rng), int(rng.integers(1, 5))
        tile, window = 2 * sim.limits.window, sim.limits.window
        q, kv, d, f = (-(-n // tile) for n in (config.q_width, config.kv_width, config.width, config.ffn))
        inward, outward, down = (-(-n // BYTES) for n in (config.width, config.q_width, config.ffn))
        attention = ((q + 2 * kv) * inward + d * outward) * window
        mlp = (2 * f * inward + d * down) * window
        scale_attention, scale_mlp = ((q + 2 * kv + d) * sim.limits.scale_words, (2 * f + d) * sim.limits.scale_words)
        wanted = rng.integers(2, size=layers).astype(np.bool_)
        weights = rng.integers(256, size=(layers, attention + mlp, BYTES), dtype=np.uint8)
        scales = rng.integers(256, size=(layers, scale_attention + scale_mlp, BYTES), dtype=np.uint8)
        expected = [
            np.concatenate([image[i, : None if wanted[i] else share] for i in range(layers)])
            for image, share in ((weights, attention), (scales, scale_attention))
        ]
        got = [np.zeros_like(e) for e in expected]
        counters = np.zeros(2, STREAM_COUNTERS)
        shape = shape_of(config, layers, 1, 0)
        with sim.shaken(seed, 64 * (seed % 2)):
            sim.call(
                "weight_streamer", ctypes.byref(shape), weights, scales, wanted, got[0], len(got[0]), got[1],
                len(got[1]), counters,
            )  # fmt: skip
        assert all((g == e).all() for g, e in zip(got, expected, strict=True)), f"seed {seed}"
        skipped = int((~wanted).sum())
        assert counters[0].tolist() == (len(expected[0]), skipped * mlp)
        assert counters[1].tolist() == (len(expected[1]), skipped * scale_mlp)


def test_attention(sim: CSim) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng([seed, 2])
        config, rows = random_config(rng), int(rng.integers(1, 9))
        position, window, sink = int(rng.integers(config.context)), int(rng.integers(0, 9)), int(rng.integers(0, 5))
        layer, state = random_layer(config, seed), random_state(config, rows, seed)
        device = DeviceState.of(config, [state])
        q = rng.integers(-128, 128, (rows, config.heads, config.head_dim), dtype=np.int8)
        k, v = rng.integers(-128, 128, (2, rows, config.kv_heads, config.head_dim), dtype=np.int8)
        registers = np.zeros(1, REGISTERS)
        for name in ("score_multiplier", "score_shift", "attention_shift"):
            registers[0][name] = getattr(layer, name)
        registers[0]["window"], registers[0]["sink"] = window, sink
        heads = np.concatenate([head_words(part) for part in (q, k, v)])
        attended = np.zeros_like(head_words(q))
        shape, share = shape_of(config, 1, rows, position), heads.shape[1] // BYTES
        with sim.shaken(seed, 64 * (seed % 2)):
            sim.call(
                "attention", ctypes.byref(shape), registers, device.keys, device.values, heads, len(heads) * share,
                attended, len(attended) * share,
            )  # fmt: skip
        state.store(position, k, v)
        expected = integer.attention(q, state, layer, integer.visible(position, window, sink))
        assert (attended == head_words(expected.reshape(q.shape))).all(), f"seed {seed}"
        assert device.mismatches([state]) == 0


@pytest.mark.parametrize("chooser", Chooser)
def test_scores(sim: CSim, chooser: Chooser) -> None:
    """Two layers, whose registers differ in the weights of heads."""
    for seed in range(8):
        rng = np.random.default_rng([seed, 3])
        config, rows = random_config(rng), int(rng.integers(1, 9))
        position = int(rng.integers(config.frame_tokens, config.context))
        states = [random_state(config, rows, 10 * seed + i) for i in range(2)]
        registers = np.zeros(2, REGISTERS)
        registers["chooser"] = chooser
        before, sent, expected = position - config.frame_tokens, [], []
        for state, record in zip(states, registers, strict=True):
            heads = config.kv_heads if chooser.is_distance else config.heads
            now = rng.integers(-128, 128, (rows, heads, config.head_dim), dtype=np.int8)
            weights = rng.integers(-7, 8, config.heads, dtype=np.int8)
            record["head_weights"] = pack_head_weights(weights)
            sent.append(head_words(now))
            if chooser.is_distance:
                old = state.values if chooser is Chooser.VALUE else state.keys
                expected += integer.distance_score(now, old[:, :, before]).tolist()
            else:
                chosen = weights if chooser is Chooser.HEADS else None
                expected += integer.temporal_score(now, state.keys[:, :, before], chosen).tolist()
        words, shape = np.concatenate(sent), shape_of(config, 2, rows, position)
        scores, device = np.zeros(2 * rows, np.int32), DeviceState.of(config, states)
        with sim.shaken(seed, 64 * (seed % 2)):
            sim.call(
                "tas", ctypes.byref(shape), registers, device.keys, device.values, words,
                len(words) * (words.shape[1] // BYTES), scores, len(scores),
            )  # fmt: skip
        assert scores.tolist() == expected, f"seed {seed}"


def test_replay_ring(sim: CSim) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng([seed, 4])
        config, rows, layers = random_config(rng), int(rng.integers(1, 9)), int(rng.integers(1, 4))
        position = int(rng.integers(config.context))
        states: list[LayerState] = [random_state(config, rows, 10 * seed + i) for i in range(layers)]
        device, slot = DeviceState.of(config, states), position % config.frame_tokens
        width = device.ring.shape[-1]
        index = rng.integers(1 << rows, size=layers).astype(np.uint32)
        computes = np.array([[bool(i >> row & 1) for row in range(rows)] for i in index])
        lines = np.zeros((layers, rows, width), np.int16)
        lines[..., : config.width] = rng.integers(-32768, 32768, (layers, rows, config.width))
        computed, expected = lines[computes], device.ring[:, :, slot][~computes]
        replayed, shape = np.zeros_like(expected), shape_of(config, layers, rows, position)
        sim.call(
            "replay_ring", ctypes.byref(shape), device.ring, index, computed, len(computed) * width // SHORTS,
            replayed, len(replayed) * width // SHORTS,
        )  # fmt: skip
        assert (replayed == expected).all(), f"seed {seed}"
        for layer, state in enumerate(states):
            state.ring[computes[layer], slot] = lines[layer, computes[layer], : config.width]
        assert device.mismatches(states) == 0
