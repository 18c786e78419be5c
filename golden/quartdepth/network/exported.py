"""A module as torch.export sees it: checked, free of in-place operators, and the caller's module left as it was."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.utils import _pytree as pytree

from triptych.golden.quartdepth.network.branches import every_way
from triptych.golden.quartdepth.network.float_graph import GraphError

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH = str(Path(torch.__file__).parent)


def export(module: nn.Module, example: Tensor) -> ExportedProgram:
    """`module` in eval mode, traced for inputs of `example`'s shape, [1,C,H,W] float32.

    In-place operators are replaced by those that make new tensors: one on a view changes its base too. Every
    submodule keeps the mode that it was in. Raises GraphError in one line for a module or example that cannot be
    traced so.
    """
    _check(module, example)
    modes = {part: part.training for part in module.modules()}
    try:
        program = functional(_exported(module.eval(), example))
    except GraphError:
        raise
    except Exception as error:  # whatever the module's own code, Dynamo or the exporter raises
        line = (str(error).strip().splitlines() or [""])[0]
        raise GraphError(f"torch.export cannot trace the module: {type(error).__name__}: {line}") from error
    finally:
        for part, training in modes.items():
            part.training = training
    for spec in program.graph_signature.output_specs:
        if spec.kind is OutputKind.BUFFER_MUTATION:
            raise GraphError(f"the module changes its buffer '{spec.target}': the chip keeps nothing between images")
    return program


def _exported(module: nn.Module, example: Tensor) -> ExportedProgram:
    """The program; of all ways, if the module takes one of a few by the values that it computes."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # beside its error PyTorch prints the graph so far
            return torch.export.export(module, (example,))
    except GuardOnDataDependentSymNode:
        whole = every_way(module, example)
        if whole is None:
            raise
        return torch.export.export(whole, (example,))


def functional(program: ExportedProgram) -> ExportedProgram:
    """The program without in-place operators."""
    return program.run_decompositions({}) if any(_mutates(node) for node in program.graph.nodes) else program


def _check(module: nn.Module, example: Tensor) -> None:
    if not isinstance(module, nn.Module):
        raise GraphError(f"the module must be an nn.Module, not {type(module).__name__}")
    if not isinstance(example, Tensor):
        raise GraphError(f"the example input must be one tensor [1,C,H,W], not {type(example).__name__}")
    if example.ndim != 4 or example.shape[0] != 1:
        raise GraphError(f"the example input must be [1,C,H,W], not {list(example.shape)}")
    if example.dtype is not torch.float32:
        raise GraphError(f"the example input must be float32, not {_dtype(example)}")
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and tensor.dtype is not torch.float32:
            raise GraphError(f"'{name}' is {_dtype(tensor)}: the module must be float32, as module.float() makes it")
    signature = inspect.signature(module.forward)
    try:
        signature.bind(example)
    except TypeError:
        raise GraphError(f"the module must take one tensor, but its forward is {signature}") from None


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _mutates(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def user_outputs(program: ExportedProgram) -> dict[str, str | None]:
    """Nodes of what the module returns by their keys, "depth", or "0" where they have none; "" or None for what is
    no tensor."""
    kept = [s.arg for s in program.graph_signature.output_specs if s.kind is OutputKind.USER_OUTPUT]
    names = [getattr(arg, "name", None) for arg in kept]
    result = pytree.tree_unflatten(range(len(names)), program.call_spec.out_spec)
    if isinstance(result, Mapping) and len(result) == len(names):
        return {str(key): names[place] for key, place in result.items()}
    return {str(place): name for place, name in enumerate(names)}


def where(node: Node) -> tuple[str, str]:
    """Module and source line of a node: ("encoder.act", "model.py:41"); "" for what is not known."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    frames = [f for f in _FRAME.findall(node.meta.get("stack_trace") or "") if not f[0].startswith(_TORCH)]
    line = f"{Path(frames[-1][0]).name}:{frames[-1][1]}" if frames else ""
    return stack[-1][0] if stack else "", line
