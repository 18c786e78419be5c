"""Two rivals' selection rules at block granularity, so that they run under our block kernel at a chosen density.

Written from the papers, not from their code: Sparse VideoGen (arXiv 2502.01776) and SpargeAttn (arXiv 2502.18137).
"""

from __future__ import annotations

import torch

from triptych.golden.draft_attention import Geometry
from triptych.golden.draft_attention.pooling import block_mean
from triptych.golden.draft_attention.selection import DraftStatistic, draft_logits, with_text


def _coordinates(geometry: Geometry, device: torch.device) -> torch.Tensor:
    """float `[n_video_blocks, 3]`: frame, row and column of each block's corner, in tokens."""
    gt, gh, gw = geometry.blocks_per_axis
    axes = [torch.arange(n, device=device) * p for n, p in zip((gt, gh, gw), geometry.pool, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3).float()


def _nearest(distance: torch.Tensor, kept: int) -> torch.Tensor:
    order = distance.argsort(dim=-1, stable=True).argsort(dim=-1, stable=True)
    return order < kept


def svg_mask(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, geometry: Geometry, sparsity: float, scale: float
) -> torch.Tensor:
    """Sparse VideoGen: each head is spatial (near frames) or temporal (near places in all frames), whichever gives
    the smaller error on 64 sampled queries; the first frame is always kept. bool `[batch, heads, n, n]`."""
    n = geometry.n_video_blocks
    place = _coordinates(geometry, q.device)
    frames = (place[:, None, 0] - place[None, :, 0]).abs()
    across = (place[:, None, 1:] - place[None, :, 1:]).norm(dim=-1)
    first = geometry.block_frames.to(q.device)[None, :] == 0
    kept = max(1, round((1 - sparsity) * n))
    span = float(max(across.max(), frames.max())) + 1
    candidates = []
    for major, minor in ((frames, across), (across, frames)):
        candidates.append(_nearest((major * span + minor).masked_fill(first, -1.0), kept))
    sample = torch.randint(geometry.n_video_tokens, (64,), device=q.device) + geometry.video_offset
    token_blocks = geometry.token_blocks.to(q.device)
    logits = (q[:, :, sample].float() @ k.float().transpose(-1, -2)) * scale
    exact = torch.softmax(logits, -1) @ v.float()
    errors = []
    for candidate in candidates:
        seen = with_text(candidate[None, None], geometry)[0, 0][token_blocks[sample]][:, token_blocks]
        out = torch.softmax(logits.masked_fill(~seen, float("-inf")), -1) @ v.float()
        errors.append((out - exact).square().mean(dim=(2, 3)))
    spatial = (errors[0] <= errors[1])[..., None, None]
    return with_text(torch.where(spatial, candidates[0], candidates[1]), geometry)


def sparge_mask(q: torch.Tensor, k: torch.Tensor, geometry: Geometry, sparsity: float, scale: float) -> torch.Tensor:
    """SpargeAttn: each row keeps blocks up to a share of its pooled softmax mass; blocks whose tokens are unlike each
    other (mean cosine to their mean below 0.3) are never judged by their mean and stay. The share is set, for each
    head, to the value that keeps the asked density. bool `[batch, heads, n, n]`."""
    n = geometry.n_video_blocks
    probability = torch.softmax(draft_logits(q, k, geometry, scale, DraftStatistic.MEAN), dim=-1)
    alike_q, alike_k = (_self_similarity(x, geometry) > 0.3 for x in (q, k))
    fixed = ~alike_q[..., :, None] | ~alike_k[..., None, :]
    if fixed.float().mean() > 1 - sparsity:  # nothing would be left to choose: judge every block
        fixed = torch.zeros_like(fixed)
    value, order = probability.sort(dim=-1, descending=True)
    before = torch.zeros_like(probability).scatter_(-1, order, value.cumsum(-1) - value)
    rank_key = before.masked_fill(fixed, -1.0)
    kept = max(1, round((1 - sparsity) * n * n))
    threshold = rank_key.flatten(2).kthvalue(kept, dim=-1).values[..., None, None]
    return with_text(rank_key <= threshold, geometry)


def _self_similarity(x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """`[batch, heads, n_video_blocks]`: squared norm of the mean of the block's unit vectors, the mean cosine of its
    pairs."""
    unit = torch.nn.functional.normalize(x.float(), dim=-1)
    return block_mean(unit, geometry).square().sum(-1)
