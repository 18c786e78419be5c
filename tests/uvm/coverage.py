"""Functional coverage, sampled from the instruction table: every enumerated field of every instruction and microword,
the combinations that are modes of an engine, and the edges of its loops."""

from __future__ import annotations

from collections import Counter
from itertools import product

from pyuvm import ConfigDB, uvm_subscriber

from tests.kit.axi_memory import Behaviour
from tests.uvm.scoreboard import Executed
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    ENGINE_OF,
    FIELDS,
    MICROWORD,
    ActFormat,
    Addend,
    Destination,
    Engine,
    Field,
    Format,
    Function,
    Kind,
    Multiply,
    Opcode,
    Reduce,
    Side,
    SourceA,
    Trap,
    WeightFormat,
)
from triptych.sim.rtl.orders import ReadOrder, WriteOrder

Bin = tuple[str, ...]

MAGNITUDES = ("zero", "lower half", "upper half", "end")  # of a field's bits
STRIDES = {
    Opcode.LOAD: ("dram_row", "spad_row"),
    Opcode.STORE: ("dram_row", "spad_row"),
    Opcode.MATMUL: ("act_row", "act_pix", "wgt_n", "wgt_t", "wgt_c"),
    Opcode.VECTOR: ("a_row", "a_pix", "b_row", "b_pix", "d_row", "d_pix"),
}
"""Fields that are seen in every magnitude, also where they have no effect and must have none."""


def magnitude_of(value: int, bits: int, most: int) -> str:
    """Class of a field's value: nothing, of few bits, of many, or the largest that is legal to within a few units."""
    if not value:
        return MAGNITUDES[0]
    if value >= most - (most >> 6):
        return MAGNITUDES[3]
    return MAGNITUDES[1] if value.bit_length() <= bits // 2 else MAGNITUDES[2]


# Who can report which cause; 4 is fetch and decode.
TRAPS: dict[Trap, tuple[int, ...]] = {
    Trap.ILLEGAL_OPCODE: (4,),
    Trap.ILLEGAL_FIELD: (4, Engine.VPU),
    Trap.ALIGNMENT: (4, Engine.VPU),
    Trap.RANGE: tuple(Engine),
    Trap.BUS_FETCH: (4,),
    Trap.BUS_LOAD: (Engine.LOAD,),
    Trap.BUS_STORE: (Engine.STORE,),
    Trap.NO_HALT: (4,),
    Trap.WATCHDOG: (Engine.LOAD, Engine.STORE),
}


def _enums(name: str, fields: tuple[Field, ...]) -> set[Bin]:
    return {(name, f.name, m.name) for f in fields if f.enum is not None and f.name != "opcode" for m in f.enum}


def _flags(fields: tuple[Field, ...]) -> list[str]:
    return [f.name for f in fields if f.width == 1 and f.enum is None]


def _matmul_goal() -> set[Bin]:
    """Legal combinations of formats and modes, and the loops' edges in each of these modes."""
    modes = set()
    for act, weight in product(ActFormat, WeightFormat):
        if act is not ActFormat.INT8 and weight is not WeightFormat.INT4:
            continue
        special = "depthwise" if weight is WeightFormat.INT4 else "transpose"
        modes |= {f"{act.name} {weight.name}", f"{act.name} {weight.name} {special}"}
    edges = (
        "whole",
        "padding",
        "stride",
        "kernel",
        "blocks",
        "part block",
        "tiles",
        "part tile",
        "chunks",
        "part chunk",
    )
    goal = {("MATMUL", mode, edge) for mode in modes for edge in edges}
    return goal - {("MATMUL", mode, edge) for mode in modes if "depthwise" in mode for edge in ("kernel", "part chunk")}


