"""Masks against the rules written out by hand, and what each option promises."""

from __future__ import annotations

import math

import draft_naive as naive
import pytest
import torch

from triptych.golden.draft_attention import DraftAttentionError, DraftStatistic, Geometry
from triptych.golden.draft_attention.selection import SelectionRule, draft_mask, keep_budget, paper_mask
from triptych.golden.draft_attention.terms.block_sets import sets_from_mask

GRID, POOL = (3, 9, 10), (4, 4)
CASES = [(GRID, POOL, 0, "after"), (GRID, POOL, 21, "before"), ((5, 6, 8), (2, 4, 4), 7, "after")]


def _queries(grid, text_length, heads=2, dim=8):
    length = math.prod(grid) + text_length
    return 3 * torch.randn(1, heads, length, dim, dtype=torch.float64), torch.randn(1, 1, length, dim).double()


@pytest.mark.parametrize(("grid", "pool", "text_length", "text"), CASES)
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.55, 0.75, 0.9, 0.99])
def test_faithful_mask_is_the_papers_bit_for_bit(grid, pool, text_length, text, sparsity):
    q, k = _queries(grid, text_length)
    geometry = Geometry.for_length(q.shape[2], grid, pool, text)
    scale = 1 / math.sqrt(q.shape[-1])
    rule = SelectionRule(sparsity, faithful=True)
    mask = draft_mask(q, k, geometry, rule, scale)
    video, _ = naive.block_members(grid, geometry.pool, text_length, text == "before")
    n = len(video)
    for head in range(2):
        probability = naive.draft_probability(q[0, head], k[0, 0], video, scale)
        assert torch.equal(mask[0, head, :n, :n], naive.paper_rule(probability, sparsity))
    assert mask[:, :, n:].all()
    assert mask[:, :, :, n:].all()


def test_faithful_ties_are_kept_and_rows_may_be_empty():
    logits = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    assert paper_mask(logits, (0.9,)).all()
    logits[0, 0, 0] = torch.tensor([9.0, 0.0, 0.0, 0.0])
    mask = paper_mask(logits, (0.99,))[0, 0]
    assert mask[1:].all()  # twelve entries tie at the threshold, the 15th smallest
    mask = paper_mask(torch.diag(torch.tensor([9.0, 9.0, 9.0, 0.0]))[None, None].double(), (0.85,))[0, 0]
    assert mask.any(dim=1).tolist() == [True, True, True, True]
    mask = paper_mask(torch.diag(torch.tensor([9.0, 9.0, 9.0, 0.1]))[None, None].double(), (0.9,))[0, 0]
    assert mask.any(dim=1).tolist() == [True, True, True, False]


def test_faithful_count_follows_the_published_float_steps():
    """1 - (1 - 0.9) is a hair above 0.9; with 990 x 990 pairs the count is int(882090.0000000001)."""
    logits = torch.randn(1, 1, 30, 30, dtype=torch.float64)
    for share in (0.1, 0.3, 0.55, 0.6, 0.7, 0.9):
        left_out = int((1.0 - (1.0 - share)) * 900)
        assert paper_mask(logits, (share,)).sum() == 900 - left_out + 1


@pytest.mark.parametrize(("grid", "pool", "text_length", "text"), CASES)
@pytest.mark.parametrize(("sparsity", "row_floor"), [(0.5, 1), (0.9, 1), (0.9, 2), (0.97, 3), (0.8, 0), (0.7, None)])
def test_floored_mask_is_the_rule_written_out(grid, pool, text_length, text, sparsity, row_floor):
    q, k = _queries(grid, text_length)
    geometry = Geometry.for_length(q.shape[2], grid, pool, text)
    scale = 1 / math.sqrt(q.shape[-1])
    mask = draft_mask(q, k, geometry, SelectionRule(sparsity, row_floor=row_floor), scale)
    video, _ = naive.block_members(grid, geometry.pool, text_length, text == "before")
    n = len(video)
    if row_floor is None:
        row_floor = int(0.75 * (1 - sparsity) * n)
        assert row_floor > 1
    for head in range(2):
        probability = naive.draft_probability(q[0, head], k[0, 0], video, scale)
        expected = naive.floored_rule(probability, sparsity, row_floor)
        assert torch.equal(mask[0, head, :n, :n], expected)
        assert (mask[0, head, :n, :n].sum(1) >= row_floor).all()
        budget = max(keep_budget(sparsity, n * n), n * row_floor)
        assert keep_budget(sparsity, n * n) <= mask[0, head, :n, :n].sum() <= budget


