"""What a chip may do wrong when a host does something at a bad moment: for each virtual sequence of tests/uvm a bug
that it must notice."""

from __future__ import annotations

from tests.mutation.planted import Bug

VIRTUAL = ("tests/uvm/test_uvm.py::test_virtual",)

MOMENTS = (
    Bug("counts of what retired outlive a reset", "reset in mid-program", "rtl/ctrl/tokens.sv",
        "`FFL(tokens_o, next_o, begin_i || retire_i != '0, '0)", "`FFLNR(tokens_o, next_o, begin_i || retire_i != '0)",
        VIRTUAL),
    Bug("a start while busy takes over the next program's place", "start while busy", "rtl/ctrl/control.sv",
        "start_i && !clear_i && !running_o && !trapped_o", "start_i && !clear_i && !trapped_o", VIRTUAL),
    Bug("PROG_COUNT is read while a program runs", "registers written while running", "rtl/ctrl/fetch.sv",
        "`FFL(count_q, prog_count_i, accept_i, '0)", "`FFL(count_q, prog_count_i, accept_i || !stop_i, '0)", VIRTUAL),
    Bug("done stands until the next program runs", "programs back to back", "rtl/ctrl/control.sv",
        "if (start_i) state_d = Idle;", "if (start_i && clear_i) state_d = Idle;", VIRTUAL),
    Bug("done interrupts whatever is enabled", "each interrupt alone", "rtl/ctrl/csr.sv",
        "(status_i.done && csr_out.IRQ_ENABLE.done.value)",
        "(status_i.done && (csr_out.IRQ_ENABLE.done.value || csr_out.IRQ_ENABLE.trapped.value))", VIRTUAL),
)  # fmt: skip
