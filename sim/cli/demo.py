"""What `make demo` runs: two photos through ViT-S + DPT in four bits on the `paper` chip, the first one's report."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from triptych.golden.files import check_writable
from triptych.golden.photo import LOOKED_AT, shipped_photo
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.zoo import shipped
from triptych.sim.cli.progress import shown
from triptych.sim.depth.run import Options, Progress, file_terms, prepare, run_photo
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import chip_build
from triptych.sim.view.report import write_report

PHOTOS = LOOKED_AT[:2]


class Together:
    """One progress line for what runs side by side: how far all of it is."""

    def __init__(self, show: Progress) -> None:
        self.show = show
        self.state: dict[str, tuple[int, int]] = {}

    def part(self, name: str) -> Progress:
        """What the run of this name calls."""

        def told(text: str, done: int, total: int) -> None:
            self.state[name] = (done, total)
            of = [n for n, (_, whole) in self.state.items() if whole]
            self.show(f"{' and '.join(of)} on RTL", *(sum(self.state[n][i] for n in of) for i in (0, 1)))

        return told


def run_demo(out: Path) -> None:
    """Runs everything and prints where it lies. Raises TriptychError when judges differ anywhere."""
    check_writable(out)
    terms = file_terms(shipped.VIT)
    options = Options(chip_config(terms.chip), terms.widths, size=terms.size, out=out, model=shipped.VIT)
    with shown() as show, ThreadPoolExecutor(len(PHOTOS)) as pool:
        show(f"building the {options.config.name} chip (once)", 0, 0)
        chip = pool.submit(chip_build(options.config).executable)
        prepared = prepare(options, lambda *_: None)
        chip.result()

        together = Together(show)
        # the simulations are processes of their own: one a core
        results = list(pool.map(lambda n: run_photo(shipped_photo(n), prepared, options, together.part(n)), PHOTOS))
        show("report", 0, 0)
        report = write_report([Path(r.run) for r in results[:1] if r.run is not None], out=out / "report")
    for r in results:
        verdict = "bit-exact" if r.bit_exact else f"{r.mismatches} mismatches, {r.difference}"
        print(f"{r.output}: {verdict}, {r.cycles:,} cycles, MXU {r.mxu_utilization:.1%}")
    print(f"report: {report.index}")
    if wrong := [r for r in results if not r.bit_exact]:
        raise TriptychError(f"{wrong[0].photo}: {wrong[0].difference}")
