"""Function tables of the HLS kernels, from their one Python source.

`python -m triptych.sim.fastcar.hls_tables --write` makes `hls/include/function_tables.hpp`; `--check` fails when it
is stale.
"""

from __future__ import annotations

import argparse
import sys

from triptych.golden.fastcar.silu import SILU
from triptych.golden.files import write
from triptych.golden.quartdepth.arithmetic import functions
from triptych.sim.build.sources import ROOT

FILE = ROOT / "hls" / "include" / "function_tables.hpp"


def text() -> str:
    """The header: for each unit its shifts and its (c0, c1, c2) a segment."""
    out = [
        "// Coefficients of functions.hpp, made by `python -m triptych.sim.fastcar.hls_tables --write`: do not edit.",
        "#pragma once",
        "",
        "#include <cstdint>",
        "",
        "namespace fastcar {",
        "",
        f"constexpr int EXP2N_BASE = {functions.EXP2N_BASE};",
        f"constexpr int RSQRT_BASE = {functions.RSQRT_BASE};",
    ]
    for unit in (functions.LANE, functions.ROW, SILU):
        name = unit.name.upper()
        out += ["", f"constexpr int {name}_T_BITS = {unit.t_bits};", f"constexpr int {name}_H_SHIFT = {unit.h_shift};"]
        out += [f"constexpr int {name}_V_SHIFT = {unit.v_shift};"]
        out += [f"constexpr int {name}_SEGMENTS = {len(unit.table)};"]
        out += [f"constexpr std::int32_t {name}[{name}_SEGMENTS][3] = {{"]
        out += [f"    {{{c0}, {c1}, {c2}}}," for c0, c1, c2 in unit.table]
        out += ["};"]
    return "\n".join([*out, "", "}  // namespace fastcar", ""])


def stale() -> bool:
    """Whether the header is not what its source says."""
    return not FILE.is_file() or FILE.read_text() != text()


def main(argv: list[str] | None = None) -> int:
    """Command line: `--write` or `--check`."""
    parser = argparse.ArgumentParser(prog="python -m triptych.sim.fastcar.hls_tables", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the header")
    action.add_argument("--check", action="store_true", help="fail when it is stale")
    if parser.parse_args(argv).write:
        write(FILE, text())
    elif stale():
        print(f"{FILE.name} is stale: run `python -m triptych.sim.fastcar.hls_tables --write`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
