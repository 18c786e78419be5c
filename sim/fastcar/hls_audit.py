"""The initiation intervals that the memories of HLS code allow, without the vendor's tool.

A copy of the code is instrumented: every array announces its shape and its ARRAY_PARTITION, every loop under PIPELINE
its iterations, every access its address (libclang says where). C simulation of real layers then shows, for each
pipelined loop, the most accesses that an iteration makes to a bank of a memory, and how near a read lies behind a write
to the same word. That gives two lower bounds:

    ResMII = accesses to a bank / its ports,    RecMII = memory latency + 1 / distance in iterations

which stand beside the stated II. A loop that is entered often and runs shortly pays a refill an entry: its `share` is
the part of its cycles that start an iteration. Structs count as Vitis takes them, one memory a field (AGGREGATE: one
wide word), and nothing is partitioned that no pragma says so. What is not seen: operators, scalars carried from one
iteration to the next, and anything that placement decides. Every figure is `estimated`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

from clang.cindex import Cursor, CursorKind, TypeKind

from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.csim import GLUE
from triptych.sim.fastcar.hls_lint import LOOPS, Function, Lint, Pragma

K = CursorKind
PORTS = 2
LATENCY = {"uram": 2, "bram": 1, "lutram": 1, "auto": 1}  # cycles of a read
FILL = 8  # cycles that a pipeline's entry costs
MEMORY_FILL = 64  # and one that reads or writes DRAM
SMALL_BITS = 1024  # a memory of so many bits or fewer goes to LUTs
URAM = (72, 4096)
BRAM = ((72, 512), (36, 1024), (18, 2048), (9, 4096))


@dataclass(frozen=True)
class ArrayInfo:
    """A local array of a kernel. bits: of an element's field; banks and depth of each of `fields` memories."""

    number: int
    name: str
    function: str
    place: str
    sizes: tuple[int, ...]
    fields: int
    element_bits: int
    banks: int
    registers: bool
    storage: str

    @property
    def uram(self) -> int:
        """URAM288 blocks."""
        if self.registers or self.storage != "uram":
            return 0
        depth = prod(self.sizes) / self.banks
        width = self.element_bits / self.fields
        return self.banks * self.fields * ceil(width / URAM[0]) * ceil(depth / URAM[1])

    @property
    def bram(self) -> float:
        """BRAM36 blocks."""
        depth = prod(self.sizes) / self.banks
        width = self.element_bits / self.fields
        if self.registers or self.storage in ("uram", "lutram") or width * depth <= SMALL_BITS:
            return 0.0
        blocks = min(ceil(width / w) * ceil(depth / d) for w, d in BRAM)
        half = 0.5 if blocks == 1 and width <= 36 and width * depth <= 18 * 1024 else 1.0
        return self.banks * self.fields * blocks * half


@dataclass(frozen=True)
class LoopInfo:
    """A loop under PIPELINE."""

    number: int
    label: str
    function: str
    place: str
    interval: int
    independent: frozenset[str]  # arrays that DEPENDENCE declares free of carried ones
    reads_memory: bool


@dataclass(frozen=True)
class Finding:
    """A loop as it ran. res, rec: its bounds, by the array that sets them. false_claim: an array that DEPENDENCE calls
    independent and that is not."""

    loop: LoopInfo
    entries: int
    iterations: int
    res: int
    res_by: str
    rec: int
    rec_by: str
    false_claim: str

    @property
    def interval(self) -> int:
        """The least II."""
        return max(1, self.res, self.rec)

    @property
    def clean(self) -> bool:
        """At or under what it states."""
        return self.interval <= self.loop.interval and not self.false_claim

    @property
    def share(self) -> float:
        """Of the loop's cycles that start an iteration, at the II it can have."""
        fill = MEMORY_FILL if self.loop.reads_memory else FILL
        busy = self.iterations * max(self.interval, self.loop.interval)
        return self.iterations / (busy + self.entries * fill) if self.iterations else 0.0


