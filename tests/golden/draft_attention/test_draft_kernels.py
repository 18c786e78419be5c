"""The Triton kernels, run by Triton's interpreter, against the reference. float16: the interpreter has no bfloat16."""

from __future__ import annotations

import math

import pytest
import torch

from triptych.golden.draft_attention import DraftStatistic, Geometry, draft_attention, reference
from triptych.golden.draft_attention.pooling import block_max, block_mean, block_variance, pooled_tail
from triptych.golden.draft_attention.selection import SelectionRule, draft_logits, draft_mask, floored_mask, with_text
from triptych.golden.draft_attention.terms.block_sets import sets_from_mask
from triptych.golden.draft_attention.terms.contract import Call

pytest.importorskip("triton", reason="the portable kernels are written in Triton")

from triptych.golden.draft_attention import triton_attention, triton_pool, triton_select

EVEN = Geometry((1, 8, 48))
RAGGED = Geometry((1, 11, 20), (8, 16), 45)
THREE_D = Geometry((3, 8, 12), (2, 8, 8), 140, text_first=True)
GEOMETRIES = [
    pytest.param(EVEN, id="even"),
    pytest.param(RAGGED, id="ragged, text after"),
    pytest.param(THREE_D, id="3-D, text before"),
]
HALF_EPS = 2.0**-11


def _tensors(geometry, heads=2, kv_heads=1, dim=64, batch=1):
    """Token-major memory, as transformers hold it: kernels must honour the strides."""
    shapes = [(batch, geometry.length, n, dim) for n in (heads, kv_heads, kv_heads)]
    return [(1.5 * torch.randn(shape)).half().transpose(1, 2) for shape in shapes]


def _relative(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_pooling_rounds_like_the_reference(geometry):
    q, _, _ = _tensors(geometry)
    pooled = triton_pool.pool_blocks(q, geometry, with_max=True, with_var=True)
    for ours, expected in ((pooled.mean, block_mean), (pooled.variance, block_variance)):
        difference = (ours - expected(q, geometry)).abs()
        assert (difference <= 2 * HALF_EPS * expected(q, geometry).abs() + 1e-7).all()  # one unit: sums reorder
    assert torch.equal(pooled.maximum, block_max(q, geometry))


def _codes(heads, geometry):
    """A map for all heads in one turn, poisoned."""
    n_video = geometry.n_video_blocks
    return torch.full((heads, n_video, -(-n_video // 32) * 32), -(2**30), dtype=torch.int32)


@pytest.mark.parametrize("statistic", list(DraftStatistic))
def test_draft_map_is_the_log_softmax(statistic):
    geometry, scale = THREE_D, 0.2
    q, k, _ = _tensors(geometry, heads=4, kv_heads=2, batch=2)
    pooled = [triton_pool.pool_blocks(x, geometry, with_max=True) for x in (q, k)]
    n = geometry.n_video_blocks
    codes = _codes(8, geometry)
    triton_select.select_blocks(*pooled, geometry, SelectionRule(0.5, row_floor=0, statistic=statistic), scale, codes)
    log_a = (codes[..., :n] - (2**24 - 2)) / 2**18
    expected = torch.log_softmax(draft_logits(q, k, geometry, scale, statistic), dim=-1)
    assert (log_a - expected.flatten(0, 1)).abs().max() < 2e-3  # pooled values may round one unit apart
    assert (codes[..., n:] == -1).all()


def _pooled_for(logits):
    """Pooled q and k whose draft logits are these, exactly: k is the identity."""
    batch, _, n, _ = logits.shape
    q = torch.nn.functional.pad(logits, (0, 64 - n)).half()
    k = torch.eye(n, 64, dtype=torch.float16).expand(batch, 1, n, 64).contiguous()
    return triton_pool.PooledBlocks(q, None, None), triton_pool.PooledBlocks(k, None, None)


@pytest.mark.parametrize(
    ("rule", "spread", "turn"),
    [
        (SelectionRule((0.0, 0.8)), 3.0, 2),
        (SelectionRule((0.3, 0.9)), 60.0, 1),
        (SelectionRule(0.95, row_floor=1), 3.0, 2),
        (SelectionRule(0.8, row_floor=0), 60.0, 2),
        (SelectionRule(0.5, first_frame_sink=True), 3.0, 1),
        (SelectionRule(0.6, same_frame=True, row_floor=0), 3.0, 2),
    ],
)
def test_sets_equal_the_reference_bit_for_bit(rule, spread, turn):
    geometry = Geometry((3, 16, 40), (8, 16), 1900)  # 18 video blocks and 15 of text: two words of bits
    n_video = geometry.n_video_blocks
    logits = (torch.randn(1, 2, n_video, n_video) * spread).half().float()  # at 60, log A reaches the coarse codes
    logits[0, 1, 4:9] = logits[0, 1, 4].clone()  # five equal rows: ties at every threshold
    expected = sets_from_mask(
        with_text(floored_mask(logits, rule.head_sparsity(2), rule, geometry), geometry),
    )
    sets = triton_select.select_blocks(*_pooled_for(logits), geometry, rule, 1.0, _codes(turn, geometry))
    assert torch.equal(sets.counts, expected.counts)
    assert torch.equal(sets.bits, expected.bits)


@pytest.mark.parametrize(("geometry", "with_tail"), [(EVEN, True), (RAGGED, False), (THREE_D, True)])
def test_attention_kernel(geometry, with_tail):
    q, k, v = _tensors(geometry, dim=128 if geometry is EVEN else 64)
    scale = 1 / math.sqrt(q.shape[-1])
    n = geometry.n_blocks
    mask = torch.rand(1, 2, n, n) < 0.5
    mask[:, :, :, geometry.n_video_blocks :] = True
    mask[0, 0, 0] = False
    mask[0, 1, n - 1] = True
    sets = sets_from_mask(mask)
    tail = pooled_tail(k, v, geometry) if with_tail else None
    out = torch.full_like(q, math.nan)
    triton_attention.attend(Call(q, k, v, sets, geometry, geometry, scale, out, tail))
    exact = reference.block_sparse_attention(
        q.double(), k.double(), v.double(), mask, geometry, scale,
        pooled_tail(k.double(), v.double(), geometry) if with_tail else None,
    )  # fmt: skip
    assert _relative(out, exact) < HALF_EPS
    if not with_tail:
        rows = geometry.block_tokens[0]
        assert (out[0, 0, rows[rows >= 0]] == 0).all()


@pytest.mark.parametrize("options", [{}, {"faithful": True}, {"heads_per_pass": 1, "statistic": "mean+max"}])
def test_the_whole_call(options):
    grid = RAGGED.grid
    q, k, v = _tensors(RAGGED, heads=2, kv_heads=2 if "heads_per_pass" in options else 1)
    arguments = {"grid": grid, "sparsity": 0.6, **options}
    out = draft_attention(q, k, v, backend="triton", **arguments)
    exact = draft_attention(q.double(), k.double(), v.double(), **arguments)
    assert out.stride() == q.stride()
    assert _relative(out, exact) < HALF_EPS


def test_selection_agrees_with_the_reference_from_end_to_end():
    """From q and k to sets; the pooled values may round apart, so pairs at the threshold are left out of account."""
    geometry, rule, scale = RAGGED, SelectionRule(0.5), 0.125
    q, k, _ = _tensors(geometry)
    pooled = [triton_pool.pool_blocks(x, geometry) for x in (q, k)]
    sets = triton_select.select_blocks(*pooled, geometry, rule, scale)
    mask = draft_mask(q, k, geometry, rule, scale)
    assert (sets.bits != sets_from_mask(mask).bits).sum() <= 1
