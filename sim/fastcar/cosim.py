"""Co-simulation of the HLS kernels: the library of C simulation, linked into a Verilator model of the shell."""

from __future__ import annotations

from pathlib import Path

SHELL = Path(__file__).resolve().parent / "cosim_shell.sv"


def link_flags(library: Path) -> tuple[str, ...]:
    """Verilator flags that link the shell with a library of `triptych.sim.fastcar.csim.library`."""
    return ("-LDFLAGS", f"{library} -Wl,-rpath,{library.parent}")
