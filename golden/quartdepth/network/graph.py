"""From a PyTorch module to a short list of layers over pictures: what the quantiser and the compiler read.

`capture` exports a module with torch.export and walks its operators once. Values are *views*: a picture (a map of
height x width pixels with channels) and, for every element of the tensor, its index in that picture. Reshapes and
permutations run on those indices alone, so that MobileViT's unfold and fold, head splits and their inverses leave no
trace: a layer over tokens is a layer over the pixels that they came from.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

from triptych.golden.quartdepth.network.exported import export, user_outputs, where
from triptych.golden.quartdepth.network.fusion import GraphError, fuse
from triptych.golden.quartdepth.network.layers import (
    Add,
    Affine,
    Attention,
    Concat,
    Conv,
    FloatGraph,
    FloatLayer,
    LayerNorm,
    Relu,
    Shape,
    Transposed,
)

aten = torch.ops.aten


@dataclass(frozen=True)
class View:
    """A tensor made of elements of `picture`: `index` has the tensor's shape, values into [height, width, channels]."""

    picture: str
    index: Tensor


@dataclass(frozen=True)
class Scores:
    """`scale * query @ key^T` (and, when `softmax`, its softmax), not yet applied to values."""

    query: View
    key: View
    scale: float = 1.0
    softmax: bool = False


_INDEX_OPS = {
    aten.reshape.default, aten.view.default, aten.permute.default, aten.transpose.int, aten.unbind.int,
    aten.select.int, aten.slice.Tensor, aten.flatten.using_ints, aten.unsqueeze.default, aten.squeeze.dim,
    aten.chunk.default, aten.split.Tensor, aten.unflatten.int, aten.movedim.int, aten.t.default,
    aten._unsafe_view.default, aten.split_with_sizes.default, aten.squeeze.dims, aten.squeeze.default,
}  # fmt: skip
_SAME_OPS = {
    aten.contiguous.default, aten.clone.default, aten.dropout.default, aten.alias.default, aten.detach.default,
}  # fmt: skip


class _Unknown:
    """The value of a node that has no layer, and of all that depends on it: reported once, where it begins."""


_UNKNOWN = _Unknown()


def capture(module: nn.Module, example: Tensor) -> FloatGraph:
    """The layers of `module` (in eval mode; it keeps the mode it is in) for inputs of `example`'s shape, [1,C,H,W]
    float32.

    Raises GraphError in one line that names every operator, shape or use that has no layer on the chip, with its
    module and source line.
    """
    return _Capture(export(module, example), example).run()


