"""The video model on the HLS kernels: `triptych.golden.fastcar.model.Session` with its layers in C simulation.

Embedding and head are the host's; the layers, their caches and the replay ring are the accelerator's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar.config import Controls
from triptych.golden.fastcar.integer import Ints, project, rms_norm
from triptych.golden.fastcar.model import IntegerModel
from triptych.sim.fastcar.csim import CSim, StepResult
from triptych.sim.fastcar.image import DeviceState, Program


class KernelSession:
    """Decoding of B rows in lockstep: feed the row of the embedding table for each, get logits."""

    def __init__(self, model: IntegerModel, rows: int, sim: CSim, controls: list[Controls]) -> None:
        self.model, self.sim = model, sim
        self.program = Program.pack(model.config.layer, model.layers, sim.limits)
        self.program.steer(controls)
        self.state = DeviceState.empty(model.config.layer, len(model.layers), rows)
        self.position = 0

    def step(self, entries: NDArray[np.int64]) -> tuple[Ints, StepResult]:
        """Logits int64[B, tokens] in Q10 for embedding rows int64[B], and what the kernels did."""
        model = self.model
        result = self.sim.step(self.program, self.state, model.embedding[entries], self.position)
        self.position += 1
        normed = rms_norm(result.y, model.final_gain, model.final_norm_shift)
        return project(normed, model.head), result
