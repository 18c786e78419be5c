"""What a kernel backend is asked for, and what it has to do: one contract for every block-sparse attention here.

A backend is a module with two functions. `refusal(request)` says in one clause why it cannot serve a request, or None;
it looks at nothing but the request and launches nothing. `attend(call)` serves what was not refused: it fills
`call.out` (and `call.lse`) on the current stream and waits for nothing.

- **Blocks.** Query blocks are those of `query_layout`, key blocks those of `key_layout`; their numbers and sizes may
  differ (128 x 64), and so may the lengths of q and k. Both are `Geometry`, the same one (boxes of a video read in
  place, then text), or both are `Runs` (consecutive tokens; block i starts at token `i * block`). `Runs.sizes`
  (int32 `[1 or batch, n_blocks]` on the device, values unknown to the host) tells how many tokens of each block are
  real; the others are padding, whose memory may hold anything, NaN included: never let them reach a product.
- **Sets.** `sets.bits`, `sets.counts` as in `BlockSets`. A row of the output whose set is empty, or whose blocks hold
  no real token, is zero; so is every padding row of a `Runs` layout.
- **Log-sum-exp.** `lse` float32 `[batch, q_heads, q_length]` contiguous: natural logarithm of the row's sum of
  exp(scaled logit), the pooled tail included; -inf where the row is zero for want of keys, and on padding rows.
- **Tail.** Given only with `Geometry`: one more key for each video block whose bit is not set, in video rows alone.
  Its tensors are `padded_dim(dim)` channels wide.
- **Tensors.** float16 or bfloat16, dim a multiple of 8. The last axis is dense; `copy_engine_reads` holds for q, k, v
  and out when the backend is Hopper (dispatch copies what is not so). kv_heads divides q_heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from triptych.golden.draft_attention.terms.block_sets import BlockSets
from triptych.golden.draft_attention.terms.layout import Layout
from triptych.golden.draft_attention.terms.tail import Tail


@dataclass(frozen=True)
class Request:
    """What is known of a call before any of it has run. `dim`: channels of a head."""

    dtype: torch.dtype
    dim: int
    query_layout: Layout
    key_layout: Layout
    with_tail: bool
    with_lse: bool
    eight_bit: bool


@dataclass(frozen=True)
class Call:
    """One attention: q `[batch, q_heads, q_length, dim]`, k and v `[batch, kv_heads, k_length, dim]`, out like q."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    sets: BlockSets
    query_layout: Layout
    key_layout: Layout
    scale: float
    out: torch.Tensor
    tail: Tail | None = None
    lse: torch.Tensor | None = None
    eight_bit: bool = False


def copy_engine_reads(x: torch.Tensor) -> bool:
    """Whether the tensor-copy engine of a Hopper GPU addresses `[batch, heads, length, dim]` in place.

    Its base and the steps of every axis but the last, which is dense, are multiples of 16 bytes and positive.
    """
    unit = 16 // x.element_size()
    steps = [step for step, size in zip(x.stride()[:-1], x.shape[:-1], strict=True) if size > 1]
    dense = x.stride(-1) == 1 or x.shape[-1] == 1
    return dense and x.data_ptr() % 16 == 0 and all(step > 0 and step % unit == 0 for step in steps)
