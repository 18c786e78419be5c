"""Attention over one's own blocks: the reference against loops over tokens, the Triton kernel against the reference.

The cases are those that FlashInfer (test_block_sparse, test_vsa_block_sparse), FastVideo (fastvideo-kernel/tests) and
MIT's Block-Sparse-Attention test: unequal numbers of blocks, variable sizes, empty rows, grouped heads, log-sum-exp,
and an error of at most twice that of PyTorch in the same type.
"""

from __future__ import annotations

import math

import pytest
import torch

from triptych.golden.draft_attention import (
    BlockSets,
    DraftAttentionError,
    block_sparse_attention,
    draft_attention,
    select_blocks,
)

HALF_EPS = 2.0**-11


def _tensors(q_length, k_length, *, heads=2, kv_heads=1, batch=2, dim=16, dtype=torch.float64):
    q = 1.5 * torch.randn(batch, heads, q_length, dim, dtype=torch.float64)
    k, v = (torch.randn(batch, kv_heads, k_length, dim, dtype=torch.float64) for _ in range(2))
    return [x.to(dtype) for x in (q, k, v)]


def _members(length, block, sizes):
    """Token positions of each block, by hand."""
    return [[*range(i * block, min(i * block + size, length))] for i, size in enumerate(sizes)]


def _by_hand(q, k, v, mask, q_members, k_members, scale):
    """One head, token by token: output and log-sum-exp."""
    out, lse = torch.zeros_like(q), torch.full(q.shape[:1], -math.inf, dtype=torch.float64)
    for i, rows in enumerate(q_members):
        seen = [t for j, columns in enumerate(k_members) if mask[i, j] for t in columns]
        for row in rows if seen else []:
            scores = torch.tensor([(q[row] @ k[t]).item() * scale for t in seen], dtype=torch.float64)
            lse[row] = scores.logsumexp(0)
            out[row] = (scores - lse[row]).exp() @ v[seen]
    return out, lse


SIZES = [
    pytest.param(40, 40, 16, None, None, id="last block short"),
    pytest.param(33, 70, (16, 8), None, None, id="cross attention, blocks of 16 and 8"),
    pytest.param(48, 48, 16, [16, 3, 0], None, id="variable, one size for both"),
    pytest.param(32, 40, (16, 8), None, [[8, 1, 0, 5, 8], [8, 8, 8, 8, 8]], id="variable keys, by sample"),
    pytest.param(32, 24, (8, 8), [[8, 0, 5, 1], [2, 8, 8, 3]], [7, 8, 2], id="variable queries and keys"),
]


