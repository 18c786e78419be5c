"""The integer video model: embedding, layers and head around `triptych.golden.fastcar.integer`, and its file.

Embedding: `x = embedding[row]`, row = tokens + condition at position 0, afterwards the token before. Head: `rms_norm`,
then int8 weights: `rs(acc * multiplier, shift)` is the logit in Q10.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar.config import (
    ALWAYS_REPLAY,
    NEVER_REPLAY,
    VIDEO,
    Chooser,
    Controls,
    LayerConfig,
    ModelConfig,
)
from triptych.golden.fastcar.integer import (
    Int16s,
    Ints,
    LayerState,
    LayerWeights,
    Linear,
    StepTrace,
    layer_step,
    project,
    rms_norm,
    rope_tables,
)
from triptych.golden.files import replacing
from triptych.golden.quartdepth.arithmetic.numerics import pack_nibbles, unpack_nibbles

LOGIT_FRACTION = 10
WEIGHTS = Path(__file__).parent / "weights"
MODEL_FILE = WEIGHTS / "decoder.npz"


SKIP_TARGETS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.87, 0.95, 1.0)
"""Shares for which a calibrated model holds levels; between them they are interpolated."""


class Content(IntEnum):
    """What a clip shows, by which levels are chosen: anything, a camera that stands, one that drifts slowly, one that
    moves."""

    ANY = 0
    STILL = 1
    DRIFT = 2
    MOVING = 3


@dataclass(frozen=True)
class IntegerModel:
    """All constants. residual_scale: what a unit of x is worth; score_units[choosers, layers]: what one of a score is
    worth in the unit of `decoder.replay_score`; levels: int64[contents, choosers, layers, SKIP_TARGETS], thresholds
    found with replay running (no targets: not calibrated)."""

    config: ModelConfig
    embedding: Int16s  # [tokens + conditions, width]
    layers: tuple[LayerWeights, ...]
    final_gain: Int16s
    final_norm_shift: int
    head: Linear  # int8 weights
    residual_scale: float
    score_units: NDArray[np.float64]
    levels: Ints

    def threshold(self, layer: int, chooser: Chooser, skip: float, content: Content = Content.ANY) -> int:
        """The level of a score above which about a share `skip` of a layer's MLPs of such content replays.

        Raises ValueError for a share outside 0..1 or a model that was not calibrated.
        """
        if not 0 <= skip <= 1:
            raise ValueError(f"a share of skipped MLPs lies in 0..1, not {skip}")
        if skip in (0, 1):
            return NEVER_REPLAY if skip == 0 else ALWAYS_REPLAY
        levels = self.levels[content, chooser, layer]
        if not len(levels):
            raise ValueError(
                "the model has no levels: calibrate it first (python -m triptych.golden.fastcar.calibrate)"
            )
        return int(np.floor(np.interp(skip, SKIP_TARGETS, levels)))

    def controls(self, skip: float = 0.0, content: Content = Content.ANY, **registers: Any) -> list[Controls]:
        """Registers of every layer for a skip target; `registers` are the other fields of `Controls`."""
        chooser = registers.get("chooser", Chooser.PUBLISHED)
        layers = range(self.config.layers)
        return [Controls(threshold=self.threshold(i, chooser, skip, content), **registers) for i in layers]

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        arrays: dict[str, Any] = {
            "embedding": self.embedding, "final_gain": self.final_gain, "final_norm_shift": self.final_norm_shift,
            "residual_scale": self.residual_scale, "score_units": self.score_units, "levels": self.levels,
            "head.weight": self.head.weight, "head.multiplier": self.head.multiplier, "head.shift": self.head.shift,
        }  # fmt: skip
        for i, layer in enumerate(self.layers):
            for field in fields(LayerWeights):
                value = getattr(layer, field.name)
                if isinstance(value, Linear):
                    arrays[f"{i}.{field.name}.weight"] = pack_nibbles(value.weight)
                    arrays[f"{i}.{field.name}.multiplier"] = value.multiplier
                    arrays[f"{i}.{field.name}.shift"] = value.shift
                else:
                    arrays[f"{i}.{field.name}"] = value
        with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
            for name, value in arrays.items():  # np.savez would stamp the time of day into the file
                data = io.BytesIO()
                np.save(data, np.asarray(value))
                file.writestr(zipfile.ZipInfo(f"{name}.npy", (2026, 1, 1, 0, 0, 0)), data.getvalue(), compresslevel=9)

    @classmethod
    def load(cls, path: Path = MODEL_FILE, config: ModelConfig = VIDEO) -> IntegerModel:
        """Raises ValueError for a file that holds no such model."""
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
            return cls(
                config, arrays["embedding"],
                tuple(_layer(arrays, i) for i in range(config.layers)),
                arrays["final_gain"], int(arrays["final_norm_shift"]),
                Linear(arrays["head.weight"], arrays["head.multiplier"], arrays["head.shift"]),
                float(arrays["residual_scale"]), arrays["score_units"], arrays["levels"],
            )  # fmt: skip
        except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} holds no FastCar model: golden/fastcar/weights/decoder.npz is one") from error


def _layer(arrays: dict[str, Any], i: int) -> LayerWeights:
    values: dict[str, Any] = {}
    for field in fields(LayerWeights):
        name = f"{i}.{field.name}"
        if f"{name}.weight" in arrays:
            weight = unpack_nibbles(arrays[f"{name}.weight"], signed=True)
            values[field.name] = Linear(weight, arrays[f"{name}.multiplier"], arrays[f"{name}.shift"])
        else:
            values[field.name] = arrays[name] if arrays[name].ndim else int(arrays[name])
    return LayerWeights(**values)


class Session:
    """Decoding of B rows in lockstep: feed the row of the embedding table for each, get logits."""

    def __init__(self, model: IntegerModel, rows: int) -> None:
        self.model = model
        self.config: LayerConfig = model.config.layer
        self.states = [LayerState.empty(self.config, rows) for _ in model.layers]
        self.turns = rope_tables(self.config)
        self.position = 0

    def step(
        self, entries: NDArray[np.int64], controls: list[Controls], chosen: NDArray[np.bool_] | None = None
    ) -> tuple[Ints, list[StepTrace]]:
        """Logits int64[B, tokens] in Q10 and the trace of every layer, for embedding rows int64[B].

        controls: one a layer; chosen: bool[layers, B], who replays instead of the decision by score.
        """
        x = self.model.embedding[entries]
        traces = []
        for i, (layer, state) in enumerate(zip(self.model.layers, self.states, strict=True)):
            mine = None if chosen is None else chosen[i]
            traces.append(layer_step(self.config, layer, self.turns, state, x, self.position, controls[i], mine))
            x = traces[-1].y
        self.position += 1
        normed = rms_norm(x, self.model.final_gain, self.model.final_norm_shift)
        return project(normed, self.model.head), traces
