"""The doors by which networks come in: modules, exported programs, files of both, ONNX; and how photos are fed."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from triptych.golden.quartdepth.network.float_graph import GraphError

Source = nn.Module | ExportedProgram


@dataclass(frozen=True)
class InputSpec:
    """What the network itself takes, made of photos in 0..1. size: (height, width). scale: photos times it come first
    (255 for bytes); then `(x - mean) / std` by channel. layout: NCHW or NHWC."""

    size: tuple[int, int]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float = 1.0
    layout: str = "NCHW"

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise GraphError(f"a photo must have pixels: {self.size[0]}x{self.size[1]}")
        if self.layout not in ("NCHW", "NHWC"):
            raise GraphError(f"no layout {self.layout!r}: choose NCHW or NHWC")
        if len(self.mean) not in (0, 1, 3) or len(self.std) not in (0, 1, 3) or any(v <= 0 for v in self.std):
            raise GraphError("mean and std take one number or three, std above zero")

    @property
    def plain(self) -> bool:
        """Photos in 0..1 go in as they are."""
        return not self.mean and not self.std and self.scale == 1.0 and self.layout == "NCHW"

    def example(self) -> Tensor:
        """A photo [1,3,h,w] of zeros."""
        return torch.zeros(1, 3, *self.size)


class Fed(nn.Module):
    """A network behind photos in 0..1, [1,3,h,w]; of several outputs all, or one by its name or number."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, spec: InputSpec, output: str | None = None) -> None:
        super().__init__()
        self.network, self.spec, self.output = network, spec, output
        self.register_buffer("mean", torch.tensor(spec.mean or (0.0,)).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std or (1.0,)).reshape(-1, 1, 1))

    def forward(self, photo: Tensor) -> Any:
        """What the network returns."""
        x = photo
        if self.spec.scale != 1.0:
            x = x * self.spec.scale
        if self.spec.mean or self.spec.std:
            x = (x - self.mean) / self.std
        if self.spec.layout == "NHWC":
            x = x.permute(0, 2, 3, 1)
        return chosen(self.network(x), self.output)


def chosen(results: Any, output: str | None) -> Any:
    """A network's outputs, or one of them. Raises GraphError naming them."""
    if isinstance(results, Tensor):
        return results
    named = dict(results.items()) if hasattr(results, "items") else {str(n): r for n, r in enumerate(results)}
    tensors = {str(name): value for name, value in named.items() if isinstance(value, Tensor)}
    if output is None and tensors:
        return tensors if len(tensors) > 1 else next(iter(tensors.values()))
    if output is None or output not in tensors:
        what = "" if output is None else f": there is no '{output}'"
        raise GraphError(f"the network returns {', '.join(tensors) or 'no tensor'}{what}")
    return tensors[output]


def opened(path: str | Path) -> Source:
    """The network of a file: `.pt2`, `.onnx`, or `module.py:function`, whose code is run. Raises GraphError in one line
    for anything else; nothing else is unpickled."""
    text = str(path)
    file, colon, function = text.rpartition(":")
    if colon and file.endswith(".py"):
        return _made(Path(file), function)
    found = Path(text)
    if not found.exists():
        raise GraphError(f"there is no file {text}: name a .pt2, an .onnx, or module.py:function")
    match found.suffix:
        case ".pt2":
            return _loaded(found)
        case ".onnx":
            from triptych.golden.quartdepth.network.onnx_reader import read_onnx

            return read_onnx(found)
        case ".py":
            raise GraphError(f"{text} holds code: say which function makes the network, {text}:function")
        case ".pth" | ".pt" | ".ckpt" | ".bin" | ".safetensors":
            raise GraphError(
                f"{text} holds weights and no network: name a published network with --weights, or module.py:function"
            )
    raise GraphError(f"{text} is no .pt2, .onnx or module.py:function")


def _loaded(file: Path) -> ExportedProgram:
    if not zipfile.is_zipfile(file):  # torch would print what it thinks of it
        raise GraphError(f"{file} is no program of torch.export.save: it is no archive")
    try:
        return torch.export.load(str(file))
    except Exception as error:  # zip, JSON and schema errors of all kinds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GraphError(f"{file} is no program of torch.export.save: {first}") from error


def _made(file: Path, function: str) -> nn.Module:
    if not file.exists():
        raise GraphError(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location(f"_network_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        spec.loader.exec_module(code)
        maker = getattr(code, function, None)
        if maker is None:
            raise GraphError(f"{file} has no '{function}'")
        made = maker() if not isinstance(maker, nn.Module) else maker
    except GraphError:
        raise
    except Exception as error:  # whatever the file's own code raises
        raise GraphError(f"{file}:{function} fails: {type(error).__name__}: {error}".splitlines()[0]) from error
    finally:
        sys.path.pop(0)
    if not isinstance(made, nn.Module):
        raise GraphError(f"{file}:{function} makes a {type(made).__name__}, not an nn.Module")
    return made.eval()


def photo_size(source: Source) -> tuple[int, int] | None:
    """Height and width that a network says it takes; None if it does not say."""
    if isinstance(source, ExportedProgram):
        shape = list(input_shape(source))
    else:
        shape = list(getattr(source, "shape", []) or [])
    return (int(shape[2]), int(shape[3])) if len(shape) == 4 and all(shape) else None


def input_shape(program: ExportedProgram) -> tuple[int, ...]:
    """Of an exported program's one input. Raises GraphError."""
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        raise GraphError(f"the module must take one tensor, not {len(names)}")
    value = next(n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder" and n.name == names[0])
    if not isinstance(value, Tensor) or value.ndim != 4 or not all(isinstance(n, int) for n in value.shape):
        raise GraphError("the program must take one tensor [1,C,H,W] of fixed size")
    if value.shape[0] != 1:
        raise GraphError(f"the program takes {value.shape[0]} images at once: export it for one")
    return tuple(value.shape)
