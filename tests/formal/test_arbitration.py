"""The scratchpad's arbitration, formally."""

from __future__ import annotations

import pytest

from tests.formal.proof import Verdict, prove
from triptych.sim.build.sources import RTL, packages

FILES = [*packages(), RTL / "mem" / "ram_1r1w.sv", RTL / "mem" / "spad.sv"]
BUGS = {
    "a word is read while it is written": (
        "spad.sv", "== word_t'(read_i[p].addr)) wants[p] = 1'b0;", "== word_t'(read_i[p].addr)) wants[p] = 1'b1;",
    ),
    "only the first writer is looked at": (
        "spad.sv", "w < WritePorts; w++) begin\n          if", "w < 1; w++) begin\n          if",
    ),
    "two ports read a bank": ("spad.sv", "if (wants[q] && rbank[q]", "if (wants[q] && q != 2 && rbank[q]"),
    "who goes first is not looked at": ("spad.sv", "first_i[q] == first_i[p] ? q < p : first_i[q]", "q < p"),
    "who goes first goes last": ("spad.sv", "q < p : first_i[q]", "q < p : first_i[p]"),
    "of those that go first the highest wins": (
        "spad.sv", "first_i[q] == first_i[p] ? q < p : first_i[q]",
        "first_i[q] != first_i[p] ? first_i[q] : first_i[q] ? q > p : q < p",
    ),
}  # fmt: skip


def test_proof() -> None:
    assert prove("prove_spad", sources=FILES) is Verdict.PROVEN


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_bug_is_refuted(bug: tuple[str, str, str]) -> None:
    assert prove("prove_spad", sources=FILES, planted=bug) is Verdict.REFUTED


def test_what_is_not_decided_is_not_refuted() -> None:
    with pytest.raises(AssertionError, match="neither proven nor refuted"):
        prove("prove_open", sequential=True, sources=packages())