class Instrument:
    """Rewrites a translation unit's files; numbers its arrays and loops."""

    def __init__(self, source: Path, folders: tuple[Path, ...]) -> None:
        self.lint = Lint(source, folders)
        self.arrays: list[ArrayInfo] = []
        self.loops: list[LoopInfo] = []
        self.ports: list[str] = []
        self.insertions: dict[str, list[tuple[int, int, str]]] = {}
        for function in self.lint.functions.values():
            if next(function.cursor.get_tokens()).spelling == "constexpr":
                continue  # runs in the compiler
            self._loops(function)
            self._arrays(function)
            self._accesses(function)

    def _insert(self, cursor_file: str, offset: int, order: int, text: str) -> None:
        self.insertions.setdefault(cursor_file, []).append((offset, order, text))

    def text_of(self, path: str) -> str:
        """The rewritten file."""
        data = Path(path).read_bytes()
        for offset, _, text in sorted(self.insertions.get(path, []), reverse=True):
            data = data[:offset] + text.encode() + data[offset:]
        return data.decode()

    def _loops(self, function: Function) -> None:
        for node, around in function.nodes:
            if node.kind not in LOOPS or not function.within(node, "PIPELINE"):
                continue
            body = [c for c in node.get_children()][-1]
            if body.kind is not K.COMPOUND_STMT:
                raise TriptychError(f"{node.location.file}:{node.location.line}: a pipelined loop needs braces")
            file, number = node.location.file.name, len(self.loops)
            label = around[-1] if around and around[-1].kind is K.LABEL_STMT else node
            inside = [p for p in function.pragmas if body.extent.start.line <= p.line <= body.extent.end.line]
            around_loop = [p for p in function.pragmas if p.directive == "DEPENDENCE"]
            free = {p.options["variable"] for p in around_loop if {"inter", "false"} <= set(p.options)}
            pipeline = next(p for p in inside if p.directive == "PIPELINE")
            pointers = {
                a.spelling for a in function.cursor.get_arguments()
                if a.type.get_canonical().kind is TypeKind.POINTER
            }  # fmt: skip
            uses = {n.spelling for n in body.walk_preorder() if n.kind is K.DECL_REF_EXPR}
            self.loops.append(LoopInfo(
                number, label.spelling or "loop", function.cursor.spelling, _place(self.lint.root, node),
                int(pipeline.options["II"]), frozenset(free), bool(pointers & uses),
            ))  # fmt: skip
            self._insert(file, label.extent.start.offset, 0, f"{{ audit::Loop audit_loop({number}); ")
            self._insert(file, node.extent.end.offset, 0, " }")
            self._insert(file, body.extent.start.offset + 1, 0, " audit::Iteration audit_iteration;")

    def _arrays(self, function: Function) -> None:
        for node, around in function.nodes:
            kind = node.type.get_canonical() if node.kind is K.VAR_DECL else None
            if kind is None or kind.kind is not TypeKind.CONSTANTARRAY or kind.is_const_qualified():
                continue
            pragmas = [p for p in function.pragmas if p.options.get("variable") == node.spelling]
            sizes, element = [], kind
            while element.kind is TypeKind.CONSTANTARRAY:
                sizes.append(element.element_count)
                element = element.element_type.get_canonical()
            spreads = _spreads(pragmas, len(sizes))
            banks = prod(s if f < 0 else max(1, f) for s, (f, _) in zip(sizes, spreads, strict=True))
            storage = next((p.options["impl"] for p in pragmas if p.directive == "BIND_STORAGE"), "auto")
            whole = any(p.directive == "AGGREGATE" for p in pragmas)
            fields = [0] if whole else _fields(element)
            number = len(self.arrays)
            inner = [] if whole or not _is_struct(element) else [f for f in element.get_fields() if _has_array(f)]
            leaf = min((_leaf(f) for f in inner), default=0)
            complete = all(f < 0 for f, _ in spreads) and not inner
            self.arrays.append(ArrayInfo(
                number, node.spelling, function.cursor.spelling, _place(self.lint.root, node), tuple(sizes),
                len(fields), element.get_size() * 8, banks, complete, storage,
            ))  # fmt: skip
            statement = next(n for n in reversed(around) if n.kind is K.DECL_STMT)
            spread = ", ".join(f"{{{f}, {str(b).lower()}}}" for f, b in spreads)
            layout = (
                f" static const audit::Layout audit_layout_{number}{{{number}, {{{', '.join(map(str, sizes))}}}, "
                f"{{{spread}}}, {{{', '.join(map(str, fields))}}}, {element.get_size()}, "
                f"{str(complete).lower()}, {leaf}, {str(whole).lower()}}};"
                f" audit::Array audit_array_{number}({node.spelling}, audit_layout_{number});"
            )
            self._insert(node.location.file.name, statement.extent.end.offset, 0, layout)

    def _accesses(self, function: Function) -> None:
        for node, around in function.nodes:
            if node.kind not in (K.ARRAY_SUBSCRIPT_EXPR, K.MEMBER_REF_EXPR):
                continue
            if not _subscripted(node) and "vector<" not in node.type.get_canonical().spelling:
                continue
            parents = [n for n in around if n.kind is not K.UNEXPOSED_EXPR and n.kind is not K.PAREN_EXPR]
            parent = parents[-1]
            if parent.kind in (K.ARRAY_SUBSCRIPT_EXPR, K.MEMBER_REF_EXPR) and _inner_base(parent) == node.hash:
                continue  # a part of a longer access
            kind = node.type.get_canonical()
            if kind.kind is TypeKind.CONSTANTARRAY or (_is_struct(kind) and _hands_on(parent)):
                continue  # handed on whole: the callee's accesses count
            target = node
            while parent.kind is K.CALL_EXPR and parent.spelling == "operator[]" and _inner_base(parent) == target.hash:
                target, parents = parent, parents[:-1]
                parent = parents[-1]
            read, write = _direction(target, parent)
            base = _root(node)
            pointer = base is not None and base.type.get_canonical().kind is TypeKind.POINTER
            port = -1
            if pointer and base is not None:
                name = f"{function.cursor.spelling}.{base.spelling}"
                if name not in self.ports:
                    self.ports.append(name)
                port = self.ports.index(name)
            flags = f"{str(read).lower()}, {str(write).lower()}"
            file = node.location.file.name
            self._insert(file, node.extent.start.offset, -node.extent.end.offset, f"audit::touch<{flags}>(")
            self._insert(file, node.extent.end.offset, -node.extent.start.offset, f", {port})")


