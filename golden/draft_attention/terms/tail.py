"""The pooled tail: what a query block sees of the key blocks it skips.

A skipped block of n keys contributes sum_j exp(s q.k_j) v_j to the softmax sums. The cumulant expansion of its
log-sum-exp to second order gives one token that stands for the block:

    score = s q.k_mean + log n + s^2/2 * sum_d q_d^2 var_d(k),    value = v_mean

(diagonal covariance). The variances of a head's blocks are alike in how they spread over the channels: var_d of a block
is taken as `k_profile_d * k_spread`, one profile for the head and one factor for the block, so that the last term is
one product for a pair and no matrix product (docs/results.md has what that changes). The paper drops this mass; the
first-order tail leaves out the variance term.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from triptych.golden.draft_attention.terms.geometry import Geometry


@dataclass(frozen=True)
class Tail:
    """One token for each video block, and what its score needs.

    `k_mean`, `v_mean`: `[batch, kv_heads, n_video_blocks, dim]` (for kernels `padded_dim(dim)`, zeros from dim on),
    contiguous, in the dtype of k (bf16 or fp16 on CUDA); statistics over the tokens that a (ragged) block really holds,
    accumulated in fp32. `k_spread`: float32 `[batch, kv_heads, n_video_blocks]` and `k_profile`: float32 `[batch,
    kv_heads, dim]` (or `padded_dim(dim)`), both contiguous: their product is the biased key variance, `k_spread`
    carries the head's trust in it (`trust`), and is zero in a first-order tail. `log_count`: float32
    `[n_video_blocks]`, natural log of the block's token count. float64 for float64 input.
    """

    k_mean: torch.Tensor
    v_mean: torch.Tensor
    k_spread: torch.Tensor
    k_profile: torch.Tensor
    log_count: torch.Tensor

    def of(self, samples: slice) -> Tail:
        """The tail of some samples of the batch."""
        return Tail(
            self.k_mean[samples], self.v_mean[samples], self.k_spread[samples], self.k_profile[samples], self.log_count
        )


def padded_dim(dim: int) -> int:
    """Channels of a kernel's tile that holds head dim `dim`: 64, 128 or 256, the rest zero."""
    return 64 if dim <= 64 else 128 if dim <= 128 else 256


def log_counts(geometry: Geometry, device: torch.device | str) -> torch.Tensor:
    """float32 `[n_video_blocks]`: natural log of the tokens in each video block."""
    return geometry.block_counts[: geometry.n_video_blocks].to(device=device, dtype=torch.float32).log()


def factorised(k_var: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`k_spread` and `k_profile` of the biased variances `[batch, kv_heads, n_video_blocks, dim]` of blocks."""
    wide = torch.float64 if k_var.dtype == torch.float64 else torch.float32
    profile = k_var.mean(2, dtype=wide)
    whole = profile.sum(-1).clamp(min=torch.finfo(torch.float32).tiny)
    return k_var.sum(-1, dtype=wide) / whole[:, :, None], profile
