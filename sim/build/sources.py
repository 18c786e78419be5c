"""Where the SystemVerilog lies and in which order tools read it."""

from __future__ import annotations

from pathlib import Path

from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.sim.errors import TriptychError

ROOT = Path(__file__).resolve().parents[2]
RTL = ROOT / "rtl"
INCLUDES = (RTL / "common",)
WAIVERS = RTL / "common" / "waivers.vlt"
SV = ROOT / "sim" / "rtl" / "sv"
BOARD = SV / "quartdepth_board.sv"
"""Top of the simulations that C++ drives: the chip behind registered inputs."""
FOLDERS = ("common", "mem", "mxu", "vpu", "regs", "ctrl", "top")
FIRST: tuple[str, ...] = ("isa_pkg.sv", "arith_pkg.sv")


def packages() -> list[Path]:
    """The packages, those that others import first."""
    found = sorted((RTL / "pkg").glob("*.sv"))
    return sorted(found, key=lambda p: FIRST.index(p.name) if p.name in FIRST else len(FIRST))


def sources(*folders: str) -> list[Path]:
    """Packages and the modules of the given folders of `rtl/` (all of the chip when none is named).

    Raises TriptychError when a folder does not exist: the package was installed without its sources.
    """
    files = packages()
    for folder in folders or FOLDERS:
        path = RTL / folder
        if not path.is_dir():
            raise TriptychError(f"{path} is missing: run from a checkout of the repository, which holds rtl/")
        found = sorted(path.glob("*.sv"))
        files += sorted(found, key=lambda p: not p.stem.endswith("_pkg"))
    return files


def parameters(config: ChipConfig) -> dict[str, int]:
    """Parameters of the chip's top for a named configuration."""
    return {
        "Depth": config.depth,
        "Cols": config.cols,
        "Lanes": config.lanes,
        "FullLanes": config.full_lanes,
        "Rows": config.rows,
        "SpadWords": config.spad_words,
        "ProgWords": config.prog_words,
        "Tables": config.tables,
        "Queue": config.queue,
        "LoadBursts": config.load_bursts,
    }


def transactions() -> list[Path]:
    """What names the instructions in the waves of traced builds."""
    return [SV / "transactions.sv", SV / "bind_quartdepth_board.sv"]


def fastcar_sources() -> list[Path]:
    """FastCar's twins (`rtl/fastcar`), their packages first, and what they share with the chip."""
    found = sorted((RTL / "fastcar").glob("*.sv"), key=lambda p: (not p.stem.endswith("_pkg"), p.name))
    if not found:
        raise TriptychError(f"{RTL / 'fastcar'} is missing: run from a checkout of the repository, which holds rtl/")
    shared = [RTL / "pkg" / f"{name}_pkg.sv" for name in ("sram", "arith", "function")]
    cells = [RTL / "common" / "fifo.sv", RTL / "mem" / "ram_1r1w.sv", RTL / "vpu" / "vpu_row_function.sv"]
    return [*shared, *found, *cells]


def checker(top: str = "quartdepth") -> list[Path]:
    """The watch over the memory ports of `top` (quartdepth, fastcar_core, fastcar_step), a part of all simulations."""
    return [SV / "axi_checker.sv", SV / f"bind_{top}.sv"]
