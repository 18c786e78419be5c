"""Values as bytes and back, for caches and work files: JSON for the structure, arrays behind it, a hash over both.

    8 bytes "TRIPSTOR" | SHA-256 of the rest | uint64 length of the structure | structure (JSON) | arrays

Unlike pickle, reading runs no code but the constructors of Triptych's own dataclasses and enums, and what was altered
or cut off is refused. Containers, numbers, text, NumPy arrays, PyTorch tensors (read back on the CPU) and Triptych's
dataclasses, named tuples and enums can be stored; sharing between values is kept for arrays alone.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import math
import struct
import sys
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"TRIPSTOR"
ALIGN = 64
_PLAIN = (str, int, bool, type(None))
_ABOVE_NUMPY = {"bfloat16": "int16"}  # types that NumPy lacks, and those that hold their bits


class StoreError(ValueError):
    """Bytes that are no stored value: damaged, cut off, or of another version of the code."""


class _Packer:
    def __init__(self) -> None:
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.places: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no id is given twice

    def array(self, value: np.ndarray[Any, Any], owner: object) -> int:
        if id(owner) not in self.places:
            self.places[id(owner)] = len(self.arrays)
            self.arrays.append(np.asarray(value, order="C"))
            self.kept.append(owner)
        return self.places[id(owner)]

    def tree(self, value: Any) -> Any:
        """What JSON holds of a value: itself, or [kind, ...]."""
        if isinstance(value, Enum):
            return ["enum", _name(type(value)), value.name]
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else ["float", repr(value)]
        if isinstance(value, bytes):
            return ["bytes", base64.b64encode(value).decode()]
        if isinstance(value, Path):
            return ["path", str(value)]
        if isinstance(value, np.ndarray):
            return ["array", self.array(value, value)]
        if isinstance(value, np.generic):
            return ["scalar", self.array(np.asarray(value), value)]
        torch = sys.modules.get("torch")  # simulators store too: they need not wait for PyTorch, and have no tensors
        if torch is not None and isinstance(value, torch.Tensor):
            plain = value.detach().cpu()
            dtype = str(plain.dtype).removeprefix("torch.")
            bits = _ABOVE_NUMPY.get(dtype)
            place = self.array((plain if bits is None else plain.view(getattr(torch, bits))).numpy(), value)
            return ["tensor", place, dtype]
        if is_dataclass(value) and not isinstance(value, type):
            return ["data", _name(type(value)), {f.name: self.tree(getattr(value, f.name)) for f in fields(value)}]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return ["named", _name(type(value)), [self.tree(v) for v in value]]
        if isinstance(value, list | tuple | set | frozenset):
            ordered = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            return [type(value).__name__, [self.tree(v) for v in ordered]]
        if isinstance(value, dict):
            return ["dict", [[self.tree(k), self.tree(v)] for k, v in value.items()]]
        raise TypeError(f"a {type(value).__name__} cannot be stored")


def _name(kind: type) -> str:
    if kind.__module__.partition(".")[0] != __name__.partition(".")[0]:
        raise TypeError(f"{kind.__module__}.{kind.__qualname__} cannot be stored: it is not Triptych's")
    return f"{kind.__module__}:{kind.__qualname__}"


def _kind(name: str) -> Any:
    module, _, path = name.partition(":")
    if module.partition(".")[0] != __name__.partition(".")[0]:
        raise StoreError(f"{name} is none of Triptych's types")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    if not isinstance(found, type):
        raise StoreError(f"{name} is no type")
    return found


def pack(value: Any) -> bytes:
    """The value as bytes; equal values of one version of the code give equal bytes.

    Raises TypeError for what cannot be stored.
    """
    packer = _Packer()
    tree = packer.tree(value)
    described = [[a.dtype.newbyteorder("<").str, list(a.shape)] for a in packer.arrays]
    text = json.dumps({"value": tree, "arrays": described}, allow_nan=False).encode()
    parts = [struct.pack("<Q", len(text)), text]
    for array in packer.arrays:
        raw = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        parts += [raw, bytes(-len(raw) % ALIGN)]
    body = b"".join(parts)
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(content: bytes) -> Any:
    """Inverse of `pack`. Raises StoreError."""
    if content[:8] != MAGIC or hashlib.sha256(content[40:]).digest() != content[8:40]:
        raise StoreError("damaged: its hash is not that of its content")
    try:
        (length,) = struct.unpack_from("<Q", content, 40)
        described = json.loads(content[48 : 48 + length])
        at, arrays = 48 + length, []
        for dtype, shape in described["arrays"]:
            flat = np.frombuffer(content, dtype, math.prod(shape), at)
            arrays.append(flat.reshape(shape).copy())
            at += flat.nbytes + -flat.nbytes % ALIGN
        return _value(described["value"], arrays)
    except StoreError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, IndexError, struct.error) as error:
        raise StoreError(f"of another version of the code ({error})") from error


def _value(tree: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree
    match kind:
        case "enum":
            return _kind(rest[0])[rest[1]]
        case "float":
            return float(rest[0])
        case "bytes":
            return base64.b64decode(rest[0])
        case "path":
            return Path(rest[0])
        case "array":
            return arrays[rest[0]]
        case "scalar":
            return arrays[rest[0]][()]
        case "tensor":
            import torch

            held = torch.from_numpy(arrays[rest[0]])
            return held.view(getattr(torch, rest[1])) if rest[1] in _ABOVE_NUMPY else held
        case "data":
            return _data(_kind(rest[0]), {name: _value(v, arrays) for name, v in rest[1].items()})
        case "named":
            return _kind(rest[0])(*(_value(v, arrays) for v in rest[1]))
        case "dict":
            return {_value(k, arrays): _value(v, arrays) for k, v in rest[0]}
        case "list" | "tuple" | "set" | "frozenset":
            made = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
            return made(_value(v, arrays) for v in rest[0])
    raise StoreError(f"no kind of value: {kind}")


def _data(kind: Any, held: dict[str, Any]) -> Any:
    made = kind(**{f.name: held[f.name] for f in fields(kind) if f.init})
    for f in fields(kind):
        if not f.init:
            object.__setattr__(made, f.name, held[f.name])
    return made
