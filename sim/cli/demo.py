"""What `make demo` runs: two photos through the chip at W4A8, one at W4A4, reports and area."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from triptych.golden.files import check_writable, write
from triptych.golden.photo import shipped_photo
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.cli.progress import shown
from triptych.sim.depth.run import DepthResult, Options, prepare, run_photo
from triptych.sim.errors import TriptychError
from triptych.sim.model.area import measure_area
from triptych.sim.rtl.run import chip_build
from triptych.sim.view.cost_files import AREA, area_json
from triptych.sim.view.report import write_report

PHOTOS = ("motorcycle_left.png", "coffee.png")


def run_demo(out: Path) -> None:
    """Runs everything and prints where it lies. Raises TriptychError when judges differ anywhere."""
    config = chip_config("small")
    check_writable(out)
    results: list[DepthResult] = []
    with shown() as show, ThreadPoolExecutor(1) as pool:
        show("building the small chip (once)", 0, 0)
        chip_build(config).executable()
        area = pool.submit(measure_area, config)  # by Yosys, on the other core
        for bits in (Widths.W4A8, Widths.W4A4):
            options = Options(config, bits, out=out)
            prepared = prepare(options, show)
            for name in PHOTOS if bits is Widths.W4A8 else PHOTOS[:1]:
                results.append(run_photo(shipped_photo(name), prepared, options, show))
        show("area of the small chip by Yosys (once)", 0, 0)
        write(out / AREA, area_json(area.result()))
        show("report", 0, 0)
        # one photo in both widths: the other's cycles are the same
        compared = [Path(r.run) for r in results if r.run is not None and r.photo == PHOTOS[0]]
        report = write_report(compared, out=out / "report")
    for r in results:
        verdict = "bit-exact" if r.bit_exact else f"{r.mismatches} mismatches, {r.difference}"
        print(f"{r.output}: {verdict}, {r.cycles:,} cycles, MXU {r.mxu_utilization:.1%}")
    print(f"report: {report.index}")
    if wrong := [r for r in results if not r.bit_exact]:
        raise TriptychError(f"{wrong[0].photo}: {wrong[0].difference}")
