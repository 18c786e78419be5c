"""The library calls: sparse attention over a video guided by its own low-resolution draft, and its two halves."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import torch

from triptych.golden.draft_attention import ops
from triptych.golden.draft_attention.dispatch import Backend
from triptych.golden.draft_attention.selection import PAIRED_BLOCK, DraftStatistic
from triptych.golden.draft_attention.terms.block_sets import BlockSets, sets_from_mask
from triptych.golden.draft_attention.terms.errors import DraftAttentionError
from triptych.golden.draft_attention.terms.geometry import Geometry, TextPlacement


def _refuse_gradients(*tensors: torch.Tensor) -> None:
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        raise DraftAttentionError("draft attention has no gradient: call it under torch.no_grad() or detach q, k, v")


def _name(choice: Enum | str) -> str:
    return str(choice.value) if isinstance(choice, Enum) else choice


def _shares(sparsity: float | Sequence[float]) -> list[float]:
    return [float(sparsity)] if isinstance(sparsity, (int, float)) else [float(share) for share in sparsity]


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
        q: `[batch, q_heads, length, dim]`, after rotary embedding and qk-norm; float16 or bfloat16 and a dim that is a
            multiple of 8, up to 256, on CUDA; any float dtype and dim on CPU. Any strides: what a kernel cannot read in
            place is copied first, as `scaled_dot_product_attention` does. Hopper's kernels read in place what is dense
            along dim and starts on 16 bytes along every other axis, steps of zero (`expand`) excepted; Triton's what is
            dense along dim.
        k, v: `[batch, kv_heads, length, dim]`; kv_heads divides q_heads.
        grid: (frames, height, width) of the latent in tokens. Tokens beyond it are text, always attended densely.
        sparsity: share of video block pairs left out, in [0, 1): one number or one for each query head.
        pool: (height, width) or (frames, height, width) of a block in tokens. Edges need not divide. Kernels take
            blocks of 128 tokens, such as (8, 16), and of 64, such as (8, 8) or (4, 4, 4).
        text: "after" or "before": where the text tokens stand.
        scale: factor on the logits; 1/sqrt(dim) by default.
        tail: let each left-out block enter as one pooled token (`tail.Tail`). On unless `faithful`. The
            blocks to keep are then those for which that token would err most (`selection.error_keys`), and not those of
            the largest mass; neighbouring query blocks of 64 tokens share a set.
        faithful: the paper's mask rule bit for bit (a row may then attend to no video at all).
        row_floor: key blocks every video row keeps at least; three quarters of the mean row when None.
        first_frame_sink, same_frame: every row also keeps the first frame, or its own.
        statistic: "mean" or "mean+max": what stands for a block in the draft.
        backend: "reference", "triton" or "hopper"; by device when None.
        eight_bit: 8-bit products on Hopper (their error stands in docs/results.md); blocks of 128 tokens.
        heads_per_pass: work through the heads in groups of this size, to save memory.

    A call that would not be faster than dense attention, because the sequence is short, is dense, which is also exact;
    `backend`, `eight_bit` and `faithful` keep it sparse.

    Returns `[batch, q_heads, length, dim]`, dtype of q. There is no gradient. Works inside torch.compile and
    torch.export as one operator. Equal calls give equal bits on one kind of device.
    Raises DraftAttentionError (a ValueError) on tensors, grids, options or devices it cannot serve.
    """
    _refuse_gradients(q, k, v)
    with_tail = not faithful if tail is None else tail
    call = ops.draft_attention if ops.traced(q, k, v) else ops.attend_by_draft
    return call(
        q, k, v, list(grid), list(pool), _name(text), _shares(sparsity), scale, with_tail, faithful, row_floor,
        first_frame_sink, same_frame, _name(statistic), None if backend is None else _name(backend), heads_per_pass,
        eight_bit,
    )  # fmt: skip


def select_blocks(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor | None = None,
    *,
    grid: tuple[int, int, int],
    sparsity: float | Sequence[float] = 0.9,
    pool: tuple[int, ...] = (8, 16),
    text: TextPlacement | str = TextPlacement.AFTER,
    scale: float | None = None,
    faithful: bool = False,
    row_floor: int | None = None,
    first_frame_sink: bool = False,
    same_frame: bool = False,
    statistic: DraftStatistic | str = DraftStatistic.MEAN,
    backend: Backend | str | None = None,
) -> BlockSets:
    """The blocks that `draft_attention` would attend to: to look at, or to keep over steps and layers.

    With `v` they are chosen as for attention with the tail, by the error that the tail would make of each; without, by
    the mass that would be lost, as for attention without it. Other arguments, limits and errors as in
    `draft_attention`. `block_sparse_attention(q, k, v, sets)` attends over them.
    """
    _refuse_gradients(q, k, *([] if v is None else [v]))
    bits, counts = ops.select_blocks(
        q, k, v, list(grid), list(pool), _name(text), _shares(sparsity), scale, faithful, row_floor, first_frame_sink,
        same_frame, _name(statistic), None if backend is None else _name(backend),
    )  # fmt: skip
    geometry = Geometry.for_length(q.shape[2], grid, pool, _name(text))
    by_error = v is not None and not faithful and _name(statistic) == DraftStatistic.MEAN.value
    return BlockSets(bits, counts, geometry, paired=by_error and geometry.block_size == PAIRED_BLOCK)


