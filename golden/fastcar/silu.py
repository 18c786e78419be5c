"""SILU of an int16, by the same kind of table as the functions of `triptych.golden.quartdepth.arithmetic`.

`silu(y) = max(y, 0) - d(|y|)` with `d(a) = a / (1 + e^a)`, a piecewise quadratic:

    v = c0 + (c1 + rs(c2 * t, h_shift)) * t,        d = rs(v, v_shift)

`python -m triptych.golden.fastcar.silu --fit` makes `silu_table.py` anew from float64 and with it the package of
`rtl/fastcar`, `--check` fails when one of them is stale; without either it prints the worst error over all inputs.
"""

from __future__ import annotations

import argparse
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from triptych.golden.fastcar import silu_table
from triptych.golden.files import write
from triptych.golden.quartdepth.arithmetic.functions import Segment, Unit, fit_segment
from triptych.golden.quartdepth.arithmetic.numerics import Ints, rs

TABLE_FILE = Path(silu_table.__file__)
PACKAGE_FILE = TABLE_FILE.parents[2] / "rtl" / "fastcar" / "silu_pkg.sv"
SILU = Unit("Silu", t_bits=9, h_shift=9, v_shift=11, table=silu_table.SILU)
SILU_FLAT = len(silu_table.SILU) << SILU.t_bits  # |y| >= 12 in Q4.11: silu(y) is y or 0 to within half a unit


def silu(y: Any) -> Ints:
    """SILU of an int16 in Q4.11, the result alike, int64. Raises ValueError outside int16."""
    y = np.asarray(y).astype(np.int64)
    if y.size and (y.min() < -(1 << 15) or y.max() >= 1 << 15):
        raise ValueError("the input of SILU is an int16: saturate it first")
    magnitude = np.abs(y)
    inside = magnitude < SILU_FLAT
    place = np.where(inside, magnitude, 0)
    d = rs(SILU.evaluate(place >> SILU.t_bits, place & ((1 << SILU.t_bits) - 1)), SILU.v_shift)
    return np.maximum(y, 0) - np.where(inside, d, 0)


def worst_error() -> float:
    """Worst error over all 2^16 inputs against float64, in units of the last place."""
    y = np.arange(-(1 << 15), 1 << 15)
    x = y / 2048
    return float(np.abs(silu(y) - x / (1 + np.exp(-x)) * 2048).max())


def fit() -> tuple[Segment, ...]:
    """The table, made from float64: 48 segments of a quarter."""

    def gap(segment: int, t: float) -> float:
        a = (512 * segment + t) / 2048
        return a / (1 + math.exp(a)) * 2048

    return tuple(fit_segment(partial(gap, s), SILU, 1) for s in range(48))


def _text() -> str:
    rows = "".join(f"    {segment},\n" for segment in fit())
    head = '"""Coefficients of `silu.py`, made by `python -m triptych.golden.fastcar.silu --fit`: do not edit."""\n\n'
    return f"{head}SILU: tuple[tuple[int, int, int], ...] = (\n{rows})\n"


def _package(table: tuple[Segment, ...]) -> str:
    """SystemVerilog of the table."""
    sizes = (("SiluSegments", len(table)), ("SiluTBits", SILU.t_bits), ("SiluHShift", SILU.h_shift),
             ("SiluVShift", SILU.v_shift))  # fmt: skip
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Coefficients of SILU (docs/fastcar.md, Numerics), made by `python -m triptych.golden.fastcar.silu --fit`:",
        "// do not edit.",
        "",
        "package silu_pkg;",
        "",
        *(f"  localparam int unsigned {name} = {value};" for name, value in sizes),
    ]
    for place in range(3):
        column = [segment[place] for segment in table]
        width = max(max(c, -c - 1).bit_length() + 1 for c in column)
        words = [f"{'-' if c < 0 else ''}{width}'sd{abs(c)}" for c in column]
        rows = [", ".join(words[i : i + 4]) for i in range(0, len(words), 4)]
        name = f"SiluC{place}"
        lines += ["", f"  localparam int unsigned {name}W = {width};"]
        lines += [f"  localparam logic signed [{name}W-1:0] {name}[SiluSegments] = '{{"]
        lines += [f"    {row}{'' if i == len(rows) - 1 else ','}" for i, row in enumerate(rows)] + ["  };"]
    return "\n".join([*lines, "", "endpackage", ""])


def main(argv: list[str] | None = None) -> int:
    """Command line: `--fit`, `--check`; without any, the worst error."""
    parser = argparse.ArgumentParser(prog="python -m triptych.golden.fastcar.silu", description=__doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--fit", action="store_true", help="fit the table anew")
    action.add_argument("--check", action="store_true", help="fail when the table is stale")
    args = parser.parse_args(argv)
    if args.fit:
        write(TABLE_FILE, _text())
        write(PACKAGE_FILE, _package(fit()))
    elif args.check:
        for path, text in ((TABLE_FILE, _text()), (PACKAGE_FILE, _package(fit()))):
            if not path.exists() or path.read_text() != text:
                print(f"{path.name} is stale: run `python -m triptych.golden.fastcar.silu --fit`", file=sys.stderr)
                return 1
    else:
        print(f"SILU   {worst_error():.3f} units of the last place")
    return 0


if __name__ == "__main__":
    sys.exit(main())
