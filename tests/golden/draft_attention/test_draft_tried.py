"""What people tried first and where it failed, line by line; models, wheel and compilers have files of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from triptych.golden.draft_attention import Backend, DraftAttentionError, Geometry, dispatch, draft_attention, hopper
from triptych.golden.draft_attention.terms import contract
from triptych.golden.draft_attention.terms.contract import Request

GRID = (2, 8, 16)
LENGTH = 2 * 8 * 16 + 6
HALF_EPS = 2.0**-11


def _rows_65_apart(shape):
    return torch.randn(*shape[:-1], 65).half()[..., :64]


def _two_bytes_off(shape):
    return torch.randn(torch.Size(shape).numel() + 1).half()[1:].view(shape)


def _expanded_over_the_batch(shape):
    return torch.randn(1, *shape[1:]).half().expand(shape)


def _token_major(shape):
    return torch.randn(shape[0], shape[2], shape[1], shape[3]).half().transpose(1, 2)


def _last_axis_not_dense(shape):
    return torch.randn(*shape[:2], shape[3], shape[2]).half().transpose(2, 3)


LAYOUTS = [_rows_65_apart, _two_bytes_off, _expanded_over_the_batch, _token_major, _last_axis_not_dense]


@pytest.mark.parametrize("make", LAYOUTS)
def test_any_strides_are_served(make):
    shape = (2, 2, LENGTH, 64)
    q, k, v = (make(shape) for _ in range(3))
    options = {"grid": GRID, "sparsity": 0.5}
    exact = draft_attention(*(x.double() for x in (q, k, v)), **options)
    for backend in ("triton", "reference"):
        out = draft_attention(q, k, v, backend=backend, **options)
        assert (out.double() - exact).norm() / exact.norm() < HALF_EPS
        assert out.stride() == torch.empty_like(q).stride()  # what the operator's fake promises


@pytest.mark.parametrize("make", LAYOUTS)
def test_what_the_copy_engine_cannot_read_is_copied_and_nothing_else(make):
    x = make((2, 2, LENGTH, 64))
    read = dispatch.readable(Backend.HOPPER, x)
    assert contract.copy_engine_reads(read)
    assert torch.equal(read, x)
    assert (read is x) == (make is _token_major)


def test_a_call_twice_is_the_same_on_the_cpu():
    q, k, v = (torch.randn(2, 2, LENGTH, 64) for _ in range(3))
    first, second = (draft_attention(q, k, v, grid=GRID, sparsity=0.5) for _ in range(2))
    assert torch.equal(first, second)


def test_what_hoppers_kernels_refuse_goes_to_triton(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(hopper, "missing_compiler", lambda: None)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    layout = Geometry(GRID)
    cases = [*((dim, False, Backend.HOPPER) for dim in (8, 32, 64, 72, 80, 96, 128)), (136, False, Backend.TRITON)]
    for dim, with_lse, expected in (*cases, (256, False, Backend.TRITON), (64, True, Backend.TRITON)):
        request = Request(torch.bfloat16, dim, layout, layout, False, with_lse, False)
        assert dispatch.serving_backend(None, torch.device("cuda"), request) is expected
    with pytest.raises(DraftAttentionError, match="8-bit Hopper kernels take head dim 64 or 128; got 72"):
        dispatch.serving_backend(
            None, torch.device("cuda"), Request(torch.bfloat16, 72, layout, layout, False, False, True)
        )


@pytest.mark.parametrize("length", [LENGTH, 128, 1000])
def test_zero_sparsity_is_dense_attention_on_a_kernel_without_a_choice(length, monkeypatch):
    """Full blocks of consecutive tokens: nothing is pooled, nothing is wasted at the grid's edges."""
    q, k, v = (torch.randn(1, 2, length, 64).half() for _ in range(3))
    monkeypatch.setattr(dispatch, "select", lambda *_: pytest.fail("blocks were selected"))
    out = draft_attention(q, k, v, grid=(1, 7, 11), sparsity=0.0, backend="triton")
    exact = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double())
    assert (out.double() - exact).norm() / exact.norm() < HALF_EPS


def test_the_pages_examples_run():
    page = (Path(__file__).parents[3] / "docs" / "draft_attention.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    for example in examples:
        if "pipe" not in example:
            exec(example, names)
    assert names["out"].shape == names["q"].shape
    assert names["lse"].shape == names["q"].shape[:3]