@pytest.mark.parametrize(("q_length", "k_length", "block", "q_sizes", "k_sizes"), SIZES)
def test_the_reference_is_attention_over_the_chosen_tokens(q_length, k_length, block, q_sizes, k_sizes):
    q, k, v = _tensors(q_length, k_length)
    q_block, k_block = block if isinstance(block, tuple) else (block, block)
    n_q, n_k = -(-q_length // q_block), -(-k_length // k_block)
    if q_sizes is not None and not isinstance(block, tuple):
        k_sizes = q_sizes
    mask = torch.rand(2, 2, n_q, n_k) < 0.5
    mask[0, 1, 0] = False
    sizes = tuple(None if s is None else torch.tensor(s) for s in (q_sizes, k_sizes))
    given = None if sizes == (None, None) else sizes if isinstance(block, tuple) else sizes[0]
    for sample in range(2):
        for x, x_sizes, size in ((q, q_sizes, q_block), (k, k_sizes, k_block), (v, k_sizes, k_block)):
            if x_sizes is not None:  # what is padding must not matter
                own = x_sizes[sample] if isinstance(x_sizes[0], list) else x_sizes
                real = [t for tokens in _members(x.shape[2], size, own) for t in tokens]
                padding = torch.ones(x.shape[2], dtype=torch.bool)
                padding[real] = False
                x[sample, :, padding] = math.nan
    out, lse = block_sparse_attention(q, k, v, mask, block=block, block_sizes=given, return_lse=True)
    for sample in range(2):
        members = []
        for length, size, x_sizes, n in ((q_length, q_block, q_sizes, n_q), (k_length, k_block, k_sizes, n_k)):
            own = [size] * n if x_sizes is None else x_sizes[sample] if isinstance(x_sizes[0], list) else x_sizes
            members.append(_members(length, size, own))
        for head in range(2):
            arguments = (q[sample, head], k[sample, 0], v[sample, 0], mask[sample, head], *members)
            expected, expected_lse = _by_hand(*arguments, 1 / math.sqrt(16))
            assert torch.allclose(out[sample, head], expected, rtol=0, atol=1e-12)
            assert torch.allclose(lse[sample, head].double(), expected_lse, rtol=1e-6, atol=1e-6)
    if not isinstance(block, tuple):
        assert (out[0, 1, :block] == 0).all()
        assert (lse[0, 1, :block] == -math.inf).all()


def test_a_mask_broadcasts_over_batch_and_heads():
    q, k, v = _tensors(40, 24)
    mask = torch.tensor([[True, False, True], [False, True, True], [True, True, False]])
    plain = block_sparse_attention(q, k, v, mask, block=(16, 8))
    assert torch.equal(plain, block_sparse_attention(q, k, v, mask.expand(2, 2, 3, 3), block=(16, 8)))
    by_head = torch.stack([mask, ~mask])
    mixed = block_sparse_attention(q, k, v, by_head, block=(16, 8))
    assert torch.equal(mixed[:, 0], plain[:, 0])
    assert not torch.equal(mixed[:, 1], plain[:, 1])


def test_a_full_mask_is_dense_attention_and_lse_merges_parts():
    q, k, v = _tensors(40, 56)
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    full = torch.ones(3, 7, dtype=torch.bool)
    assert torch.allclose(block_sparse_attention(q, k, v, full, block=(16, 8)), dense, rtol=0, atol=1e-13)
    left = torch.arange(7) < 3
    parts = [
        block_sparse_attention(q, k, v, side.expand(3, 7), block=(16, 8), return_lse=True) for side in (left, ~left)
    ]
    total = torch.logaddexp(parts[0][1], parts[1][1])
    merged = sum(out * (lse - total).exp()[..., None] for out, lse in parts)
    assert torch.allclose(merged, dense, rtol=0, atol=1e-6)  # the sums are handed out in float32


@pytest.mark.parametrize("pool", [(4, 4), (2, 2, 4)])
@pytest.mark.parametrize("tail", [False, True])
def test_kept_sets_give_what_the_one_call_gives(pool, tail):
    q, k, v = _tensors(3 * 9 * 10 + 7, 3 * 9 * 10 + 7)
    options = {"grid": (3, 9, 10), "pool": pool, "sparsity": 0.6}
    sets = select_blocks(q, k, v if tail else None, **options)
    out = block_sparse_attention(q, k, v, sets, tail=tail)
    assert torch.equal(out, draft_attention(q, k, v, tail=tail, **options))
    mask = sets.mask()
    assert isinstance(sets, BlockSets)
    assert mask.shape == (2, 2, sets.n_query_blocks, sets.n_key_blocks)
    assert torch.equal(mask.sum(-1, dtype=torch.int32), sets.counts)
    assert torch.allclose(sets.density(), mask.float().mean((-1, -2)))
    video = mask[..., : sets.geometry.n_video_blocks, : sets.geometry.n_video_blocks]
    assert ((1 - video.float().mean((-1, -2))) - 0.6).abs().max() < 0.02


@pytest.mark.parametrize(
    ("block", "q_length", "k_length", "dim", "by_sample"),
    [(64, 130, 192, 64, False), ((128, 64), 256, 150, 72, True), (64, 128, 128, 128, True), (128, 128, 200, 96, False)],
)
@pytest.mark.parametrize("variable", [False, True])
def test_triton_serves_blocks_of_64_and_128(block, q_length, k_length, dim, by_sample, variable):
    q, k, v = _tensors(q_length, k_length, dim=dim, dtype=torch.float16)
    q_block, k_block = block if isinstance(block, tuple) else (block, block)
    n_q, n_k = -(-q_length // q_block), -(-k_length // k_block)
    mask = torch.rand(2, 2, n_q, n_k) < 0.6
    mask[1, 0, 0] = False
    sizes = None
    if variable:
        rows = (2,) if by_sample else ()
        q_sizes = torch.randint(1, q_block + 1, (*rows, n_q))
        k_sizes = torch.randint(0, k_block + 1, (*rows, n_k))
        sizes = (q_sizes, k_sizes)
        for sample in range(2):
            own = k_sizes[sample] if by_sample else k_sizes
            slots = torch.arange(k_length)
            padding = slots % k_block >= own[slots // k_block]
            k[sample, :, padding] = math.nan
            v[sample, :, padding] = math.nan
    options = {"block": block, "block_sizes": sizes, "return_lse": True}
    out, lse = block_sparse_attention(q, k, v, mask, backend="triton", **options)
    exact, exact_lse = block_sparse_attention(q.double(), k.double(), v.double(), mask, **options)
    assert (out.double() - exact).norm() / exact.norm() < HALF_EPS
    assert torch.equal(lse == -math.inf, exact_lse == -math.inf)
    seen = exact_lse > -math.inf
    assert (lse[seen] - exact_lse[seen]).abs().max() < 2e-3
    assert torch.equal((out == 0).all(-1), ~seen)
    # MIT's criterion: at most twice the error of PyTorch in the same type.
    ordinary = block_sparse_attention(q.float(), k.float(), v.float(), mask, block=block, block_sizes=sizes).half()
    assert (out.double() - exact).abs().max() <= 2 * (ordinary.double() - exact).abs().max() + 1e-3


@pytest.mark.parametrize("dim", [8, 32, 72, 80, 96, 256])
def test_any_head_dim_in_triton(dim):
    q, k, v = _tensors(2 * 8 * 8 + 9, 2 * 8 * 8 + 9, dim=dim, batch=1, dtype=torch.float16)
    options = {"grid": (2, 8, 8), "pool": (8, 8), "sparsity": 0.5, "row_floor": 1}
    out = draft_attention(q, k, v, backend="triton", **options)
    exact = draft_attention(q.double(), k.double(), v.double(), **options)
    assert (out.double() - exact).norm() / exact.norm() < HALF_EPS


@pytest.mark.parametrize("pool", [(4, 4, 4), *(pytest.param(p, marks=pytest.mark.slow) for p in ((8, 8), (1, 8, 8)))])
def test_pools_of_64_tokens_in_triton(pool):
    length = 3 * 9 * 11 + 70
    q, k, v = _tensors(length, length, dim=64, batch=1, dtype=torch.float16)
    options = {"grid": (3, 9, 11), "pool": pool, "sparsity": 0.7, "text": "before"}
    out = draft_attention(q, k, v, backend="triton", **options)
    exact = draft_attention(q.double(), k.double(), v.double(), **options)
    assert (out.double() - exact).norm() / exact.norm() < HALF_EPS


def test_what_does_not_fit_is_refused():
    q, k, v = _tensors(40, 24)
    mask = torch.ones(3, 3, dtype=torch.bool)
    sets = select_blocks(q, q, grid=(1, 4, 10), pool=(4, 4))
    cases = [
        ((q, k, v, mask.float()), {"block": (16, 8)}, r"must be bool \[2, 2, 3, 3\]"),
        ((q, k, v, mask), {"block": 8}, r"must be bool \[2, 2, 5, 3\]"),
        ((q, k, v, mask.expand(3, 2, 3, 3)), {"block": (16, 8)}, "must be bool"),
        ((q, k, v, mask), {"block": (16, 8, 4)}, "count of tokens"),
        ((q, k, v, mask), {"block": (16, 8), "tail": True}, "needs sets from select_blocks"),
        ((q, k, v, mask), {"block": (16, 8), "block_sizes": torch.tensor([8, 8])}, "block_sizes of queries"),
        ((q, k, v, mask), {"block": (16, 8), "block_sizes": (None, torch.ones(5, 3))}, "block_sizes of keys"),
        ((q, k, v, sets), {}, "agree in batch, length"),
        ((q[:, :, :30], q[:, :, :30], q[:, :, :30], sets), {}, "needs 40 tokens"),
        ((q[:, :1], q, q, sets), {}, "no multiple"),
        ((q[:1], q[:1], q[:1], sets), {}, "sets must be those of 1 x 2 heads"),
        ((q, q, q, sets), {"block_sizes": torch.tensor([1])}, "boxes of a grid"),
        ((q.half(), k.half(), v.half(), mask), {"block": (16, 8), "backend": "triton"}, "blocks of 16"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(DraftAttentionError, match=message) as caught:
            block_sparse_attention(*arguments, **options)
        assert "\n" not in str(caught.value)
