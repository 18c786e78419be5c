"""What lies in the accelerator's DRAM: weights, scales, registers, caches, replay ring (docs/fastcar.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar.config import Controls, LayerConfig
from triptych.golden.fastcar.integer import LayerState, LayerWeights, Linear, rope_tables
from triptych.golden.quartdepth.arithmetic.numerics import pack_nibbles
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.weight_layout import pack_weights

BYTES = 64  # of a word
SHORTS = 32

REGISTERS = np.dtype(
    [(name, np.int32) for name in (
        "attention_norm_shift", "mlp_norm_shift", "score_multiplier", "score_shift", "attention_shift", "swiglu_shift",
        "threshold", "policy", "chooser", "chain_cap", "window", "sink",
    )] + [("unused", np.int32, 4), ("head_weights", np.uint8, 64)]
)  # fmt: skip
"""`LayerRegisters` of hls/include/records.hpp."""


@dataclass(frozen=True)
class Limits:
    """Compile-time sizes of a build: lanes, weight words of a window, words of a tile's scales, and the maxima."""

    lanes: int
    window: int
    scale_words: int
    rows: int
    width: int
    ffn: int
    head_dim: int
    context: int

    def check(self, config: LayerConfig, rows: int) -> None:
        """Raises TriptychError, one line, for a shape beyond the maxima."""
        for name, value, limit in (
            ("rows", rows, self.rows), ("width", config.width, self.width), ("ffn", config.ffn, self.ffn),
            ("heads * head_dim", config.q_width, self.width), ("head_dim", config.head_dim, self.head_dim),
            ("context", config.context, self.context),
        ):  # fmt: skip
            if not 1 <= value <= limit:
                raise TriptychError(f"the kernels are built for {name} 1..{limit}, not {value}")


def pack_head_weights(weights: NDArray[np.int8]) -> NDArray[np.uint8]:
    """uint8[64] of int8[heads]: two a byte, the first in the low nibble."""
    padded = np.zeros(2 * BYTES, np.int8)
    padded[: len(weights)] = weights
    return pack_nibbles(padded)


