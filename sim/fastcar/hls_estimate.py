"""DSP48E2 of the HLS kernels that have no RTL twin, estimated from their source: products times unrolled trip counts.

A product of n x m bits takes ceil(n / 26) * ceil(m / 17) DSPs, by the types before any cast; inside loops under UNROLL
it is there as often as they run. Products with constants, and sharing between stages, are left out.
"""

from __future__ import annotations

import re
from functools import cache
from math import ceil, prod

from clang.cindex import Cursor, CursorKind, TypeKind

from triptych.sim.fastcar.csim import HLS
from triptych.sim.fastcar.hls_lint import LOOPS, Function, Lint

K = CursorKind
CASTS = (
    K.UNEXPOSED_EXPR, K.PAREN_EXPR, K.CSTYLE_CAST_EXPR, K.CXX_FUNCTIONAL_CAST_EXPR, K.CXX_STATIC_CAST_EXPR,
)  # fmt: skip
WIDTHS = {
    TypeKind.SCHAR: 8, TypeKind.UCHAR: 8, TypeKind.CHAR_S: 8, TypeKind.SHORT: 16, TypeKind.USHORT: 16,
    TypeKind.INT: 32, TypeKind.UINT: 32, TypeKind.LONG: 64, TypeKind.ULONG: 64,
}  # fmt: skip
KERNELS = {
    "run_attention": "attention over the KV cache",
    "run_decoder": "norms, RoPE, SwiGLU, residual",
    "run_ring": "replay ring",
    "requantise": "requantisation of a tile, in the lane array",
}
"""What has no twin: whole processes, and the requantisation, whose products beside it are the lane twin's."""


class Estimator:
    """Counts DSPs of functions of hls/."""

    def __init__(self) -> None:
        self.lint = Lint(HLS / "fastcar.cpp", (HLS,))
        self.names = {f.cursor.spelling: f for f in self.lint.functions.values()}
        text = "".join(p.read_text() for p in sorted(HLS.rglob("*.hpp")))
        self.constants: dict[str, int] = {"FASTCAR_LANES": 16, "FASTCAR_HEAD_GROUP": 1}
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

    @cache  # noqa: B019 - one estimator a process
    def dsps(self, name: str) -> int:
        """DSP48E2 of a function with all that it calls."""
        function = self.names[name]
        total = 0
        for node, around in function.nodes:
            if node.kind is K.BINARY_OPERATOR and _operator(node) == "*":
                total += self._copies(function, around) * _product(*node.get_children())
            elif node.kind is K.CALL_EXPR and node.spelling == "operator*" and len(list(node.get_arguments())) == 2:
                total += self._copies(function, around) * _product(*node.get_arguments())
            elif node.kind is K.CALL_EXPR and node.spelling in self.names and node.spelling != name:
                shared = ceil(self.dsps(node.spelling) / self._interval(function, around))
                total += self._copies(function, around) * shared
        return total


def _operator(node: Cursor) -> str:
    left, right = node.get_children()
    between = range(left.extent.end.offset, right.extent.start.offset)
    return "".join(t.spelling for t in node.get_tokens() if t.extent.start.offset in between)


def _width(node: Cursor) -> int:
    """Bits of an operand before casts; 0 for a constant."""
    while node.kind in CASTS:
        inner = [c for c in node.get_children() if c.kind.is_expression()]
        if not inner:
            break
        node = inner[-1]
    if node.kind is K.INTEGER_LITERAL or re.fullmatch(r"[A-Z][A-Z0-9_]*", node.spelling):
        return 0
    canonical = node.type.get_canonical()
    if match := re.match(r"ap_u?int<(\d+)>", canonical.spelling):
        return int(match[1])
    return WIDTHS.get(canonical.kind, 32)


def _product(left: Cursor, right: Cursor) -> int:
    a, b = _width(left), _width(right)
    wide, narrow = max(a, b), min(a, b)
    return ceil(wide / 26) * ceil(narrow / 17)


def estimate_kernels() -> list[tuple[str, int, str]]:
    """(kernel, DSP48E2, what it is) of the processes without a twin."""
    estimator = Estimator()
    return [(name, estimator.dsps(name), what) for name, what in KERNELS.items()]
