"""Random VPU microwords, and what a microword uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from triptych.golden.quartdepth.arithmetic.codetable import INT16_MAX, INT16_MIN
from triptych.golden.quartdepth.chip.codec import Microword
from triptych.golden.quartdepth.chip.isa import (
    Addend,
    Destination,
    Format,
    Function,
    Kind,
    Multiply,
    Reduce,
    Side,
    SourceA,
    reads_b,
)

T = TypeVar("T")


@dataclass
class Draw:
    """Random numbers and choices."""

    rng: np.random.Generator

    def number(self, low: int, high: int) -> int:
        """low..high, both included."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.number(0, len(choices) - 1)]

    def chance(self, percent: int) -> bool:
        """True so often."""
        return self.number(0, 99) < percent

    def small(self, high: int) -> int:
        """1..high, mostly small, at times the limit."""
        return high if self.chance(8) else self.number(1, max(1, min(high, 1 << self.number(0, 6))))

    def microword(self, acc: bool) -> Microword:
        """Any legal microword; acc: one that reads accumulators."""
        scalar = not acc and self.chance(25)
        functions = [Function.IDENT, Function.RECIP, Function.RSQRT]
        if not scalar:
            functions = [Function.IDENT, Function.EXP2N, Function.GELU]
        narrow = self.chance(60)
        rs_a, rs_m, rs_d = (int(r) for r in self.rng.permutation(4)[:3])  # a reduction never hits what is read
        fields = {
            **{"kind": Kind.SCALAR if scalar else Kind.VECTOR, "src_a": SourceA.ACC if acc else SourceA.SPAD},
            **{"fmt_a": self.number(0, 2), "table_a": self.number(0, 7), "a_shl": self.number(0, 15) * self.chance(30)},
            **{"addend": self.pick([Addend.NONE, Addend.IMM]) if scalar else self.pick(list(Addend)), "rs_a": rs_a},
            **{"imm_add": self.number(-(2**31), 2**31 - 1) >> self.number(0, 31)},
            **{"mul": self.pick([Multiply.NONE, Multiply.IMM]) if scalar else self.pick(list(Multiply)), "rs_m": rs_m},
            **{"imm_m": self.number(-32768, 32767) >> self.number(0, 14), "imm_s": self.number(-4, 24)},
            **{"fn": self.pick(functions), "side": self.pick(list(Side)), "fmt_b": self.number(0, 2)},
            **{"table_b": self.number(0, 7), "b_add": self.number(-300, 300), "b_m": self.number(-32768, 32767)},
            **{"b_s": self.number(0, 20), "z_s": self.number(0, 15) * self.chance(30)},
            **{"zp_param": self.chance(50), "out_add": self.number(-200, 200)},
            **{"lo": self.pick([-128, 0]) if narrow else INT16_MIN},
            **{"hi": self.pick([127, 15]) if narrow else INT16_MAX},
            **{"encode": self.chance(30), "table_e": self.number(0, 7), "dst": self.pick(list(Destination))},
            **{"reduce": self.pick(list(Reduce)), "rs_d": rs_d},
        }
        if self.chance(10):  # the whole width of every number
            fields |= {"imm_s": self.number(-64, 63), "b_s": self.number(0, 63), "b_add": self.number(-32768, 32767)}
            fields |= {"lo": self.number(-32768, 32767), "out_add": self.number(-32768, 32767)}
        if fields["mul"] == Multiply.B:
            fields["fn"] = Function.IDENT
        return Microword({k: int(v) for k, v in fields.items()})


def reads_rows(w: Microword) -> bool:
    return w["kind"] == Kind.VECTOR and w["src_a"] == SourceA.ACC


def uses_a(w: Microword) -> bool:
    return w["kind"] == Kind.VECTOR and w["src_a"] == SourceA.SPAD


def uses_b(w: Microword) -> bool:
    return reads_b(w["kind"], w["side"], w["mul"])


def uses_d(w: Microword) -> bool:
    return w["kind"] == Kind.VECTOR and w["dst"] != Destination.NONE


def uses_parameters(words: list[Microword]) -> bool:
    return any(
        w["kind"] == Kind.VECTOR and (w["addend"] == Addend.BIAS or w["mul"] == Multiply.PARAM or w["zp_param"])
        for w in words
    )


TABLES_USED: dict[str, Callable[[Microword], bool]] = {
    "table_a": lambda w: uses_a(w) and w["fmt_a"] == Format.TABLE4,
    "table_b": lambda w: uses_b(w) and w["fmt_b"] == Format.TABLE4,
    "table_e": lambda w: w["kind"] == Kind.VECTOR and w["encode"] == 1,
}
