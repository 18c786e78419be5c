"""Draft attention in `diffusers` transformers, switched on in one call."""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from triptych.golden.draft_attention.pipelines.door import ServedLayer, draft_backend
from triptych.golden.draft_attention.pipelines.layers import ForwardState, Layer, Report
from triptych.golden.draft_attention.pipelines.models import KnownModel, known_model
from triptych.golden.draft_attention.pipelines.schedule import DenseSchedule, StepClock, Steps
from triptych.golden.draft_attention.terms.errors import DraftAttentionError


class ServedModel:
    """One transformer: its layers, and the hook that tells them about each forward pass."""

    def __init__(self, model: Any, schedule: DenseSchedule, clock: StepClock, state: ForwardState) -> None:
        self.model, self.schedule, self.clock, self.state = model, schedule, clock, state
        self.known: KnownModel = known_model(model)
        self._signature = inspect.signature(type(model).forward)
        self.layers = [ServedLayer(Layer(number, state), attn) for number, attn in self.known.attention_layers(model)]
        for layer in self.layers:
            layer.attach()
        self._hook = model.register_forward_pre_hook(self._before_forward, with_kwargs=True)

    @torch.compiler.disable  # reads lengths and timesteps on the host; layers get them outside of any graph
    def _before_forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arguments = self._signature.bind_partial(model, *args, **kwargs).arguments
        state, known = self.state, self.known
        state.grid = known.grid(model, arguments)
        state.text = known.text(arguments)
        lengths = known.text_lengths(arguments)
        state.text_lengths = None if lengths is None else [int(length) for length in lengths.tolist()]
        state.step = self.clock.step(arguments["timestep"])
        state.dense_step = self.schedule.is_dense_step(state.step, self.clock.total)
        for layer in self.layers:
            layer.attach()

    def detach(self) -> None:
        self._hook.remove()
        for layer in self.layers:
            layer.detach()


@dataclass
class DraftHandle:
    """What `enable_draft_attention` changed."""

    models: list[ServedModel]

    def report(self) -> Report:
        """How many attention calls were sparse, and how many dense for which reason, since it was switched on."""
        dense: Counter[str] = Counter()
        for served in self.models:
            dense.update(served.state.dense)
        return Report(sum(served.state.sparse for served in self.models), dict(dense))

    def disable(self) -> None:
        """Put the stock attention back; harmless when it is there already."""
        while self.models:
            self.models.pop().detach()


def enable_draft_attention(
    pipe_or_transformer: Any,
    *,
    sparsity: float = 0.9,
    dense_steps: Steps | tuple[Steps, Steps] = 0.25,
    dense_blocks: int = 1,
    strict: bool = False,
    **options: Any,
) -> DraftHandle:
    """Switch the transformers of a diffusers pipeline, or a bare transformer, to draft attention.

    `sparsity` and `options` go to `draft_attention`. `dense_steps`: denoising steps that stay dense, the first ones or
    (first, last), each a count or a share of all; a bare transformer has no scheduler and takes a count of first ones.
    `dense_blocks`: first transformer blocks that stay dense. `strict`: raise DraftAttentionError where a call could
    only be served densely for another reason than these (a mask, tokens beyond the grid); without it such calls run
    dense, a warning says so once, and `report()` counts them.
    Works with guidance as one batch or two calls, padded text, LoRA loaded before or after, fused projections, and
    torch.compile. Attention without a gradient only.
    Raises DraftAttentionError for models that it does not know (pipelines/models.py) or schedules out of range.
    """
    scheduler = getattr(pipe_or_transformer, "scheduler", None)
    inner = [getattr(pipe_or_transformer, name, None) for name in ("transformer", "transformer_2")]
    models = [model for model in inner if model is not None] or [pipe_or_transformer]
    draft_backend()
    schedule = DenseSchedule.of(dense_steps, dense_blocks, scheduler is not None)
    known = [known_model(model) for model in models]
    for model in models:
        if getattr(getattr(model, "_parallel_config", None), "context_parallel_config", None) is not None:
            raise DraftAttentionError(
                "this model hands its attention shards of the sequence (context parallelism), which have no grid"
            )
    served = []
    for model, entry in zip(models, known, strict=True):
        state = ForwardState(
            type(model).__name__, {"sparsity": sparsity, **options}, strict, dense_blocks, entry.text_first
        )
        served.append(ServedModel(model, schedule, StepClock(scheduler), state))
    return DraftHandle(served)
