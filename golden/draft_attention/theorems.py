"""The paper's two bounds (arXiv 2505.14708, section 3.3), evaluated on given tensors.

With S the full logit map of n video tokens, S_draft the draft map spread over each block, delta the largest
|S - S_draft|, M the token mask of kept blocks, r the kept share and t the largest |S_draft| among the left-out:

    |S - S_draft|_F <= delta n,        |S - S . M|_F <= n (delta + t) sqrt(1 - r)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from triptych.golden.draft_attention.selection import DraftStatistic, draft_logits
from triptych.golden.draft_attention.terms.geometry import Geometry


@dataclass(frozen=True)
class Bound:
    """One theorem on one map: the Frobenius norm that is there and the one that the theorem allows."""

    observed: float
    allowed: float


def theorem_bounds(
    q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor, geometry: Geometry, scale: float
) -> tuple[Bound, Bound]:
    """Both bounds for one head: q, k `[length, dim]`, `mask` bool `[n_blocks, n_blocks]`; float64 inside."""
    q64, k64 = q[None, None].double(), k[None, None].double()
    start, n = geometry.video_offset, geometry.n_video_tokens
    blocks = geometry.token_blocks[start : start + n].to(q.device)
    logits = q64[0, 0, start : start + n] @ k64[0, 0, start : start + n].T * scale
    draft = draft_logits(q64, k64, geometry, scale, DraftStatistic.MEAN)[0, 0]
    spread = draft[blocks][:, blocks]
    kept = mask[blocks][:, blocks]
    delta = (logits - spread).abs().max()
    left_out = spread[~kept].abs()
    t = left_out.max() if left_out.numel() else torch.zeros_like(delta)
    dropped_share = 1.0 - kept.double().mean()
    first = Bound(float((logits - spread).norm()), float(delta * n))
    second = Bound(float((logits * ~kept).norm()), float(n * (delta + t) * dropped_share.sqrt()))
    return first, second
