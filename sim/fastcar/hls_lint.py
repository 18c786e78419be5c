"""Lint of hls/: what Vitis HLS cannot build, and pragmas that say too little or name nothing.

libclang reads the synthesis view (no fibers, exact widths). `python -m triptych.sim.fastcar.hls_lint` prints findings,
one a line, and exits 1 when there are any. Rules, by name:

unsupported  heap, exceptions, goto, virtual functions, casts at run time, floating point, unions, function pointers,
             types of the standard library, static variables
call         a call that leaves the kernels and the HLS library
recursion    a function that reaches itself
pointer      a local pointer, a pointer to a pointer
bound        a loop without constant bounds and without LOOP_TRIPCOUNT; an array without constant size
pragma       an unknown directive or option, an option that is missing (PIPELINE wants II)
name         a pragma about a variable or port that is not there
interface    a port of a top function without INTERFACE, or of the wrong kind
nesting      a loop that is not unrolled inside a PIPELINE
dataflow     statements in a DATAFLOW region that are no processes; a stream without one writer and one reader
product      a product of two variables outside of `times` and `times_in_luts`
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from clang.cindex import Cursor, CursorKind, Index, SourceLocation, StorageClass, TranslationUnit, TypeKind

from triptych.sim.build import children
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.csim import HLS, include_flags

K = CursorKind
LOOPS = (K.FOR_STMT, K.WHILE_STMT, K.DO_STMT, K.CXX_FOR_RANGE_STMT)
FORBIDDEN = {
    K.CXX_NEW_EXPR: "new", K.CXX_DELETE_EXPR: "delete", K.CXX_THROW_EXPR: "throw", K.CXX_TRY_STMT: "try",
    K.GOTO_STMT: "goto", K.CXX_DYNAMIC_CAST_EXPR: "dynamic_cast", K.CXX_TYPEID_EXPR: "typeid",
    K.LAMBDA_EXPR: "a lambda", K.UNION_DECL: "a union", K.ASM_STMT: "asm", K.FLOATING_LITERAL: "floating point",
}  # fmt: skip
FLOATS = (TypeKind.FLOAT, TypeKind.DOUBLE, TypeKind.LONGDOUBLE)
LIBRARY = re.compile(r"^(stream|vector|ap_\w+)::")
PRODUCTS = ("times", "times_in_luts")
OPTIONS = {
    "PIPELINE": ({"II"}, {"II", "style", "rewind", "flush", "off"}),
    "UNROLL": (set(), {"factor", "skip_exit_check"}),
    "INLINE": (set(), {"off", "recursive"}),
    "LOOP_TRIPCOUNT": ({"min", "max"}, {"min", "max", "avg"}),
    "ARRAY_PARTITION": (
        {"variable", "dim", "complete|cyclic|block"},
        {"variable", "dim", "complete", "cyclic", "block", "factor"},
    ),
    "BIND_STORAGE": ({"variable", "type", "impl"}, {"variable", "type", "impl", "latency"}),
    "BIND_OP": ({"variable", "op", "impl"}, {"variable", "op", "impl", "latency"}),
    "ALLOCATION": ({"function|operation", "instances", "limit"}, {"function", "operation", "instances", "limit"}),
    "AGGREGATE": ({"variable"}, {"variable", "compact"}),
    "STREAM": ({"variable", "depth"}, {"variable", "depth", "type"}),
    "DEPENDENCE": ({"variable"}, {"variable", "inter", "intra", "false", "true", "RAW", "WAR", "WAW", "distance"}),
    "DATAFLOW": (set(), {"disable_start_propagation"}),
    "INTERFACE": (
        {"port", "m_axi|s_axilite|axis|ap_ctrl_hs"},
        {"port", "m_axi", "s_axilite", "axis", "ap_ctrl_hs", "bundle", "offset", "depth", "latency",
         "max_read_burst_length", "max_write_burst_length", "num_read_outstanding", "num_write_outstanding",
         "max_widen_bitwidth", "register_mode"},
    ),
}  # fmt: skip
"""Directive -> options that it must have (`a|b`: one of them), options that it may have."""


@dataclass(frozen=True, order=True)
class Finding:
    """One line: where, which rule, what."""

    file: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.text}"


@dataclass(frozen=True)
class Pragma:
    """`#pragma HLS directive options`; options without a value map to an empty string."""

    line: int
    directive: str
    options: dict[str, str]


def read_pragmas(path: Path) -> list[Pragma]:
    """All HLS pragmas of a file, in order."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := re.match(r"\s*#\s*pragma\s+HLS\s+(\w+)(.*)", line):
            words = match[2].split("//")[0].split()
            found.append(Pragma(number, match[1], {w.partition("=")[0]: w.partition("=")[2] for w in words}))
    return found


