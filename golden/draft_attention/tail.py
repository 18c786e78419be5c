"""The pooled tail: what a query block sees of the key blocks it skips.

A skipped block of n keys contributes sum_j exp(s q.k_j) v_j to the softmax sums. The cumulant expansion of its
log-sum-exp to second order gives one token that stands for the block:

    score = s q.k_mean + log n + s^2/2 * sum_d q_d^2 var_d(k),    value = v_mean

(diagonal covariance). The paper drops this mass; the first-order tail leaves out the variance term.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from triptych.golden.draft_attention.geometry import Geometry


@dataclass(frozen=True)
class Tail:
    """One token for each video block, and what its score needs.

    `k_mean`, `v_mean`, `k_var`: `[batch, kv_heads, n_video_blocks, dim]` (for kernels `padded_dim(dim)`, zeros from
    dim on), contiguous, in the dtype of k (bf16 or fp16 on CUDA); statistics over the tokens that a (ragged) block
    really holds, accumulated in fp32; `k_var` is the biased variance (divided by n). `log_count`: float32
    `[n_video_blocks]`, natural log of the block's token count.
    A first-order tail has `k_var` zero.
    """

    k_mean: torch.Tensor
    v_mean: torch.Tensor
    k_var: torch.Tensor
    log_count: torch.Tensor


def padded_dim(dim: int) -> int:
    """Channels of a kernel's tile that holds head dim `dim`: 64, 128 or 256, the rest zero."""
    return 64 if dim <= 64 else 128 if dim <= 128 else 256


def log_counts(geometry: Geometry, device: torch.device | str) -> torch.Tensor:
    """float32 `[n_video_blocks]`: natural log of the tokens in each video block."""
    return geometry.block_counts[: geometry.n_video_blocks].to(device=device, dtype=torch.float32).log()
