"""The three calls inside torch.compile and torch.export: one operator each, no break, equal to eager."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from triptych.golden.draft_attention import (
    DraftAttentionError,
    block_sparse_attention,
    draft_attention,
    select_blocks,
)

GRID = (2, 8, 12)
LENGTH = 2 * 8 * 12 + 5


def _tensors(batch=2, length=LENGTH):
    return [torch.randn(batch, 2, length, 16) for _ in range(3)]


def _one_call(q, k, v):
    return draft_attention(1.5 * q, k, v, grid=GRID, pool=(4, 4), sparsity=[0.6, 0.3], text="before") + 1


def _kept_sets(q, k, v):
    sets = select_blocks(q, k, v, grid=GRID, pool=(4, 4), sparsity=0.6, first_frame_sink=True)
    out, lse = block_sparse_attention(q, k, v, sets, tail=True, return_lse=True)
    return out, lse, sets.density()


def _own_mask(q, k, v):
    mask = q[..., :4, :7] > 0
    sizes = torch.tensor([32, 30, 5, 0, 7, 32, 5])
    return block_sparse_attention(q, k, v, mask, block=(64, 32), block_sizes=(None, sizes))


class _Layer(nn.Module):
    """Self-attention as a model has it: projections, heads split out of a token-major tensor, draft attention."""

    def __init__(self):
        super().__init__()
        self.project, self.out = nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (2, 16)).transpose(1, 2) for part in self.project(x).chunk(3, dim=-1))
        return self.out(draft_attention(q, k, v, grid=GRID, pool=(4, 4)).transpose(1, 2).flatten(2))


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    with torch.no_grad():
        yield


@pytest.mark.parametrize("function", [_one_call, _kept_sets, _own_mask])
def test_a_full_graph_equals_eager_and_is_compiled_once(function):
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for _ in range(3):
        inputs = _tensors()
        ours, expected = compiled(*inputs), function(*inputs)
        if not isinstance(expected, tuple):
            ours, expected = (ours,), (expected,)
        for x, y in zip(ours, expected, strict=True):
            assert torch.equal(x, y)
            assert x.stride() == y.stride()
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


@pytest.mark.parametrize("mode", [None, "max-autotune"])
def test_a_layer_through_inductor(mode):
    layer = _Layer()
    compiled = torch.compile(layer, fullgraph=True, mode=mode)
    for _ in range(2):
        x = torch.randn(2, LENGTH, 32)
        assert (compiled(x) - layer(x)).abs().max() < 1e-6  # projections sum in another order
    assert counters["stats"]["unique_graphs"] == 1


def test_other_lengths_are_served_by_a_dynamic_graph():
    compiled = torch.compile(_one_call, fullgraph=True, backend="aot_eager", dynamic=True)
    for length in (LENGTH, LENGTH + 9, LENGTH + 30):
        inputs = _tensors(length=length)
        assert torch.equal(compiled(*inputs), _one_call(*inputs))
    assert counters["stats"]["unique_graphs"] == 1


def test_export_holds_the_operator():
    layer = _Layer()
    x = torch.randn(2, LENGTH, 32)
    program = torch.export.export(layer, (x,))
    assert torch.equal(program.module()(x), layer(x))
    operators = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert operators.count("triptych.draft_attention.default") == 1
    assert not [name for name in operators if "softmax" in name]


def test_fakes_tell_shapes_types_and_strides():
    """PyTorch's own check of an operator: schema, fake against real, and what tracing makes of it."""
    q, k, v = _tensors()
    q = q.transpose(1, 2).contiguous().transpose(1, 2)  # token-major memory
    options = ([0.6], None, False, None, False, False, "mean", None)
    torch.library.opcheck(torch.ops.triptych.select_blocks.default, (q, k, v, [*GRID], [4, 4], "after", *options))
    everything = ([0.6], 0.3, True, False, None, False, False, "mean", None, None, False)
    torch.library.opcheck(torch.ops.triptych.draft_attention.default, (q, k, v, [*GRID], [4, 4], "after", *everything))
    sets = select_blocks(q, k, grid=GRID, pool=(4, 4))
    boxes = ([*GRID], [4, 4], "after", 64, 64, None, None, sets.paired)
    for lse in (False, True):
        arguments = (q, k, v, sets.bits, sets.counts, *boxes, None, True, lse, None)
        torch.library.opcheck(torch.ops.triptych.block_sparse_attention.default, arguments)


def test_gradients_are_refused_in_a_graph_too():
    with torch.enable_grad():
        layer = _Layer()
        with pytest.raises(DraftAttentionError, match="no gradient"):
            layer(torch.randn(2, LENGTH, 32))
        with pytest.raises(Exception, match="no gradient"):
            torch.compile(layer, fullgraph=True, backend="aot_eager")(torch.randn(2, LENGTH, 32))