@dataclass
class Function:
    """A function definition of hls/: what it calls, and the pragmas in it."""

    cursor: Cursor
    pragmas: list[Pragma]
    calls: set[str] = field(default_factory=set)

    @cached_property
    def nodes(self) -> list[tuple[Cursor, tuple[Cursor, ...]]]:
        """Every node with the nodes around it, outermost first."""

        def walk(node: Cursor, around: tuple[Cursor, ...]) -> Iterator[tuple[Cursor, tuple[Cursor, ...]]]:
            yield node, around
            for child in node.get_children():
                yield from walk(child, (*around, node))

        return list(walk(self.cursor, ()))

    @property
    def names(self) -> set[str]:
        """Parameters and local variables."""
        return {n.spelling for n, _ in self.nodes if n.kind in (K.PARM_DECL, K.VAR_DECL)}

    def within(self, node: Cursor, directive: str) -> bool:
        """Whether the pragma stands directly in the body of a loop or function."""
        inner = [n for n, around in self.nodes if n.kind in LOOPS and node in around]
        for pragma in self.pragmas:
            here = node.extent.start.line <= pragma.line <= node.extent.end.line
            deeper = any(n.extent.start.line <= pragma.line <= n.extent.end.line for n in inner)
            if pragma.directive == directive and here and not deeper:
                return True
        return False


def operator(node: Cursor) -> str:
    """What stands between the two operands of a binary operator."""
    left, right = node.get_children()
    between = range(left.extent.end.offset, right.extent.start.offset)
    return "".join(t.spelling for t in node.get_tokens() if t.extent.start.offset in between)


def _constant(node: Cursor) -> bool:
    """Whether an operand is made of literals and named constants alone."""
    names = [n.spelling for n in node.walk_preorder() if n.kind in (K.DECL_REF_EXPR, K.MEMBER_REF_EXPR, K.CALL_EXPR)]
    return all(re.fullmatch(r"[A-Z][A-Z0-9_]*", name) for name in names)


def _system_includes() -> list[str]:
    run = children.run(["g++", "-E", "-v", "-x", "c++", "/dev/null"])
    lines = run.errors.split("search starts here:")[-1].split("End of search")[0].splitlines()
    return [word for line in lines if line.strip() for word in ("-isystem", line.strip())]


