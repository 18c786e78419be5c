"""What a cell library's Liberty file does not say and a placement needs: rows and wires, by process.

Wires: what OpenROAD-flow-scripts takes for signals before routing (`flow/platforms/*/setRC.tcl`), of the layer that it
names. Memories: the macro fakeram45_1024x32 of the same (bsg_fakeram), at 45 nm; at other nodes areas are scaled by the
square of the node, delays by the node: `estimated`.
"""

from __future__ import annotations

from dataclasses import dataclass

from triptych.sim.errors import TriptychError


@dataclass(frozen=True)
class Process:
    """node: nm. row: height of a row of cells in um. capacitance: fF a um of wire. resistance: ohm a um."""

    node: int
    row: float
    capacitance: float
    resistance: float


PROCESSES = {
    "NangateOpenCellLibrary": Process(45, 1.4, 0.104578, 3.59),
    "sky130_fd_sc_hd": Process(130, 2.72, 0.172375, 0.893),
    "asap7sc7p5t": Process(7, 0.27, 0.173323, 32.3),
    "sg13g2": Process(130, 3.78, 0.17, 0.9),  # wires: those of sky130
    "osu018": Process(180, 10.0, 0.2, 0.08),  # wires: a round figure for 180 nm
}
"""By how the Liberty file calls its library."""

FAKERAM = 45
"""nm of the memory macro that the figures are of."""

SRAM_BIT = 16406.082 / (1024 * 32)
"""um^2 a bit, periphery included: the single-port macro fakeram45_1024x32 of OpenROAD-flow-scripts (bsg_fakeram)."""

TWO_PORTS = 1.3
"""A cell of eight transistors, which reads and writes at once, over one of six (Chang et al., VLSI Technology 2005)."""

SRAM_CLOCK_TO_DATA, SRAM_SETUP = 0.309, 0.050
"""ns, of the same macro."""


def process_of(library: str) -> Process:
    """The process of a library by its own name (`Library.title`). Raises TriptychError naming those that are known."""
    for name, process in PROCESSES.items():
        if name.lower() in library.lower():
            return process
    raise TriptychError(
        f"--library: nothing is known of rows and wires of '{library}'; placement knows {', '.join(PROCESSES)}"
    )
