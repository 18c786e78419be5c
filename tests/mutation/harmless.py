"""Mutants that change nothing that can happen, though from any state the module could tell: by module and text.

Each rests on an assertion that a proof keeps. They do not count, as those that Yosys proves equivalent do not.
"""

from __future__ import annotations

HARMLESS = {
    (
        "decode",
        "operand left out: `valid_q && leave` -> `leave`",
    ): "prove_head: what is not there is pushed nowhere",
    (
        "drs_policy",
        "top bit lost: `(row_q == '0) ? '0 : index_q` -> "
        "`$unsigned({1'b0, ($bits(index_d) - 1)'((row_q == '0) ? '0 : index_q)})`",
    ): "prove_policy: while rows come, the last one's bit is zero",
}
