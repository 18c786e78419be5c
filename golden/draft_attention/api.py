"""The library call: sparse attention over a video, guided by its own low-resolution draft."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from triptych.golden.draft_attention.dispatch import Backend, check_kernel_inputs, choose_backend, run
from triptych.golden.draft_attention.errors import DraftAttentionError
from triptych.golden.draft_attention.geometry import Geometry, TextPlacement
from triptych.golden.draft_attention.selection import DraftStatistic, SelectionRule


def _check_tensors(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    if any(x.dim() != 4 for x in (q, k, v)):
        raise DraftAttentionError(
            f"q, k and v must be [batch, heads, length, dim]; got {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
        )
    if k.shape != v.shape:
        raise DraftAttentionError(f"k and v must have one shape; got {tuple(k.shape)} and {tuple(v.shape)}")
    if (q.shape[0], *q.shape[2:]) != (k.shape[0], *k.shape[2:]):
        raise DraftAttentionError(
            f"q and k must agree in batch, length and dim (self-attention); got {tuple(q.shape)} and {tuple(k.shape)}"
        )
    if min(q.shape) < 1 or k.shape[1] < 1 or q.shape[1] % k.shape[1]:
        raise DraftAttentionError(f"{q.shape[1]} query heads are no multiple of {k.shape[1]} key heads")
    if not (q.dtype == k.dtype == v.dtype) or not q.dtype.is_floating_point:
        raise DraftAttentionError(f"q, k and v must share one float dtype; got {q.dtype}, {k.dtype}, {v.dtype}")
    if not (q.device == k.device == v.device):
        raise DraftAttentionError(f"q, k and v must lie on one device; got {q.device}, {k.device}, {v.device}")
    if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)):
        raise DraftAttentionError("draft attention has no gradient: call it under torch.no_grad() or detach q, k, v")


def _head_major(x: torch.Tensor) -> torch.Tensor:
    """Kernels need the last axis contiguous; any other strides are read in place."""
    return x if x.stride(-1) == 1 else x.contiguous()


def draft_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    grid: tuple[int, int, int],
    sparsity: float | Sequence[float] = 0.9,
    pool: tuple[int, ...] = (8, 16),
    text: TextPlacement | str = TextPlacement.AFTER,
    scale: float | None = None,
    tail: bool | None = None,
    faithful: bool = False,
    row_floor: int | None = None,
    first_frame_sink: bool = False,
    same_frame: bool = False,
    statistic: DraftStatistic | str = DraftStatistic.MEAN,
    backend: Backend | str | None = None,
    heads_per_pass: int | None = None,
    eight_bit: bool = False,
) -> torch.Tensor:
    """Training-free sparse self-attention for video transformers (DraftAttention, arXiv 2505.14708).

    Args:
        q: `[batch, q_heads, length, dim]`, after rotary embedding and qk-norm; float16 or bfloat16 and dim 64 or 128
            on CUDA, any float dtype on CPU.
        k, v: `[batch, kv_heads, length, dim]`; kv_heads divides q_heads.
        grid: (frames, height, width) of the latent in tokens. Tokens beyond it are text, always attended densely.
        sparsity: share of video block pairs left out, in [0, 1): one number or one for each query head.
        pool: (height, width) or (frames, height, width) of a block in tokens. Edges need not divide.
        text: "after" or "before": where the text tokens stand.
        scale: factor on the logits; 1/sqrt(dim) by default.
        tail: let each left-out block enter as one pooled token (`tail.Tail`). On unless `faithful` or `eight_bit`.
        faithful: the paper's mask rule bit for bit (a row may then attend to no video at all).
        row_floor: key blocks every video row keeps at least; three quarters of the mean row when None.
        first_frame_sink, same_frame: every row also keeps the first frame, or its own.
        statistic: "mean" or "mean+max": what stands for a block in the draft.
        backend: "reference", "triton" or "hopper"; by device when None.
        eight_bit: 8-bit products on Hopper, without the tail (its error stands in docs/results.md).
        heads_per_pass: work through the heads in groups of this size, to save memory.

    Returns `[batch, q_heads, length, dim]`, dtype of q. There is no gradient.
    Raises DraftAttentionError (a ValueError) on tensors, grids, options or devices it cannot serve.
    """
    _check_tensors(q, k, v)
    geometry = Geometry.for_length(q.shape[2], grid, pool, text)
    try:
        chosen = choose_backend(q.device) if backend is None else Backend(backend)
        kind = DraftStatistic(statistic)
    except ValueError as error:
        raise DraftAttentionError(str(error)) from None
    with_tail = not (faithful or eight_bit) if tail is None else tail
    check_kernel_inputs(chosen, q, geometry, eight_bit, with_tail)
    rule = SelectionRule(
        sparsity if isinstance(sparsity, (int, float)) else tuple(sparsity),
        faithful=faithful,
        row_floor=row_floor,
        first_frame_sink=first_frame_sink,
        same_frame=same_frame,
        statistic=kind,
    )
    rule.head_sparsity(q.shape[1])
    if heads_per_pass is not None and heads_per_pass < 1:
        raise DraftAttentionError(f"heads_per_pass must be >= 1; got {heads_per_pass}")
    logit_scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    with torch.no_grad():
        return run(
            chosen, _head_major(q), _head_major(k), _head_major(v), geometry, rule, logit_scale, with_tail,
            heads_per_pass, eight_bit,
        )  # fmt: skip
