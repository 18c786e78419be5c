"""Which blocks are kept with the tail, and how far the tail's variance is trusted."""

from __future__ import annotations

import math

import draft_naive as naive
import pytest
import torch

from triptych.golden.draft_attention import block_sparse_attention, draft_attention, select_blocks
from triptych.golden.draft_attention.dispatch import select
from triptych.golden.draft_attention.pooling import pooled_tail
from triptych.golden.draft_attention.reference import block_sparse_attention as reference_attention
from triptych.golden.draft_attention.selection import Criterion, SelectionRule, draft_mask, error_keys
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.trust import trust_of, trusted_tail, variance_slope

BY_ERROR = SelectionRule(0.6, row_floor=1, criterion=Criterion.TAIL_ERROR)
GEOMETRIES = [
    pytest.param(Geometry((2, 20, 36), (8, 8), 70), id="64, ragged, odd, text after"),
    pytest.param(Geometry((2, 20, 36), (8, 16), 30, text_first=True), id="128, ragged, text before"),
    pytest.param(Geometry((5, 9, 10), (4, 4, 4), 0), id="64, three axes"),
]


def _tensors(geometry, heads=2, kv_heads=1, dim=8, dtype=torch.float64):
    q = torch.randn(1, heads, geometry.length, dim, dtype=dtype)
    k, v = (torch.randn(1, kv_heads, geometry.length, dim, dtype=dtype) for _ in range(2))
    return 2 * q, k, v


def _video(geometry):
    return naive.block_members(geometry.grid, geometry.pool, geometry.text_length, geometry.text_first)[0]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_keys_are_the_error_written_out(geometry):
    q, k, v = _tensors(geometry)
    keys = error_keys(q, k, v, geometry, 0.3)
    for head in range(2):
        written = naive.block_error(q[0, head], k[0, 0], v[0, 0], _video(geometry), 0.3).log()
        assert torch.allclose(keys[0, head], written, rtol=0, atol=1e-9)


