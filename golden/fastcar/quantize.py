"""From the float decoder to the integer model: int4 weights as they are, static scales from measured ranges.

Every scale is a number of the model, found once on calibration clips (`train.activation_ranges`): twice
the 99.99 % quantile or the largest value seen, whichever is less, so that a few outliers saturate rather than coarsen
the rest (scaled to its largest SwiGLU would cost 0.12 nats a token, so 0.03).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.fastcar.config import Chooser
from triptych.golden.fastcar.decoder import Decoder, Int4Linear, Layer
from triptych.golden.fastcar.fixed_point import fixed_point
from triptych.golden.fastcar.integer import Int16s, LayerWeights, Linear
from triptych.golden.fastcar.model import LOGIT_FRACTION, Content, IntegerModel

Floats = NDArray[np.float64]
MARGIN = 2.0
GATE_SCALE = 1 / 2048  # Q4.11, what SILU takes


def integer_model(decoder: Decoder, ranges: Mapping[str, float]) -> IntegerModel:
    """The integer model of a decoder whose activations reached `ranges` ("layer.name.most")."""
    config = decoder.config
    count = config.layers
    residual = max(_reach(ranges, f"{i}.{name}") for i in range(count) for name in ("x", "middle", "y")) / 32767
    embedding = _numpy(decoder.table()) / residual
    layers, units = [], []
    for i, layer in enumerate(decoder.layers):
        assert isinstance(layer, Layer)
        weights, unit = _layer(layer, {n: _reach(ranges, f"{i}.{n}") for n in LAYER_RANGES}, residual)
        layers.append(weights)
        units.append(unit)
    final = _reach(ranges, f"{count}.final_norm") / 127
    gain, shift = _gain(decoder.final_gain, final)
    head = _numpy(decoder.head)
    head_scale = np.abs(head).max(1) / 127
    return IntegerModel(
        config,
        _int16(embedding),
        tuple(layers),
        gain,
        shift,
        Linear(
            np.rint(head / head_scale[:, None]).astype(np.int8), *fixed_point(final * head_scale * 2**LOGIT_FRACTION)
        ),
        residual,
        np.array(units).T,
        np.zeros((len(Content), len(Chooser), count, 0), dtype=np.int64),
    )


LAYER_RANGES = ("attention_norm", "q", "q_after", "k", "k_after", "v", "attended", "mlp_norm", "up", "hidden")


def _layer(layer: Layer, ranges: Mapping[str, float], residual: float) -> tuple[LayerWeights, list[float]]:
    """A layer and what one unit of each chooser's score is worth in the unit of `decoder.replay_score`."""
    config = layer.config
    norm, mlp_norm = ranges["attention_norm"] / 127, ranges["mlp_norm"] / 127
    q, k = max(ranges["q"], ranges["q_after"]) / 127, max(ranges["k"], ranges["k_after"]) / 127
    v, hidden = ranges["v"] / 127, ranges["hidden"] / 127
    attention_shift = min(7, max(0, math.floor(math.log2(v * 127 / ranges["attended"]))))
    swiglu_shift = min(47, math.floor(math.log2(hidden * 2048 * 32767 / ranges["up"])))
    up = hidden * 2048 / 2**swiglu_shift
    score, score_shift = fixed_point(q * k / math.sqrt(config.head_dim) * math.log2(math.e) * 1024)
    attention_gain, attention_norm_shift = _gain(layer.attention_gain, norm)
    mlp_gain, mlp_norm_shift = _gain(layer.mlp_gain, mlp_norm)
    weights = LayerWeights(
        attention_gain=attention_gain,
        attention_norm_shift=attention_norm_shift,
        q=_linear(layer.q, norm, q / 128),
        k=_linear(layer.k, norm, k / 128),
        v=_linear(layer.v, norm, v),
        score_multiplier=int(score),
        score_shift=int(score_shift),
        attention_shift=attention_shift,
        o=_linear(layer.o, v / 2**attention_shift, residual),
        mlp_gain=mlp_gain,
        mlp_norm_shift=mlp_norm_shift,
        gate=_linear(layer.gate, mlp_norm, GATE_SCALE),
        up=_linear(layer.up, mlp_norm, up),
        swiglu_shift=swiglu_shift,
        down=_linear(layer.down, hidden, residual),
        head_weights=np.rint(_numpy(layer.head_weights)).astype(np.int8),
    )
    product = q * k / (config.heads * math.sqrt(config.head_dim))
    units = {Chooser.VALUE: v * v, Chooser.KEY: k * k}
    return weights, [units.get(chooser, product) for chooser in Chooser]


def _linear(linear: Int4Linear, scale_in: float, scale_out: float) -> Linear:
    factor = scale_in * linear.scale().double().numpy()[:, 0] / scale_out
    return Linear(linear.codes().numpy(), *fixed_point(factor))


def _gain(gain: Tensor, scale: float) -> tuple[Int16s, int]:
    """int16 gain and shift of `integer.rms_norm`: x / sqrt(S) times gain sqrt(width) / scale."""
    wanted = _numpy(gain) * math.sqrt(len(gain)) / scale
    shift = 14 - math.floor(math.log2(np.abs(wanted).max()))
    return _int16(wanted * 2.0**shift), shift


def _reach(ranges: Mapping[str, float], name: str) -> float:
    return min(ranges[name] * 1.02, ranges[f"{name}.most"] * MARGIN)


def _int16(values: Floats) -> Int16s:
    return np.clip(np.floor(values + 0.5), -32768, 32767).astype(np.int16)


def _numpy(parameter: Tensor) -> Floats:
    return parameter.detach().double().numpy()
