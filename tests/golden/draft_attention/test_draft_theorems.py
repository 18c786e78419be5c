"""The paper's two bounds hold, and are no empty statement, on random and on smooth fields."""

from __future__ import annotations

import pytest
import torch

from triptych.golden.draft_attention import Geometry
from triptych.golden.draft_attention.selection import SelectionRule, draft_mask
from triptych.golden.draft_attention.theorems import theorem_bounds


def _smooth(geometry, dim, noise):
    frames, height, width = geometry.grid
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    field = [torch.sin(i * x + j * y) for i in range(4) for j in range(dim // 4)]
    video = torch.stack(field, -1).expand(frames, height, width, dim).reshape(-1, dim)
    return video + noise * torch.randn(geometry.n_video_tokens, dim)


@pytest.mark.parametrize("noise", [0.0, 0.1, 3.0])
@pytest.mark.parametrize("sparsity", [0.25, 0.75, 0.95])
@pytest.mark.parametrize("faithful", [True, False])
def test_both_bounds_hold(noise, sparsity, faithful):
    geometry = Geometry((2, 13, 18), (4, 4))
    q, k = _smooth(geometry, 16, noise), _smooth(geometry, 16, noise)
    rule = SelectionRule(sparsity, faithful=faithful)
    mask = draft_mask(q[None, None], k[None, None], geometry, rule, 0.25)[0, 0]
    for bound in theorem_bounds(q, k, mask, geometry, 0.25):
        assert 0.0 < bound.observed <= bound.allowed
        assert bound.observed > 0.01 * bound.allowed


def test_bounds_are_tight_for_blocks_of_constant_deviation():
    """Keys that deviate from their block's mean by +-delta in one channel make the first bound an equality."""
    geometry = Geometry((1, 4, 8), (2, 4))
    q = torch.ones(32, 1, dtype=torch.float64)
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(16)[:, None]
    mask = torch.eye(4, dtype=torch.bool)
    first, second = theorem_bounds(q, 0.5 * sign, mask, geometry, 1.0)
    assert first.observed == pytest.approx(first.allowed, rel=1e-12)
    assert second.observed == pytest.approx(second.allowed, rel=1e-12)
