"""VPU programs: the parts of microwords that layers share."""

from __future__ import annotations

from collections.abc import Mapping

from triptych.golden.quartdepth.chip.codec import Microword
from triptych.golden.quartdepth.chip.isa import Destination, Format, Multiply, Side, SourceA
from triptych.golden.quartdepth.network.qparams import FeatureMap, QParams, Residual

Program = tuple[bytes, ...]
FeatureMaps = Mapping[str, FeatureMap]
Slots = Mapping[str, int]  # map -> slot of its code table

_DESTINATIONS = {
    Format.INT8: Destination.INT8,
    Format.UINT4: Destination.NIBBLE,
    Format.TABLE4: Destination.NIBBLE,
    Format.INT16: Destination.INT16,
}


def program(*words: dict[str, int]) -> Program:
    """Microwords from their fields; those that are zero may be left out."""
    return tuple(Microword({k: int(v) for k, v in word.items() if v}).encode() for word in words)


def read(maps: FeatureMaps, name: str, slots: Slots) -> dict[str, int]:
    """Operand A from a map."""
    return {"src_a": SourceA.SPAD, "fmt_a": maps[name].qparams.format, "table_a": slots.get(name, 0)}


def add(residual: Residual | None, fraction: int, maps: FeatureMaps, slots: Slots) -> dict[str, int]:
    """Operand B from a map, its factor, and the rounding of the sum."""
    if residual is None:
        return {}
    return {
        "side": Side.ADD_B,
        "fmt_b": maps[residual.source].qparams.format,
        "table_b": slots.get(residual.source, 0),
        "b_add": residual.add,
        "b_m": residual.scale.multiplier,
        "b_s": residual.scale.shift,
        "z_s": fraction,
    }


def store(maps: FeatureMaps, name: str, slots: Slots, lo: int, hi: int) -> dict[str, int]:
    """Clamp, encoder and destination of a map."""
    qparams = maps[name].qparams
    fields = {"lo": lo, "hi": hi, "dst": Destination.NIBBLE if qparams.packed else _DESTINATIONS[qparams.format]}
    return {**fields, "encode": 1, "table_e": slots.get(name, 0)} if qparams.format is Format.TABLE4 else fields


def clear(qparams: QParams) -> Program:
    """Zeros in elements of eight or four bits."""
    fmt = Format.UINT4 if qparams.bits == 4 else Format.INT8
    return program({"src_a": SourceA.SPAD, "fmt_a": fmt, "mul": Multiply.IMM, "dst": _DESTINATIONS[fmt]})
