"""Which key blocks each query block attends to: draft map, budget, mask, lists.

The paper's rule (arXiv 2505.14708, section 3.2; its published code): pool q and k, A = softmax(Q~ K~^T / sqrt(d)), and
for each head keep the entries of the whole g x g map that reach one threshold, the int(sparsity * g^2)-th smallest.
Ties are kept, and a row may keep nothing.

Our rule ranks the same numbers as logarithms, log A = logit - logsumexp(row), gives every row its `row_floor` largest
entries (and the blocks that the options name) before the rest of the head's budget is spent, and so leaves no row
empty. Text blocks take no part: every row sees all of them and text rows see everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import torch

from triptych.golden.draft_attention.pooling import block_max, block_mean, block_spread, block_square, block_variance
from triptych.golden.draft_attention.terms.errors import DraftAttentionError
from triptych.golden.draft_attention.terms.geometry import Geometry


class DraftStatistic(Enum):
    """What stands for a block in the draft map."""

    MEAN = "mean"
    """The average of its tokens (the paper)."""
    MEAN_AND_MAX = "mean+max"
    """Average and channel-wise maximum; the draft logit is the mean of the two products."""


class Criterion(Enum):
    """What a block pair is ranked by."""

    MASS = "mass"
    """Its share of the row's attention in the draft map (the paper)."""
    TAIL_ERROR = "tail error"
    """The error that the pooled tail would make of it: see `error_keys`."""


@dataclass(frozen=True)
class SelectionRule:
    """How blocks are chosen.

    `sparsity`: share of video-video block pairs left out, one number in [0, 1) or one for each query head.
    `faithful`: the paper's mask bit for bit (no floor, no options).
    `row_floor`: key blocks that each video row keeps at least; None for three quarters of the head's mean row. A
    floor that high costs nothing in error where a few rows would take the whole budget (docs/results.md).
    `first_frame_sink`: every row keeps the blocks of the first frame. `same_frame`: and those of its own frame.
    Kept blocks of either kind count towards the budget; where they alone exceed it they all stay.
    `criterion`: what pairs are ranked by.
    Raises DraftAttentionError on values out of range or options that the faithful rule does not have.
    """

    sparsity: float | tuple[float, ...] = 0.9
    faithful: bool = False
    row_floor: int | None = None
    first_frame_sink: bool = False
    same_frame: bool = False
    statistic: DraftStatistic = DraftStatistic.MEAN
    criterion: Criterion = Criterion.MASS

    def __post_init__(self) -> None:
        shares = self.sparsity if isinstance(self.sparsity, tuple) else (self.sparsity,)
        if not shares or any(not 0.0 <= share < 1.0 for share in shares):
            raise DraftAttentionError(f"sparsity must lie in [0, 1); got {self.sparsity}")
        if self.row_floor is not None and self.row_floor < 0:
            raise DraftAttentionError(f"row_floor must be >= 0 blocks; got {self.row_floor}")
        if self.faithful and (self.first_frame_sink or self.same_frame or self.statistic is not DraftStatistic.MEAN):
            raise DraftAttentionError("faithful=True is the paper's rule alone: drop the selection options")
        if self.criterion is Criterion.TAIL_ERROR and (self.faithful or self.statistic is not DraftStatistic.MEAN):
            raise DraftAttentionError("a choice by the tail's error takes no other statistic than the mean")

    def head_sparsity(self, heads: int) -> tuple[float, ...]:
        """The sparsity of each of `heads` query heads. Raises DraftAttentionError when the count differs."""
        if not isinstance(self.sparsity, tuple):
            return (self.sparsity,) * heads
        if len(self.sparsity) != heads:
            raise DraftAttentionError(f"sparsity names {len(self.sparsity)} heads, but q has {heads}")
        return self.sparsity

    def head_floors(self, heads: int, n_video_blocks: int) -> tuple[int, ...]:
        """Key blocks that each row keeps at least, for each of `heads` query heads."""
        if self.row_floor is not None:
            return (self.row_floor,) * heads
        return tuple(max(1, int(0.75 * (1.0 - share) * n_video_blocks)) for share in self.head_sparsity(heads))

    def check_floor(self, geometry: Geometry) -> None:
        """Raises DraftAttentionError when `row_floor` asks for more blocks than the map has."""
        if self.row_floor is not None and self.row_floor > geometry.n_video_blocks:
            raise DraftAttentionError(
                f"row_floor must not exceed the grid's {geometry.n_video_blocks} video blocks; got {self.row_floor}"
            )

    def with_sparsity(self, sparsity: tuple[float, ...]) -> SelectionRule:
        """The same rule for another set of heads."""
        return replace(self, sparsity=sparsity)

    def rows_together(self, geometry: Geometry) -> int:
        """Neighbouring query blocks, by number, that get one set: two where blocks hold 64 tokens.

        A key block is then read for 128 queries at once, which the kernels need to keep the tensor cores busy, and the
        error hardly grows (docs/results.md). Ranking by mass, the paper's choice, leaves every row its own.
        """
        return 2 if self.criterion is Criterion.TAIL_ERROR and geometry.block_size == PAIRED_BLOCK else 1


