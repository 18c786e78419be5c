"""The small wrong changes that can be made to a SystemVerilog file, found in the elaborated design.

slang says of each expression what it is, how wide, and whether it is a constant: constants, loop bounds, sizes,
assertions and what these alone read (`unused_*`) are left alone, since a change there is another design or another
check, not a bug of this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyslang
from pyslang.ast import BinaryOperator, UnaryOperator

from triptych.sim.build.sources import INCLUDES

INSTEAD: Mapping[Any, tuple[str, ...]] = {
    BinaryOperator.Equality: ("!=",),
    BinaryOperator.Inequality: ("==",),
    BinaryOperator.LessThan: ("<=", ">"),
    BinaryOperator.LessThanEqual: ("<", ">"),
    BinaryOperator.GreaterThan: (">=", "<"),
    BinaryOperator.GreaterThanEqual: (">", "<"),
    BinaryOperator.LogicalAnd: ("||",),
    BinaryOperator.LogicalOr: ("&&",),
    BinaryOperator.BinaryAnd: ("|",),
    BinaryOperator.BinaryOr: ("&",),
    BinaryOperator.BinaryXor: ("|",),
    BinaryOperator.Add: ("-",),
    BinaryOperator.Subtract: ("+",),
    BinaryOperator.LogicalShiftLeft: (">>",),
    BinaryOperator.LogicalShiftRight: ("<<",),
    BinaryOperator.ArithmeticShiftRight: (">>",),
}
"""What stands in an operator's place."""

EITHER = {
    BinaryOperator.LogicalAnd, BinaryOperator.LogicalOr, BinaryOperator.BinaryAnd, BinaryOperator.BinaryOr,
    BinaryOperator.Add, BinaryOperator.Subtract,
}  # fmt: skip
"""Operators of which one operand alone is a mutant too: a condition forgotten, an offset left out."""

NARROWEST = 4  # assignments of fewer bits are not cut: there the other operators do as much


@dataclass(frozen=True, order=True)
class Mutant:
    """`text` in place of the characters `start` to `end` of a file. kind: what sort of slip it is."""

    start: int
    end: int
    kind: str
    text: str
    line: int

    def describe(self, original: str) -> str:
        """One line for a person: kind, what stood there, what stands there now."""
        before = " ".join(original[self.start : self.end].split())
        return f"line {self.line}: {self.kind}: `{before}` -> `{' '.join(self.text.split())}`"


