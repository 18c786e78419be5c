"""The door into diffusers: a backend of its attention dispatcher named "draft", and one for processors without it.

Attention processors of current models call `dispatch_attention_fn(..., backend=self._attention_backend)`; older ones
call `scaled_dot_product_attention` themselves. Either way the call ends in `Layer.attend` of the layer that is running.
Inside torch.compile it is the operator `triptych::model_attention`, so that steps, counts and text lengths, which
change from call to call, are no part of the graph: nothing is compiled again for them.
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from triptych.golden.draft_attention.pipelines.layers import Layer
from triptych.golden.draft_attention.terms.errors import DraftAttentionError

BACKEND = "draft"

_numbers = itertools.count()
_layers: weakref.WeakValueDictionary[int, ServedLayer] = weakref.WeakValueDictionary()


class _Running(threading.local):
    """The layer whose attention runs in this thread."""

    layer: ServedLayer | None = None


_running = _Running()


class ServedLayer:
    """A layer, its attention module, and how the model would have attended without us."""

    def __init__(self, layer: Layer, attn: Any) -> None:
        self.layer, self.attn = layer, attn
        self.number = next(_numbers)
        self.key = torch.tensor(self.number)  # a tensor, so that graphs do not depend on its value
        _layers[self.number] = self
        self.stock_backend: Any = None
        self._hooks: list[Any] = []

    def attach(self) -> None:
        """Serve this layer; again, whatever was done to its processor since (another backend, fused projections)."""
        processor = self.attn.processor
        if hasattr(type(processor), "_attention_backend"):
            if processor._attention_backend != draft_backend():
                self.stock_backend = processor._attention_backend
                processor._attention_backend = draft_backend()
            if not self._hooks:
                self._hooks = [
                    self.attn.register_forward_pre_hook(self._enter),
                    self.attn.register_forward_hook(self._leave),  # not always: that would make graphs depend on it
                ]
        elif not hasattr(processor, "_draft_stock"):
            self.attn.processor = _served_processor(processor, self)

    def detach(self) -> None:
        """Put everything back."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        processor = self.attn.processor
        if hasattr(processor, "_draft_stock"):
            self.attn.processor = processor._draft_stock
        elif getattr(processor, "_attention_backend", None) == draft_backend():
            processor._attention_backend = self.stock_backend

    def _enter(self, *_: Any) -> None:
        _running.layer = self

    def _leave(self, *_: Any) -> None:
        _running.layer = None

    def dispatch_dense(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, dropout: float,
        causal: bool, scale: float | None, gqa: bool,
    ) -> torch.Tensor:  # fmt: skip
        """What diffusers would have done."""
        from diffusers.models.attention_dispatch import dispatch_attention_fn

        backend: Any = "native" if self.stock_backend is None else self.stock_backend
        running, _running.layer = _running.layer, None  # what it calls is not to be served again
        try:
            return dispatch_attention_fn(q, k, v, mask, dropout, causal, scale, gqa, backend=backend)
        finally:
            _running.layer = running


def _refuse_gradients(*tensors: torch.Tensor) -> None:
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        raise DraftAttentionError("draft attention has no gradient: run the model under torch.no_grad()")


@torch.library.custom_op("triptych::model_attention", mutates_args=())
def _model_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
    causal: bool,
    scale: float | None,
    gqa: bool,
) -> torch.Tensor:
    served = _layers.get(int(key))
    if served is None:
        raise DraftAttentionError("this graph was compiled with draft attention, which has been switched off since")
    out = _attend(served, q, k, v, mask, dropout, causal, scale, gqa)
    return out.contiguous() if out.data_ptr() != q.data_ptr() else out.clone()


@_model_attention.register_fake
def _model_attention_fake(q: torch.Tensor, *_: object) -> torch.Tensor:
    return torch.empty_like(q, memory_format=torch.contiguous_format)


def _attend(
    served: ServedLayer, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, dropout: float,
    causal: bool, scale: float | None, gqa: bool,
) -> torch.Tensor:  # fmt: skip
    def dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return served.dispatch_dense(q, k, v, mask, dropout, causal, scale, gqa)

    plain = dropout == 0.0 and not causal
    return served.layer.attend(q, k, v, mask=mask, scale=scale, plain=plain, dense=dense)


def _draft_backend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    _parallel_config: Any = None,
) -> torch.Tensor:
    """Backend "draft" of diffusers' dispatcher: `[batch, length, heads, dim]` in and out."""
    served = _running.layer
    if served is None:
        raise DraftAttentionError('switch on draft attention with enable_draft_attention(...), not by the name "draft"')
    if _parallel_config is not None:
        raise DraftAttentionError(
            "diffusers' context parallelism hands over shards of the sequence, which have no grid: "
            "switch it off, or use context_parallel.ulysses_draft_attention"
        )
    _refuse_gradients(query, key, value)
    arguments = (attn_mask, dropout_p, is_causal, scale, enable_gqa)
    if torch.compiler.is_compiling():
        return _model_attention(query, key, value, served.key, *arguments)
    return _attend(served, query, key, value, *arguments)


@functools.cache
def draft_backend() -> Any:
    """The member "draft" of `diffusers.AttentionBackendName`, registered with the dispatcher on first use."""
    try:
        from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
    except ImportError:
        raise DraftAttentionError("pipelines need diffusers 0.38 or newer: pip install 'triptych[diffusers]'") from None
    # The dispatcher's names are an enum, to which a class outside diffusers can add no member the ordinary way.
    member = str.__new__(AttentionBackendName, BACKEND)
    member._name_, member._value_ = BACKEND.upper(), BACKEND
    AttentionBackendName._member_map_[BACKEND.upper()] = member
    AttentionBackendName._value2member_map_[BACKEND] = member
    AttentionBackendName._member_names_.append(BACKEND.upper())
    _AttentionBackendRegistry.register(member)(_draft_backend)
    return member


class _ServeProducts(TorchFunctionMode):
    """Turns `scaled_dot_product_attention` calls into calls of the running layer."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.nn.functional.scaled_dot_product_attention or _running.layer is None:
            return func(*args, **(kwargs or {}))
        return _product(*args, **(kwargs or {}))


def _product(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    return _draft_backend(q, k, v, attn_mask, dropout_p, is_causal, scale, enable_gqa).transpose(1, 2)


@contextmanager
def _serving(served: ServedLayer) -> Iterator[None]:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as registry

    served.stock_backend, before = registry._active_backend, _running.layer
    registry.set_active_backend(draft_backend())
    _running.layer = served
    try:
        with _ServeProducts():
            yield
    finally:
        _running.layer = before
        registry.set_active_backend(served.stock_backend)


def _served_processor(stock: Any, served: ServedLayer) -> Any:
    """`stock` with its attention served; its class, signature and attributes stay visible."""
    kind = type(stock)

    @torch.compiler.disable  # a function mode breaks the graph in many places; this is one
    @functools.wraps(kind.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _serving(served):
            return kind.__call__(self, *args, **kwargs)

    processor: Any = object.__new__(type(kind.__name__, (kind,), {"__call__": call, "_draft_stock": stock}))
    processor.__dict__ = stock.__dict__
    return processor
