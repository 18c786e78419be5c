"""The small wrong changes that can be made to the C++ of the HLS kernels: what `operators` is to the RTL.

libclang says of each expression what type it has: what is no plain integer or truth value, what the compiler must know
(constants, sizes, template arguments) and what a macro made is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clang.cindex import Cursor, CursorKind, Index, TypeKind

from tests.mutation.operators import Mutant
from triptych.sim.fastcar.csim import HLS, include_flags
from triptych.sim.fastcar.hls_lint import _system_includes

INSTEAD = {
    "==": ("!=",), "!=": ("==",), "<": ("<=", ">"), "<=": ("<", ">"), ">": (">=", "<"), ">=": (">", "<"),
    "&&": ("||",), "||": ("&&",), "&": ("|",), "|": ("&",), "^": ("|",), "+": ("-",), "-": ("+",), "*": ("+",),
    "<<": (">>",), ">>": ("<<",), "%": ("/",), "/": ("*",),
}  # fmt: skip
EITHER = ("&&", "||", "&", "|", "+", "-")
PLAIN = {
    TypeKind.BOOL, TypeKind.INT, TypeKind.UINT, TypeKind.SHORT, TypeKind.USHORT, TypeKind.LONG, TypeKind.ULONG,
    TypeKind.LONGLONG, TypeKind.ULONGLONG, TypeKind.CHAR_S, TypeKind.SCHAR, TypeKind.UCHAR,
}  # fmt: skip
K = CursorKind
SKIPPED = {
    K.STATIC_ASSERT, K.TEMPLATE_TYPE_PARAMETER, K.TEMPLATE_NON_TYPE_PARAMETER, K.TYPE_ALIAS_DECL, K.FIELD_DECL,
    K.PARM_DECL,
}  # fmt: skip


class _Collector:
    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.text = path.read_text()
        assert self.text.isascii(), f"{path} holds letters beyond ASCII"
        self.found: set[Mutant] = set()

    def span(self, node: Cursor) -> tuple[int, int]:
        return node.extent.start.offset, node.extent.end.offset

    def of(self, node: Cursor) -> str:
        return self.text[slice(*self.span(node))]

    def plain(self, node: Cursor) -> bool:
        return node.type.get_canonical().kind in PLAIN

    def add(self, node: Cursor, kind: str, text: str) -> None:
        start, end = self.span(node)
        self.found.add(Mutant(start, end, kind, text, node.extent.start.line))

    def visit(self, node: Cursor) -> None:
        """Called with every node of the file, outermost first."""
        if node.kind in SKIPPED or self._constant(node):
            return
        children = list(node.get_children())
        if node.kind is K.BINARY_OPERATOR and len(children) == 2 and self.plain(node):
            self.binary(node, *children)
        elif node.kind in (K.IF_STMT, K.CONDITIONAL_OPERATOR) and self.plain(children[0]):
            self.condition(children[0])
        for child in children[1 if node.kind is K.CASE_STMT else 0 :]:
            self.visit(child)

    def _constant(self, node: Cursor) -> bool:
        """What the compiler must know: constants and arrays' sizes."""
        if node.kind in (K.VAR_DECL, K.FUNCTION_DECL, K.CXX_METHOD, K.FUNCTION_TEMPLATE, K.IF_STMT):
            head = self.of(node).partition("{")[0] if node.kind is not K.IF_STMT else self.of(node)[:16]
            before = self.text[max(0, self.span(node)[0] - 12) : self.span(node)[0]]
            if "constexpr" in head or "constexpr" in before:
                return True
        return node.kind is K.VAR_DECL and node.type.kind is TypeKind.CONSTANTARRAY

    def condition(self, node: Cursor) -> None:
        self.add(node, "condition turned", f"!({self.of(node)})")

    def binary(self, node: Cursor, left: Cursor, right: Cursor) -> None:
        between = self.text[self.span(left)[1] : self.span(right)[0]].strip()
        if not (self.plain(left) and self.plain(right)) or not self.of(node).startswith(self.of(left)):
            return
        a, b = self.of(left), self.of(right)
        for other in INSTEAD.get(between, ()):
            self.add(node, "operator", f"({a}) {other} ({b})")
        if between in EITHER:
            self.add(node, "operand left out", f"({a})")
            if between != "-":
                self.add(node, "operand left out", f"({b})")
        if b.isdigit() and between in INSTEAD:
            self.add(node, "constant off by one", f"({a}) {between} {int(b) + 1}")


def _ours(cursor: Cursor, path: Path) -> Iterator[Cursor]:
    """Functions of one file."""
    for node in cursor.get_children():
        if node.kind in (K.NAMESPACE, K.LINKAGE_SPEC, K.UNEXPOSED_DECL, K.STRUCT_DECL, K.CLASS_DECL, K.CLASS_TEMPLATE):
            yield from _ours(node, path)
        elif node.location.file is not None and Path(node.location.file.name).resolve() == path:
            yield node


def mutants(path: Path) -> list[Mutant]:
    """All mutants of a header of hls/kernels, in its order."""
    flags = ["-std=c++17", "-DFASTCAR_LANES=4", "-DTRIPTYCH_FIBERS", *include_flags(), *_system_includes()]
    unit = Index.create().parse(str(HLS / "fastcar.cpp"), args=flags)
    collector = _Collector(path)
    for node in _ours(unit.cursor, collector.path):
        collector.visit(node)
    return sorted(collector.found)
