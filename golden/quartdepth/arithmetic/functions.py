"""The functions of the vector engine: piecewise quadratics in integers (docs/numerics.md, Functions).

One evaluation serves all four. A segment number picks `(c0, c1, c2)`; `t` is the place inside the segment:

    v = c0 + (c1 + rs(c2 * t, h_shift)) * t,        result = rs(v, v_shift)

EXP2N and GELU share the unit that every lane has (`LANE`); RECIP and RSQRT share the one of the row scalars (`ROW`).
The integers stand in `function_tables.py`; `python -m triptych.golden.quartdepth.arithmetic.functions --fit` makes
them anew from float64, `--write` makes `rtl/pkg/function_pkg.sv`, `--check` fails when either is not what its source
says.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.golden.files import write
from triptych.golden.quartdepth.arithmetic import function_tables

Ints = NDArray[np.int64]
Segment = tuple[int, int, int]
TABLES_FILE = Path(function_tables.__file__)
PACKAGE_FILE = Path(__file__).resolve().parents[3] / "rtl" / "pkg" / "function_pkg.sv"

GELU_FLAT = 1 << 13  # |x| >= 4 in Q4.11: gelu(x) is x or 0 to within half a unit


@dataclass(frozen=True)
class Unit:
    """One evaluator. `t_bits`: width of t; shifts as in the formula above; `table`: (c0, c1, c2) of every segment."""

    name: str
    t_bits: int
    h_shift: int
    v_shift: int
    table: tuple[Segment, ...]

    def evaluate(self, segment: Ints, t: Ints) -> Ints:
        """`v` of the formula, int64, not yet shifted."""
        c0, c1, c2 = np.array(self.table, dtype=np.int64)[segment].T
        return c0.T + (c1.T + _rs(c2.T * t, self.h_shift)) * t


LANE = Unit("Lane", t_bits=8, h_shift=8, v_shift=11, table=function_tables.LANE)
ROW = Unit("Row", t_bits=13, h_shift=13, v_shift=16, table=function_tables.ROW)
EXP2N_BASE = 32  # segments of LANE: 32 of GELU, then 16 of EXP2N
RSQRT_BASE = 32  # segments of ROW: 32 of RECIP, then 16 of RSQRT in [1, 2), then 16 in [2, 4)


def _rs(v: Ints, shift: int | Ints) -> Ints:
    """Rounding shift of docs/numerics.md for counts 0..47."""
    shift = np.asarray(shift, dtype=np.int64)
    return (v + ((np.int64(1) << shift) >> 1)) >> shift


def _int16(y: NDArray[np.generic] | int) -> Ints:
    values = np.asarray(y).astype(np.int64)
    if values.size and (values.min() < -(1 << 15) or values.max() >= 1 << 15):
        raise ValueError("the input of EXP2N and GELU is an int16: saturate it first")
    return values


def _int32(y: NDArray[np.generic] | int) -> Ints:
    values = np.asarray(y).astype(np.int64)
    if values.size and (values.min() < -(1 << 31) or values.max() >= 1 << 31):
        raise ValueError("the input of RECIP and RSQRT is an int32: saturate it first")
    return values


def exp2n(y: NDArray[np.generic] | int) -> Ints:
    """`2^-u` in Q0.15, at most 32767, with `u = max(0, -y)`; y int16 in Q5.10. Raises ValueError outside int16."""
    u = np.maximum(0, -_int16(y))
    fraction = u & 1023
    v = LANE.evaluate(EXP2N_BASE + (fraction >> 6), (fraction & 63) << 2)
    return np.minimum(32767, _rs(v, LANE.v_shift + (u >> 10)))


def gelu(y: NDArray[np.generic] | int) -> Ints:
    """GELU of an int16 in Q4.11, the result alike: `max(y, 0) - d(|y|)`. Raises ValueError outside int16."""
    y = _int16(y)
    magnitude = np.abs(y)
    inside = magnitude < GELU_FLAT
    place = np.where(inside, magnitude, 0)
    d = _rs(LANE.evaluate(place >> 8, place & 255), LANE.v_shift)
    return np.maximum(y, 0) - np.where(inside, d, 0)


def _normalise(y: NDArray[np.generic] | int) -> tuple[Ints, Ints]:
    """`n = floor(log2 max(y, 1))` and the 31 bits behind the leading one."""
    positive = np.maximum(_int32(y), 1)
    n = np.frexp(positive.astype(np.float64))[1].astype(np.int64) - 1
    return n, (positive << (31 - n)) & 0x7FFF_FFFF


def _pack(v: Ints, e: Ints) -> Ints:
    m = np.clip(_rs(v, ROW.v_shift), 16384, 32767)
    return (e << 16) | m


def recip(y: NDArray[np.generic] | int) -> Ints:
    """Packed `{e, m}` with `x / y ~ x * m >> e`; y int32, taken as 1 below 1. Raises ValueError outside int32."""
    n, behind = _normalise(y)
    return _pack(ROW.evaluate(behind >> 26, (behind >> 13) & 8191), 15 + n)


def rsqrt(y: NDArray[np.generic] | int) -> Ints:
    """Packed `{e, m}` with `x / sqrt(y) ~ x * m >> e`; y int32, taken as 1 below 1. Raises ValueError outside int32."""
    n, behind = _normalise(y)
    segment = RSQRT_BASE + ((n & 1) << 4) + (behind >> 27)
    return _pack(ROW.evaluate(segment, (behind >> 14) & 8191), 15 + (n >> 1))


def lookup(name: str, y: NDArray[np.generic] | int) -> Ints:
    """The function of every element (IDENT: the element), int64. Raises ValueError for an input out of its range."""
    table: dict[str, Callable[[NDArray[np.generic] | int], Ints]] = {
        "EXP2N": exp2n, "GELU": gelu, "RECIP": recip, "RSQRT": rsqrt,
    }  # fmt: skip
    return table[name](y) if name in table else np.asarray(y).astype(np.int64)


def worst_errors() -> dict[str, float]:
    """Worst error against float64, in units of the last place of the result (RECIP, RSQRT: of `m`).

    EXP2N and GELU over all 2^16 inputs; RECIP and RSQRT over all inputs below 2^16 and 2^20 larger ones.
    """
    y = np.arange(-(1 << 15), 1 << 15)
    exact_exp2n = np.minimum(32767.0, np.exp2(-np.maximum(0, -y) / 1024 + 15))
    x = y / 2048
    exact_gelu = np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x]) * 2048
    large = np.random.default_rng(0).integers(0, 31 << 32, 1 << 20)
    positive = np.concatenate([np.arange(1, 1 << 16), np.maximum(1, (large & 0x7FFF_FFFF) >> (large >> 32))])
    r, s = recip(positive), rsqrt(positive)
    m_of = {"RECIP": r & 0xFFFF, "RSQRT": s & 0xFFFF}
    exact = {
        "RECIP": np.exp2((r >> 16).astype(np.float64)) / positive,
        "RSQRT": np.exp2((s >> 16).astype(np.float64)) / np.sqrt(positive.astype(np.float64)),
    }
    return {
        "EXP2N": float(np.abs(exp2n(y) - exact_exp2n).max()),
        "GELU": float(np.abs(gelu(y) - exact_gelu).max()),
        **{name: float(np.abs(m_of[name] - np.minimum(exact[name], 32767)).max()) for name in m_of},
    }


def fit_segment(f: Callable[[float], float], unit: Unit, step: int) -> Segment:
    """(c0, c1, c2) of one segment; f(t) is the wanted result at t = 0, step, ..., below 2^t_bits.

    c2 and c1 through Chebyshev nodes, each rounded before the next is taken; c0 halves what is left.
    """
    length = float(1 << unit.t_bits)
    scale = float(1 << unit.v_shift)
    nodes = [length / 2 * (1 + math.cos((2 * i + 1) * math.pi / 6)) for i in range(3)]
    y = [f(t) * scale for t in nodes]
    slope = [(y[i + 1] - y[i]) / (nodes[i + 1] - nodes[i]) for i in range(2)]
    c2 = round((slope[1] - slope[0]) / (nodes[2] - nodes[0]) * (1 << unit.h_shift))
    ends = [length / 2 * (1 - math.sqrt(0.5)), length / 2 * (1 + math.sqrt(0.5))]
    rest = [f(t) * scale - c2 * t * t / (1 << unit.h_shift) for t in ends]
    c1 = round((rest[1] - rest[0]) / (ends[1] - ends[0]))
    half = 1 << (unit.h_shift - 1)
    left = [f(t) * scale - (c1 + ((c2 * t + half) >> unit.h_shift)) * t for t in range(0, 1 << unit.t_bits, step)]
    return round((max(left) + min(left)) / 2), c1, c2


def fit() -> dict[str, tuple[Segment, ...]]:
    """The tables of LANE and ROW, made from float64."""

    def gelu_gap(segment: int, t: float) -> float:
        a = 256 * segment + t
        return a / 2 * math.erfc(a / 2048 / math.sqrt(2))

    def power(segment: int, t: float) -> float:
        return 2.0 ** (15 - (256 * segment + t) / 4096)

    # RECIP and RSQRT drop the bits below t: aim at the middle of what is dropped
    def inverse(segment: int, t: float) -> float:
        return 2.0**15 / (1 + (8192 * segment + t + 0.5) / 2**18)

    def inverse_root(segment: int, t: float) -> float:
        odd, low = divmod(segment, 16)
        return 2.0**15 / math.sqrt((1 + odd) * (1 + (8192 * low + t + 0.5) / 2**17))

    lane = [fit_segment(partial(gelu_gap, s), LANE, 1) for s in range(32)]
    lane += [fit_segment(partial(power, s), LANE, 4) for s in range(16)]
    row = [fit_segment(partial(inverse, s), ROW, 1) for s in range(32)]
    row += [fit_segment(partial(inverse_root, s), ROW, 1) for s in range(32)]
    return {"LANE": tuple(lane), "ROW": tuple(row)}


def _tables_text() -> str:
    command = "python -m triptych.golden.quartdepth.arithmetic.functions --fit"
    out = [f'"""Coefficients of `functions.py`; do not edit.\n\nMade by `{command}`.\n"""']
    for name, table in fit().items():
        rows = "".join(f"    {segment},\n" for segment in table)
        out.append(f"{name}: tuple[tuple[int, int, int], ...] = (\n{rows})")
    return "\n\n".join(out) + "\n"


def _package_text() -> str:
    out = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Coefficient tables of the vector engine's functions, made by",
        "// `python -m triptych.golden.quartdepth.arithmetic.functions --write`",
        "// from golden/quartdepth/arithmetic/function_tables.py: do not edit.",
        "",
        "package function_pkg;",
        "",
        f"  localparam int unsigned Exp2nBase = {EXP2N_BASE};",
        f"  localparam int unsigned RsqrtBase = {RSQRT_BASE};",
        f"  localparam int unsigned GeluFlat = {GELU_FLAT};",
    ]
    for unit in (LANE, ROW):
        out.append("")
        for what, value in (("TBits", unit.t_bits), ("HShift", unit.h_shift), ("VShift", unit.v_shift)):
            out.append(f"  localparam int unsigned {unit.name}{what} = {value};")
        out.append(f"  localparam int unsigned {unit.name}Segments = {len(unit.table)};")
        for i in range(3):
            column = [segment[i] for segment in unit.table]
            width = 1 + max((v if v >= 0 else ~v).bit_length() for v in column)
            name = f"{unit.name}C{i}"
            out.append(f"  localparam int unsigned {name}W = {width};")
            out.append(f"  localparam logic signed [{name}W-1:0] {name}[{unit.name}Segments] = '{{")
            for at in range(0, len(column), 4):
                row = ", ".join(("-" if v < 0 else "") + f"{width}'sd{abs(v)}" for v in column[at : at + 4])
                out.append(f"    {row}" + ("," if at + 4 < len(column) else ""))
            out.append("  };")
    return "\n".join([*out, "", "endpackage", ""])


def drift() -> list[str]:
    """The generated files that are not what their source says, one line each; empty when all is well."""
    wanted = {TABLES_FILE: (_tables_text, "--fit"), PACKAGE_FILE: (_package_text, "--write")}
    return [
        f"{path.name} is stale: run `python -m triptych.golden.quartdepth.arithmetic.functions {flag}`"
        for path, (text, flag) in wanted.items()
        if not path.is_file() or path.read_text() != text()
    ]


def main(argv: list[str] | None = None) -> int:
    """Command line: `--fit`, `--write`, `--check`; without any, the worst errors."""
    parser = argparse.ArgumentParser(
        prog="python -m triptych.golden.quartdepth.arithmetic.functions", description=__doc__
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--fit", action="store_true", help="fit the tables anew")
    action.add_argument("--write", action="store_true", help="write the SystemVerilog package")
    action.add_argument("--check", action="store_true", help="fail when a generated file is stale")
    args = parser.parse_args(argv)
    if args.fit:
        write(TABLES_FILE, _tables_text())
    elif args.write:
        write(PACKAGE_FILE, _package_text())
    elif args.check:
        stale = drift()
        print("\n".join(stale), end="\n" if stale else "", file=sys.stderr)
        return 1 if stale else 0
    else:
        for name, error in worst_errors().items():
            print(f"{name:6} {error:.3f} units of the last place")
    return 0


if __name__ == "__main__":
    sys.exit(main())
