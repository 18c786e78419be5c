"""VPU programs of the layers: microwords and the code-table slots that they name."""

from __future__ import annotations

from collections.abc import Mapping

from triptych.golden.quartdepth.chip.codec import Microword
from triptych.golden.quartdepth.chip.isa import (
    Addend,
    Destination,
    Format,
    Function,
    Kind,
    Multiply,
    Reduce,
    Side,
    SourceA,
)
from triptych.golden.quartdepth.network.network import (
    Attend,
    Code,
    Convolution,
    Double,
    Network,
    Normalise,
    Polish,
    Rescale,
    Residual,
)

Program = tuple[bytes, ...]
Slots = Mapping[str, int]  # picture -> slot of its code table

_DESTINATIONS = {
    Format.INT8: Destination.INT8,
    Format.UINT4: Destination.NIBBLE,
    Format.TABLE4: Destination.NIBBLE,
    Format.INT16: Destination.INT16,
}


def _program(*words: dict[str, int]) -> Program:
    return tuple(Microword({k: int(v) for k, v in word.items() if v}).encode() for word in words)


def _source(code: Code, slot: int) -> dict[str, int]:
    return {"src_a": SourceA.SPAD, "fmt_a": code.format, "table_a": slot}


def _store(code: Code, slot: int, lo: int, hi: int) -> dict[str, int]:
    fields = {"lo": lo, "hi": hi, "dst": _DESTINATIONS[code.format]}
    return {**fields, "encode": 1, "table_e": slot} if code.format is Format.TABLE4 else fields


def _add(residual: Residual | None, fraction: int, network: Network, slots: Slots) -> dict[str, int]:
    if residual is None:
        return {}
    code = network.pictures[residual.source].code
    return {
        "side": Side.ADD_B,
        "fmt_b": code.format,
        "table_b": slots.get(residual.source, 0),
        "b_add": residual.add,
        "b_m": residual.scale.multiplier,
        "b_s": residual.scale.shift,
        "z_s": fraction,
    }


def convolution(layer: Convolution, network: Network, slots: Slots) -> Program:
    """Accumulators: bias, multiplier by channel, GELU and its factor or the residual, clamp, encode."""
    code = network.pictures[layer.name].code
    word: dict[str, int] = {"src_a": SourceA.ACC, "addend": Addend.BIAS, "mul": Multiply.PARAM, "zp_param": 1}
    if layer.gelu is not None:
        word |= {"fn": Function.GELU, "side": Side.SCALE_F, "b_m": layer.gelu.multiplier, "b_s": layer.gelu.shift}
    store = _store(code, slots.get(layer.name, 0), layer.lo, layer.hi)
    return _program({**word, **_add(layer.residual, layer.fraction, network, slots), **store})


def rescale(layer: Rescale, network: Network, slots: Slots) -> Program:
    """One picture, or the sum of two, into another code."""
    code = network.pictures[layer.name].code
    word = {
        **_source(network.pictures[layer.source].code, slots.get(layer.source, 0)),
        "addend": Addend.IMM,
        "imm_add": layer.add,
        "mul": Multiply.IMM,
        "imm_m": layer.scale.multiplier,
        "imm_s": layer.scale.shift,
        "out_add": code.zero,
    }
    store = _store(code, slots.get(layer.name, 0), layer.lo, layer.hi)
    return _program({**word, **_add(layer.residual, layer.fraction, network, slots), **store})


def polish(layer: Polish, network: Network, slots: Slots) -> Program:
    """One picture times a factor by channel."""
    code = network.pictures[layer.name].code
    read = _source(network.pictures[layer.source].code, slots.get(layer.source, 0))
    word = {**read, "addend": Addend.BIAS, "mul": Multiply.PARAM, "zp_param": 1}
    return _program({**word, **_store(code, slots.get(layer.name, 0), layer.lo, layer.hi)})


