"""Bytes of weights and parameters, as docs/numerics.md lays out the stationary operand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.arithmetic.numerics import pack_nibbles
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import PARAM_BYTES, Format, WeightFormat

Weights = NDArray[np.int8]


def elements_per_step(fmt: Format, config: ChipConfig) -> int:
    """Input elements that one step of the MXU takes."""
    return config.depth if fmt is Format.INT8 else 2 * config.depth


def elements_of_words(fmt: Format, config: ChipConfig) -> int:
    """Input elements in the fewest steps that begin at a word and end at one."""
    return config.depth if fmt is Format.INT8 else 2 * config.depth


def weight_format(weight: Weights) -> WeightFormat:
    """int4 if all weights of a layer fit."""
    return WeightFormat.INT4 if weight.min(initial=0) >= -8 and weight.max(initial=0) <= 7 else WeightFormat.INT8


def paired(fmt: Format, weights: WeightFormat) -> bool:
    """Whether a weight tile of a dense layer holds two steps."""
    return weights is WeightFormat.INT4 and fmt is Format.INT8


def tile_room(config: ChipConfig) -> int:
    """Bytes that a column tile of weights should take at most where there is a choice: the other half of the scratchpad
    is for maps."""
    return config.spad_bytes // 2


def tile_bytes(taps: int, inputs: int, fmt: Format, weights: WeightFormat, config: ChipConfig) -> int:
    """Bytes of a column tile of a dense layer's weights and its parameters, as `dense_weights` packs them."""
    steps = taps * -(-inputs // elements_per_step(fmt, config))
    tiles = -(-steps // 2) if paired(fmt, weights) else steps
    return config.cols * (tiles * config.depth + PARAM_BYTES)


def dense_weights(weight: Weights, fmt: Format, weights: WeightFormat, config: ChipConfig) -> bytes:
    """Weights [channels, taps, inputs] for activations of `fmt`: [column tile][tile][column][byte]."""
    channels, taps, inputs = weight.shape
    width = elements_per_step(fmt, config)
    chunks, columns = -(-inputs // width), -(-channels // config.cols)
    steps = np.zeros((columns * config.cols, taps, chunks * width), dtype=np.int8)
    steps[:channels, :, :inputs] = weight
    steps = steps.reshape(columns, config.cols, taps * chunks, width)
    if weights is WeightFormat.INT8:
        packed = steps.view(np.uint8)
    elif not paired(fmt, weights):  # both nibbles of a byte belong to one step: elements 2i and 2i+1
        packed = pack_nibbles(steps)
    else:  # the low nibble belongs to the even step, the high one to the odd
        if steps.shape[2] % 2:
            steps = np.pad(steps, ((0, 0), (0, 0), (0, 1), (0, 0)))
        pairs = steps.reshape(columns, config.cols, -1, 2, width)
        packed = pack_nibbles(pairs.swapaxes(3, 4).reshape(columns, config.cols, -1, 2 * width))
    return np.ascontiguousarray(packed.transpose(0, 2, 1, 3)).tobytes()


def depthwise_weights(weight: Weights, config: ChipConfig) -> bytes:
    """int4 weights [channels, 9, 1]: [group of D channels][column][byte 3 ky + kx], nibble u for channel u C + c."""
    depth, cols = config.depth, config.cols
    groups = -(-len(weight) // depth)
    padded = np.zeros((groups * depth, depth), dtype=np.int8)
    padded[: len(weight), :9] = weight[:, :, 0]
    nibbles = np.zeros((groups, cols, depth, 2), dtype=np.int8)
    nibbles[..., : depth // cols] = padded.reshape(groups, depth // cols, cols, depth).transpose(0, 2, 3, 1)
    return pack_nibbles(nibbles.reshape(groups, cols, 2 * depth)).tobytes()


def parameters(
    bias: NDArray[np.int64],
    multiplier: NDArray[np.int64],
    shift: NDArray[np.int64],
    zero: NDArray[np.int64],
    config: ChipConfig,
) -> bytes:
    """Eight bytes a channel, filled up to whole groups of lanes."""
    count = len(bias)
    assert PARAM_BYTES == 8
    records = np.zeros(
        -(-count // config.cols) * config.cols,
        dtype=[("bias", "<i4"), ("multiplier", "<i2"), ("shift", "u1"), ("zero", "i1")],
    )
    records["bias"][:count] = bias
    records["multiplier"][:count] = multiplier
    records["shift"][:count] = shift
    records["zero"][:count] = zero
    return records.tobytes()
