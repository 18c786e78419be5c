"""From a PyTorch module to a short list of layers over feature maps: what the quantiser and the compiler read.

`capture` exports a module with torch.export and walks its operators once; what each of them becomes stands with its
operation in `ops/`. Values are *views*: a map (height x width pixels with channels) and, for every element of the
tensor, its index in that map. Reshapes and permutations run on those indices alone, so that MobileViT's unfold and
fold, head splits and their inverses leave no trace: a layer over tokens is a layer over the pixels that they came from.
What depends on no input is computed while it is captured.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node
from torch.fx.node import map_arg

from triptych.golden.quartdepth.network import registry
from triptych.golden.quartdepth.network.doors import input_shape, opened, photo_size
from triptych.golden.quartdepth.network.exported import export, functional, user_outputs, where
from triptych.golden.quartdepth.network.findings import Finding, rewrite
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.fusion import fuse
from triptych.golden.quartdepth.network.layer import FloatLayer
from triptych.golden.quartdepth.network.operation import Declined
from triptych.golden.quartdepth.network.shapes import Shape


@dataclass(frozen=True)
class View:
    """A tensor made of elements of map `fmap`: `index` has the tensor's shape, values into [height, width,
    channels]."""

    fmap: str
    index: Tensor


@runtime_checkable
class Pending(Protocol):
    """A value that an operation keeps for another layer to take, and that is an activation by itself too."""

    def made(self, c: Capture) -> View:
        """The activation."""


SMALL = 64  # elements of constants that are compared by value


class _Unknown:
    """The value of a node that has no layer, and of all that depends on it: reported once, where it begins."""


_UNKNOWN = _Unknown()


def capture(network: nn.Module | ExportedProgram | str | Path, example: Tensor | None = None) -> FloatGraph:
    """The layers of a network: a module (in eval mode; it keeps the mode it is in) for inputs of `example`'s shape,
    [1,C,H,W] float32, an exported program, or a file of `doors.opened`, which need no example if they say their size.

    Raises GraphError in one line that names every operator, shape or use that has no layer on the chip, with its
    module and source line.
    """
    source = opened(network) if isinstance(network, str | Path) else network
    if isinstance(source, ExportedProgram):
        program, shape = functional(source), input_shape(source)
    else:
        if example is None:
            size = photo_size(source)
            if size is None:
                raise GraphError("the size of its input is not known: give an example [1,C,H,W]")
            example = torch.zeros(1, 3, *size)
        program = export(source, example)
        shape = tuple(example.shape)
    with torch.no_grad():
        return Capture.begin(program, shape).run()


@dataclass
class _Firsts:
    """Nodes that do what an earlier one has done, as branches that share their beginning have them. weights: operands
    that are the same by name alone; layers of equal weights stay apart, since training will part them."""

    weights: Collection[str] = ()
    same: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def again(self, node: Node, values: dict[str, Any]) -> str | None:
        """The earlier node; None if there is none."""
        for operand in node.all_input_nodes:
            value = values.get(operand.name)
            if (
                operand.name not in self.names
                and operand.name not in self.weights
                and isinstance(value, Tensor)
                and value.numel() <= SMALL
            ):
                self._first(operand.name, f"{value.dtype} {tuple(value.shape)} {value.tolist()}")
        operands = map_arg((node.args, node.kwargs), lambda n: self.names.get(n.name, n.name))
        found = self._first(node.name, repr((node.target, operands)))
        return None if found == node.name else found

    def _first(self, name: str, key: str) -> str:
        self.names[name] = self.same.setdefault(key, name)
        return self.names[name]


@dataclass
class Capture:
    """The walk: what handlers ask and add to. shapes: of all maps so far. values: of all nodes so far.
    shown: maps made of what views show, by map and shape. pending: what such values have become, by identity.
    settles: whether they may become it now."""

    exported: ExportedProgram
    input: str = ""
    shapes: dict[str, Shape] = field(default_factory=dict)
    layers: list[FloatLayer] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    param_names: dict[str, str] = field(default_factory=dict)
    shown: dict[Any, list[tuple[Tensor, str]]] = field(default_factory=dict)
    numbers: Tensor = field(default_factory=lambda: torch.arange(0))
    pending: dict[int, tuple[Pending, View]] = field(default_factory=dict)
    settles: bool = True

    @classmethod
    def begin(cls, exported: ExportedProgram, shape: tuple[int, ...]) -> Capture:
        """With the module's parameters and its one input, [1,C,H,W], as values."""
        walk = cls(exported)
        _, c, h, w = shape
        user_inputs = 0
        for spec in exported.graph_signature.input_specs:
            name = spec.arg.name
            if spec.kind is InputKind.USER_INPUT:
                user_inputs += 1
                walk.values[name] = walk.new_map(name, Shape(h, w, c))
                walk.input = name
            else:
                walk.values[name] = walk._parameter(str(spec.target))
                walk.param_names[name] = str(spec.target)
        if user_inputs != 1:
            raise GraphError(f"the module must take one tensor, not {user_inputs}")
        return walk

    def _parameter(self, name: str) -> Tensor:
        found = self.exported.state_dict.get(name)
        tensor: Tensor = self.exported.constants[name] if found is None else found
        return tensor.detach()

    def run(self) -> FloatGraph:
        """All nodes in order, then fusion."""
        refused: list[Finding] = []
        firsts = _Firsts(self.exported.graph_signature.inputs_to_parameters)
        for node in self.exported.graph.nodes:
            if node.op == "call_function":
                if (before := firsts.again(node, self.values)) is not None:
                    self.values[node.name] = self.values[before]
                    continue
                try:
                    self.values[node.name] = self._shared(self._call(node))
                except GraphError as error:
                    target = str(node.target)
                    refused.append(Finding(target, node.name, *where(node), str(error), rewrite(target)))
                    self.values[node.name] = _UNKNOWN
        if refused:
            raise GraphError("; ".join(map(str, refused)), refused)
        results = {key: name for key, name in user_outputs(self.exported).items() if name}
        if not results:
            raise GraphError("the module must return tensors, not something else")
        shown: dict[str, View] = {}
        for key, name in results.items():
            try:
                view = self.view(self.values[name])
                if not torch.equal(view.index.flatten(), self.whole(view.fmap).flatten()):
                    view = View(self.whole_map(view), view.index)
            except GraphError as error:
                raise GraphError(f"the output{'' if len(results) == 1 else f' {key!r}'}: {error}") from None
            shown[key] = view
        if not self.layers:
            raise GraphError("the module has no layer: its output is its input")
        first, *others = shown
        further = {key: shown[key].fmap for key in others}
        returned = tuple(
            None if view.index.shape == self.whole(view.fmap).shape else tuple(view.index.shape)
            for view in shown.values()
        )
        output = shown[first].fmap
        return fuse(
            FloatGraph(self.input, output, self.shapes, self.layers, self.constants, further=further, returned=returned)
        )

    def _call(self, node: Node) -> Any:
        target: Any = node.target
        handlers = registry.handlers(target)
        inputs = [self.values.get(n.name) for n in node.all_input_nodes]
        constant = all(isinstance(v, Tensor) for v in inputs)
        if (handlers or constant or target is operator.getitem) and any(v is _UNKNOWN for v in inputs):
            return _UNKNOWN
        if target is operator.getitem:
            return self.arg(node, 0)[node.args[1]]
        if constant:
            args, kwargs = map_arg((node.args, node.kwargs), lambda n: self.values[n.name])
            return target(*args, **kwargs)
        if not handlers:
            raise GraphError(f"{target} has no layer on the chip")
        declined: list[str] = []
        # first those that take what is pending as it is, in whatever file they stand
        for self.settles in (False, True) if any(isinstance(v, Pending) for v in inputs) else (True,):
            declined.clear()
            for handler in handlers:
                try:
                    return handler(self, node)
                except Declined as reason:
                    declined.append(str(reason))
        raise GraphError(", or ".join(dict.fromkeys(declined)))

    def _shared(self, value: Any) -> Any:
        """The same value; a whole map's indices take no memory of their own."""
        if isinstance(value, View):
            whole = self.whole(value.fmap)
            if value.index.shape == whole.shape and torch.equal(value.index, whole):
                return View(value.fmap, whole)
        return value

    # What handlers ask

    def arg(self, node: Node, i: int, default: Any = None) -> Any:
        """The argument at place i of the operator's signature, however it was given."""
        value: Any = default
        if i < len(node.args):
            value = node.args[i]
        elif node.kwargs:
            value = node.kwargs.get(node.target._schema.arguments[i].name, default)  # type: ignore[union-attr]
        return self.values[value.name] if isinstance(value, Node) else value

    def list(self, node: Node, i: int) -> list[Any]:
        """The argument at place i, a list of values."""
        return [self.values[n.name] if isinstance(n, Node) else n for n in self.arg(node, i)]

    def constant(self, node: Node, i: int) -> Any:
        """A weight or the like: a tensor that does not depend on the input, or None."""
        value = self.arg(node, i)
        if value is not None and not isinstance(value, Tensor):
            raise GraphError("its weights must be constants")
        return value

    def name(self, node: Node, weight_arg: int | None = None) -> str:
        """The module path of the node's weight, or that of the module that it stands in and its own name."""
        weight = node.args[weight_arg] if weight_arg is not None and weight_arg < len(node.args) else None
        path = self.param_names.get(weight.name, "") if isinstance(weight, Node) else ""
        name = path.removesuffix(".weight")
        if not path.endswith(".weight"):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            module = stack[-1][0] if stack else ""
            name = f"{module}.{node.name}" if module else node.name
        return name if name not in self.shapes else f"{name}@{node.name}"

    def view(self, value: Any) -> View:
        """The value, which must be an activation; what is one that no layer makes yet is made."""
        value = self.settled(value)
        if not isinstance(value, View):
            raise Declined("an operand is no activation")
        return value

    def settled(self, value: Any) -> Any:
        """The value; its activation, if that is none by itself yet."""
        if not isinstance(value, Pending):
            return value
        if not self.settles:
            raise Declined("an operand is no activation yet")
        if id(value) not in self.pending:
            self.pending[id(value)] = (value, value.made(self))
        return self.pending[id(value)][1]

    def whole_map(self, value: Any) -> str:
        """The map that the view shows whole, as [1,C,H,W]; a part of one is made a map of its own."""
        view = self.view(value)
        if torch.equal(view.index, self._whole(self.shapes[view.fmap])):
            return view.fmap
        known = self.shown.get((view.fmap, view.index.shape), [])
        for index, name in known:
            if torch.equal(index, view.index):
                return name
        made = registry.shown(self, view)
        if made is None:
            raise GraphError(f"its operand is no [1,C,H,W] map of '{view.fmap}'")
        self.shown.setdefault((view.fmap, view.index.shape), []).append((view.index, made))
        return made

    def tokens(self, value: Any) -> tuple[View, Tensor]:
        """The view and the pixel of every token: the last axis is all channels of one pixel, every pixel is shown once.
        What shows other pixels, or a part of their channels, is made a map of its own."""
        view = self.view(value)
        c = self.shapes[view.fmap].channels
        rows = view.index.reshape(-1, view.index.shape[-1])
        pixels = rows[:, 0] // c
        clean = rows.shape[1] == c and torch.equal(rows, pixels[:, None] * c + torch.arange(c))
        if clean and torch.equal(pixels.sort().values, torch.arange(len(self.shapes[view.fmap]))):
            return view, pixels
        columns = view.index.shape[-2] if view.index.ndim > 1 else 1
        try:
            made = self.whole_map(View(view.fmap, rows.reshape(1, -1, columns, rows.shape[1]).permute(0, 3, 1, 2)))
        except GraphError:
            raise GraphError("the last axis of its operand is not the channels of a pixel") from None
        return View(made, torch.arange(rows.numel()).reshape(view.index.shape)), torch.arange(len(rows))

    # What handlers add

    def whole(self, name: str) -> Tensor:
        """The indices of a map as [1,C,H,W]."""
        return self._whole(self.shapes[name])

    def _whole(self, shape: Shape) -> Tensor:
        h, w, c = shape.height, shape.width, shape.channels
        if h * w * c > len(self.numbers):
            self.numbers = torch.arange(h * w * c)
        return self.numbers[: h * w * c].reshape(1, h, w, c).permute(0, 3, 1, 2)

    def new_map(self, name: str, shape: Shape) -> View:
        """A map of its own, as [1,C,H,W]."""
        self.shapes[name] = shape
        return View(name, self._whole(shape))

    def add(self, layer: FloatLayer, shape: Shape | None = None) -> View:
        """One more layer; its map as [1,C,H,W]. shape: where the first source does not tell."""
        self.layers.append(layer)
        return self.new_map(layer.name, shape or layer.output_shape(self.shapes[layer.sources[0]]))

    def add_alike(self, layer: FloatLayer, view: View) -> View:
        """One more layer that computes element by element; its map as `view` shows that of its first source."""
        self.add(layer)
        return View(layer.name, view.index)

    def add_tokens(self, layer: FloatLayer, tokens: View, pixels: Tensor) -> View:
        """One more layer over the channels of pixels; its map as `tokens` shows that of its first source."""
        self.add(layer)
        channels = self.shapes[layer.name].channels
        index = pixels[:, None] * channels + torch.arange(channels)
        return View(layer.name, index.reshape(*tokens.index.shape[:-1], channels))


def pair(value: Any) -> tuple[int, int]:
    """An argument for rows and columns, given as one number or two."""
    values = [int(v) for v in value]
    return (values[0], values[-1])
