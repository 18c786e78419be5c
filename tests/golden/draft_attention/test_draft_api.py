"""What the call refuses, and that it says what to do."""

from __future__ import annotations

import pytest
import torch

from triptych.golden.draft_attention import Backend, DraftAttentionError, Geometry, dispatch, draft_attention, ops
from triptych.golden.draft_attention.dispatch import choose_backend
from triptych.golden.draft_attention.terms.geometry import GeometryError

GRID = (2, 8, 16)
LENGTH = 2 * 8 * 16 + 6


def _q(*, heads=2, length=LENGTH, dim=64, dtype=torch.float32, batch=1):
    return torch.randn(batch, heads, length, dim).to(dtype)


def test_inputs_that_do_not_fit_are_refused_with_the_reason():
    q = _q()
    cases = [
        ((q[0], q, q), {}, r"\[batch, heads, length, dim\]"),
        ((q, q, q[:, :, :5]), {}, "k and v must have one shape"),
        ((q, _q(length=9), _q(length=9)), {}, "agree in batch, length and dim"),
        ((q, _q(batch=2), _q(batch=2)), {}, "agree in batch"),
        ((_q(heads=3), q, q), {}, "no multiple of 2 key heads"),
        ((q, q.double(), q), {}, "one float dtype"),
        ((q.int(), q.int(), q.int()), {}, "one float dtype"),
        ((q, q, q), {"grid": (2, 8, 32)}, "needs 512 tokens, but the sequence has 262"),
        ((q, q, q), {"grid": (2, 8)}, "grid must be"),
        ((q, q, q), {"grid": (0, 8, 16)}, "each an int >= 1"),
        ((q, q, q), {"pool": (8,)}, "pool must be"),
        ((q, q, q), {"pool": (0, 16)}, "pool must be"),
        ((q, q, q), {"text": "middle"}, '"after" or "before"'),
        ((q, q, q), {"sparsity": 1.5}, r"\[0, 1\)"),
        ((q, q, q), {"sparsity": [0.5, 0.5, 0.5]}, "names 3 heads, but q has 2"),
        ((q, q, q), {"row_floor": -2}, "row_floor"),
        ((q, q, q), {"backend": "cuda"}, "cuda"),
        ((q, q, q), {"statistic": "median"}, "median"),
        ((q, q, q), {"heads_per_pass": 0}, "heads_per_pass"),
        ((q, q, q), {"faithful": True, "same_frame": True}, "drop the selection options"),
        ((q, q, q), {"backend": "hopper"}, "needs CUDA tensors"),
        ((q, q, q), {"backend": "triton"}, "float16 or bfloat16"),
        ((q, q, q), {"eight_bit": True}, "eight_bit needs the Hopper kernel"),
        ((_q(dim=64),) * 3, {"eight_bit": True, "pool": (8, 8), "backend": "hopper"}, "blocks of 128 x 128 tokens"),
        ((q.bfloat16(),) * 3, {"backend": "triton"}, "interpreter"),
        ((_q(dim=36, dtype=torch.float16),) * 3, {"backend": "triton"}, "multiples of 8 up to 256; got 36"),
        ((_q(dim=264, dtype=torch.float16),) * 3, {"backend": "triton"}, "multiples of 8 up to 256; got 264"),
        ((q.half(),) * 3, {"backend": "triton", "pool": (4, 8)}, "pools of 64 or 128 tokens"),
        ((q, q, q), {"row_floor": 3}, "must not exceed the grid's 2 video blocks"),
    ]
    for tensors, options, message in cases:
        with pytest.raises(DraftAttentionError, match=message) as caught:
            draft_attention(*tensors, **{"grid": GRID, **options})
        assert "\n" not in str(caught.value)


def test_gradients_are_refused_but_no_grad_is_served():
    q = _q().requires_grad_()
    with pytest.raises(DraftAttentionError, match="no gradient"):
        draft_attention(q, q, q, grid=GRID)
    with torch.no_grad():
        assert draft_attention(q, q, q, grid=GRID).requires_grad is False
    plain = _q()
    assert draft_attention(plain, plain, plain, grid=GRID).requires_grad is False


@pytest.mark.parametrize(
    ("capability", "backend"),
    [((9, 0), Backend.HOPPER), ((8, 0), Backend.TRITON), ((8, 9), Backend.TRITON), ((10, 0), Backend.TRITON)],
)
def test_dispatch_by_device(monkeypatch, capability, backend):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_backend(torch.device("cuda")) is backend


def test_dispatch_without_a_kernel(monkeypatch):
    assert choose_backend(torch.device("cpu")) is Backend.REFERENCE
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    for device, message in (("cuda", "7.5"), ("meta", '"meta"')):
        with pytest.raises(DraftAttentionError, match=message):
            choose_backend(torch.device(device))


def test_geometry_refuses_what_it_cannot_hold():
    for arguments in ({"grid": (1, 2)}, {"grid": (1, 2, -1)}, {"grid": (1, 2, 3), "text_length": -1}):
        with pytest.raises(GeometryError):
            Geometry(**arguments)


def test_inputs_stay_untouched_and_dtype_is_kept():
    q, k, v = _q(), _q(), _q()
    copies = [x.clone() for x in (q, k, v)]
    out = draft_attention(q, k, v, grid=GRID, text="before", sparsity=0.5)
    assert out.shape == q.shape
    assert out.dtype == q.dtype
    assert all(torch.equal(x, y) for x, y in zip((q, k, v), copies, strict=True))


def test_a_short_call_is_dense_where_that_is_faster_and_says_so(monkeypatch):
    """On a Hopper GPU; here its kernels are out of reach, and PyTorch's dense attention is not."""
    monkeypatch.setattr(dispatch, "choose_backend", lambda device: Backend.HOPPER)
    monkeypatch.setattr(ops, "serving_backend", lambda named, device, request: named or Backend.REFERENCE)
    torch.manual_seed(3)
    q, k, v = (torch.randn(1, n, 240, 16) for n in (4, 2, 2))
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    torch.testing.assert_close(draft_attention(q, k, v, grid=(2, 8, 15), pool=(4, 5), sparsity=0.9), dense)
    sparse = draft_attention(q, k, v, grid=(2, 8, 15), pool=(4, 5), sparsity=0.9, backend="reference")
    assert not torch.allclose(sparse, dense)
    assert not dispatch.sparse_pays(torch.empty(1, 24, 4096, 128), [0.9])
    assert dispatch.sparse_pays(torch.empty(1, 24, 8192, 128), [0.9])
    assert not dispatch.sparse_pays(torch.empty(1, 24, 8192, 128), [0.5])
    assert not dispatch.sparse_pays(torch.empty(1, 24, 16384, 128), [0.1])
    assert dispatch.sparse_pays(torch.empty(1, 24, 32768, 128), [0.1])
    monkeypatch.setattr(dispatch, "choose_backend", lambda device: Backend.TRITON)
    assert dispatch.sparse_pays(torch.empty(1, 1, 240, 16), [0.1])