def _vector_goal() -> set[Bin]:
    """What may meet what in a VECTOR microword."""
    readable = [f for f in Format if f is not Format.INT16]
    sources = ["ACC", *(f"SPAD {f.name}" for f in readable)]
    goal: set[Bin] = set(product(["A x destination"], sources, [d.name for d in Destination]))
    goal |= set(product(["addend x multiply"], [a.name for a in Addend], [m.name for m in Multiply]))
    functions = [f.name for f in (Function.IDENT, Function.EXP2N, Function.GELU)]
    goal |= set(product(["function scaled"], functions))
    goal |= set(product(["use of B"], ["ADD_B", "MAX_B", "multiply"], [f.name for f in readable]))
    goal |= set(product(["side x sum"], [s.name for s in Side], ["whole", "rounded"]))
    goal |= set(product(["reduce x encode"], [r.name for r in Reduce], ["0", "1"]))
    goal |= {("SCALAR", "mul", m.name) for m in (Multiply.NONE, Multiply.IMM)}
    goal |= {("SCALAR", "fn", f.name) for f in (Function.IDENT, Function.RECIP, Function.RSQRT)}
    goal |= {("VECTOR", "edge", e) for e in ("blocks", "part block", "groups", "part group", "odd channels", "words")}
    return goal


class Coverage(uvm_subscriber):
    """Counts of hits by bin; `goal` is every bin that a legal program can hit."""

    def build_phase(self) -> None:
        self.config: ChipConfig = ConfigDB().get(self, "", "CONFIG")
        self.hits: Counter[Bin] = Counter()
        self.goal: set[Bin] = {("opcode", op.name) for op in Opcode} | {("memory", "latency"), ("memory", "stalls")}
        self.goal |= {("memory", "writes", order.name) for order in WriteOrder}
        self.goal |= {("memory", "reads", order.name) for order in ReadOrder}
        for opcode, fields in FIELDS.items():
            self.goal |= _enums(opcode.name, fields) | {(opcode.name, f, v) for f in _flags(fields) for v in "01"}
        for opcode, engine in product(ENGINE_OF, Engine):
            self.goal.add((opcode.name, "waits for", engine.name))
        self.goal |= _enums("MICROWORD", MICROWORD) | {("MICROWORD", f, v) for f in _flags(MICROWORD) for v in "01"}
        # sources of VECTOR microwords are never INT16 when they are read: no program needs to say so
        self.goal -= {("MICROWORD", f, "INT16") for f in ("fmt_a", "fmt_b")}
        self.goal |= _matmul_goal() | _vector_goal()
        self.goal |= {
            ("magnitude", op.name, name, m) for op, names in STRIDES.items() for name in names for m in MAGNITUDES
        }
        self.goal |= {("trap", cause.name, str(int(by))) for cause, engines in TRAPS.items() for by in engines}

    def hit(self, *what: str) -> None:
        """Count one hit of a bin."""
        self.hits[what] += 1

    def write(self, tt: Executed) -> None:
        """Samples one instruction that was executed."""
        i = tt.record.instruction
        self._fields(i.opcode.name, FIELDS[i.opcode], i)
        self.hit("opcode", i.opcode.name)
        for f in FIELDS[i.opcode]:
            if f.name in STRIDES.get(i.opcode, ()):
                self.hit("magnitude", i.opcode.name, f.name, magnitude_of(i[f.name], f.width, (1 << f.width) - 1))
        for engine in Engine:
            if i[f"wait_{engine.name.lower()}"]:
                self.hit(i.opcode.name, "waits for", engine.name)
        if i.opcode is Opcode.MATMUL:
            self._matmul(i)
        elif i.opcode is Opcode.VECTOR:
            self._vector(i, len(tt.words))
            for word in tt.words:
                self._microword(word)

    def ended(self, trap: Trap, engine: int) -> None:
        """Samples how a program ended."""
        if trap is Trap.NONE:
            self.hit("opcode", Opcode.HALT.name)
        else:
            self.hit("trap", trap.name, str(engine))

    def memory(self, behaviour: Behaviour) -> None:
        """Samples the memory of a program."""
        if behaviour.latency:
            self.hit("memory", "latency")
        if behaviour.stall:
            self.hit("memory", "stalls")
        self.hit("memory", "writes", behaviour.writes.name)
        self.hit("memory", "reads", behaviour.reads.name)

    def _fields(self, name: str, fields: tuple[Field, ...], item: Instruction | Microword) -> None:
        for f in fields:
            if f.enum is not None and f.name != "opcode":
                self.hit(name, f.name, f.enum(item[f.name]).name)
            elif f.width == 1:
                self.hit(name, f.name, str(item[f.name]))

    def _matmul(self, i: Instruction) -> None:
        mode = f"{ActFormat(i['act_format']).name} {WeightFormat(i['weight_format']).name}"
        mode += " depthwise" * i["depthwise"] + " transpose" * i["transpose"]
        pixels, cols = i["out_h"] * i["out_w"], self.config.cols
        edges = {
            "padding": i["pad_top"] or i["pad_left"],
            "stride": i["stride_y"] > 1 or i["stride_x"] > 1,
            "kernel": i["kernel_h"] * i["kernel_w"] > 1 and not i["depthwise"],
            "blocks": pixels > i["block"],
            "part block": pixels % i["block"],
            "tiles": i["n"] > cols,
            "part tile": i["n"] % cols,
            "chunks": i["chunks"] > 1,
            "part chunk": i["last_elems"] < self.config.depth and not i["depthwise"],
        }
        for edge, there in {**edges, "whole": True}.items():
            if there:
                self.hit("MATMUL", mode, edge)

    def _vector(self, i: Instruction, words: int) -> None:
        pixels, cols = i["h"] * i["w"], self.config.cols
        edges = {
            "blocks": pixels > i["block"],
            "part block": pixels % i["block"],
            "groups": i["n"] > cols,
            "part group": i["n"] % cols,
            "odd channels": i["n"] % 2,
            "words": words > 1,
        }
        for edge, there in edges.items():
            if there:
                self.hit("VECTOR", "edge", edge)

    def _microword(self, word: Microword) -> None:
        self._fields("MICROWORD", MICROWORD, word)
        if word["kind"] == Kind.SCALAR:
            self.hit("SCALAR", "mul", Multiply(word["mul"]).name)
            self.hit("SCALAR", "fn", Function(word["fn"]).name)
            return
        source = "ACC" if word["src_a"] == SourceA.ACC else f"SPAD {Format(word['fmt_a']).name}"
        self.hit("A x destination", source, Destination(word["dst"]).name)
        self.hit("addend x multiply", Addend(word["addend"]).name, Multiply(word["mul"]).name)
        if word["side"] == Side.SCALE_F:
            self.hit("function scaled", Function(word["fn"]).name)
        elif word["side"] in (Side.ADD_B, Side.MAX_B):
            self.hit("use of B", Side(word["side"]).name, Format(word["fmt_b"]).name)
        if word["mul"] == Multiply.B:
            self.hit("use of B", "multiply", Format(word["fmt_b"]).name)
        self.hit("side x sum", Side(word["side"]).name, "rounded" if word["z_s"] else "whole")
        self.hit("reduce x encode", Reduce(word["reduce"]).name, str(word["encode"]))

    def missing(self) -> list[Bin]:
        """Bins of the goal that nothing has hit."""
        return sorted(b for b in self.goal if not self.hits[b])

    def summary(self) -> str:
        """A few lines for people."""
        missing = self.missing()
        hit = len(self.goal) - len(missing)
        opcodes = ", ".join(f"{self.hits['opcode', op.name]} {op.name}" for op in Opcode)
        groups: dict[str, list[Bin]] = {}
        for b in self.goal:
            groups.setdefault(b[0], []).append(b)
        counts = [
            f"{name} {sum(bool(self.hits[b]) for b in bins)}/{len(bins)}" for name, bins in sorted(groups.items())
        ]
        lines = [f"functional coverage {hit}/{len(self.goal)} bins ({100 * hit / len(self.goal):.1f} %): {opcodes}"]
        lines.append("  " + ", ".join(counts))
        lines += [f"  not hit: {' / '.join(b)}" for b in missing]
        return "\n".join(lines)