def _words(elements: int, of_a_word: int) -> int:
    return -(-elements // of_a_word)


def scale_image(linear: Linear, limits: Limits) -> NDArray[np.uint8]:
    """uint8[tiles, scale_words * 64]: for each tile its int16 multipliers, then its uint8 shifts; zeros to the word."""
    tile = 2 * limits.window
    tiles = _words(len(linear.weight), tile)
    multiplier = np.zeros(tiles * tile, np.int16)
    shift = np.zeros(tiles * tile, np.uint8)
    multiplier[: len(linear.weight)], shift[: len(linear.weight)] = linear.multiplier, linear.shift
    out = np.zeros((tiles, limits.scale_words * BYTES), np.uint8)
    out[:, : 2 * tile] = multiplier.reshape(tiles, tile).view(np.uint8)
    out[:, 2 * tile : 3 * tile] = shift.reshape(tiles, tile)
    return out


def _alternate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tiles of two matrices, in turn."""
    return np.stack([a, b], axis=1).reshape(2 * len(a), *a.shape[1:])


def weight_image(layer: LayerWeights, limits: Limits) -> NDArray[np.uint8]:
    """uint8[words, 64]: q, k, v, o, gate and up (tiles alternate), down."""

    def packed(linear: Linear) -> NDArray[np.uint8]:
        return pack_weights(linear.weight, BYTES, limits.window)

    parts = [packed(m) for m in (layer.q, layer.k, layer.v, layer.o)]
    parts += [_alternate(packed(layer.gate), packed(layer.up)), packed(layer.down)]
    return np.concatenate([p.reshape(-1, BYTES) for p in parts])


def _layer_scales(layer: LayerWeights, limits: Limits) -> NDArray[np.uint8]:
    parts = [scale_image(m, limits) for m in (layer.q, layer.k, layer.v, layer.o)]
    parts += [_alternate(scale_image(layer.gate, limits), scale_image(layer.up, limits))]
    return np.concatenate([*parts, scale_image(layer.down, limits)]).reshape(-1, BYTES)


@dataclass
class Program:
    """The constants of all layers, and the registers that steer them.

    weights, scales: uint8[words, 64]. registers: REGISTERS[layers]. gains: int16[layers, 2, words * 32]. turns:
    int16[context, words * 32], cosines before sines. Both end with zeros.
    """

    config: LayerConfig
    limits: Limits
    layers: int
    weights: NDArray[np.uint8]
    scales: NDArray[np.uint8]
    registers: NDArray[np.void]
    gains: NDArray[np.int16]
    turns: NDArray[np.int16]

    @classmethod
    def pack(cls, config: LayerConfig, layers: Sequence[LayerWeights], limits: Limits) -> Program:
        """The images of these layers; replay is off until `steer`. Raises TriptychError for a shape too large."""
        limits.check(config, 1)
        registers = np.zeros(len(layers), REGISTERS)
        for record, layer in zip(registers, layers, strict=True):
            for name in REGISTERS.names or ():
                if hasattr(layer, name) and name != "head_weights":
                    record[name] = getattr(layer, name)
            record["head_weights"] = pack_head_weights(layer.head_weights)
        cos, sin = rope_tables(config)
        program = cls(
            config, limits, len(layers),
            np.concatenate([weight_image(layer, limits) for layer in layers]),
            np.concatenate([_layer_scales(layer, limits) for layer in layers]),
            registers,
            np.array([pack_rows(np.stack([layer.attention_gain, layer.mlp_gain])) for layer in layers]),
            pack_rows(np.concatenate([cos, sin], axis=1)),
        )  # fmt: skip
        program.steer([Controls()] * len(layers))
        return program

    def steer(self, controls: Sequence[Controls]) -> None:
        """Sets threshold, policy, chooser, chain cap, window and sink of every layer."""
        for record, control in zip(self.registers, controls, strict=True):
            for name in ("threshold", "policy", "chooser", "chain_cap", "window", "sink"):
                record[name] = int(getattr(control, name))


@dataclass
class DeviceState:
    """Caches, ring and chains of all layers as the kernels address them.

    keys, values: int8[layers, rows, kv_heads, context, words * 64]; ring: int16[layers, rows, frame_tokens,
    words * 32]; chains: uint8[layers, rows, frame_tokens]. Heads and rows end with zeros.
    """

    config: LayerConfig
    keys: NDArray[np.int8]
    values: NDArray[np.int8]
    ring: NDArray[np.int16]
    chains: NDArray[np.uint8]

    @classmethod
    def empty(cls, config: LayerConfig, layers: int, rows: int) -> DeviceState:
        """All zeros."""
        cache = (layers, rows, config.kv_heads, config.context, _words(config.head_dim, BYTES) * BYTES)
        line = (layers, rows, config.frame_tokens)
        return cls(
            config, np.zeros(cache, np.int8), np.zeros(cache, np.int8),
            np.zeros((*line, _words(config.width, SHORTS) * SHORTS), np.int16), np.zeros(line, np.uint8),
        )  # fmt: skip

    @classmethod
    def of(cls, config: LayerConfig, states: Sequence[LayerState]) -> DeviceState:
        """The golden states of all layers."""
        device = cls.empty(config, len(states), len(states[0].keys))
        for layer, state in enumerate(states):
            device.keys[layer, ..., : config.head_dim] = state.keys
            device.values[layer, ..., : config.head_dim] = state.values
            device.ring[layer, ..., : config.width] = state.ring
            device.chains[layer] = state.chain
        return device

    @property
    def rows(self) -> int:
        """Of the batch."""
        return self.keys.shape[1]

    def mismatches(self, states: Sequence[LayerState]) -> int:
        """Elements, padding too, that are not the golden states'."""
        wanted = DeviceState.of(self.config, states)
        names = ("keys", "values", "ring", "chains")
        return sum(int((getattr(self, n) != getattr(wanted, n)).sum()) for n in names)


def pack_rows(x: NDArray[np.int16]) -> NDArray[np.int16]:
    """int16[rows, words * 32] of int16[rows, width], zeros to the word."""
    out = np.zeros((len(x), _words(x.shape[1], SHORTS) * SHORTS), np.int16)
    out[:, : x.shape[1]] = x
    return out
