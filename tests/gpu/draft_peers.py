"""Other libraries' attention under one signature, for timing beside ours.

Peers that want contiguous blocks get tensors that are already in block order and packed into whole blocks of 128, and
lists of the same density: the gathers they would need in a model are not counted against them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

BLOCK = 128


def cudnn_dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """PyTorch's scaled_dot_product_attention on cuDNN alone."""
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)


@dataclass(frozen=True)
class Packed:
    """Contiguous q, k, v `[1, heads, n * 128, dim]` and block lists over n blocks with a given density."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    mask: torch.Tensor
    """bool `[heads, n, n]`"""


def packed_inputs(heads: int, length: int, dim: int, density: float, seed: int, mask: torch.Tensor | None) -> Packed:
    """Random tensors of `length` rounded up to whole blocks; a random mask of exact density unless one is given."""
    n = -(-length // BLOCK)
    generator = torch.Generator("cuda").manual_seed(seed)
    size = (1, heads, n * BLOCK, dim)
    q, k, v = (torch.randn(size, generator=generator, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    if mask is None or mask.shape[-1] != n:
        noise = torch.rand(heads, n, n, generator=generator, device="cuda")
        mask = noise.argsort(dim=-1).argsort(dim=-1) < max(1, round(density * n))
    return Packed(q, k, v, mask)


def flex_runner(packed: Packed) -> Callable[[], torch.Tensor]:
    """Compiled FlexAttention on a ready block mask (building it is not timed)."""
    from torch.nn.attention.flex_attention import BlockMask, flex_attention

    counts = packed.mask.sum(-1, dtype=torch.int32)[None]
    order = torch.argsort((~packed.mask).to(torch.int8), dim=-1, stable=True).to(torch.int32)[None]
    none = torch.zeros_like(counts)
    length = packed.q.shape[2]
    block_mask = BlockMask.from_kv_blocks(
        none, torch.zeros_like(order), counts, order, BLOCK_SIZE=BLOCK, seq_lengths=(length, length),
        compute_q_blocks=False,
    )  # fmt: skip
    compiled = _compiled_flex(flex_attention)
    return lambda: compiled(packed.q, packed.k, packed.v, block_mask=block_mask)


_FLEX: list[Any] = []


def _compiled_flex(flex_attention: Any) -> Any:
    if not _FLEX:
        _FLEX.append(torch.compile(flex_attention, dynamic=False))
    return _FLEX[0]


class FlashInferRunner:
    """FlashInfer's variable block-sparse wrapper on its fa3 backend: plan and run apart."""

    def __init__(self, heads: int, n: int, dim: int) -> None:
        import flashinfer

        workspace, small = (torch.empty(size, dtype=torch.uint8, device="cuda") for size in (2**29, 2**27))
        self.wrapper = flashinfer.VariableBlockSparseAttentionWrapper(workspace, backend="fa3")
        # one index for each key of each listed block: far beyond the wrapper's default buffer
        indices = torch.empty(int(0.27 * heads * n * n * BLOCK), dtype=torch.int32, device="cuda")
        rows = torch.empty(heads * n + 1024, dtype=torch.int32, device="cuda")
        self.wrapper.reset_workspace_buffer(workspace, small, indices, rows)
        self.sizes = torch.full((heads, n), BLOCK, dtype=torch.int32, device="cuda")
        self.heads, self.dim = heads, dim

    def plan(self, packed: Packed) -> None:
        """What FlashInfer does for each new mask."""
        self.wrapper.plan(
            packed.mask, self.sizes, self.sizes, self.heads, self.heads, self.dim, q_data_type=torch.bfloat16
        )

    def run(self, packed: Packed) -> torch.Tensor:
        """`[heads, length, dim]`."""
        return self.wrapper.run(packed.q[0], packed.k[0], packed.v[0])
