"""The reference against definitions written out by hand."""

from __future__ import annotations

import math

import draft_naive as naive
import pytest
import torch

from triptych.golden.draft_attention import Geometry, draft_attention
from triptych.golden.draft_attention.pooling import block_max, block_mean, block_variance
from triptych.golden.draft_attention.terms.geometry import normalize_pool

GRIDS = [
    pytest.param((2, 8, 12), (4, 4), 0, "after", id="even"),
    pytest.param((2, 7, 9), (4, 4), 5, "after", id="ragged, text after"),
    pytest.param((3, 5, 6), (2, 2, 4), 11, "before", id="ragged 3-D, text before"),
    pytest.param((1, 3, 3), (8, 16), 2, "before", id="one block"),
]


def _tensors(grid, text_length, heads=2, kv_heads=1, batch=2, dim=8, dtype=torch.float64):
    length = math.prod(grid) + text_length
    q = torch.randn(batch, heads, length, dim, dtype=dtype)
    k, v = (torch.randn(batch, kv_heads, length, dim, dtype=dtype) for _ in range(2))
    return 2 * q, k, v


def _relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize(("grid", "pool", "text_length", "text"), GRIDS)
@pytest.mark.parametrize("tail", [False, True])
def test_zero_sparsity_is_dense_attention(grid, pool, text_length, text, tail):
    q, k, v = _tensors(grid, text_length)
    out = draft_attention(q, k, v, grid=grid, pool=pool, text=text, sparsity=0.0, tail=tail)
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    assert _relative(out, dense) < 1e-13


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dim", [64, 128])
def test_half_precision_stays_within_its_rounding(dtype, dim):
    grid = (1, 16, 32)
    q, k, v = _tensors(grid, 40, heads=2, kv_heads=1, batch=1, dim=dim, dtype=torch.float32)
    half = [x.to(dtype) for x in (q, k, v)]
    out = draft_attention(*half, grid=grid, sparsity=0.0)
    exact = draft_attention(*(x.double() for x in half), grid=grid, sparsity=0.0)
    assert out.dtype == dtype
    assert _relative(out.double(), exact) < torch.finfo(dtype).eps


@pytest.mark.parametrize(("grid", "pool", "text_length", "text"), GRIDS)
@pytest.mark.parametrize("tail", [False, True])
def test_sparse_output_equals_the_written_out_method(grid, pool, text_length, text, tail):
    q, k, v = _tensors(grid, text_length, batch=1)
    out = draft_attention(q, k, v, grid=grid, pool=pool, text=text, sparsity=0.6, tail=tail, row_floor=1)
    video, text_blocks = naive.block_members(grid, normalize_pool(pool), text_length, text == "before")
    scale = 1 / math.sqrt(q.shape[-1])
    trust = naive.trust(q[0], k[0, 0], v[0, 0], video, scale) if tail else None
    for head in range(2):
        one = q[0, head], k[0, 0]
        rank = naive.block_error(*one, v[0, 0], video, scale) if tail else naive.draft_probability(*one, video, scale)
        mask = naive.floored_rule(rank, 0.6, 1)
        expected = naive.attention(*one, v[0, 0], mask, video, text_blocks, scale, trust)
        assert _relative(out[0, head], expected) < (1e-7 if tail else 1e-12)  # log n is kept in float32


def test_faithful_rows_without_blocks_give_zeros():
    """One query block that matches nothing: its softmax row is flat and low, so the global threshold empties it."""
    grid, pool = (1, 4, 16), (4, 4)
    q, k, v = _tensors(grid, 0, heads=1, batch=1)
    blocks = Geometry(grid, pool).token_blocks
    directions = 3 * torch.eye(8, dtype=torch.float64)
    k[0, 0] = directions[blocks]
    q[0, 0] = 5 * directions[blocks]
    q[0, 0, blocks == 2] = 0.0
    out = draft_attention(q, k, v, grid=grid, pool=pool, sparsity=0.9, faithful=True)
    assert (out[0, 0, blocks == 2] == 0).all()
    assert (out[0, 0, blocks != 2] != 0).any(dim=-1).all()
    floored = draft_attention(q, k, v, grid=grid, pool=pool, sparsity=0.9, tail=False)
    assert (floored[0, 0] != 0).any(dim=-1).all()


@pytest.mark.parametrize(("grid", "pool", "text_length", "text"), GRIDS)
def test_pooled_statistics(grid, pool, text_length, text):
    q, _, _ = _tensors(grid, text_length, batch=1, heads=1)
    geometry = Geometry.for_length(q.shape[2], grid, pool, text)
    video, _ = naive.block_members(grid, geometry.pool, text_length, text == "before")
    for number, tokens in enumerate(video):
        tile = q[0, 0, tokens]
        assert torch.allclose(block_mean(q, geometry)[0, 0, number], tile.mean(0), rtol=0, atol=1e-14)
        assert torch.equal(block_max(q, geometry)[0, 0, number], tile.amax(0))
        variance = tile.var(0, correction=0)
        assert torch.allclose(block_variance(q, geometry)[0, 0, number], variance, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("grid", "pool", "text_length", "text"), GRIDS)
def test_block_numbers(grid, pool, text_length, text):
    geometry = Geometry.for_length(math.prod(grid) + text_length, grid, pool, text)
    video, text_blocks = naive.block_members(grid, geometry.pool, text_length, text == "before")
    assert geometry.n_video_blocks == len(video)
    assert geometry.n_blocks == len(video) + len(text_blocks)
    for number, tokens in enumerate(video + text_blocks):
        listed = geometry.block_tokens[number]
        assert listed[listed >= 0].tolist() == tokens
        assert (geometry.token_blocks[tokens] == number).all()


def test_the_tail_is_exact_for_constant_blocks():
    """Keys and values that do not vary within a block lose nothing when the block is pooled."""
    grid, pool = (2, 8, 8), (4, 4)
    q, k, v = _tensors(grid, 3)
    blocks = Geometry.for_length(q.shape[2], grid, pool).token_blocks
    first = torch.stack([(blocks == b).nonzero()[0, 0] for b in blocks])
    k, v = k[:, :, first], v[:, :, first]
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    assert _relative(draft_attention(q, k, v, grid=grid, pool=pool, sparsity=0.75), dense) < 1e-7
    assert _relative(draft_attention(q, k, v, grid=grid, pool=pool, sparsity=0.75, tail=False), dense) > 1e-3


def test_the_second_order_tail_matches_gaussian_keys():
    """For keys drawn from a Gaussian the block's log-sum-exp is its mean plus half its variance, so more keys in a
    block bring the pooled token closer to the block."""
    grid, pool = (1, 32, 32), (16, 16)
    q, k, v = _tensors(grid, 0, heads=1, batch=1, dim=4)
    k += torch.randn(4, 4, dtype=k.dtype)[Geometry(grid, pool).token_blocks]
    q = 0.5 * q
    v = k.clone().fill_(0.0)
    v[..., 0] = Geometry(grid, pool).token_blocks.double()
    dense = draft_attention(q, k, v, grid=grid, pool=pool, sparsity=0.0)
    pooled = draft_attention(q, k, v, grid=grid, pool=pool, sparsity=0.75)
    dropped = draft_attention(q, k, v, grid=grid, pool=pool, sparsity=0.75, tail=False)
    assert _relative(pooled, dense) < 0.03
    assert _relative(dropped, dense) > 0.3