@pytest.mark.parametrize("option", ["first_frame_sink", "same_frame"])
@pytest.mark.parametrize("pool", [(4, 4), (2, 4, 4)])
def test_forced_blocks_are_kept_within_the_budget(option, pool):
    q, k = _queries((4, 8, 8), 0)
    geometry = Geometry((4, 8, 8), pool)
    rule = SelectionRule(0.4, row_floor=0, **{option: True})
    mask = draft_mask(q, k, geometry, rule, 0.35)
    frames = geometry.block_frames
    forced = frames[None, :] == 0 if option == "first_frame_sink" else frames[:, None] == frames[None, :]
    assert mask[:, :, forced.expand(mask.shape[2:])].all()
    assert (mask.sum((2, 3)) == keep_budget(0.4, geometry.n_video_blocks**2)).all()
    video, _ = naive.block_members((4, 8, 8), geometry.pool, 0, False)
    probability = naive.draft_probability(q[0, 1], k[0, 0], video, 0.35)
    assert torch.equal(mask[0, 1], naive.floored_rule(probability, 0.4, 0, forced.expand(mask.shape[2:])))


def test_max_statistic_changes_the_ranking_as_defined():
    q, k = _queries(GRID, 0, heads=1)
    geometry = Geometry(GRID, POOL)
    rule = SelectionRule(0.7, row_floor=1, statistic=DraftStatistic.MEAN_AND_MAX)
    mask = draft_mask(q, k, geometry, rule, 0.3)[0, 0]
    video, _ = naive.block_members(GRID, geometry.pool, 0, False)
    means = [torch.stack([x[0, 0, tokens].mean(0) for tokens in video]) for x in (q, k)]
    maxima = [torch.stack([x[0, 0, tokens].amax(0) for tokens in video]) for x in (q, k)]
    logits = (means[0] @ means[1].T + maxima[0] @ maxima[1].T) / 2 * 0.3
    assert torch.equal(mask, naive.floored_rule(torch.softmax(logits, -1), 0.7, 1))
    assert not torch.equal(mask, draft_mask(q, k, geometry, SelectionRule(0.7, row_floor=1), 0.3)[0, 0])


def test_each_head_has_its_own_sparsity():
    q, k = _queries(GRID, 0)
    geometry = Geometry(GRID, POOL)
    mask = draft_mask(q, k, geometry, SelectionRule((0.2, 0.8)), 0.3)
    n_pairs = geometry.n_video_blocks**2
    assert mask.sum((2, 3)).tolist() == [[keep_budget(0.2, n_pairs), keep_budget(0.8, n_pairs)]]


def test_sets_hold_the_mask():
    mask = torch.rand(2, 3, 70, 70) < 0.4
    mask[0, 0, 3] = False
    mask[0, 1, 4] = True
    sets = sets_from_mask(mask)
    assert sets.bits.shape == (2, 3, 70, 4)
    for place in [(0, 0, 3), (0, 1, 4), (1, 2, 69), (1, 0, 0)]:
        assert int(sets.counts[place]) == int(mask[place].sum())
        words = [int(word) & 0xFFFFFFFF for word in sets.bits[place]]
        chosen = [bool(words[c // 32] >> (c % 32) & 1) for c in range(128)]
        assert chosen == mask[place].tolist() + [False] * 58


@pytest.mark.parametrize(
    "arguments",
    [
        {"sparsity": 1.0},
        {"sparsity": -0.1},
        {"sparsity": ()},
        {"sparsity": float("nan")},
        {"row_floor": -1},
        {"faithful": True, "same_frame": True},
        {"faithful": True, "statistic": DraftStatistic.MEAN_AND_MAX},
    ],
)
def test_rules_out_of_range_are_refused(arguments):
    with pytest.raises(DraftAttentionError):
        SelectionRule(**arguments)