def test_blocks_of_64_are_kept_for_two_neighbours_by_the_sum_of_their_squared_errors():
    geometry = Geometry((1, 24, 24), (8, 8))
    q, k, v = _tensors(geometry, heads=1)
    error = naive.block_error(q[0, 0], k[0, 0], v[0, 0], _video(geometry), 0.3)
    pairs = [error[i : i + 2].square().sum(0) for i in range(0, 9, 2)]
    flat = torch.stack(pairs).flatten().sort(descending=True).values
    mask = draft_mask(q, k, geometry, SelectionRule(0.6, row_floor=0, criterion=Criterion.TAIL_ERROR), 0.3, v)[0, 0]
    kept = round(0.4 * 45)
    for row in range(9):
        assert torch.equal(mask[row], pairs[row // 2] >= flat[kept - 1])
    assert torch.equal(mask[0:8:2], mask[1:8:2])


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_trust_is_the_rule_written_out(geometry):
    q, k, v = _tensors(geometry)
    v = v - 0.4 * k
    ours = trust_of(variance_slope(q, k, v, geometry, 0.3))
    assert ours.shape == (1, 1)
    assert ours.item() == pytest.approx(naive.trust(q[0], k[0, 0], v[0, 0], _video(geometry), 0.3), abs=1e-9)


def test_values_that_follow_the_keys_are_not_trusted():
    """Independent values keep the second-order term; values that lean towards the output where logits are high lose it,
    and the output then gains by it."""
    geometry = Geometry((2, 32, 32), (8, 8))
    coarse = torch.randn(1, 1, 2, 4, 4, 8, dtype=torch.float64)
    smooth = coarse.repeat_interleave(8, 3).repeat_interleave(8, 4).flatten(2, 4)
    k = smooth + torch.randn(1, 1, geometry.length, 8, dtype=torch.float64)
    q = 1.5 * (smooth + 0.3 * torch.randn_like(smooth))
    scale = 1 / math.sqrt(8)
    noise = smooth + torch.randn_like(k)
    assert trust_of(variance_slope(q, k, noise, geometry, scale)).item() > 0.9
    v = smooth + 2 * (k - smooth)
    assert trust_of(variance_slope(q, k, v, geometry, scale)).item() < 0.6
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    with_rule = draft_attention(q, k, v, grid=geometry.grid, pool=(8, 8), sparsity=0.8)
    mask = draft_mask(q, k, geometry, SelectionRule(0.8, criterion=Criterion.TAIL_ERROR), scale, v)
    always = reference_attention(q, k, v, mask, geometry, scale, pooled_tail(k, v, geometry))
    assert (with_rule - dense).norm() < (always - dense).norm()


@pytest.mark.parametrize("forced", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_kernels_choose_and_trust_as_the_reference(geometry, forced):
    q, k, v = _tensors(geometry, heads=4, kv_heads=2, dim=64, dtype=torch.float16)
    k = k + torch.randn(1, 2, geometry.n_blocks, 64, dtype=torch.float16)[:, :, geometry.token_blocks]
    v = v + k * torch.tensor([0.3, 1.5], dtype=torch.float16)[:, None, None]
    v = v * torch.randn(1, 2, geometry.n_blocks, 1).exp().half()[:, :, geometry.token_blocks]
    rule = SelectionRule(0.6, first_frame_sink=forced, same_frame=forced, criterion=Criterion.TAIL_ERROR)
    sets, tail = select(q, k, v, geometry, rule, 0.06, True)
    mask = draft_mask(q, k, geometry, rule, 0.06, v)
    assert (sets.mask() != mask).sum() <= 4  # pooled values may round apart at the threshold
    assert torch.equal(sets.mask().sum(-1, dtype=torch.int32), sets.counts)
    assert sets.paired == (geometry.block_size == 64)
    expected = trusted_tail(q, k, v, geometry, 0.06)
    assert tail is not None
    trust = trust_of(variance_slope(q, k, v, geometry, 0.06))
    assert ((trust > 0.02) & (trust < 0.98)).any()
    assert torch.allclose(tail.k_spread, expected.k_spread.float(), rtol=5e-3, atol=2e-3)
    assert torch.allclose(tail.k_profile, expected.k_profile.float(), rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((2, 20, 20), (8, 8), 70),
        pytest.param(Geometry((2, 12, 36), (8, 16), 30, text_first=True), marks=pytest.mark.slow),
    ],
    ids=["64", "128"],
)
def test_the_tail_of_the_triton_kernel_over_both_block_sizes(geometry):
    q, k, v = _tensors(geometry, heads=1, dim=32, dtype=torch.float16)
    k = k + torch.randn(1, 1, geometry.n_blocks, 32, dtype=torch.float16)[:, :, geometry.token_blocks]
    text = "before" if geometry.text_first else "after"
    options = {"grid": geometry.grid, "pool": geometry.pool, "sparsity": 0.6, "text": text}
    sets = select_blocks(q, k, v, **options, backend="triton")
    out = block_sparse_attention(q, k, v, sets, tail=True, backend="triton")
    wide = (x.double() for x in (q, k, v))
    exact = block_sparse_attention(*wide, sets, tail=True, backend="reference")
    assert ((out - exact).norm() / exact.norm()).item() < 2e-3


def test_sets_with_values_are_those_of_the_call_with_its_tail():
    geometry = Geometry((2, 24, 16), (8, 8))
    q, k, v = _tensors(geometry)
    options = {"grid": geometry.grid, "pool": (8, 8), "sparsity": 0.6}
    by_error, by_mass = select_blocks(q, k, v, **options), select_blocks(q, k, **options)
    assert by_error.paired
    assert not by_mass.paired
    assert not torch.equal(by_error.bits, by_mass.bits)
    assert torch.equal(by_error.mask()[:, :, 0::2], by_error.mask()[:, :, 1::2])


def test_odd_inputs_give_finite_results():
    """Constant keys and values have no variance; nothing may become NaN for that."""
    geometry = Geometry((1, 16, 24), (8, 8), 3)
    q, k, v = _tensors(geometry)
    for constant_k, constant_v in ((True, True), (True, False), (False, True)):
        keys = torch.ones_like(k) if constant_k else k
        values = torch.ones_like(v) if constant_v else v
        out = draft_attention(q, keys, values, grid=geometry.grid, pool=(8, 8), sparsity=0.5)
        assert torch.isfinite(out).all()
