"""Draft attention in `diffusers` video transformers (HunyuanVideo, Wan), switched on in one call.

The schedule is the paper's (arXiv 2505.14708, section 4.1): the first share of the denoising steps and the first
transformer blocks stay dense and use the stock processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

from triptych.golden.draft_attention.api import draft_attention
from triptych.golden.draft_attention.errors import DraftAttentionError


@dataclass
class DraftSchedule:
    """When a transformer uses draft attention, and what it knows about the running forward pass.

    `dense_steps`: first denoising steps that stay dense, a count or (with a scheduler) a share of all steps.
    `dense_blocks`: first transformer blocks that stay dense. `options`: keyword arguments of `draft_attention`.
    """

    dense_steps: int | float
    dense_blocks: int
    scheduler: Any | None
    options: dict[str, Any]
    step: int = 0
    grid: tuple[int, int, int] = (1, 1, 1)
    text_lengths: list[int] | None = None
    _last_timestep: float = field(default=math.inf)

    def __post_init__(self) -> None:
        if isinstance(self.dense_steps, float) and self.scheduler is None:
            raise DraftAttentionError(
                "a share of dense steps needs a scheduler: pass the pipeline, or dense_steps as a count"
            )
        if self.dense_steps < 0 or (isinstance(self.dense_steps, float) and self.dense_steps > 1):
            raise DraftAttentionError(f"dense_steps must be a count >= 0 or a share in [0, 1]; got {self.dense_steps}")
        if self.dense_blocks < 0:
            raise DraftAttentionError(f"dense_blocks must be >= 0; got {self.dense_blocks}")

    def start_forward(self, timestep: torch.Tensor) -> None:
        """Find the denoising step of this forward pass.

        The scheduler counts steps itself. Without one a smaller timestep is the next step and a larger one a new
        video; the two passes of classifier-free guidance share a timestep.
        """
        if self.scheduler is not None:
            self.step = self.scheduler.step_index or 0
            return
        now = float(timestep.max())
        if now > self._last_timestep or self._last_timestep == math.inf:
            self.step = 0
        elif now < self._last_timestep:
            self.step += 1
        self._last_timestep = now

    def is_dense(self, block: int) -> bool:
        """Whether transformer block `block` runs dense in this forward pass."""
        first = self.dense_steps
        if isinstance(first, float):
            first = math.ceil(first * len(self.scheduler.timesteps)) if self.scheduler is not None else 0
        return block < self.dense_blocks or self.step < first

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Draft attention of `[batch, length, heads, dim]` tensors; padded text tokens are neither seen nor written.

        Returns `[batch, length, heads, dim]`, zero at padded text tokens.
        """
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        length = q.shape[2]
        if self.text_lengths is None:
            return draft_attention(q, k, v, grid=self.grid, **self.options).transpose(1, 2)
        video = math.prod(self.grid)
        if len(set(self.text_lengths)) == 1 and video + self.text_lengths[0] == length:
            return draft_attention(q, k, v, grid=self.grid, **self.options).transpose(1, 2)
        out = torch.zeros_like(q)
        for sample, text in enumerate(self.text_lengths):
            row, end = slice(sample, sample + 1), video + text
            pieces = (x[row, :, :end] for x in (q, k, v))
            out[row, :, :end] = draft_attention(*pieces, grid=self.grid, **self.options)
        return out.transpose(1, 2)


def _project_out(attn: Any, hidden: torch.Tensor) -> torch.Tensor:
    projected: torch.Tensor = attn.to_out[1](attn.to_out[0](hidden))
    return projected


class HunyuanVideoDraftProcessor:
    """Attention processor for `HunyuanVideoTransformer3DModel`: video tokens first, then text."""

    def __init__(self, stock: Any, schedule: DraftSchedule, block: int) -> None:
        self.stock, self.schedule, self.block = stock, schedule, block

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Shapes and meaning as in the stock processor; the mask is known from the text lengths."""
        if self.schedule.is_dense(self.block) or encoder_hidden_states is None:
            return self.stock(attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)
        from diffusers.models.embeddings import apply_rotary_emb

        def split_heads(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(2, (attn.heads, -1))

        def rotate(x: torch.Tensor) -> torch.Tensor:
            if image_rotary_emb is None:
                return x
            return cast(torch.Tensor, apply_rotary_emb(x, cast(Any, image_rotary_emb), sequence_dim=1))

        video, text = hidden_states, encoder_hidden_states
        q, k, v = (split_heads(project(video)) for project in (attn.to_q, attn.to_k, attn.to_v))
        joint = attn.add_q_proj is None  # single-stream blocks project text and video with the same weights
        projections = (
            (attn.to_q, attn.to_k, attn.to_v) if joint else (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
        )
        text_q, text_k, text_v = (split_heads(project(text)) for project in projections)
        norms = (attn.norm_q, attn.norm_k) if joint else (attn.norm_added_q, attn.norm_added_k)
        q, k = (rotate(x if norm is None else norm(x)) for x, norm in ((q, attn.norm_q), (k, attn.norm_k)))
        text_q, text_k = (x if norm is None else norm(x) for x, norm in zip((text_q, text_k), norms, strict=True))
        q, k, v = (torch.cat(pair, dim=1) for pair in ((q, text_q), (k, text_k), (v, text_v)))
        out = self.schedule.attend(q, k, v).flatten(2, 3)
        video_out, text_out = out.split([video.shape[1], text.shape[1]], dim=1)
        if getattr(attn, "to_out", None) is not None:
            video_out = _project_out(attn, video_out)
        if getattr(attn, "to_add_out", None) is not None:
            text_out = attn.to_add_out(text_out)
        return video_out, text_out


def _rotate_pairs(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Wan's rotary embedding: channel pairs (2i, 2i + 1) turned by the angles of `cos[..., 2i]`, `sin[..., 2i + 1]`."""
    even, odd = x[..., 0::2], x[..., 1::2]
    c, s = cos[..., 0::2], sin[..., 1::2]
    return torch.stack((even * c - odd * s, even * s + odd * c), dim=-1).flatten(-2).type_as(x)


