"""ONNX files as PyTorch modules, which `capture` then reads like any other: opsets 13 to 21, static shapes.

What depends on no input is computed by the `onnx` package's own reference; everything else is the same operator in
PyTorch. The package is an extra: `pip install 'triptych[onnx]'`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.golden.quartdepth.network.float_graph import GraphError

OPSETS = range(13, 22)
Attributes = dict[str, Any]


class Half:
    """A part of a GELU written with Erf: `erf(x / sqrt(2))`, and 1 added, and x multiplied."""

    def __init__(self, x: Tensor, stage: int) -> None:
        self.x, self.stage = x, stage


def _pads(a: Attributes, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The operand with what its padding is uneven by, and the padding."""
    if a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise GraphError("auto_pad has no layer here: export with explicit pads")
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    if (top, left) == (bottom, right):
        return x, (top, left)
    return F.pad(x, (left, right, top, bottom)), (0, 0)


def _conv(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    x, padding = _pads(a, x)
    return F.conv2d(x, w, b, a.get("strides", 1), padding, a.get("dilations", 1), a.get("group", 1))


def _conv_transpose(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    extra = a.get("output_padding", [0, 0])
    if (top, left) != (bottom, right):
        raise GraphError("a transposed convolution must have even pads")
    groups, dilation = a.get("group", 1), a.get("dilations", 1)
    return F.conv_transpose2d(x, w, b, a.get("strides", 1), (top, left), extra, groups, dilation)


def _max_pool(a: Attributes, x: Tensor) -> Tensor:
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    kernel, stride = a["kernel_shape"], a.get("strides", [1, 1])
    if (top, left) != (bottom, right):
        raise GraphError("a max pool must have even pads")
    return F.max_pool2d(x, kernel, stride, (top, left), a.get("dilations", 1), bool(a.get("ceil_mode", 0)))


def _average_pool(a: Attributes, x: Tensor) -> Tensor:
    x, padding = _pads(a, x)
    ceil, padded = bool(a.get("ceil_mode", 0)), bool(a.get("count_include_pad", 0))
    return F.avg_pool2d(x, a["kernel_shape"], a.get("strides", [1, 1]), padding, ceil, padded)


def _norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return F.batch_norm(x, mean, var, scale, bias, False, 0.0, a.get("epsilon", 1e-5))


def _layer_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = a.get("axis", -1) % x.ndim
    return F.layer_norm(x, list(x.shape[axis:]), scale, bias, a.get("epsilon", 1e-5))


def _gemm(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    if a.get("transA", 0) or a.get("alpha", 1.0) != 1.0 or (b is not None and a.get("beta", 1.0) != 1.0):
        raise GraphError("a Gemm must have alpha = beta = 1 and transA = 0")
    return F.linear(x, w if a.get("transB", 0) else w.t(), b)


def _resize(a: Attributes, x: Tensor, roi: Any = None, scales: Any = None, sizes: Any = None) -> Tensor:
    how, mode = a.get("coordinate_transformation_mode", b"half_pixel"), a.get("mode", b"nearest")
    if sizes is not None and len(sizes):
        size = [int(n) for n in sizes[-2:]]
    else:
        size = [int(n * s) for n, s in zip(x.shape[-2:], scales[-2:], strict=True)]
    if mode == b"linear":
        if how not in (b"half_pixel", b"pytorch_half_pixel", b"align_corners"):
            raise GraphError(f"a linear Resize must be half_pixel or align_corners, not {how.decode()}")
        return F.interpolate(x, size, mode="bilinear", align_corners=how == b"align_corners")
    if mode == b"nearest" and how == b"asymmetric" and a.get("nearest_mode", b"round_prefer_floor") == b"floor":
        return F.interpolate(x, size, mode="nearest")
    if mode == b"nearest" and all(n % m == 0 for n, m in zip(size, x.shape[-2:], strict=True)):
        return F.interpolate(x, size, mode="nearest")  # whole factors: all ways of rounding are one
    raise GraphError("a Resize must be linear, or nearest with asymmetric coordinates and floor")


def _pad(a: Attributes, x: Tensor, pads: Any, value: Any = None, axes: Any = None) -> Tensor:
    if axes is not None:
        raise GraphError("a Pad must name all axes")
    count = len(pads) // 2
    mode = {b"constant": "constant", b"reflect": "reflect", b"edge": "replicate"}.get(a.get("mode", b"constant"))
    sides = [int(p) for axis in reversed(range(count)) for p in (pads[axis], pads[axis + count])]
    if mode is None or any(sides[4:]):
        raise GraphError("a Pad must be of rows and columns, with constants, reflected or by its edge")
    more = float(value) if value is not None and np.size(value) else 0.0
    return F.pad(x, sides[:4], mode, more) if mode == "constant" else F.pad(x, sides[:4], mode)


def _slice(a: Attributes, x: Tensor, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Tensor:
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            raise GraphError("a Slice must have steps above zero")
        size = x.shape[axis]
        first, last = (min(max(int(v) + (size if v < 0 else 0), 0), size) for v in (start, end))
        x = x[(slice(None),) * (int(axis) % x.ndim) + (slice(first, last, int(step)),)]
    return x


def _split(a: Attributes, x: Tensor, sizes: Any = None) -> list[Tensor]:
    axis = a.get("axis", 0)
    if sizes is not None:
        return list(x.split([int(s) for s in sizes], axis))
    return list(x.chunk(a["outputs"], axis))


def _reshape(a: Attributes, x: Tensor, shape: Any) -> Tensor:
    wanted = [x.shape[i] if n == 0 and not a.get("allowzero", 0) else int(n) for i, n in enumerate(shape)]
    return x.reshape(wanted)


def _axes(a: Attributes, given: Any) -> list[int] | None:
    found = a.get("axes") if given is None else given
    return None if found is None else [int(v) for v in found]


def _squeeze(a: Attributes, x: Tensor, axes: Any = None) -> Tensor:
    found = _axes(a, axes)
    return x.squeeze() if found is None else x.squeeze(found)


def _unsqueeze(a: Attributes, x: Tensor, axes: Any = None) -> Tensor:
    for axis in sorted(_axes(a, axes) or []):
        x = x.unsqueeze(axis)
    return x


def _mean(a: Attributes, x: Tensor, axes: Any = None) -> Tensor:
    return x.mean(_axes(a, axes) or list(range(x.ndim)), bool(a.get("keepdims", 1)))


def _sum(a: Attributes, x: Tensor, axes: Any = None) -> Tensor:
    return x.sum(_axes(a, axes) or list(range(x.ndim)), bool(a.get("keepdims", 1)))


def _clip(a: Attributes, x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    return x.clamp(*(None if v is None or not np.size(v) else float(v) for v in (low, high)))


def _gather(a: Attributes, x: Tensor, indices: Any) -> Tensor:
    axis = a.get("axis", 0)
    if np.ndim(indices) == 0:
        return x.select(axis, int(indices))
    first, count = int(np.ravel(indices)[0]), np.size(indices)
    if np.ndim(indices) != 1 or list(indices) != list(range(first, first + count)):
        raise GraphError("a Gather must take one index or a range of them")
    return x.narrow(axis, first, count)


def _add(a: Attributes, x: Any, y: Any) -> Any:
    half, other = (x, y) if isinstance(x, Half) else (y, x)
    if isinstance(half, Half):
        if half.stage != 1 or not _is(other, 1.0):
            raise GraphError("Erf must stand in a GELU: x * (1 + erf(x / sqrt(2))) / 2")
        return Half(half.x, 2)
    return x + y


def _mul(a: Attributes, x: Any, y: Any) -> Any:
    half, other = (x, y) if isinstance(x, Half) else (y, x)
    if isinstance(half, Half):
        if half.stage == 2 and other is half.x:
            return Half(half.x, 3)
        if half.stage == 3 and _is(other, 0.5):
            return F.gelu(half.x)
        raise GraphError("Erf must stand in a GELU: x * (1 + erf(x / sqrt(2))) / 2")
    return x * y


def _div(a: Attributes, x: Any, y: Any) -> Any:
    out = x / y
    if _is(y, 2.0**0.5):
        out.rooted = x
    return out


def _erf(a: Attributes, x: Any) -> Half:
    rooted = getattr(x, "rooted", None)
    if rooted is None:
        raise GraphError("Erf must stand in a GELU: x * (1 + erf(x / sqrt(2))) / 2")
    return Half(rooted, 1)


def _is(value: Any, number: float) -> bool:
    return not isinstance(value, Half) and np.size(value) == 1 and abs(float(value) - number) < 1e-4


def _depth_to_space(a: Attributes, x: Tensor) -> Tensor:
    r = a["blocksize"]
    if a.get("mode", b"DCR") == b"DCR":
        x = x.unflatten(1, (r * r, -1)).transpose(1, 2).flatten(1, 2)
    return F.pixel_shuffle(x, r)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _max_pool, "AveragePool": _average_pool,
    "BatchNormalization": _norm, "LayerNormalization": _layer_norm, "Gemm": _gemm, "Resize": _resize, "Pad": _pad,
    "Slice": _slice, "Split": _split, "Reshape": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "ReduceMean": _mean, "ReduceSum": _sum, "Clip": _clip, "Gather": _gather, "Add": _add, "Mul": _mul, "Div": _div,
    "Erf": _erf, "DepthToSpace": _depth_to_space,
    "GlobalAveragePool": lambda a, x: F.adaptive_avg_pool2d(x, 1),
    "MatMul": lambda a, x, y: F.linear(x, y.t()) if y.ndim == 2 else x @ y,
    "Sub": lambda a, x, y: x - y,
    "Neg": lambda a, x: -x,
    "Relu": lambda a, x: F.relu(x),
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)),
    "PRelu": lambda a, x, s: F.prelu(x, s.flatten()),
    "Elu": lambda a, x: F.elu(x, a.get("alpha", 1.0)),
    "Sigmoid": lambda a, x: x.sigmoid(),
    "Tanh": lambda a, x: x.tanh(),
    "Softplus": lambda a, x: F.softplus(x),
    "HardSwish": lambda a, x: F.hardswish(x),
    "HardSigmoid": lambda a, x: (a.get("alpha", 0.2) * x + a.get("beta", 0.5)).clamp(0.0, 1.0),
    "Mish": lambda a, x: F.mish(x),
    "Gelu": lambda a, x: F.gelu(x, approximate=a.get("approximate", b"none").decode()),
    "Softmax": lambda a, x: x.softmax(a.get("axis", -1)),
    "Pow": lambda a, x, y: x.pow(float(y)),
    "Concat": lambda a, *x: torch.cat(x, a["axis"]),
    "Transpose": lambda a, x: x.permute(a.get("perm", list(range(x.ndim))[::-1])),
    "Flatten": lambda a, x: x.flatten(a.get("axis", 1)),
    "Expand": lambda a, x, shape: x.expand(torch.broadcast_shapes(x.shape, [int(n) for n in shape])),
    "SpaceToDepth": lambda a, x: F.pixel_unshuffle(x, a["blocksize"]),
    "Identity": lambda a, x: x, "Dropout": lambda a, x, *rest: x, "Cast": lambda a, x: x,
}  # fmt: skip
# operands that stay numbers of the host: shapes, sizes, axes
HOST = {
    "Resize", "Pad", "Slice", "Split", "Reshape", "Squeeze", "Unsqueeze", "ReduceMean", "ReduceSum", "Clip", "Gather",
    "Expand", "Pow",
}  # fmt: skip


class OnnxModule(nn.Module):
    """The graph of an ONNX file, one image [1,C,H,W] in, what the graph returns out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        import onnx
        from onnx import numpy_helper

        self.model, graph = model, model.graph
        self.known = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        inputs = [i for i in graph.input if i.name not in self.known]
        if len(inputs) != 1:
            raise GraphError(f"the ONNX graph must take one input, not {len(inputs)}")
        self.input = inputs[0].name
        dims = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim]
        self.shape = [1 if n == 0 and axis == 0 else n for axis, n in enumerate(dims)]
        version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        if version not in OPSETS:
            raise GraphError(f"the ONNX file has opset {version}: convert it to one of 13 to 21")
        unknown = sorted({n.op_type for n in graph.node} - set(OPERATORS) - {"Constant", "Shape", "ConstantOfShape"})
        outside = [n for n in unknown if any(x.op_type == n and not self._constant(x) for x in graph.node)]
        if outside:
            raise GraphError(f"the ONNX operators {', '.join(outside)} are not read here")
        self.attribute = onnx.helper.get_attribute_value
        for name, value in self.known.items():
            if value.dtype == np.float32:
                self.register_buffer(_plain(name), torch.from_numpy(value.copy()))

    def _constant(self, node: Any) -> bool:
        return not node.input or all(name in self.known for name in node.input if name)

    def forward(self, x: Tensor) -> Any:
        """The graph's outputs: one tensor, or a tuple of them."""
        values: dict[str, Any] = {**self.known, self.input: x}
        for node in self.model.graph.node:
            out = self._run(node, [values[name] if name else None for name in node.input])
            values.update(zip(node.output, out, strict=False))
        results = tuple(self._tensor(o.name, values[o.name]) for o in self.model.graph.output)
        return results[0] if len(results) == 1 else results

    def _run(self, node: Any, values: Sequence[Any]) -> Sequence[Any]:
        attributes = {a.name: self.attribute(a) for a in node.attribute}
        if node.op_type == "Shape" and isinstance(values[0], Tensor):
            dims = np.array([int(n) for n in values[0].shape], dtype=np.int64)
            return [dims[attributes.get("start", 0) : attributes.get("end")]]
        if all(v is None or isinstance(v, np.ndarray | np.generic) for v in values):
            from onnx.reference import ReferenceEvaluator

            names = [f"i{n}" for n in range(len(node.input))]
            feeds = {name: v for name, v in zip(names, values, strict=True) if v is not None}
            return list(ReferenceEvaluator(_alone(self.model, node, names, values)).run(None, feeds))
        attributes["outputs"] = len(node.output)
        if node.op_type in HOST:
            operands = [values[0], *values[1:]]
        else:
            named = zip(node.input, values, strict=True)
            operands = [self._tensor(name, v) if isinstance(v, np.ndarray) else v for name, v in named]
        out = OPERATORS[node.op_type](attributes, *operands)
        return out if isinstance(out, list) else [out]

    def _tensor(self, name: str, value: Any) -> Any:
        if isinstance(value, Tensor | Half):
            return value
        if name in self.known and value.dtype == np.float32:
            return getattr(self, _plain(name))
        return float(value) if np.size(value) == 1 and np.ndim(value) == 0 else torch.from_numpy(np.array(value))


def _plain(name: str) -> str:
    """As an attribute of a module can be named."""
    return name.replace(".", "_").replace("/", "_").replace(":", "_") or "unnamed"


def _alone(model: Any, node: Any, names: Sequence[str], values: Sequence[Any]) -> Any:
    """A model of one node."""
    from onnx import TensorProto, helper

    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.asarray(v).dtype), np.shape(v))
        for name, v in zip(names, values, strict=True)
        if v is not None
    ]
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(name if v is not None else "" for name, v in zip(names, values, strict=True))
    outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in copy.output]
    return helper.make_model(helper.make_graph([copy], "one", inputs, outputs), opset_imports=model.opset_import)


def read_onnx(file: Path) -> OnnxModule:
    """The module of a file. Raises GraphError in one line: without the package, for a file that is none, for opsets and
    operators that are not read."""
    try:
        import onnx
    except ModuleNotFoundError:
        raise GraphError("reading .onnx needs the onnx package: pip install 'triptych[onnx]'") from None
    try:
        model = onnx.load(str(file))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and the checker's own kinds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GraphError(f"{file} is no valid ONNX file: {first}") from error
    return OnnxModule(model).eval()