def _place(root: Path, node: Cursor) -> str:
    path = Path(node.location.file.name).resolve()
    return f"{path.relative_to(root) if path.is_relative_to(root) else path.name}:{node.location.line}"


def _spreads(pragmas: list[Pragma], dims: int) -> list[tuple[int, bool]]:
    out = [(0, False)] * dims
    for p in pragmas:
        if p.directive != "ARRAY_PARTITION":
            continue
        dim = int(p.options["dim"])
        factor = -1 if "complete" in p.options else int(p.options["factor"])
        for d in range(dims) if dim == 0 else [dim - 1]:
            out[d] = (factor, "block" in p.options)
    return out


def _is_struct(kind: object) -> bool:
    spelling = kind.spelling  # type: ignore[attr-defined]
    return kind.kind is TypeKind.RECORD and not re.search(r"vector<|ap_u?int<", spelling)  # type: ignore[attr-defined]


def _has_array(field: Cursor) -> bool:
    return field.type.get_canonical().kind is TypeKind.CONSTANTARRAY


def _leaf(field: Cursor) -> int:
    """Bytes of an element of an array member."""
    kind = field.type.get_canonical()
    while kind.kind is TypeKind.CONSTANTARRAY:
        kind = kind.element_type.get_canonical()
    return int(kind.get_size())


