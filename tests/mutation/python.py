"""The small wrong changes that can be made to a Python file: for golden's integers what `operators` is to the RTL."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.mutation.operators import Mutant

INSTEAD: Mapping[type[ast.AST], tuple[str, ...]] = {
    ast.Add: ("-",), ast.Sub: ("+",), ast.Mult: ("+",), ast.FloorDiv: ("*",), ast.Mod: ("*",), ast.LShift: (">>",),
    ast.RShift: ("<<",), ast.BitAnd: ("|",), ast.BitOr: ("&",), ast.BitXor: ("|",), ast.Eq: ("!=",), ast.NotEq: ("==",),
    ast.Lt: ("<=", ">"), ast.LtE: ("<", ">"), ast.Gt: (">=", "<"), ast.GtE: (">", "<"),
}  # fmt: skip


class _Collector(ast.NodeVisitor):
    """Walks the file; texts of messages, annotations and defaults are left alone."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: set[Mutant] = set()
        self.starts = [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None  # noqa: PT018
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def add(self, node: ast.expr, kind: str, text: str) -> None:
        self.found.add(Mutant(*self.span(node), kind, f"({text})", node.lineno))

    def of(self, node: ast.expr) -> str:
        return self.text[slice(*self.span(node))]

    def visit_BinOp(self, node: ast.BinOp) -> None:
        for other in INSTEAD.get(type(node.op), ()):
            self.add(node, "operator", f"({self.of(node.left)}) {other} ({self.of(node.right)})")
        if isinstance(node.op, ast.Add | ast.Sub | ast.BitAnd | ast.BitOr):
            self.add(node, "operand left out", self.of(node.left))
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1:
            for other in INSTEAD.get(type(node.ops[0]), ()):
                self.add(node, "operator", f"({self.of(node.left)}) {other} ({self.of(node.comparators[0])})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, int) and not isinstance(node.value, bool):
            self.add(node, "constant off by one", str(node.value + 1))

    def visit_If(self, node: ast.If) -> None:
        self.add(node.test, "condition turned", f"not ({self.of(node.test)})")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.add(node.test, "condition turned", f"not ({self.of(node.test)})")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        word = " or " if isinstance(node.op, ast.And) else " and "
        self.add(node, "operator", word.join(f"({self.of(v)})" for v in node.values))
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Messages."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arguments(self, node: ast.arguments) -> None:
        """Annotations and defaults."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Which error, and what it says, is another kind of test."""


def mutants(path: Path) -> list[Mutant]:
    """All mutants of the file, in its order."""
    text = path.read_text()
    assert text.isascii(), f"{path} holds letters beyond ASCII"
    collector = _Collector(text)
    collector.visit(ast.parse(text))
    return sorted(collector.found)


def planted(text: str, mutant: Mutant) -> Iterator[str]:
    """The file's text with the mutant, in parts."""
    yield text[: mutant.start]
    yield mutant.text
    yield text[mutant.end :]