PAIRED_BLOCK = 64
LARGEST_GAIN = 8.0  # of a block's mass in log units: beyond, its variance says nothing
SMALLEST = 1e-6  # keeps the logarithms of vanishing variances finite


def keep_budget(sparsity: float, n_pairs: int) -> int:
    """Block pairs of `n_pairs` that a head keeps at `sparsity`, nearest integer, at least one."""
    return max(1, n_pairs - round(sparsity * n_pairs))


def draft_logits(
    q: torch.Tensor, k: torch.Tensor, geometry: Geometry, scale: float, statistic: DraftStatistic
) -> torch.Tensor:
    """The low-resolution logits `[batch, q_heads, n_video_blocks, n_video_blocks]`, fp32 (fp64 for fp64 input).

    q `[batch, q_heads, length, dim]`, k `[batch, kv_heads, length, dim]`. Pooled values are rounded to the inputs'
    dtype; their products are accumulated in fp32.
    """
    pooled_q, pooled_k = block_mean(q, geometry), block_mean(k, geometry)
    if statistic is DraftStatistic.MEAN_AND_MAX:
        pooled_q = torch.cat([pooled_q, block_max(q, geometry)], dim=-1)
        pooled_k = torch.cat([pooled_k, block_max(k, geometry)], dim=-1)
        scale = scale / 2
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    groups = q.shape[1] // k.shape[1]
    pooled_k = pooled_k.to(wide).repeat_interleave(groups, dim=1)
    return pooled_q.to(wide) @ pooled_k.transpose(-1, -2) * scale


def paper_mask(logits: torch.Tensor, sparsity: tuple[float, ...]) -> torch.Tensor:
    """The published rule: bool `[batch, heads, g, g]` from draft logits of that shape and a sparsity for each head.

    The count of left-out entries is formed in the same float steps as the published code, which takes the kept share
    1 - sparsity and computes int((1 - kept) * g^2).
    """
    probability = torch.softmax(logits, dim=-1)
    n_pairs = logits.shape[-2] * logits.shape[-1]
    mask = torch.ones_like(logits, dtype=torch.bool)
    for head, share in enumerate(sparsity):
        left_out = int((1.0 - (1.0 - share)) * n_pairs)
        if left_out > 0:
            flat = probability[:, head].flatten(1)
            threshold = flat.kthvalue(left_out, dim=1).values
            mask[:, head] = probability[:, head] >= threshold[:, None, None]
    return mask


def error_keys(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, geometry: Geometry, scale: float) -> torch.Tensor:
    """Logarithm of the error that the tail's token would make in place of a block, up to a constant of the head.

    The block's tokens spread their logits with variance s2 = scale^2 E[q^2] . var(k) (diagonal, over the query block's
    tokens too) and their values with var(v). To first order the token errs by its mass times sqrt(s2 var(v)):

        log A + 1/2 log s2 + 1/2 log var(v),    A = softmax(scale q.k_mean + log n + s2/2)

    q `[batch, q_heads, length, dim]`, k and v `[batch, kv_heads, length, dim]`. Returns `[batch, q_heads,
    n_video_blocks, n_video_blocks]`, fp32 (fp64 for fp64 input).
    """
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    groups = q.shape[1] // k.shape[1]
    variance = block_variance(k, geometry).to(wide).repeat_interleave(groups, dim=1)
    spread = block_spread(v, geometry).to(wide).repeat_interleave(groups, dim=1)[:, :, None]
    squared = scale**2 * block_square(q, geometry).to(wide) @ variance.transpose(-1, -2)
    logits = draft_logits(q, k, geometry, scale, DraftStatistic.MEAN)
    counts = geometry.block_counts[: geometry.n_video_blocks].to(device=q.device, dtype=wide).log()
    mass = torch.log_softmax(logits + counts + (squared / 2).clamp(max=LARGEST_GAIN), dim=-1)
    return mass + 0.5 * torch.log(squared + SMALLEST) + 0.5 * torch.log(spread + SMALLEST)


