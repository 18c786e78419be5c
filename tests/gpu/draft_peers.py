"""Other libraries' attention under one signature, for timing beside ours.

Peers that want contiguous blocks get tensors that are already in block order and packed into whole blocks of 128, and
lists of the same density: the gathers they would need in a model are not counted against them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from draft_bench import relative_error
from torch.nn.attention import SDPBackend, sdpa_kernel

BLOCK = 128
PACKED_BOUND = 5e-3  # relative L2 of bf16 kernels against float64 on white noise


def cudnn_dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """PyTorch's scaled_dot_product_attention on cuDNN alone."""
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)


@dataclass(frozen=True)
class Packed:
    """Contiguous q, k, v `[1, heads, n * block, dim]` and a mask over n blocks with a given density."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    mask: torch.Tensor
    """bool `[heads, n, n]`"""
    block: int = BLOCK


def packed_inputs(
    heads: int,
    length: int,
    dim: int,
    density: float,
    seed: int,
    mask: torch.Tensor | None,
    block: int = BLOCK,
    alike: float = 0.0,
) -> Packed:
    """Random tensors of `length` rounded up to whole blocks; a random mask of exact density unless one is given.

    `alike`: weight of what two neighbouring rows of the mask have in common in the draw.
    """
    n = -(-length // block)
    generator = torch.Generator("cuda").manual_seed(seed)
    size = (1, heads, n * block, dim)
    q, k, v = (torch.randn(size, generator=generator, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    if mask is None or mask.shape[-1] != n:
        mask = torch.zeros(heads, n, n, dtype=torch.bool, device="cuda")
        for head in mask:
            common = torch.rand((n + 1) // 2, n, generator=generator, device="cuda").repeat_interleave(2, 0)[:n]
            noise = alike * common + (1 - alike) * torch.rand(n, n, generator=generator, device="cuda")
            head.scatter_(1, noise.topk(max(1, round(density * n)), dim=1).indices, True)
    return Packed(q, k, v, mask, block)


def packed_error(packed: Packed, out: torch.Tensor, scale: float) -> float:
    """Worst of two block rows of `[heads, length, dim]` against float64; raises when it is another function's."""
    worst = 0.0
    for head, block in ((0, 0), (packed.q.shape[1] - 1, packed.mask.shape[-1] - 1)):
        q, k, v = (x[0, head].double() for x in (packed.q, packed.k, packed.v))
        seen = packed.mask[head, block].repeat_interleave(packed.block)
        here = slice(block * packed.block, (block + 1) * packed.block)
        exact = torch.softmax(q[here] @ k[seen].T * scale, -1) @ v[seen]
        worst = max(worst, relative_error(out[head, here], exact))
    if worst > PACKED_BOUND:
        raise AssertionError(f"off by {worst:.2e}: not set up for the same work")
    return worst


def vsa_runners(packed: Packed) -> list[tuple[str, Callable[[], torch.Tensor]]]:
    """fastvideo-kernel's block-sparse attention by its Triton and its sm_90 path, `[heads, length, dim]`."""
    vsa = importlib.import_module("fastvideo_kernel.block_sparse_attn")  # the package hides it behind a function
    counts = packed.mask.sum(-1, dtype=torch.int32)[None]
    order = torch.argsort((~packed.mask).to(torch.int8), dim=-1, stable=True).to(torch.int32)[None].contiguous()
    sizes = torch.full((packed.mask.shape[-1],), packed.block, dtype=torch.int32, device="cuda")
    arguments = (packed.q, packed.k, packed.v, order, counts, sizes)
    return [
        ("VSA, Triton", lambda: vsa.block_sparse_attn_triton(*arguments)[0][0]),
        ("VSA, sm_90", lambda: vsa.block_sparse_attn_sm90(*arguments)[0][0]),
    ]


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


def fa4_runner(packed: Packed) -> Callable[[], torch.Tensor]:
    """flash-attn-4's block sparsity, every listed block in full."""
    from flash_attn.cute.block_sparsity import BlockSparseTensorsTorch
    from flash_attn.cute.interface import flash_attn_func

    counts = packed.mask.sum(-1, dtype=torch.int32)[None].contiguous()
    order = torch.argsort((~packed.mask).to(torch.int8), dim=-1, stable=True).to(torch.int32)[None].contiguous()
    none, nowhere = torch.zeros_like(counts), torch.zeros_like(order)
    sparse = BlockSparseTensorsTorch(none, nowhere, counts, order, block_size=(BLOCK, BLOCK))
    q, k, v = (x.transpose(1, 2).contiguous() for x in (packed.q, packed.k, packed.v))

    def run() -> torch.Tensor:
        out = flash_attn_func(q, k, v, block_sparse_tensors=sparse)
        return (out[0] if isinstance(out, tuple) else out).transpose(1, 2)

    return run


def sol_runner(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, kept: float) -> Callable[[], torch.Tensor]:
    """comfy-kitchen's Sol-Attn in 8 bits: a whole call that chooses its own blocks of 64 and pools the rest."""
    import comfy_kitchen

    if not comfy_kitchen.sol_attn_is_available(q.device):
        raise RuntimeError("comfy_kitchen.sol_attn_is_available: False")
    turned = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
    return lambda: comfy_kitchen.sol_attn(*turned, topk_ratio=kept)


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
        self.wrapper.reset_workspace_buffer(workspace, small)
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
