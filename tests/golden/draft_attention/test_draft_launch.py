"""Launches by a kept key, scratch memory for the map, and who sees the operator."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from triptych.golden.draft_attention import Geometry, draft_attention, ops, triton_launch, triton_select
from triptych.golden.draft_attention.context_parallel import _copies_as_words, _copy
from triptych.golden.draft_attention.selection import SelectionRule
from triptych.golden.draft_attention.triton_pool import pool_blocks


class _Compiled:
    def __init__(self, log):
        self.log = log

    def __getitem__(self, grid):
        return lambda *arguments: self.log.append(("kept", grid, arguments))


class _Kernel:
    """Stands for Triton's: what it compiles is told apart from what is launched again."""

    def __init__(self):
        self.log = []

    def __getitem__(self, grid):
        def first(*arguments, **options):
            self.log.append(("compiled", grid, arguments))
            return _Compiled(self.log)

        return first


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(triton_launch, "_KEEPS", True)
    monkeypatch.setattr(triton_launch, "_compiled", {})
    return _Kernel()


def test_what_a_kernel_may_be_specialised_for_compiles_anew(kernel):
    x = torch.zeros(64, dtype=torch.float16)
    base = (x, 16, 0.5, True)
    triton_launch.launch(kernel, (3,), *base, num_warps=4)
    triton_launch.launch(kernel, (5, 2), x.clone(), 16, 0.5, True, num_warps=4)  # other memory, another grid
    assert [entry[:2] for entry in kernel.log] == [("compiled", (3,)), ("kept", (5, 2, 1))]
    others = [(x[1:], 16, 0.5, True), (x.float(), 16, 0.5, True), (x, 17, 0.5, True), (x, 16, 0.5, False)]
    for other in others:  # not on 16 bytes, another type, another number, another constant
        triton_launch.launch(kernel, (3,), *other, num_warps=4)
    triton_launch.launch(kernel, (3,), *base, num_warps=8)
    assert [entry[0] for entry in kernel.log[2:]] == ["compiled"] * 5
    triton_launch.launch(kernel, (3,), *others[0], num_warps=4)
    assert kernel.log[-1][0] == "kept"
    assert kernel.log[-1][2][0].data_ptr() == x.data_ptr() + 2


def test_what_is_kept_stays_bounded(kernel, monkeypatch):
    monkeypatch.setattr(triton_launch, "_LARGEST", 8)
    x = torch.zeros(4)
    for number in range(30):
        triton_launch.launch(kernel, (1,), x, number)
        assert len(triton_launch._compiled) <= 8


@pytest.mark.parametrize("size", [0, 40, 8192])
def test_sets_do_not_depend_on_where_the_map_lies(size):
    """Too little room, room for one head at a time, room for all; poisoned."""
    geometry = Geometry((1, 20, 40), (8, 16))
    q, k = (torch.randn(1, 3, geometry.length, 64).half() for _ in range(2))
    pooled = [pool_blocks(x, geometry) for x in (q, k)]
    expected = triton_select.select_blocks(*pooled, geometry, SelectionRule(0.6), 0.125)
    scratch = torch.full((2, size, 16), float("nan"), dtype=torch.float16).transpose(0, 1)
    sets = triton_select.select_blocks(*pooled, geometry, SelectionRule(0.6), 0.125, scratch=scratch)
    assert torch.equal(sets.bits, expected.bits)
    assert torch.equal(sets.counts, expected.counts)
    assert bool(scratch.isnan().all()) == (size == 0)  # it was used where there is room


def test_only_who_records_sees_the_operator(monkeypatch):
    q, k, v = (torch.randn(1, 2, 256, 16) for _ in range(3))
    options = {"grid": (1, 16, 16), "sparsity": 0.5}
    expected = draft_attention(q, k, v, **options)
    with FakeTensorMode() as mode:
        fake = draft_attention(*(mode.from_tensor(x) for x in (q, k, v)), **options)
    assert type(fake) is not torch.Tensor
    assert fake.shape == q.shape
    seen = torch.fx.experimental.proxy_tensor.make_fx(lambda q: draft_attention(q, k, v, **options))(q)
    assert any("draft_attention" in str(node.target) for node in seen.graph.nodes)
    assert torch.equal(seen(q), expected)
    monkeypatch.setattr(ops, "draft_attention", lambda *_: pytest.fail("through the operator"))
    assert torch.equal(draft_attention(q, k, v, **options), expected)


def test_copies_by_words():
    x = torch.randn(2, 4, 6, 8).bfloat16()
    assert _copies_as_words(x.transpose(0, 2))
    assert not _copies_as_words(x[..., :6])
    assert not _copies_as_words(x.transpose(2, 3))
    for source in (x.transpose(0, 2), x[..., :6], x.transpose(2, 3)):
        target = torch.empty(source.shape, dtype=x.dtype)
        _copy(target, source)
        assert torch.equal(target, source)
