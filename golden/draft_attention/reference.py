"""Block-sparse attention in plain PyTorch: the definition that every kernel is checked against.

Any device and float dtype; float64 inputs give a float64 reference. Works through query blocks one after the other,
so that memory stays at one block's scores.
"""

from __future__ import annotations

import torch

from triptych.golden.draft_attention.geometry import Geometry
from triptych.golden.draft_attention.tail import Tail


def _tail_columns(
    q: torch.Tensor, tail: Tail, skipped: torch.Tensor, scale: float, groups: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores `[batch, heads, rows, n_video_blocks]` of the pooled tokens and their values."""
    k_mean = tail.k_mean.to(q.dtype).repeat_interleave(groups, dim=1)
    k_var = tail.k_var.to(q.dtype).repeat_interleave(groups, dim=1)
    v_mean = tail.v_mean.to(q.dtype).repeat_interleave(groups, dim=1)
    scores = q @ k_mean.transpose(-1, -2) * scale
    scores = scores + q.square() @ k_var.transpose(-1, -2) * (0.5 * scale * scale)
    scores = scores + tail.log_count.to(q.dtype)
    return scores.masked_fill(~skipped[:, :, None, :], float("-inf")), v_mean


def block_sparse_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor,
    geometry: Geometry,
    scale: float,
    tail: Tail | None = None,
    query_blocks: list[int] | None = None,
) -> torch.Tensor:
    """Attention with -inf outside the block mask.

    q `[batch, q_heads, length, dim]`; k, v `[batch, kv_heads, length, dim]`; `mask` bool `[batch, q_heads, n_blocks,
    n_blocks]`. `tail` adds one token for each skipped video block of a video row. A row that sees nothing gives zeros.
    `query_blocks` limits the work to some query blocks; the other rows of the result are zero.
    Returns `[batch, q_heads, length, dim]` in the dtype of q; computed in fp32 (fp64 for fp64 input).
    """
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    groups = q.shape[1] // k.shape[1]
    keys = k.to(wide).repeat_interleave(groups, dim=1)
    values = v.to(wide).repeat_interleave(groups, dim=1)
    token_blocks = geometry.token_blocks.to(q.device)
    block_tokens = geometry.block_tokens
    n_video = geometry.n_video_blocks
    out = torch.zeros_like(q)
    for block in range(geometry.n_blocks) if query_blocks is None else query_blocks:
        rows = block_tokens[block]
        rows = rows[rows >= 0].to(q.device)
        tile = q[:, :, rows].to(wide)
        seen = mask[:, :, block]
        scores = tile @ keys.transpose(-1, -2) * scale
        scores = scores.masked_fill(~seen[..., token_blocks][:, :, None, :], float("-inf"))
        tile_values = values
        if tail is not None and block < n_video:
            extra, extra_values = _tail_columns(tile, tail, ~seen[..., :n_video], scale, groups)
            scores = torch.cat([scores, extra], dim=-1)
            tile_values = torch.cat([values, extra_values], dim=2)
        weights = torch.softmax(scores, dim=-1).nan_to_num(0.0)
        out[:, :, rows] = (weights @ tile_values).to(q.dtype)
    return out
