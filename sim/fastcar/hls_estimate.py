"""What the multipliers of the HLS kernels take of a device, from their source: widths times unrolled trip counts.

Every product of two variables is `times<A, B>` or `times_in_luts<A, B>` (hls/include/products.hpp; the lint sees to
it), which states both widths. One of A x B bits takes ceil((A - 1) / 26) * ceil((B - 1) / 17) DSP48E2, or logic; inside
loops under UNROLL it is there as often as they run, over the cycles of a pipelined iteration. A function that is called
twice is there twice, unless ALLOCATION says once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from math import ceil, prod

from clang.cindex import Cursor, CursorKind

from triptych.sim.fastcar.csim import HLS
from triptych.sim.fastcar.hls_lint import LOOPS, Function, Lint

K = CursorKind
KERNELS = {
    "run_tile": "the lanes",
    "run_lanes": "the rest of the lane array: requantisation, plans, counters",
    "run_attention": "attention over the KV cache",
    "run_decoder": "norms, RoPE, SwiGLU, residual",
    "run_tas": "the score that chooses",
    "run_drs": "decisions",
    "run_ring": "replay ring",
    "layer_sizes": "sizes, in the weight streamer",
}
"""The processes that multiply; `run_lanes` holds `run_tile`, which is taken out of it."""
LUTS_A_BIT = 2.4
"""LUTs of a multiplier of A x B bits over A * B: `synth_xilinx -nodsp` needs 1.8 to 2.4 (8 x 8: 134, 18 x 16: 682)."""


@dataclass(frozen=True)
class Multipliers:
    """DSP48E2, and LUTs of those that are logic."""

    dsps: int = 0
    luts: int = 0

    def plus(self, other: Multipliers, copies: int = 1, cycles: int = 1) -> Multipliers:
        """With `copies` of another that share their work over `cycles`."""
        return Multipliers(
            self.dsps + copies * ceil(other.dsps / cycles), self.luts + copies * ceil(other.luts / cycles)
        )


class Estimator:
    """Counts multipliers of functions of hls/, with `lanes` lanes and `head_group` query heads a pass."""

    def __init__(self, lanes: int = 16, head_group: int = 1) -> None:
        self.lint = Lint(HLS / "fastcar.cpp", (HLS,))
        self.functions = dict(self.lint.functions)
        self.names = {f.cursor.spelling: f for f in self.functions.values()}
        text = "".join(p.read_text() for p in sorted(HLS.rglob("*.hpp")))
        self.constants: dict[str, int] = {"FASTCAR_LANES": lanes, "FASTCAR_HEAD_GROUP": head_group}
        for name, value in re.findall(r"constexpr \w+ ([A-Z][A-Z0-9_]*) = ([^;]+);", text):
            words = set(re.findall(r"[A-Za-z_]\w*", value))
            if words <= self.constants.keys():
                self.constants[name] = self._value(value)

    def _value(self, text: str) -> int:
        return int(eval(text.replace("/", "//"), {"__builtins__": {}}, dict(self.constants)))

    def _trips(self, loop: Cursor) -> int:
        """Runs of an unrolled loop `for (...; i < BOUND; ...)`. Raises ValueError for another form."""
        tokens = " ".join(t.spelling for t in loop.get_tokens())
        match = re.match(r"for \( [^;]*; \w+ < ([^;]+);[^)]*\)", tokens)
        if match is None or not set(re.findall(r"[A-Za-z_]\w*", match[1])) <= self.constants.keys():
            raise ValueError(
                f"{loop.location.file}:{loop.location.line}: trip count of an unrolled loop is not constant"
            )
        return self._value(match[1])

    def _copies(self, function: Function, around: tuple[Cursor, ...]) -> int:
        """Of an operator: as often as unrolled loops have it, shared over the cycles of a pipelined iteration."""
        unrolled = prod(self._trips(n) for n in around if n.kind in LOOPS and function.within(n, "UNROLL"))
        return ceil(unrolled / self._interval(function, around))

    def _interval(self, function: Function, around: tuple[Cursor, ...]) -> int:
        """The II that the innermost pipelined loop states, 1 without one."""
        for node in reversed(around):
            if node.kind in LOOPS and function.within(node, "PIPELINE"):
                lines = range(node.extent.start.line, node.extent.end.line + 1)
                pragmas = (p for p in function.pragmas if p.directive == "PIPELINE" and p.line in lines)
                return max(int(p.options["II"]) for p in pragmas)
        return 1

    def of(self, name: str) -> Multipliers:
        """A function with all that it calls."""
        return self._of(self.names[name].cursor.get_usr())

    @cache  # noqa: B019 - one estimator a process
    def _of(self, usr: str) -> Multipliers:
        function = self.functions[usr]
        once = {p.options["instances"] for p in function.pragmas if p.directive == "ALLOCATION"}
        seen: set[str] = set()
        total = Multipliers()
        for node, around in function.nodes:
            if node.kind is not K.CALL_EXPR or node.referenced is None:
                continue
            name = node.spelling
            if name in ("times", "times_in_luts"):
                a, b = (node.referenced.get_template_argument_value(i) for i in range(2))
                total = total.plus(_multiplier(name, a, b), self._copies(function, around))
                continue
            called = node.referenced.get_usr()
            if called not in self.functions:  # an instance of a template
                called = self.names[name].cursor.get_usr() if name in self.names else usr
            if called == usr or (name in once and name in seen):
                continue
            seen.add(name)
            total = total.plus(self._of(called), self._copies(function, around), self._interval(function, around))
        return total


def _multiplier(name: str, a: int, b: int) -> Multipliers:
    if name == "times_in_luts":
        return Multipliers(luts=ceil(LUTS_A_BIT * a * b))
    wide, narrow = max(a, b), min(a, b)
    return Multipliers(dsps=ceil((wide - 1) / 26) * ceil((narrow - 1) / 17))


def estimate_kernels(lanes: int = 16, head_group: int = 1) -> list[tuple[str, Multipliers, str]]:
    """(kernel, multipliers, what it is) of every process that multiplies, by default as the KV260 has them."""
    estimator = Estimator(lanes, head_group)
    found = {name: estimator.of(name) for name in KERNELS}
    tile, array = found["run_tile"], found["run_lanes"]
    found["run_lanes"] = Multipliers(array.dsps - tile.dsps, array.luts - tile.luts)
    return [(name, found[name], what) for name, what in KERNELS.items()]