_Sizes = torch.Tensor | None


def _pair_of_sizes(block_sizes: _Sizes | tuple[_Sizes, _Sizes]) -> tuple[_Sizes, _Sizes]:
    query, key = block_sizes if isinstance(block_sizes, tuple) else (block_sizes, block_sizes)

    def rows(sizes: _Sizes) -> _Sizes:
        return sizes if sizes is None else sizes.to(torch.int32).reshape(-1, sizes.shape[-1]).contiguous()

    return rows(query), rows(key)


def block_sparse_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sets: BlockSets | torch.Tensor,
    *,
    block: int | tuple[int, int] = 128,
    block_sizes: torch.Tensor | tuple[torch.Tensor | None, torch.Tensor | None] | None = None,
    scale: float | None = None,
    tail: bool = False,
    return_lse: bool = False,
    backend: Backend | str | None = None,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """softmax(scale q k^T) v over chosen pairs of blocks alone: one's own mask, or sets from `select_blocks`.

    Args:
        q: `[batch, q_heads, q_length, dim]`. k, v: `[batch, kv_heads, k_length, dim]`. Types, dims and strides as in
            `draft_attention`; the two lengths may differ.
        sets: a bool mask `[batch, q_heads, n_query_blocks, n_key_blocks]`, or one that broadcasts to it, True where a
            query block sees a key block; or BlockSets. With sets from `select_blocks` the blocks are boxes of its grid.
        block: tokens of a block of consecutive tokens, one number or (query, key). Kernels take 64 and 128. Unused with
            sets from `select_blocks`. The last block of a sequence may be short.
        block_sizes: integers `[n_blocks]` or `[batch, n_blocks]` on the tensors' device, each in [0, block]: block i
            holds that many tokens from position `i * block` on and padding behind (VSA's tiles). One tensor for both
            sides, or (query, key), either of which may be None for full blocks. Padding is never read as a key.
        scale: factor on the logits; 1/sqrt(dim) by default.
        tail: let each left-out block enter as one pooled token; needs sets from `select_blocks`.
        return_lse: also return float32 `[batch, q_heads, q_length]`, the natural logarithm of each row's sum of
            exponentials, to merge parts of one attention; -inf for a row without keys.
        backend: "reference", "triton" or "hopper"; by device when None.

    Returns `[batch, q_heads, q_length, dim]`, dtype of q; a row that sees no key, and padding, is zero. There is no
    gradient. Works inside torch.compile and torch.export.
    Raises DraftAttentionError on tensors, masks or devices it cannot serve.
    """
    _refuse_gradients(q, k, v)
    geometry = sets.geometry if isinstance(sets, BlockSets) else None
    if geometry is not None and block_sizes is not None:
        raise DraftAttentionError("block_sizes are for blocks of consecutive tokens; these sets are boxes of a grid")
    if tail and geometry is None:
        raise DraftAttentionError("the tail pools boxes of a grid: it needs sets from select_blocks")
    sizes = block if isinstance(block, tuple) else (block, block)
    if len(sizes) != 2 or min(sizes) < 1:
        raise DraftAttentionError(f"block must be a count of tokens or (query, key); got {block}")
    query_sizes, key_sizes = _pair_of_sizes(block_sizes)
    if not isinstance(sets, BlockSets):
        n_query, n_key = -(-q.shape[2] // sizes[0]), -(-k.shape[2] // sizes[1])
        shape = (q.shape[0], q.shape[1], n_query, n_key)
        lead = [1] * (4 - sets.dim()) + list(sets.shape[:-2])
        fits = len(lead) == 2 and lead[0] in (1, shape[0]) and lead[1] in (1, shape[1])
        if sets.dtype != torch.bool or not fits or sets.shape[-2:] != shape[-2:]:
            raise DraftAttentionError(
                f"a block mask must be bool {list(shape)} (batch and heads may be 1 or left out) for blocks of {block}"
                f"; got {sets.dtype} {list(sets.shape)}"
            )
        sets = sets_from_mask(sets.expand(shape))
    out, lse = ops.block_sparse_attention(
        q, k, v, sets.bits, sets.counts,
        None if geometry is None else list(geometry.grid), [1] if geometry is None else list(geometry.pool),
        "before" if geometry is not None and geometry.text_first else "after",
        sizes[0], sizes[1], query_sizes, key_sizes, sets.paired, scale, tail, return_lse,
        None if backend is None else _name(backend),
    )  # fmt: skip
    return (out, lse) if return_lse else out
