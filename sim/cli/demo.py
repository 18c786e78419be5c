"""What `make demo` runs: two photos through the chip at W4A8, one at W4A4, reports and area."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.cli.depth import DepthResult, Options, prepare, run_photo, shipped_photo
from triptych.sim.errors import TriptychError
from triptych.sim.model.area import measure_area, plot_area
from triptych.sim.rtl.run import chip_build
from triptych.sim.view.report import save_figure, write_report
from triptych.sim.view.runfile import RunFile

PHOTOS = ("motorcycle_left.png", "coffee.png")


def run_demo(out: Path, console: Console) -> None:
    """Runs everything and prints where it lies. Raises TriptychError when chip and machine differ anywhere."""
    config = chip_config("small")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    results: list[DepthResult] = []
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(1) as pool:
        main = progress.add_task("loading", total=None)

        def show(text: str, done: int, total: int) -> None:
            progress.update(main, description=text, completed=done, total=total or None)

        show("building the small chip (once)", 0, 0)
        chip_build(config).executable()
        aside = progress.add_task("area of the small chip by Yosys (once)", total=None)
        area = pool.submit(measure_area, config)
        area.add_done_callback(lambda _: progress.update(aside, completed=1, total=1))
        for bits in (Widths.W4A8, Widths.W4A4):
            options = Options(config, bits, out=out / bits.value)
            prepared = prepare(options, show)
            for name in PHOTOS if bits is Widths.W4A8 else PHOTOS[:1]:
                results.append(run_photo(shipped_photo(name), prepared, options, show))
        show("reports", 0, 0)
        for bits in (Widths.W4A8, Widths.W4A4):
            run = RunFile.load(out / bits.value / f"{Path(PHOTOS[0]).stem}.run.json")
            write_report(run, out / "report" / bits.value)
        progress.update(main, description="area", completed=1, total=1)
        save_figure(plot_area(area.result()), out / "report" / "area")
    for r in results:
        assert r.cycles is not None
        assert r.mxu_utilization is not None
        verdict = "[green]bit-exact[/]" if r.bit_exact else f"[red]{r.mismatches} mismatches[/]"
        console.print(f"{r.output}: {verdict}, {r.cycles:,} cycles, MXU {r.mxu_utilization:.1%}")
    console.print(f"reports: {out / 'report'}")
    if not np.all([r.bit_exact for r in results]):
        raise TriptychError("chip and golden machine differ")
