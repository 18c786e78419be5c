"""Layers and states with random integers of plausible size, for tests and for performance work."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from triptych.golden.fastcar.config import LayerConfig
from triptych.golden.fastcar.fixed_point import fixed_point
from triptych.golden.fastcar.integer import HEAD_WEIGHT_MAX, Int8s, Int16s, LayerState, LayerWeights, Linear


def random_layer(config: LayerConfig, seed: int) -> LayerWeights:
    """Uniform int4 weights and scales such that int8 and int16 values fill their range and sometimes saturate."""
    rng = np.random.default_rng([seed, 0xFA57CA12])
    width, q_width, kv_width = config.width, config.q_width, config.kv_width
    return LayerWeights(
        attention_gain=_gain(rng, width),
        attention_norm_shift=_norm_shift(config),
        q=_linear(rng, q_width, width, sigma_in=45, sigma_out=45 * 128),
        k=_linear(rng, kv_width, width, sigma_in=45, sigma_out=45 * 128),
        v=_linear(rng, kv_width, width, sigma_in=45, sigma_out=45),
        score_multiplier=int(rng.integers(1 << 14, 1 << 15)),
        # A score's deviation is 45^2 sqrt(head_dim); let it be about 1.5 octaves.
        score_shift=int(14 + math.log2(45 * 45 * math.sqrt(config.head_dim)) - 10),
        attention_shift=int(rng.integers(0, 3)),
        o=_linear(rng, width, q_width, sigma_in=30, sigma_out=600),
        mlp_gain=_gain(rng, width),
        mlp_norm_shift=_norm_shift(config),
        gate=_linear(rng, config.ffn, width, sigma_in=45, sigma_out=2 * 2048),
        up=_linear(rng, config.ffn, width, sigma_in=45, sigma_out=9000),
        swiglu_shift=19,
        down=_linear(rng, width, config.ffn, sigma_in=40, sigma_out=600),
        head_weights=rng.integers(-HEAD_WEIGHT_MAX, HEAD_WEIGHT_MAX + 1, config.heads, dtype=np.int8),
    )


def random_state(config: LayerConfig, rows: int, seed: int) -> LayerState:
    """Caches, ring and chain counts full of random integers, as if any position had gone before."""
    rng = np.random.default_rng([seed, 0x57A7E])
    cache = (rows, config.kv_heads, config.context, config.head_dim)
    return LayerState(
        _int8s(rng, cache),
        _int8s(rng, cache),
        rng.integers(-3000, 3000, (rows, config.frame_tokens, config.width), dtype=np.int16),
        rng.integers(0, 4, (rows, config.frame_tokens), dtype=np.uint8),
    )


def random_rows(config: LayerConfig, rows: int, seed: int) -> Int16s:
    """int16[rows, width] of a residual stream."""
    rng = np.random.default_rng([seed, 0x205])
    return np.clip(rng.normal(0, 2500, (rows, config.width)), -32768, 32767).astype(np.int16)


def _int8s(rng: Generator, shape: tuple[int, ...]) -> Int8s:
    return np.clip(rng.standard_normal(shape, dtype=np.float32) * 40, -128, 127).astype(np.int8)


def _gain(rng: Generator, width: int) -> Int16s:
    return rng.integers(6000, 16000, width, dtype=np.int16)


def _norm_shift(config: LayerConfig) -> int:
    # x / sqrt(S) is about 1 / sqrt(width); times a gain of about 2^13.4 it should have a deviation of about 2^5.5.
    return round(13.4 - math.log2(math.sqrt(config.width)) - 5.5)


def _linear(rng: Generator, outputs: int, inputs: int, sigma_in: float, sigma_out: float) -> Linear:
    weight = rng.integers(-7, 8, (outputs, inputs), dtype=np.int8)
    weight[rng.random((outputs, inputs), dtype=np.float32) < 0.01] = -8  # legal, though symmetric quantisers avoid it
    factor = sigma_out / (sigma_in * 4.3 * math.sqrt(inputs)) * rng.uniform(0.6, 1.5, outputs)
    multiplier, shift = fixed_point(factor)
    return Linear(weight, multiplier, shift)