class _Collector:
    """Walks the elaborated design and keeps the mutants of one file."""

    def __init__(self, compilation: Any, path: Path) -> None:
        self.sources = compilation.sourceManager
        self.path = path
        self.text = path.read_text()
        self.data = self.text.encode()
        assert len(self.data) == len(self.text), f"{path} holds letters beyond ASCII"
        self.found: set[Mutant] = set()
        self.left_alone: list[tuple[int, int]] = []

    def span(self, syntax: Any) -> tuple[int, int] | None:
        """Where it stands in the file; None for what a macro made or another file holds."""
        if syntax is None:
            return None
        places = []
        for place in (syntax.sourceRange.start, syntax.sourceRange.end):
            if self.sources.isMacroLoc(place):
                return None
            if Path(self.sources.getFileName(place)).name != self.path.name:
                return None
            places.append(place.offset)
        return places[0], places[1]

    def add(self, span: tuple[int, int], kind: str, text: str) -> None:
        line = self.text.count("\n", 0, span[0]) + 1
        if text != self.text[slice(*span)]:
            self.found.add(Mutant(*span, kind, text, line))

    def visit(self, node: Any) -> None:
        """Called with every node of the design."""
        ast = pyslang.ast
        if isinstance(node, ast.ForLoopStatement):
            body = self.span(node.body.syntax)
            whole = self.span(node.syntax)
            if body and whole:
                self.left_alone.append((whole[0], body[0]))
        elif isinstance(node, ast.BinaryExpression):
            self.binary(node)
        elif isinstance(node, ast.UnaryExpression) and node.op in (
            UnaryOperator.LogicalNot,
            UnaryOperator.BitwiseNot,
        ):
            self.whole(node, "not left out", lambda: self.of(node.operand))
        elif isinstance(node, ast.ConditionalExpression | ast.ConditionalStatement):
            self.conditions(node)
        elif isinstance(node, ast.AssignmentExpression):
            self.assignment(node)

    def of(self, node: Any) -> str | None:
        span = self.span(node.syntax)
        return self.text[slice(*span)] if span else None

    def whole(self, node: Any, kind: str, text: Any) -> None:
        span = self.span(node.syntax)
        if span is None or node.constant is not None:
            return
        made = text()
        if made is not None:
            self.add(span, kind, f"({made})")

    def binary(self, node: Any) -> None:
        syntax = node.syntax
        while isinstance(syntax, pyslang.syntax.ParenthesizedExpressionSyntax):
            syntax = syntax.expression
        span = self.span(syntax)
        left, right = self.span(node.left.syntax), self.span(node.right.syntax)
        if span is None or left is None or right is None or node.constant is not None or not node.type.isIntegral:
            return
        operator = syntax.operatorToken
        at = operator.location.offset
        head, tail = self.text[span[0] : at], self.text[at + len(operator.rawText) : span[1]]
        for other in INSTEAD.get(node.op, ()):
            self.add(span, "operator", f"{head}{other}{tail}")
        if node.op in EITHER:
            self.add(span, "operand left out", head.strip())
            if node.op != BinaryOperator.Subtract:
                self.add(span, "operand left out", tail.strip())
        text = self.text[slice(*right)]
        if text.isdigit():
            self.add(
                span,
                "constant off by one",
                f"{self.text[span[0] : right[0]]}{int(text) + 1}{self.text[right[1] : span[1]]}",
            )

    def conditions(self, node: Any) -> None:
        for condition in node.conditions:
            expr = condition.expr
            span = self.span(expr.syntax)
            if span is None or expr.constant is not None:
                continue
            for stuck in ("1'b1", "1'b0"):
                self.add(span, "condition stuck", stuck)
            self.add(span, "condition turned", f"!({self.text[slice(*span)]})")

    def assignment(self, node: Any) -> None:
        if node.syntax is None or not hasattr(node.syntax, "right"):
            return
        whole, value = self.span(node.syntax), self.span(node.syntax.right)
        target = self.of(node.left)
        if whole is None or value is None or target is None:
            return
        if target.startswith("unused_"):  # nothing but an assertion reads it
            self.left_alone.append(whole)
            return
        kind = node.left.type
        plain = kind.isIntegral and not kind.isEnum and not kind.isStruct and not kind.isPackedUnion
        if plain and kind.bitWidth >= NARROWEST and node.right.constant is None and self.text[value[0]] != "'":
            # as signed as what stands there: where mutants are switched off, they must not change how it is read
            sign = "$signed" if node.right.type.isSigned else "$unsigned"
            self.add(value, "top bit lost", f"{sign}({{1'b0, ($bits({target}) - 1)'({self.text[slice(*value)]})}})")
        if node.isNonBlocking and target:
            self.add(value, "register held", target)


def design(files: Sequence[Path], top: str) -> Any:
    """The elaborated design. Raises AssertionError when slang refuses it."""
    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    includes = " ".join(f"-I {p}" for p in INCLUDES)
    assert driver.parseCommandLine(f"slang -D SYNTHESIS {includes} --top {top} {' '.join(map(str, files))}")
    assert driver.processOptions(), top
    assert driver.parseAllSources(), f"slang cannot read {top}"
    return driver.createCompilation()


def mutants(path: Path, files: Sequence[Path], top: str) -> list[Mutant]:
    """All mutants of the file `path` as it is used in `top`, in the file's order."""
    compilation = design(files, top)
    collector = _Collector(compilation, path)
    compilation.getRoot().visit(collector.visit)
    inside = [m for m in collector.found if not any(a <= m.start < b for a, b in collector.left_alone)]
    return sorted(inside)


def armed(text: str, chosen: Mapping[int, Mutant], selected: str) -> str:
    """The file with all chosen mutants in it, of which `selected` (an expression) switches one on.

    Mutants may lie within each other: where an outer one is switched off, the inner ones still stand.
    """
    order = sorted(chosen.items(), key=lambda item: (item[1].start, -item[1].end, item[0]))
    return "".join(_render(text, 0, len(text), order, selected))


def _render(text: str, start: int, end: int, order: Sequence[tuple[int, Mutant]], selected: str) -> Iterator[str]:
    at, position = start, 0
    while position < len(order):
        first = order[position][1]
        inner = [item for item in order[position:] if item[1].start >= first.start and item[1].end <= first.end]
        same = [item for item in inner if (item[1].start, item[1].end) == (first.start, first.end)]
        rest = [item for item in inner if item not in same]
        crossing = [item for item in order[position:] if item not in inner and item[1].start < first.end]
        assert not crossing, f"mutants that overlap: {first} and {crossing[0][1]}"
        yield text[at : first.start]
        yield "(" + "".join(f"{selected} == {number} ? ({m.text}) : " for number, m in same)
        yield "(" + "".join(_render(text, first.start, first.end, rest, selected)) + "))"
        at = first.end
        position += len(inner)
    yield text[at:end]
