"""What a chip may do wrong when a host does something at a bad moment: for each virtual sequence of tests/uvm a bug
that it must notice."""

from __future__ import annotations

from tests.mutation.planted import Bug

VIRTUAL = ("tests/uvm/test_uvm.py::test_virtual",)

MOMENTS = (
    Bug("a program that runs outlives a reset", "reset in mid-program", "rtl/ctrl/control.sv",
        "`FF(state_q, state_d, Idle)", "`FFLNR(state_q, state_d, 1'b1)", VIRTUAL),
    Bug("a start while busy takes over the next program's place", "start while busy", "rtl/ctrl/control.sv",
        "start_i && !clear_i && !running_o && !trapped_o", "start_i && !clear_i && !trapped_o", VIRTUAL),
    Bug("PROG_COUNT is read while a program runs", "registers written while running", "rtl/ctrl/fetch.sv",
        "`FFL(count_q, prog_count_i, accept_i, '0)", "`FFL(count_q, prog_count_i, accept_i || !stop_i, '0)", VIRTUAL),
    Bug("PROG_BASE is read while a program runs", "registers written while running", "rtl/ctrl/fetch.sv",
        "`FFL(base_q, prog_base_i, accept_i, '0)", "`FFL(base_q, prog_base_i, accept_i || !stop_i, '0)", VIRTUAL),
    Bug("counts of what retired outlive their program", "programs back to back", "rtl/ctrl/tokens.sv",
        "if (begin_i) next_o = '0;", "if (begin_i && retire_i != '0) next_o = '0;", VIRTUAL),
    Bug("done interrupts whatever is enabled", "each interrupt alone", "rtl/ctrl/csr.sv",
        "(status_i.done && csr_out.IRQ_ENABLE.done.value)",
        "(status_i.done && (csr_out.IRQ_ENABLE.done.value || csr_out.IRQ_ENABLE.trapped.value))", VIRTUAL),
)  # fmt: skip
