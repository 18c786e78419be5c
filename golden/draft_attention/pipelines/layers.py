"""One self-attention layer of a model that draft attention serves: sparse, or dense for a stated reason."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from triptych.golden.draft_attention.api import draft_attention
from triptych.golden.draft_attention.dispatch import dense_kernel_pays, sparse_pays
from triptych.golden.draft_attention.terms.errors import DraftAttentionError

SCHEDULED = ("dense step", "dense block", "short sequence")


@dataclass
class Report:
    """Attention calls so far: `sparse` ones, and `dense` ones by reason."""

    sparse: int
    dense: dict[str, int]

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.dense.items()))
        return f"{self.sparse} sparse, {sum(self.dense.values())} dense" + (f" ({reasons})" if reasons else "")


@dataclass
class ForwardState:
    """What a forward pass told its layers, shared by all layers of a model.

    `grid`: of the latent in tokens, None where unknown. `text`: text tokens in the sequence, None where it differs from
    call to call. `text_lengths`: real ones of each sample, None where all are. `dense_step`: whether this denoising
    step stays dense. `step`: which it is.
    """

    name: str
    options: dict[str, Any]
    strict: bool
    dense_blocks: int
    text_first: bool
    grid: tuple[int, int, int] | None = None
    text: int | None = 0
    text_lengths: list[int] | None = None
    dense_step: bool = False
    step: int = 0
    sparse: int = 0
    dense: Counter[str] = field(default_factory=Counter)


DenseCall = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(eq=False)
class Layer:
    """Layer `number` of a model. Tensors are `[batch, length, heads, dim]`, as diffusers' dispatcher has them."""

    number: int
    state: ForwardState

    def attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *,
        mask: torch.Tensor | None, scale: float | None, plain: bool, dense: DenseCall,
    ) -> torch.Tensor:  # fmt: skip
        """One attention call. `plain`: neither causal nor with dropout. `dense`: the model's own attention."""
        state = self.state
        reason = self._dense_reason(q, k, mask, plain)
        if reason is None:
            out = self._over_real_tokens(q, k, v, scale, state.options)
            state.sparse += 1
            return out
        if reason not in SCHEDULED:
            what = f"layer {self.number} of {state.name} runs dense: {reason}"
            if state.strict:
                raise DraftAttentionError(what)
            if reason not in state.dense:
                warnings.warn(f"{what} (said once; handle.report() counts them)", RuntimeWarning, stacklevel=2)
        state.dense[reason] += 1
        known = reason in SCHEDULED and plain and self._explained(mask) and self._length_fits(q, k) is None
        if known and dense_kernel_pays(q.transpose(1, 2)):
            return self._over_real_tokens(q, k, v, scale, {"sparsity": 0.0})
        return dense(q, k, v)

    def _dense_reason(self, q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor | None, plain: bool) -> str | None:
        """Why this call is not sparse; None when it is."""
        state = self.state
        length = self._length_fits(q, k)
        if state.dense_step:
            return SCHEDULED[0]
        if self.number < state.dense_blocks:
            return SCHEDULED[1]
        if not plain:
            return "causal attention or dropout"
        if length is None and not self._explained(mask):
            return "attention mask"
        return length or (None if self._worth_it(q) else SCHEDULED[2])

    def _worth_it(self, q: torch.Tensor) -> bool:
        """Whether a sparse call is the faster one, or the options want it in any case."""
        options = self.state.options
        if any(options.get(name) for name in ("backend", "eight_bit", "faithful")):
            return True
        sparsity = options["sparsity"]
        return sparse_pays(q.transpose(1, 2), [sparsity] if isinstance(sparsity, (int, float)) else sparsity)

    def _explained(self, mask: torch.Tensor | None) -> bool:
        """Whether a mask says no more than which text is padding."""
        return mask is None or self.state.text_lengths is not None

    def _length_fits(self, q: torch.Tensor, k: torch.Tensor) -> str | None:
        """Why the grid cannot describe these tokens; None when it does. Raises DraftAttentionError on a shard."""
        state, length = self.state, q.shape[1]
        if state.grid is None:
            return "grid unknown"
        if k.shape[1] != length:
            return "cross attention"
        video = math.prod(state.grid)
        if length < video or (state.text is not None and length < video + state.text):
            raise DraftAttentionError(
                f"layer {self.number} of {state.name} sees {length} tokens of {video} + {state.text or 0}: a shard of "
                "the sequence has no grid of its own; use context_parallel.ulysses_draft_attention"
            )
        return "tokens beyond the grid" if state.text is not None and length > video + state.text else None

    def _over_real_tokens(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None, options: dict[str, Any]
    ) -> torch.Tensor:
        """Draft attention; padded text is neither seen nor written (zeros)."""
        state = self.state
        grid = state.grid
        assert grid is not None
        text = "before" if state.text_first else "after"
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        length, video = q.shape[2], math.prod(grid)
        lengths = state.text_lengths

        def attend(*tensors: torch.Tensor) -> torch.Tensor:
            return draft_attention(*tensors, grid=grid, text=text, scale=scale, **options)

        if lengths is None or all(real == length - video for real in lengths):
            return attend(q, k, v).transpose(1, 2)
        out = torch.zeros_like(q)
        for sample, real in enumerate(lengths):
            row = slice(sample, sample + 1)
            if state.text_first:
                places = (slice(0, real), slice(length - video, length))
                piece = attend(*(torch.cat([x[row, :, place] for place in places], dim=2) for x in (q, k, v)))
                out[row, :, places[0]], out[row, :, places[1]] = piece.split([real, video], dim=2)
            else:
                end = slice(0, video + real)
                out[row, :, end] = attend(*(x[row, :, end] for x in (q, k, v)))
        return out.transpose(1, 2)
