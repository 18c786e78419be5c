"""Which denoising step a forward pass is, and which steps and blocks stay dense (arXiv 2505.14708, section 4.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from triptych.golden.draft_attention.terms.errors import DraftAttentionError

Steps = int | float


@dataclass
class StepClock:
    """Tells the denoising step of a forward pass.

    A scheduler that counts (`step_index`) is asked. Where there is none, or it has not begun to count (before its first
    step, or because the pipeline steps copies of it), timesteps are compared: an equal one is the same step (the second
    pass of guidance), one further in the direction of the first change the next step, one back a new video. That
    reads one scalar from the device each forward pass.
    """

    scheduler: Any | None
    _step: int = 0
    _last: float | None = None
    _rising: bool | None = None

    @property
    def total(self) -> int | None:
        """Steps of the running video; None where nobody knows."""
        timesteps = getattr(self.scheduler, "timesteps", None)
        return None if timesteps is None else len(timesteps)

    def step(self, timestep: Any) -> int:
        """The step, from 0, of a pass with this `timestep` (a number, or a tensor of any shape: its largest counts)."""
        index = getattr(self.scheduler, "step_index", None)
        if index is not None:
            self._step, self._last = 0, None
            return int(index)
        now = float(timestep.max()) if isinstance(timestep, torch.Tensor) else float(timestep)
        if self._last is not None and now != self._last:
            if self._rising is None:
                self._rising = now > self._last
            self._step = self._step + 1 if (now > self._last) == self._rising else 0
        self._last = now
        return self._step


@dataclass(frozen=True)
class DenseSchedule:
    """`first_steps`, `last_steps`: denoising steps that stay dense, counts or shares of all; `first_blocks`: blocks."""

    first_steps: Steps
    last_steps: Steps
    first_blocks: int

    @classmethod
    def of(cls, dense_steps: Steps | tuple[Steps, Steps], dense_blocks: int, has_scheduler: bool) -> DenseSchedule:
        """Raises DraftAttentionError on values out of range, or that only a scheduler can give a meaning."""
        first, last = dense_steps if isinstance(dense_steps, tuple) else (dense_steps, 0)
        for steps in (first, last):
            if steps < 0 or (isinstance(steps, float) and steps > 1):
                raise DraftAttentionError(f"dense_steps must be counts >= 0 or shares in [0, 1]; got {dense_steps}")
        if not has_scheduler and (isinstance(first, float) or last):
            raise DraftAttentionError(
                "a share of dense steps, or last ones, need a scheduler: pass the pipeline, or dense_steps as a count"
            )
        if dense_blocks < 0:
            raise DraftAttentionError(f"dense_blocks must be >= 0; got {dense_blocks}")
        return cls(first, last, dense_blocks)

    def is_dense_step(self, step: int, total: int | None) -> bool:
        """Whether step `step` of `total` runs dense."""
        first, last = (
            math.ceil(steps * (total or 0) - 1e-9) if isinstance(steps, float) else steps
            for steps in (self.first_steps, self.last_steps)
        )
        return step < first or (total is not None and step >= total - last)