def paired_keys(keys: torch.Tensor) -> torch.Tensor:
    """One row of `error_keys` for two neighbouring query blocks, whose squared errors add up."""
    padded = torch.nn.functional.pad(keys, (0, 0, 0, keys.shape[-2] % 2), value=-math.inf)
    return 0.5 * torch.logaddexp(2 * padded[:, :, 0::2], 2 * padded[:, :, 1::2])


def forced_blocks(geometry: Geometry, rule: SelectionRule, device: torch.device) -> torch.Tensor | None:
    """bool `[n_video_blocks, n_video_blocks]` of the pairs that the options always keep; None where none are set."""
    if not (rule.first_frame_sink or rule.same_frame):
        return None
    frames = geometry.block_frames.to(device)
    forced = torch.zeros(len(frames), len(frames), dtype=torch.bool, device=device)
    if rule.first_frame_sink:
        forced |= frames[None, :] == 0
    if rule.same_frame:
        forced |= frames[:, None] == frames[None, :]
    return forced


def mask_from_keys(
    keys: torch.Tensor, sparsity: tuple[float, ...], rule: SelectionRule, geometry: Geometry
) -> torch.Tensor:
    """Our rule on a map of keys `[batch, heads, rows, g]`: bool of that shape. Ties with a threshold are kept."""
    forced = forced_blocks(geometry, rule, keys.device)
    if forced is not None and keys.shape[-2] < len(forced):
        odd = torch.nn.functional.pad(forced, (0, 0, 0, len(forced) % 2))
        forced = odd[0::2] | odd[1::2]
    mask = torch.empty_like(keys, dtype=torch.bool)
    n_pairs = keys.shape[-2] * keys.shape[-1]
    floors = rule.head_floors(len(sparsity), keys.shape[-1])
    for head, (share, floor) in enumerate(zip(sparsity, floors, strict=True)):
        ours = keys[:, head]
        if floor:
            ours = ours.masked_fill(ours >= ours.topk(floor, dim=-1).values[..., -1:], math.inf)
        if forced is not None:
            ours = ours.masked_fill(forced, math.inf)
        left_out = n_pairs - keep_budget(share, n_pairs)
        threshold = ours.flatten(1).kthvalue(left_out + 1, dim=1).values
        mask[:, head] = ours >= threshold[:, None, None]
    return mask


def floored_mask(
    logits: torch.Tensor, sparsity: tuple[float, ...], rule: SelectionRule, geometry: Geometry
) -> torch.Tensor:
    """Our rule on draft logits `[batch, heads, g, g]`."""
    return mask_from_keys(torch.log_softmax(logits, dim=-1), sparsity, rule, geometry)


def with_text(mask: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """The video mask `[batch, heads, n_video_blocks, n_video_blocks]` grown by dense text rows and columns."""
    n = geometry.n_blocks
    full = torch.ones(*mask.shape[:2], n, n, dtype=torch.bool, device=mask.device)
    full[:, :, : mask.shape[2], : mask.shape[3]] = mask
    return full


def draft_mask(
    q: torch.Tensor,
    k: torch.Tensor,
    geometry: Geometry,
    rule: SelectionRule,
    scale: float,
    v: torch.Tensor | None = None,
) -> torch.Tensor:
    """The block mask of a call: bool `[batch, q_heads, n_blocks, n_blocks]`, rows are query blocks.

    `v` is needed for a choice by the tail's error alone.
    """
    sparsity = rule.head_sparsity(q.shape[1])
    if rule.criterion is Criterion.TAIL_ERROR:
        assert v is not None
        keys = error_keys(q, k, v, geometry, scale)
        if rule.rows_together(geometry) == 2:
            keys = paired_keys(keys)
        mask = mask_from_keys(keys, sparsity, rule, geometry)
        mask = mask.repeat_interleave(rule.rows_together(geometry), dim=2)[:, :, : geometry.n_video_blocks]
        return with_text(mask, geometry)
    logits = draft_logits(q, k, geometry, scale, rule.statistic)
    mask = paper_mask(logits, sparsity) if rule.faithful else floored_mask(logits, sparsity, rule, geometry)
    return with_text(mask, geometry)
