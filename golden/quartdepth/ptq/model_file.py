"""A quantised network in one file: `triptych quantize` writes it, `triptych depth --model` runs it.

    8 bytes "TRIPTYCH" | uint32 format version | uint32 length of the header | header (JSON, deflated) |
    arrays (deflated) | SHA-256 of all that

The header says what the network is: layers and maps with their codes in full, the arrays' shapes, the recipe, the
unit of the output. int4 weights are packed two a byte. Little-endian. Reading checks magic, version, hash and every
shape, and refuses in one line what does not fit.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.files import write
from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.arithmetic.numerics import pack_nibbles, unpack_nibbles
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network import registry
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import FeatureMap, QParams, Residual, Scale
from triptych.golden.quartdepth.network.shapes import Patches, Regrid, Shape

MAGIC = b"TRIPTYCH"
VERSION = 6
_HEAD = struct.Struct("<8sII")
_RECORDS: dict[str, type[Any]] = {c.__name__: c for c in (Scale, Residual, Shape, Regrid, Patches)}


class ModelFileError(ValueError):
    """A model file that cannot be used; the message says why."""


@dataclass(frozen=True)
class ModelFile:
    """network: integers, as the chip runs them. metres_per_unit: of its output; None if unknown. about: how it was
    made (recipe, calibration, source of the weights)."""

    network: Network
    metres_per_unit: float | None
    about: dict[str, Any]


class _Writer:
    def __init__(self) -> None:
        self.arrays: list[dict[str, Any]] = []
        self.data: list[bytes] = []

    def value(self, v: Any) -> Any:
        """What JSON can hold of a field; arrays go aside."""
        if isinstance(v, np.ndarray):
            packed = v.dtype == np.int8 and v.size > 0 and v.min() >= -8 and v.max() <= 7
            flat = v.ravel()
            raw = pack_nibbles(np.append(flat, np.zeros(flat.size % 2, np.int8))) if packed else flat
            self.data.append(raw.astype(raw.dtype.newbyteorder("<")).tobytes())
            self.arrays.append({"shape": v.shape, "type": "int4" if packed else v.dtype.name})
            return {"array": len(self.arrays) - 1}
        if type(v).__name__ in _RECORDS:
            return {type(v).__name__: {f.name: self.value(getattr(v, f.name)) for f in fields(v)}}
        if isinstance(v, Enum):
            return v.name
        if isinstance(v, np.generic):
            return v.item()
        return v

    def qparams(self, qparams: QParams) -> dict[str, Any]:
        out: dict[str, Any] = {
            "format": qparams.format.name,
            "scale": qparams.scale,
            "zero": qparams.zero,
            "narrow": qparams.narrow,
            "packed": qparams.packed,
        }
        if qparams.table is not None:
            out |= {"unit": qparams.unit, "entries": qparams.table.entries, "thresholds": qparams.table.thresholds}
        return out


def content(model: ModelFile) -> tuple[bytes, bytes]:
    """Header (JSON) and arrays, as they are before they are deflated; the same model, the same bytes."""
    network, writer = model.network, _Writer()
    header = {
        "input": network.input,
        "output": network.output,
        "further": dict(network.further),
        "metres_per_unit": model.metres_per_unit,
        "about": model.about,
        "maps": {n: {"shape": writer.value(p.shape), **writer.qparams(p.qparams)} for n, p in network.maps.items()},
        "layers": [
            {"layer": type(x).__name__, **{f.name: writer.value(getattr(x, f.name)) for f in fields(x)}}
            for x in network.layers
        ],
        "constants": {n: writer.value(_small(c)) for n, c in network.constants.items()},
        "patches": writer.value(network.patches),
    }
    header["arrays"] = writer.arrays
    return json.dumps(header, sort_keys=True).encode(), b"".join(writer.data)


def to_bytes(model: ModelFile) -> bytes:
    """The file's content; the same model, the same bytes."""
    text, arrays = (zlib.compress(part, 9) for part in content(model))
    body = _HEAD.pack(MAGIC, VERSION, len(text)) + text + arrays
    return body + hashlib.sha256(body).digest()


def _small(codes: NDArray[np.int64]) -> NDArray[Any]:
    """Codes in the smallest type that holds them."""
    small = codes.astype(np.int8)
    return small if (small == codes).all() else codes.astype(np.int16)


def save(model: ModelFile, file: Path) -> int:
    """Writes the file whole or not at all; its size in bytes. Raises FileError."""
    content = to_bytes(model)
    write(file, content)
    return len(content)


def load(file: Path) -> ModelFile:
    """Reads a file. Raises ModelFileError for what is missing, cut short, altered, of another version or malformed."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read model {file}: {error.strerror}") from error
    if content[:8] != MAGIC or len(content) < _HEAD.size + 32:
        raise ModelFileError(f"{file} is no model of `triptych quantize`")
    _, version, length = _HEAD.unpack_from(content)
    if version != VERSION:
        raise ModelFileError(f"{file} has format {version}, this program reads {VERSION}: quantize the model again")
    body, digest = content[:-32], content[-32:]
    if hashlib.sha256(body).digest() != digest:
        raise ModelFileError(f"{file} is damaged: its hash does not fit. Quantize the model again")
    try:
        header = json.loads(zlib.decompress(body[_HEAD.size : _HEAD.size + length]))
        return _read(header, zlib.decompress(body[_HEAD.size + length :]))
    except (zlib.error, KeyError, ValueError, TypeError, IndexError) as error:
        raise ModelFileError(f"{file} holds no network: {str(error).splitlines()[0]}") from error


def _read(header: dict[str, Any], data: bytes) -> ModelFile:
    arrays: list[NDArray[Any]] = []
    at = 0
    for entry in header["arrays"]:
        shape, kind = tuple(entry["shape"]), entry["type"]
        count = int(np.prod(shape))
        dtype = np.dtype(np.uint8) if kind == "int4" else np.dtype(kind).newbyteorder("<")
        stored = np.frombuffer(data, dtype, -(-count // 2) if kind == "int4" else count, at)
        at += stored.nbytes
        flat = unpack_nibbles(stored, signed=True)[:count] if kind == "int4" else stored.astype(kind)
        arrays.append(flat.reshape(shape))
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes too many")

    def value(v: Any) -> Any:
        if isinstance(v, dict) and "array" in v:
            return arrays[v["array"]]
        if isinstance(v, dict):
            ((name, inner),) = v.items()
            return _RECORDS[name](**{k: value(x) for k, x in inner.items()})
        return tuple(v) if isinstance(v, list) else v

    maps = {}
    for name, entry in header["maps"].items():
        table = CodeTable(tuple(entry["entries"]), tuple(entry["thresholds"])) if "entries" in entry else None
        qparams = QParams(
            Format[entry["format"]], entry["scale"], entry["zero"], table, entry.get("unit", 1.0), entry["narrow"],
            entry["packed"],
        )  # fmt: skip
        maps[name] = FeatureMap(value(entry["shape"]), qparams)
    layers = []
    for entry in header["layers"]:
        kind = registry.quantised_layers()[entry["layer"]]
        layers.append(kind(**{k: value(v) for k, v in entry.items() if k != "layer"}))
    constants = {n: value(c).astype(np.int64) for n, c in header["constants"].items()}
    further = {str(key): str(name) for key, name in header["further"].items()}
    network = Network(header["input"], header["output"], maps, layers, constants, value(header["patches"]), further)
    return ModelFile(network, header["metres_per_unit"], header["about"])