class _Capture:
    def __init__(self, exported: ExportedProgram, example: Tensor) -> None:
        self.exported = exported
        self.shapes: dict[str, Shape] = {}
        self.layers: list[FloatLayer] = []
        self.values: dict[str, Any] = {}
        self.param_names: dict[str, str] = {}
        _, c, h, w = example.shape
        user_inputs = 0
        for spec in exported.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT:
                user_inputs += 1
                self.values[spec.arg.name] = self._new(spec.arg.name, Shape(h, w, c))
                self.input = spec.arg.name
            else:
                self.values[spec.arg.name] = self._tensor(spec.target)
                self.param_names[spec.arg.name] = spec.target
        if user_inputs != 1:
            raise GraphError(f"the module must take one tensor, not {user_inputs}")

    def _tensor(self, name: str) -> Tensor:
        found = self.exported.state_dict.get(name)
        tensor: Tensor = self.exported.constants[name] if found is None else found
        return tensor.detach()

    def _new(self, name: str, shape: Shape) -> View:
        self.shapes[name] = shape
        h, w, c = shape.height, shape.width, shape.channels
        return View(name, torch.arange(h * w * c).reshape(1, h, w, c).permute(0, 3, 1, 2))

    def _add(self, layer: FloatLayer, shape: Shape) -> View:
        self.layers.append(layer)
        return self._new(layer.name, shape)

    def run(self) -> FloatGraph:
        refused: list[str] = []
        for node in self.exported.graph.nodes:
            if node.op == "call_function":
                try:
                    self.values[node.name] = self._call(node)
                except GraphError as error:
                    place = where(node)
                    refused.append(f"node '{node.name}'{f' ({place})' if place else ''}: {error}")
                    self.values[node.name] = _UNKNOWN
        if refused:
            raise GraphError("; ".join(refused))
        results = user_outputs(self.exported)
        if len(results) != 1 or results[0] not in self.values:
            what = len(results) if len(results) != 1 else "something else"
            raise GraphError(f"the module must return one tensor, not {what}")
        try:
            output = self._picture(self.values[str(results[0])])
        except GraphError as error:
            raise GraphError(f"the output: {error}") from None
        if not self.layers:
            raise GraphError("the module has no layer: its output is its input")
        return fuse(FloatGraph(self.input, output, self.shapes, self.layers))

    def _call(self, node: Node) -> Any:
        target = node.target
        known = target is operator.getitem or target in _SAME_OPS | _INDEX_OPS or target in _HANDLERS
        if known and any(self.values.get(n.name) is _UNKNOWN for n in node.all_input_nodes):
            return _UNKNOWN
        if target is operator.getitem:
            return self._arg(node, 0)[self._arg(node, 1)]
        if target in _SAME_OPS:
            return self._arg(node, 0)
        if target in _INDEX_OPS and isinstance(self._arg(node, 0), View):
            return self._rearrange(node)
        handler = _HANDLERS.get(target)
        if handler is None:
            raise GraphError(f"{target} has no layer on the chip")
        return handler(self, node)

    def _arg(self, node: Node, i: int, default: Any = None) -> Any:
        """The argument at place i of the operator's signature, however it was given."""
        value: Any = default
        if i < len(node.args):
            value = node.args[i]
        elif node.kwargs:
            value = node.kwargs.get(node.target._schema.arguments[i].name, default)  # type: ignore[union-attr]
        return self.values[value.name] if isinstance(value, Node) else value

    def _constant(self, node: Node, i: int) -> Any:
        """A weight or the like: a tensor that does not depend on the input, or None."""
        value = self._arg(node, i)
        if value is not None and not isinstance(value, Tensor):
            raise GraphError("its weights must be constants")
        return value

    def _name(self, node: Node, weight_arg: int = 1) -> str:
        """The module path of the node's weight, or that of the module that it stands in and its own name."""
        weight = node.args[weight_arg] if weight_arg < len(node.args) else None
        path = self.param_names.get(weight.name, "") if isinstance(weight, Node) else ""
        name = path.removesuffix(".weight")
        if not path.endswith(".weight"):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            module = stack[-1][0] if stack else ""
            name = f"{module}.{node.name}" if module else node.name
        return name if name not in self.shapes else f"{name}@{node.name}"

    def _view(self, value: Any) -> View:
        if not isinstance(value, View):
            raise GraphError("an operand is no activation")
        return value

    def _picture(self, value: Any) -> str:
        """The picture that the view shows whole, as [1,C,H,W]."""
        view = self._view(value)
        s = self.shapes[view.picture]
        whole = torch.arange(s.height * s.width * s.channels).reshape(1, s.height, s.width, s.channels)
        if not torch.equal(view.index, whole.permute(0, 3, 1, 2)):
            raise GraphError(f"its operand is no [1,C,H,W] map of '{view.picture}'")
        return view.picture

    def _tokens(self, value: Any) -> tuple[View, Tensor]:
        """The view and the pixel of every token: the last axis must be all channels of one pixel."""
        view = self._view(value)
        c = self.shapes[view.picture].channels
        rows = view.index.reshape(-1, view.index.shape[-1])
        pixels = rows[:, 0] // c
        if rows.shape[1] != c or not torch.equal(rows, pixels[:, None] * c + torch.arange(c)):
            raise GraphError("the last axis of its operand is not the channels of a pixel")
        if not torch.equal(pixels.sort().values, torch.arange(len(self.shapes[view.picture]))):
            raise GraphError("its operand does not show every pixel once")
        return view, pixels

    def _like_tokens(self, name: str, tokens: View, pixels: Tensor, channels: int) -> View:
        index = pixels[:, None] * channels + torch.arange(channels)
        return View(name, index.reshape(*tokens.index.shape[:-1], channels))

    def _rearrange(self, node: Node) -> Any:
        view: View = self._arg(node, 0)
        # the indices' strides are not the tensor's: what is a view of that one may not be one of them
        result = node.target(view.index.contiguous(), *node.args[1:], **node.kwargs)  # type: ignore[operator]
        if isinstance(result, Tensor):
            return View(view.picture, result)
        return [View(view.picture, r) for r in result]

    def conv(self, node: Node) -> View:
        source = self._picture(self._arg(node, 0))
        weight, bias = self._constant(node, 1), self._constant(node, 2)
        stride, padding = _pair(self._arg(node, 3, [1, 1])), _pair(self._arg(node, 4, [0, 0]))
        dilation, groups = _pair(self._arg(node, 5, [1, 1])), self._arg(node, 6, 1)
        shape = self.shapes[source]
        depthwise = groups > 1
        if dilation != (1, 1):
            raise GraphError("dilated convolutions have no layer on the chip")
        if depthwise and not groups == shape.channels == weight.shape[0]:
            raise GraphError("groups must be 1, or the number of input and output channels")
        if depthwise and tuple(weight.shape[2:]) != (3, 3):
            raise GraphError(f"depthwise kernels must be 3x3, not {tuple(weight.shape[2:])}")
        if padding[0] >= weight.shape[2] or padding[1] >= weight.shape[3]:
            raise GraphError("padding must be smaller than the kernel")
        layer = Conv(self._name(node), source, weight, _bias(bias, weight.shape[0]), stride, padding, depthwise)
        return self._add(layer, layer.output_shape(shape))

    def conv_transpose(self, node: Node) -> View:
        source = self._picture(self._arg(node, 0))
        weight, bias = self._constant(node, 1), self._constant(node, 2)
        stride, padding = _pair(self._arg(node, 3, [1, 1])), _pair(self._arg(node, 4, [0, 0]))
        extra, groups = _pair(self._arg(node, 5, [0, 0])), self._arg(node, 6, 1)
        if groups != 1 or _pair(self._arg(node, 7, [1, 1])) != (1, 1):
            raise GraphError("transposed convolutions must have one group and no dilation")
        if weight.shape[2] < stride[0] or weight.shape[3] < stride[1]:
            raise GraphError("a transposed kernel must not be smaller than its stride")
        if padding[0] >= weight.shape[2] or padding[1] >= weight.shape[3]:
            raise GraphError("padding must be smaller than the kernel")
        if extra[0] > padding[0] or extra[1] > padding[1]:
            raise GraphError("output padding must not exceed the padding")
        layer = Transposed(self._name(node), source, weight, _bias(bias, weight.shape[1]), stride, padding, extra)
        return self._add(layer, layer.output_shape(self.shapes[source]))

    def linear(self, node: Node) -> View:
        tokens, pixels = self._tokens(self._arg(node, 0))
        weight = self._constant(node, 1)
        shape = replace(self.shapes[tokens.picture], channels=weight.shape[0])
        layer = Conv(
            self._name(node), tokens.picture, weight[:, :, None, None], _bias(self._constant(node, 2), weight.shape[0])
        )
        self._add(layer, shape)
        return self._like_tokens(layer.name, tokens, pixels, weight.shape[0])

    def batch_norm(self, node: Node) -> View:
        view = self._view(self._arg(node, 0))
        source, c = view.picture, self.shapes[view.picture].channels
        rows = view.index.movedim(1, -1).reshape(-1, view.index.shape[1])
        if rows.shape[1] != c or not torch.equal(rows % c, torch.arange(c).expand_as(rows)):
            raise GraphError("the channels of BatchNorm are not the channels of its operand")
        gamma, beta, mean, var = (self._constant(node, i) for i in range(1, 5))
        if not isinstance(mean, Tensor) or not isinstance(var, Tensor):
            raise GraphError("BatchNorm without running statistics has no fixed factors: track_running_stats=True")
        eps = self._arg(node, 7 if node.target is aten.batch_norm.default else 6)
        gain = (var + eps).rsqrt() * (1.0 if gamma is None else gamma)
        offset = (0.0 if beta is None else beta) - mean * gain
        layer = Affine(self._name(node), source, gain, offset)
        self._add(layer, self.shapes[source])
        return View(layer.name, view.index)

    def batch_norm_first(self, node: Node) -> list[View]:
        return [self.batch_norm(node)]

    def batch_norm_without(self, node: Node) -> list[View]:
        raise GraphError("BatchNorm without running statistics has no fixed factors: track_running_stats=True")

    def relu(self, node: Node) -> View:
        view = self._view(self._arg(node, 0))
        layer = Relu(self._name(node, 99), view.picture)
        self._add(layer, self.shapes[view.picture])
        return View(layer.name, view.index)

    def add(self, node: Node) -> View:
        a, b = (self._view(self._arg(node, i)) for i in range(2))
        if node.kwargs.get("alpha", 1) != 1 or not torch.equal(a.index, b.index):
            raise GraphError("the operands of a sum must show the same pixels in the same order")
        if self.shapes[a.picture] != self.shapes[b.picture]:
            raise GraphError("the operands of a sum must have the same shape")
        layer = Add(self._name(node, 99), a.picture, b.picture)
        self._add(layer, self.shapes[a.picture])
        return View(layer.name, a.index)

    def cat(self, node: Node) -> View:
        views = [self.values[n.name] for n in node.args[0]]  # type: ignore[union-attr,index]
        if self._arg(node, 1, 0) not in (1, -3):
            raise GraphError("maps can be concatenated along channels only")
        sources = tuple(self._picture(v) for v in views)
        first = self.shapes[sources[0]]
        layer = Concat(self._name(node, 99), sources)
        return self._add(layer, replace(first, channels=sum(self.shapes[s].channels for s in sources)))

    def layer_norm(self, node: Node) -> View:
        tokens, pixels = self._tokens(self._arg(node, 0))
        shape = self.shapes[tokens.picture]
        gamma, beta, eps = self._constant(node, 2), self._constant(node, 3), self._arg(node, 4, 1e-5)
        if list(self._arg(node, 1)) != [shape.channels]:
            raise GraphError("LayerNorm must run over the channels alone")
        gamma = torch.ones(shape.channels) if gamma is None else gamma
        beta = torch.zeros(shape.channels) if beta is None else beta
        layer = LayerNorm(self._name(node, 2), tokens.picture, gamma, beta, float(eps))
        self._add(layer, shape)
        return self._like_tokens(layer.name, tokens, pixels, shape.channels)

    def matmul(self, node: Node) -> Any:
        a, b = self._arg(node, 0), self._arg(node, 1)
        if isinstance(a, View) and isinstance(b, View):
            return Scores(a, View(b.picture, b.index.transpose(-1, -2)))
        if isinstance(a, Scores) and a.softmax and isinstance(b, View):
            return self._attention(node, a.query, a.key, b, a.scale)
        raise GraphError("a product of two maps must be part of softmax(q k^T) v")

    def scale(self, node: Node) -> Scores:
        scores, factor = self._arg(node, 0), self._arg(node, 1)
        if not isinstance(scores, Scores) or scores.softmax or not isinstance(factor, int | float):
            raise GraphError("only attention scores can be scaled, and by a number")
        divide = node.target is aten.div.Tensor
        return replace(scores, scale=scores.scale / factor if divide else scores.scale * factor)

    def softmax(self, node: Node) -> Scores:
        scores, axis = self._arg(node, 0), self._arg(node, 1)
        once = isinstance(scores, Scores) and not scores.softmax
        if not once or axis not in (-1, scores.query.index.ndim - 1):
            raise GraphError("softmax must run over the keys of attention scores")
        return replace(scores, softmax=True)

    def sdpa(self, node: Node) -> View:
        q, k, v = (self._view(self._arg(node, i)) for i in range(3))
        if len(node.args) > 3 or set(node.kwargs) - {"scale"}:
            raise GraphError("attention must have no mask, no dropout and not be causal")
        scale = node.kwargs.get("scale")
        return self._attention(node, q, k, v, q.index.shape[-1] ** -0.5 if scale is None else float(scale))  # type: ignore[arg-type]

    def _attention(self, node: Node, q: View, k: View, v: View, scale: float) -> View:
        (q_pix, q_ch, dim), (k_pix, k_ch, _), (v_pix, v_ch, v_dim) = (self._heads(x) for x in (q, k, v))
        same = q_pix.shape == k_pix.shape and torch.equal(q_pix, k_pix) and torch.equal(k_pix, v_pix) and dim == v_dim
        heads = (q_ch - q_ch.min()) // dim
        if not same or any(not torch.equal((ch - ch.min()) // dim, heads) for ch in (k_ch, v_ch)):
            raise GraphError("queries, keys and values must come from the same pixels and heads")
        count = int(heads.max()) + 1
        sequences = torch.unique(q_pix, dim=0)
        shape = self.shapes[q.picture]
        once = sequences.numel() == len(shape) and len(q_pix) == count * len(sequences)
        if not once or not torch.equal(sequences.flatten().sort().values, torch.arange(len(shape))):
            raise GraphError("every pixel must be in one sequence, and in all heads")
        name = self._name(node, 99)
        patch, channels = _patch(sequences, shape), (int(q_ch.min()), int(k_ch.min()), int(v_ch.min()))
        layer = Attention(name, q.picture, k.picture, v.picture, count, dim, scale, patch, channels)
        self._add(layer, replace(shape, channels=count * dim))
        index = q_pix[:, :, None] * (count * dim) + heads[:, None, None] * dim + torch.arange(dim)
        return View(name, index.reshape(q.index.shape))

    def _heads(self, view: View) -> tuple[Tensor, Tensor, int]:
        """Pixels [instances, tokens], first channel [instances] and head size of [..., tokens, head size]."""
        c = self.shapes[view.picture].channels
        dim = view.index.shape[-1]
        index = view.index.reshape(-1, *view.index.shape[-2:])
        pixels, channel = index[:, :, 0] // c, index[:, :, 0] % c
        first = channel[:, :1]
        if not torch.equal(index, (pixels * c + first)[:, :, None] + torch.arange(dim)) or bool((first % dim).any()):
            raise GraphError(f"the heads of '{view.picture}' are no ranges of its channels")
        return pixels, first[:, 0], dim


def _patch(sequences: Tensor, shape: Shape) -> tuple[int, int]:
    """(rows, columns) of the patch whose positions are the sequences; (1, 1): one sequence of all pixels."""
    for py in range(1, shape.height + 1):
        if shape.height % py or len(sequences) % py or shape.width % max(len(sequences) // py, 1):
            continue
        px = len(sequences) // py
        grid = torch.arange(len(shape)).reshape(shape.height // py, py, shape.width // px, px)
        if torch.equal(sequences, grid.permute(1, 3, 0, 2).reshape(len(sequences), -1)):
            return py, px
    raise GraphError("its sequences are not the positions of a patch, row by row")


def _pair(value: Any) -> tuple[int, int]:
    values = [int(v) for v in value]
    return (values[0], values[-1])


def _bias(bias: Tensor | None, channels: int) -> Tensor:
    return torch.zeros(channels) if bias is None else bias


_HANDLERS: dict[Any, Callable[[_Capture, Node], Any]] = {
    aten.conv2d.default: _Capture.conv,
    aten.conv_transpose2d.input: _Capture.conv_transpose,
    aten.linear.default: _Capture.linear,
    aten.batch_norm.default: _Capture.batch_norm,
    aten._native_batch_norm_legit_no_training.default: _Capture.batch_norm_first,
    aten._native_batch_norm_legit.no_stats: _Capture.batch_norm_without,
    aten.relu.default: _Capture.relu,
    aten.relu_.default: _Capture.relu,
    aten.add.Tensor: _Capture.add,
    aten.add_.Tensor: _Capture.add,
    aten.cat.default: _Capture.cat,
    aten.layer_norm.default: _Capture.layer_norm,
    aten.matmul.default: _Capture.matmul,
    aten.mul.Tensor: _Capture.scale,
    aten.div.Tensor: _Capture.scale,
    aten.softmax.int: _Capture.softmax,
    aten._softmax.default: _Capture.softmax,
    aten.scaled_dot_product_attention.default: _Capture.sdpa,
}