class Lint:
    """Reads one translation unit; `folders` are those whose files are linted."""

    def __init__(self, source: Path, folders: tuple[Path, ...]) -> None:
        self.folders = tuple(str(f.resolve()) for f in folders)
        self.root = source.resolve().parent
        self.findings: set[Finding] = set()
        flags = ["-std=c++17", "-DFASTCAR_EXACT_WIDTHS", "-DNDEBUG", *include_flags(), *_system_includes()]
        self.unit: TranslationUnit = Index.create().parse(str(source), args=flags)
        for diagnostic in self.unit.diagnostics:
            if diagnostic.severity >= diagnostic.Error:
                raise TriptychError(f"{source.name} does not parse: {diagnostic}")
        self.pragmas: dict[str, list[Pragma]] = {}
        self.functions: dict[str, Function] = {}
        self._collect(self.unit.cursor)

    def _ours(self, location: SourceLocation) -> bool:
        return location.file is not None and str(Path(location.file.name).resolve()).startswith(self.folders)

    def _collect(self, cursor: Cursor) -> None:
        for node in cursor.get_children():
            if not self._ours(node.location):
                continue
            if node.kind in (K.NAMESPACE, K.LINKAGE_SPEC, K.UNEXPOSED_DECL, K.STRUCT_DECL, K.CLASS_DECL):
                self._collect(node)
            elif node.kind is K.UNION_DECL:
                self.report(node.location, "unsupported", "a union")
            if node.kind in (K.FUNCTION_DECL, K.CXX_METHOD, K.CONSTRUCTOR, K.FUNCTION_TEMPLATE):
                if node.kind is K.CXX_METHOD and node.is_virtual_method():
                    self.report(node.location, "unsupported", f"'{node.spelling}' is virtual")
                if node.is_definition():
                    self.functions[node.get_usr()] = Function(node, self._pragmas_of(node))

    def _pragmas_of(self, node: Cursor) -> list[Pragma]:
        name = node.location.file.name
        if name not in self.pragmas:
            self.pragmas[name] = read_pragmas(Path(name))
        return [p for p in self.pragmas[name] if node.extent.start.line <= p.line <= node.extent.end.line]

    def report(self, location: SourceLocation, rule: str, text: str, line: int | None = None) -> None:
        """Adds a finding."""
        path = Path(location.file.name).resolve()
        name = str(path.relative_to(self.root)) if path.is_relative_to(self.root) else path.name
        self.findings.add(Finding(name, line or location.line, rule, text))

    def run(self) -> list[Finding]:
        """All findings, in order."""
        for function in self.functions.values():
            self._statements(function)
            self._loops(function)
            self._pragma_rules(function)
            if any(p.directive == "DATAFLOW" for p in function.pragmas):
                self._dataflow(function)
            if function.cursor.semantic_parent.kind is not K.NAMESPACE and self._top(function):
                self._interface(function)
        self._recursion()
        self._stray_pragmas()
        return sorted(self.findings)

    @staticmethod
    def _top(function: Function) -> bool:
        return any(p.directive == "INTERFACE" for p in function.pragmas) or function.cursor.mangled_name == (
            function.cursor.spelling
        )

    def _statements(self, function: Function) -> None:
        for node, _ in function.nodes:
            if node.kind in FORBIDDEN:
                self.report(node.location, "unsupported", FORBIDDEN[node.kind])
            if node.kind in (K.VAR_DECL, K.PARM_DECL):
                self._declaration(node)
            if node.kind is K.CALL_EXPR:
                self._call(function, node)
            if node.kind in (K.BINARY_OPERATOR, K.COMPOUND_ASSIGNMENT_OPERATOR) and operator(node) in ("*", "*="):
                self._product(function, node, list(node.get_children()))

    def _product(self, function: Function, node: Cursor, factors: list[Cursor]) -> None:
        """Factors: two, for `*`; a dereference has one."""
        if len(factors) == 2 and function.cursor.spelling not in PRODUCTS and not any(map(_constant, factors)):
            self.report(node.location, "product", "two variables: say their widths, times<A, B>(a, b)")

    def _declaration(self, node: Cursor) -> None:
        kind = node.type.get_canonical()
        if kind.kind in FLOATS:
            self.report(node.location, "unsupported", f"'{node.spelling}' is floating point")
        if kind.spelling.removeprefix("const ").startswith("std::"):
            self.report(node.location, "unsupported", f"'{node.spelling}' is of the standard library")
        if node.storage_class is StorageClass.STATIC and not kind.is_const_qualified():
            self.report(node.location, "unsupported", f"'{node.spelling}' outlives its call")
        if kind.kind in (TypeKind.VARIABLEARRAY, TypeKind.DEPENDENTSIZEDARRAY):
            self.report(node.location, "bound", f"array '{node.spelling}' has no constant size")
        if kind.kind is TypeKind.POINTER:
            pointee = kind.get_pointee()
            if pointee.kind is TypeKind.FUNCTIONPROTO:
                self.report(node.location, "unsupported", f"'{node.spelling}' points to a function")
            elif node.kind is K.VAR_DECL or pointee.kind is TypeKind.POINTER:
                self.report(node.location, "pointer", f"'{node.spelling}': pointers are parameters, one level deep")

    def _call(self, function: Function, node: Cursor) -> None:
        target = node.referenced
        if target is None or target.kind is K.CONSTRUCTOR or not target.spelling:
            return
        if self._ours(target.location):
            function.calls.add(target.get_usr())
            return
        if target.spelling in ("operator*", "operator*="):
            self._product(function, node, list(node.get_arguments()))
        if target.spelling.startswith("operator"):
            return
        parent = target.semantic_parent
        name = f"{parent.spelling}::{target.spelling}" if parent and parent.spelling else target.spelling
        if not LIBRARY.search(name):
            self.report(node.location, "call", f"'{target.spelling}' is no part of the kernels")

    def _constant_bound(self, loop: Cursor) -> bool:
        """A `for` whose condition compares with a constant."""
        if loop.kind is not K.FOR_STMT:
            return False
        tokens = [t.spelling for t in loop.get_tokens()]
        text = " ".join(tokens[2 : tokens.index("{") if "{" in tokens else None])
        parts = text.split(";")
        if len(parts) < 3:
            return False
        match = re.match(r"\s*\w+ (<|<=|>|>=|!=) ([A-Z][A-Z0-9_]*|\d+)( / \d+)?\s*$", parts[1])
        return match is not None

    def _loops(self, function: Function) -> None:
        for node, around in function.nodes:
            if node.kind not in LOOPS:
                continue
            if not self._constant_bound(node) and not function.within(node, "LOOP_TRIPCOUNT"):
                self.report(node.location, "bound", "a loop with run-time bounds needs LOOP_TRIPCOUNT")
            outer = [n for n in around if n.kind in LOOPS and function.within(n, "PIPELINE")]
            if outer and not function.within(node, "UNROLL"):
                self.report(node.location, "nesting", "a loop inside a PIPELINE must be unrolled")

    def _pragma_rules(self, function: Function) -> None:
        where = function.cursor.location
        names = function.names
        for p in function.pragmas:
            if p.directive not in OPTIONS:
                self.report(where, "pragma", f"unknown directive {p.directive}", p.line)
                continue
            needed, known = OPTIONS[p.directive]
            for option in sorted(set(p.options) - known):
                self.report(where, "pragma", f"{p.directive} has no option '{option}'", p.line)
            for option in sorted(needed):
                if not set(option.split("|")) & set(p.options):
                    self.report(where, "pragma", f"{p.directive} needs {option}", p.line)
            if {"cyclic", "block"} & set(p.options) and not p.options.get("factor", "").isdigit():
                self.report(where, "pragma", f"{p.directive} cyclic or block needs a factor", p.line)
            for option in ("variable", "port"):
                name = p.options.get(option)
                if name is not None and name not in names | ({"return"} if option == "port" else set()):
                    self.report(where, "name", f"{p.directive} names '{name}', which is not there", p.line)

    def _stray_pragmas(self) -> None:
        inside = {(f.cursor.location.file.name, p.line) for f in self.functions.values() for p in f.pragmas}
        for name, pragmas in self.pragmas.items():
            for p in pragmas:
                if (name, p.line) not in inside:
                    location = next(f for f in self.functions.values() if f.cursor.location.file.name == name)
                    self.report(location.cursor.location, "pragma", f"{p.directive} stands in no function", p.line)

    def _dataflow(self, function: Function) -> None:
        body = next(c for c in function.cursor.get_children() if c.kind is K.COMPOUND_STMT)
        streams: dict[str, int] = defaultdict(int)
        for statement in body.get_children():
            if statement.kind is K.DECL_STMT:
                for variable in statement.get_children():
                    if "hls::stream<" in variable.type.get_canonical().spelling:
                        streams[variable.spelling] = 0
            elif statement.kind is K.CALL_EXPR:
                for argument in statement.get_arguments():
                    for node in (argument, *argument.walk_preorder()):
                        if node.kind is K.DECL_REF_EXPR and node.spelling in streams:
                            streams[node.spelling] += 1
                            break
            elif statement.kind is not K.NULL_STMT:
                self.report(statement.location, "dataflow", "a DATAFLOW region holds declarations and calls only")
        for name, uses in streams.items():
            if uses != 2:
                text = f"stream '{name}' has {uses} ends, not a writer and a reader"
                self.report(function.cursor.location, "dataflow", text)

    def _interface(self, function: Function) -> None:
        where = function.cursor.location
        ports = {p.options.get("port", ""): p for p in function.pragmas if p.directive == "INTERFACE"}
        if "return" not in ports:
            self.report(where, "interface", f"'{function.cursor.spelling}' has no INTERFACE port=return")
        for parameter in function.cursor.get_arguments():
            pragma = ports.get(parameter.spelling)
            if pragma is None:
                self.report(where, "interface", f"port '{parameter.spelling}' has no INTERFACE")
                continue
            kind = parameter.type.get_canonical()
            if "hls::stream<" in kind.spelling:
                wanted = {"axis"}
            else:
                wanted = {"m_axi", "s_axilite"} if kind.kind is TypeKind.POINTER else {"s_axilite"}
            if not wanted & set(pragma.options):
                text = f"port '{parameter.spelling}' must be {' or '.join(sorted(wanted))}"
                self.report(where, "interface", text, pragma.line)
            if "m_axi" in pragma.options and "bundle" not in pragma.options:
                self.report(where, "interface", f"port '{parameter.spelling}' needs a bundle", pragma.line)

    def _recursion(self) -> None:
        for usr, function in self.functions.items():
            seen: set[str] = set()
            open_calls = list(function.calls)
            while open_calls:
                called = open_calls.pop()
                if called == usr:
                    self.report(function.cursor.location, "recursion", f"'{function.cursor.spelling}' reaches itself")
                    break
                if called not in seen and called in self.functions:
                    seen.add(called)
                    open_calls += self.functions[called].calls


def lint(source: Path = HLS / "fastcar.cpp") -> list[Finding]:
    """Findings in `source` and in the kernels and headers of hls/ that it includes.

    Raises TriptychError when it does not parse.
    """
    return Lint(source, (source, HLS / "fastcar.cpp", HLS / "kernels", HLS / "include")).run()


def main() -> int:
    """Command line. Returns the exit status."""
    try:
        findings = lint()
    except TriptychError as error:
        print(error, file=sys.stderr)
        return 1
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