def _fields(element: object) -> list[int]:
    """Byte offsets of a struct's fields; [0] for anything else, hls::vector too: a wide word."""
    if not _is_struct(element):
        return [0]
    return [f.get_field_offsetof() // 8 for f in element.get_fields()]  # type: ignore[attr-defined]


def _strip(node: Cursor) -> Cursor:
    while node.kind in (K.UNEXPOSED_EXPR, K.PAREN_EXPR):
        node = next(iter(node.get_children()))
    return node


def _inner_base(node: Cursor) -> int:
    children = list(node.get_children())
    return _strip(children[0]).hash if children else 0


def _subscripted(node: Cursor) -> bool:
    """Whether the chain of members and subscripts below holds a subscript."""
    while node.kind is K.MEMBER_REF_EXPR:
        children = list(node.get_children())
        if not children:
            return False
        node = _strip(children[0])
    return node.kind is K.ARRAY_SUBSCRIPT_EXPR


def _root(node: Cursor) -> Cursor | None:
    while node.kind in (K.MEMBER_REF_EXPR, K.ARRAY_SUBSCRIPT_EXPR):
        children = list(node.get_children())
        if not children:
            return None
        node = _strip(children[0])
    return node if node.kind is K.DECL_REF_EXPR else None


def _hands_on(parent: Cursor) -> bool:
    """A call that is no copy and no assignment."""
    target = parent.referenced if parent.kind is K.CALL_EXPR else None
    return target is not None and target.kind is not K.CONSTRUCTOR and target.spelling != "operator="


def _direction(node: Cursor, parent: Cursor) -> tuple[bool, bool]:
    children = list(parent.get_children())
    first = bool(children) and _strip(children[0]).hash == node.hash
    if parent.kind is K.COMPOUND_ASSIGNMENT_OPERATOR and first:
        return True, True
    if parent.kind is K.UNARY_OPERATOR and any(t.spelling in ("++", "--") for t in parent.get_tokens()):
        return True, True
    if first and parent.kind in (K.BINARY_OPERATOR, K.CALL_EXPR):
        between = range(node.extent.end.offset, children[1].extent.start.offset) if len(children) > 1 else range(0)
        operator = "".join(t.spelling for t in parent.get_tokens() if t.extent.start.offset in between)
        if operator == "=":
            return False, True
    return True, False


def findings(instrument: Instrument, report: str) -> list[Finding]:
    """What the instrumented run found, a line a loop that ran."""
    out: list[Finding] = []
    blocks = re.split(r"^loop ", report, flags=re.M)[1:]
    for block in blocks:
        head, *rows = block.splitlines()
        number, entries, iterations = map(int, head.split())
        loop = instrument.loops[number]
        bounds = [(1, "", 1, "", "")]
        for row in rows:
            array, reads, writes, distance = map(int, row.split()[1:])
            if array < 0:
                name = instrument.ports[-1 - array]
                bounds.append((max(reads, writes), name, 1, "", ""))
                continue
            info = instrument.arrays[array]
            latency = 0 if info.registers else LATENCY[info.storage]
            rec = ceil((latency + 1) / distance) if distance else 1
            claimed = info.name in loop.independent
            wrong = info.name if claimed and distance and rec > loop.interval else ""
            bounds.append((ceil((reads + writes) / PORTS), info.name, 1 if claimed else rec, info.name, wrong))
        res, res_by = max((b[0], b[1]) for b in bounds)
        rec, rec_by = max((b[2], b[3]) for b in bounds)
        false_claim = next((b[4] for b in bounds if b[4]), "")
        by = (res_by if res > 1 else "", rec_by if rec > 1 else "")
        out.append(Finding(loop, entries, iterations, res, by[0], rec, by[1], false_claim))
    return out


def rewrite(instrument: Instrument, hls: Path, to: Path) -> None:
    """A copy of `hls` at `to` with the audit in it, and `audit_report(path)` to call at the end."""
    shutil.copytree(hls, to)
    for name in instrument.insertions:
        path = Path(name).resolve()
        (to / path.relative_to(hls.resolve())).write_text(instrument.text_of(name))
    shutil.copyfile(GLUE / "audit.hpp", to / "include" / "audit.hpp")
    types = to / "include" / "types.hpp"
    types.write_text(types.read_text().replace("#pragma once", '#pragma once\n#include "audit.hpp"', 1))
    top = to / "fastcar.cpp"
    top.write_text(top.read_text() + '\nextern "C" void audit_report(const char* path) { audit::report(path); }\n')


def totals(arrays: list[ArrayInfo]) -> Iterator[tuple[str, int, float]]:
    """(function, URAM288, BRAM36) of every function that has memories."""
    for function in sorted({a.function for a in arrays}):
        mine = [a for a in arrays if a.function == function]
        uram, bram = sum(a.uram for a in mine), sum(a.bram for a in mine)
        if uram or bram:
            yield function, uram, bram