def double(layer: Double, network: Network, slots: Slots) -> Program:
    """A pixel and its neighbour, weighted."""
    residual = Residual(layer.source, layer.add, layer.far)
    return rescale(
        Rescale(layer.name, layer.source, layer.add, layer.near, layer.lo, layer.hi, residual, layer.fraction),
        network,
        slots,
    )


def clear() -> Program:
    """Zeros in INT8 elements."""
    source = {"src_a": SourceA.SPAD, "fmt_a": Format.INT8, "mul": Multiply.IMM}
    return _program({**source, "dst": Destination.INT8})


def normalise(layer: Normalise, network: Network, slots: Slots) -> Program:
    """LayerNorm: row sums, mean, squares of the centred row, reciprocal root, product. Row scalars 0, 1, 2."""
    read = _source(network.pictures[layer.source].code, slots.get(layer.source, 0))
    code = network.pictures[layer.name].code
    centred = {**read, "a_shl": 6, "addend": Addend.ROW, "rs_a": 1}
    wide = {"lo": -32768, "hi": 32767}
    return _program(
        {**read, **wide, "reduce": Reduce.SUM, "rs_d": 0},
        {
            "kind": Kind.SCALAR, "rs_a": 0, "mul": Multiply.IMM,
            "imm_m": layer.mean.multiplier, "imm_s": layer.mean.shift, "rs_d": 1,
        },
        {**centred, **wide, "mul": Multiply.SQUARE, "imm_s": layer.square_shift, "reduce": Reduce.SUM, "rs_d": 2},
        {
            "kind": Kind.SCALAR, "rs_a": 2, "addend": Addend.IMM, "imm_add": layer.eps,
            "fn": Function.RSQRT, "rs_d": 3,
        },
        {
            **centred, "mul": Multiply.ROW, "rs_m": 3, "imm_s": layer.fraction, "side": Side.SCALE_F,
            "b_m": layer.out.multiplier, "b_s": layer.out.shift, "out_add": code.zero,
            **_store(code, slots.get(layer.name, 0), layer.lo, layer.hi),
        },
    )  # fmt: skip


def softmax(layer: Attend, bank: int) -> Program:
    """Scores of a block from the accumulators and their maxima, powers and their sums, reciprocals. Row scalars
    2 bank and 2 bank + 1; the second holds the reciprocals afterwards. Scores and powers share one place."""
    top, total = 2 * bank, 2 * bank + 1
    int8 = {"src_a": SourceA.SPAD, "fmt_a": Format.INT8, "dst": Destination.INT8}
    return _program(
        {
            "src_a": SourceA.ACC, "mul": Multiply.IMM, "imm_m": layer.score.multiplier, "imm_s": layer.score.shift,
            "out_add": layer.score_zero, "lo": -128, "hi": 127, "dst": Destination.INT8,
            "reduce": Reduce.MAX, "rs_d": top,
        },
        {
            **int8, "addend": Addend.ROW, "rs_a": top, "mul": Multiply.IMM,
            "imm_m": layer.exponent.multiplier, "imm_s": layer.exponent.shift, "fn": Function.EXP2N,
            "side": Side.SCALE_F, "b_m": layer.weight.multiplier, "b_s": layer.weight.shift,
            "lo": 0, "hi": 127, "reduce": Reduce.SUM, "rs_d": total,
        },
        {"kind": Kind.SCALAR, "rs_a": total, "fn": Function.RECIP, "rs_d": total},
    )  # fmt: skip


def mix(layer: Attend, network: Network, bank: int, slots: Slots) -> Program:
    """Weighted values from the accumulators, times the reciprocals of row scalar 2 bank + 1."""
    return _program(
        {
            "src_a": SourceA.ACC, "mul": Multiply.ROW, "rs_m": 2 * bank + 1, "imm_s": layer.fraction,
            "side": Side.SCALE_F, "b_m": layer.out.multiplier, "b_s": layer.out.shift, "out_add": layer.zero,
            **_store(network.pictures[layer.name].code, slots.get(layer.name, 0), layer.lo, layer.hi),
        }
    )  # fmt: skip