class WanDraftProcessor:
    """Attention processor for the self-attention of `WanTransformer3DModel`; there is no text in the sequence."""

    def __init__(self, stock: Any, schedule: DraftSchedule, block: int) -> None:
        self.stock, self.schedule, self.block = stock, schedule, block

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Shapes and meaning as in the stock processor."""
        if self.schedule.is_dense(self.block) or encoder_hidden_states is not None or attention_mask is not None:
            return self.stock(attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)
        if attn.fused_projections:
            q, k, v = attn.to_qkv(hidden_states).chunk(3, dim=-1)
        else:
            q, k, v = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        q, k, v = (x.unflatten(2, (attn.heads, -1)) for x in (attn.norm_q(q), attn.norm_k(k), v))
        if rotary_emb is not None:
            q, k = _rotate_pairs(q, *rotary_emb), _rotate_pairs(k, *rotary_emb)
        return _project_out(attn, self.schedule.attend(q, k, v).flatten(2, 3))


@dataclass
class DraftHandle:
    """What `enable_draft_attention` changed. `disable()` puts the stock processors back."""

    schedules: list[DraftSchedule]
    _undo: list[Callable[[], None]]

    def disable(self) -> None:
        while self._undo:
            self._undo.pop()()


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    return kwargs[name] if name in kwargs else args[position] if len(args) > position else None


def _latent_grid(hidden: torch.Tensor, patch: tuple[int, int, int]) -> tuple[int, int, int]:
    frames, height, width = hidden.shape[-3:]
    return frames // patch[0], height // patch[1], width // patch[2]


def _hook_transformer(model: Any, schedule: DraftSchedule) -> list[Callable[[], None]]:
    name = type(model).__name__
    processor: type[HunyuanVideoDraftProcessor] | type[WanDraftProcessor]
    layers: Iterable[Any]
    if name == "HunyuanVideoTransformer3DModel":
        side = model.config.patch_size
        patch, processor = (model.config.patch_size_t, side, side), HunyuanVideoDraftProcessor
        layers = [block.attn for block in (*model.transformer_blocks, *model.single_transformer_blocks)]
    elif name == "WanTransformer3DModel":
        patch, processor = tuple(model.config.patch_size), WanDraftProcessor
        layers = [block.attn1 for block in model.blocks]
    else:
        raise DraftAttentionError(
            f"draft attention knows HunyuanVideoTransformer3DModel and WanTransformer3DModel; got {name}"
        )
    undo: list[Callable[[], None]] = []
    for number, attn in enumerate(layers):
        stock = attn.processor
        attn.set_processor(processor(stock, schedule, number))
        undo.append(lambda attn=attn, stock=stock: attn.set_processor(stock))  # type: ignore[misc]

    def before_forward(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        schedule.grid = _latent_grid(_argument(args, kwargs, 0, "hidden_states"), patch)
        schedule.start_forward(_argument(args, kwargs, 1, "timestep"))
        if processor is HunyuanVideoDraftProcessor:
            mask = _argument(args, kwargs, 3, "encoder_attention_mask")
            schedule.text_lengths = mask.sum(dim=1).tolist()

    undo.append(model.register_forward_pre_hook(before_forward, with_kwargs=True).remove)
    return undo


def enable_draft_attention(
    pipe_or_transformer: Any,
    *,
    sparsity: float = 0.9,
    dense_steps: int | float = 0.25,
    dense_blocks: int = 1,
    **options: Any,
) -> DraftHandle:
    """Switch a HunyuanVideo or Wan pipeline, or a bare transformer, to draft attention.

    `sparsity` and `options` go to `draft_attention`. `dense_steps`: first denoising steps that stay dense, a count or
    a share (a bare transformer has no scheduler and takes a count). `dense_blocks`: first blocks that stay dense.
    Guidance batches and padded text are handled; attention without a gradient only.
    Raises DraftAttentionError for other models or schedules out of range.
    """
    scheduler = getattr(pipe_or_transformer, "scheduler", None)
    names = ("transformer", "transformer_2")
    inner = [getattr(pipe_or_transformer, name, None) for name in names]
    models = [model for model in inner if model is not None] or [pipe_or_transformer]
    schedules, undo = [], []
    for model in models:
        schedule = DraftSchedule(dense_steps, dense_blocks, scheduler, {"sparsity": sparsity, **options})
        undo += _hook_transformer(model, schedule)
        schedules.append(schedule)
    return DraftHandle(schedules, undo)
