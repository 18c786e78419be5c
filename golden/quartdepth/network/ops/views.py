"""Reshapes, permutations, slices: the same elements in another order. They leave no layer."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.node import map_arg

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.operation import Example, Operation

aten = torch.ops.aten
_INDEX = (
    aten.reshape.default, aten.view.default, aten.permute.default, aten.transpose.int, aten.unbind.int,
    aten.select.int, aten.slice.Tensor, aten.flatten.using_ints, aten.unsqueeze.default, aten.squeeze.dim,
    aten.flip.default, aten.roll.default, aten.expand.default, aten.expand_as.default, aten.narrow.default,
    aten.chunk.default, aten.split.Tensor, aten.unflatten.int, aten.movedim.int, aten.t.default,
    aten._unsafe_view.default, aten.split_with_sizes.default, aten.squeeze.dims, aten.squeeze.default,
)  # fmt: skip
_SAME = (
    aten.contiguous.default, aten.clone.default, aten.dropout.default, aten.alias.default, aten.detach.default,
    aten.feature_dropout.default, aten.lift_fresh_copy.default, aten.type_as.default, aten.nan_to_num.default,
)  # fmt: skip


def rearrange(c: Capture, node: Node) -> Any:
    """The operator itself, on the indices."""
    view = c.view(c.arg(node, 0))
    # the indices' strides are not the tensor's: what is a view of that one may not be one of them
    args, kwargs = map_arg((node.args[1:], node.kwargs), lambda n: _index(c.settled(c.values[n.name])))
    result = node.target(view.index.contiguous(), *args, **kwargs)  # type: ignore[operator]
    if isinstance(result, Tensor):
        return View(view.fmap, result)
    return [View(view.fmap, r) for r in result]


def pieces(c: Capture, node: Node) -> View:
    """aten.im2col without padding: windows of an image."""
    view, kernel, dilation, padding, stride = c.view(c.arg(node, 0)), *(c.arg(node, i) for i in range(1, 5))
    if any(padding):
        raise GraphError("windows of an image must not reach beyond it: padding=0")
    found = nn.functional.unfold(view.index.double(), kernel, dilation, 0, stride)  # exact below 2^53
    return View(view.fmap, found.long())


def _index(value: Any) -> Any:
    return value.index if isinstance(value, View) else value


def same(c: Capture, node: Node) -> Any:
    """Its operand."""
    return c.arg(node, 0)


def filled(c: Capture, node: Node) -> Tensor:
    """aten.zeros_like and its kin: a constant."""
    shape = c.view(c.arg(node, 0)).index.shape
    values = {aten.zeros_like.default: 0.0, aten.ones_like.default: 1.0}
    return torch.full(shape, float(values[node.target] if node.target in values else c.arg(node, 1)))


def converted(c: Capture, node: Node) -> Any:
    """aten.to of what is a 32-bit float already."""
    wanted = [a for a in (*node.args[1:], *node.kwargs.values()) if isinstance(a, torch.dtype)]
    if any(dtype is not torch.float32 for dtype in wanted):
        raise GraphError(f"activations stay float32, not {wanted[0]}")
    return c.arg(node, 0)


def asserted(c: Capture, node: Node) -> None:
    """aten's checks of shapes and types, which the exporter has made."""


class _There(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.permute(0, 2, 3, 1).flatten(1, 2))
        y = torch.zeros_like(y) + y.nan_to_num()
        return y.reshape(1, x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2).contiguous()


def example(rng: random.Random) -> Example:
    """Pixels as tokens and back."""
    return Example(_There(rng.choice([1, 8, 9])), (3, rng.randint(1, 9), rng.randint(1, 9)))


OPERATION = Operation(
    title="Reshapes and permutations",
    forms="`reshape`, `permute`, `transpose`, `unbind`, `slice`, `unfold` and their like, in any chain; `dropout`, "
    "`contiguous`, `nan_to_num`; `zeros_like` and its kin are constants",
    widths="any",
    mapping="none: they run on indices while the module is captured, and a layer over tokens is one over the pixels "
    "that they came from. MobileViT's unfold and fold leave the *patch* of attention: sequence `(p, q)` is the "
    "pixels `(py a + p, px b + q)`",
    limits="what reads the result must find whole pixels, or a map",
    cost="none",
    example=example,
    aten={
        **dict.fromkeys(_INDEX, rearrange),
        **dict.fromkeys(_SAME, same),
        aten.im2col.default: pieces,
        **dict.fromkeys((aten.zeros_like.default, aten.ones_like.default, aten.full_like.default), filled),
        **dict.fromkeys(
            (aten.to.dtype, aten.to.dtype_layout, aten.to.device, aten.to.other, aten._to_copy.default), converted
        ),
        **dict.fromkeys((aten._assert_tensor_metadata.default, aten._assert_async.msg), asserted),
    },
)
