"""Block-sparse attention in plain PyTorch: the definition that every kernel is checked against.

Any device and float dtype; float64 inputs give a float64 reference. Works through query blocks one after the other,
so that memory stays at one block's scores.
"""

from __future__ import annotations

import torch

from triptych.golden.draft_attention.terms.layout import Layout
from triptych.golden.draft_attention.terms.tail import Tail


def _tail_columns(
    q: torch.Tensor, tail: Tail, skipped: torch.Tensor, scale: float, groups: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores `[batch, heads, rows, n_video_blocks]` of the pooled tokens and their values."""
    k_mean = tail.k_mean.to(q.dtype).repeat_interleave(groups, dim=1)
    spread = tail.k_spread.to(q.dtype).repeat_interleave(groups, dim=1)[:, :, None]
    profile = tail.k_profile.to(q.dtype).repeat_interleave(groups, dim=1)[..., None]
    v_mean = tail.v_mean.to(q.dtype).repeat_interleave(groups, dim=1)
    scores = q @ k_mean.transpose(-1, -2) * scale
    scores = scores + (q.square() @ profile) * spread * (0.5 * scale * scale)
    scores = scores + tail.log_count.to(q.dtype)
    return scores.masked_fill(~skipped[:, :, None, :], float("-inf")), v_mean


def block_sparse_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor,
    layout: Layout,
    scale: float,
    tail: Tail | None = None,
    query_blocks: list[int] | None = None,
) -> torch.Tensor:
    """`attend` without its log-sum-exp, for queries and keys of one layout."""
    return attend(q, k, v, mask, layout, layout, scale, tail, query_blocks)[0]


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor,
    query_layout: Layout,
    key_layout: Layout,
    scale: float,
    tail: Tail | None = None,
    query_blocks: list[int] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention with -inf outside the block mask.

    q `[batch, q_heads, q_length, dim]`; k, v `[batch, kv_heads, k_length, dim]`; `mask` bool `[batch, q_heads,
    n_query_blocks, n_key_blocks]`. `tail` adds one token for each skipped video block of a video row. A row that sees
    nothing, and a row that is in no block, gives zeros. `query_blocks` limits the work to some query blocks; the other
    rows of the result are zero.
    Returns the output, like q, and float32 `[batch, q_heads, q_length]`: the natural log of each row's sum of
    exponentials (the tail's among them), -inf where it sees nothing. Computed in fp32 (fp64 for fp64 input).
    """
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    groups = q.shape[1] // k.shape[1]
    out = torch.zeros_like(q)
    lse = torch.full(q.shape[:3], float("-inf"), dtype=torch.float32, device=q.device)
    for sample in range(q.shape[0]):
        row = slice(sample, sample + 1)
        keys = k[row].to(wide).repeat_interleave(groups, dim=1)
        values = v[row].to(wide).repeat_interleave(groups, dim=1)
        key_block = _block_of_token(key_layout, sample).to(q.device)
        in_some_block = key_block >= 0
        values = values.masked_fill(~in_some_block[:, None], 0.0)  # padding may hold anything: 0 x NaN is NaN
        query_tokens = query_layout.tokens(sample)
        part = tail and tail.of(row)
        n_video = 0 if tail is None else len(tail.log_count)
        for block in range(query_layout.n_blocks) if query_blocks is None else query_blocks:
            rows = query_tokens[block]
            rows = rows[rows >= 0].to(q.device)
            tile = q[row][:, :, rows].to(wide)
            seen = mask[row, :, block]
            visible = seen[..., key_block.clamp(min=0)] & in_some_block
            scores = (tile @ keys.transpose(-1, -2) * scale).masked_fill(~visible[:, :, None, :], float("-inf"))
            tile_values = values
            if part is not None and block < n_video:
                extra, extra_values = _tail_columns(tile, part, ~seen[..., :n_video], scale, groups)
                scores = torch.cat([scores, extra], dim=-1)
                tile_values = torch.cat([values, extra_values], dim=2)
            weights = torch.softmax(scores, dim=-1).nan_to_num(0.0)
            out[row, :, rows] = (weights @ tile_values).to(q.dtype)
            lse[row, :, rows] = torch.logsumexp(scores, dim=-1).to(torch.float32)
    return out, lse


def _block_of_token(layout: Layout, sample: int) -> torch.Tensor:
    """int64 `[length]` (CPU): the block of every token, -1 for padding."""
    tokens = layout.tokens(sample)
    of_token = torch.full((layout.length,), -1)
    block = torch.arange(layout.n_blocks)[:, None].expand_as(tokens)
    of_token[tokens[tokens >= 0]] = block[tokens >= 0]
    return of_token
