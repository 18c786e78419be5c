"""`triptych report`: the runs of one, two or many files as a page, figures, tables and timelines in a folder."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from triptych.golden.files import FileError, check_writable, fitting_name, write
from triptych.sim.errors import TriptychError
from triptych.sim.view import compare
from triptych.sim.view.chip_page import chip_page
from triptych.sim.view.figure import Page, Section, Table
from triptych.sim.view.fpga_page import fpga_page
from triptych.sim.view.gpu_page import gpu_page
from triptych.sim.view.page import page_html
from triptych.sim.view.plot import pictures_of, plot
from triptych.sim.view.runfile import ENDING, load
from triptych.sim.view.runs import (
    ChipRun,
    FpgaRun,
    GpuRun,
    Run,
)
from triptych.sim.view.trace import trace

INDEX, MANIFEST, ENDING_OF_FOLDER = "index.html", "report.json", ".report"


@dataclass(frozen=True)
class Loaded:
    """A run file: what it holds, and its page."""

    path: Path
    run: Run
    page: Page


@dataclass(frozen=True)
class Report:
    """What was written. read: how many of the runs. problems: a line for each thing that is not in it. worse:
    regressions beyond the limit. comparison: of the first run with that which it was to be compared with."""

    index: Path
    read: int
    traces: list[Path]
    problems: list[str]
    worse: list[compare.Change]
    comparison: Table | None


def newest(folder: Path) -> Path:
    """The run file under `folder` that was written last. Raises TriptychError."""
    found = [p for p in folder.rglob(f"*{ENDING}") if ENDING_OF_FOLDER not in str(p.parent.relative_to(folder))]
    if not found:
        raise TriptychError(
            f"there is no *{ENDING} under {folder}: name one, or make one, for example with `triptych depth`"
        )
    return max(found, key=lambda p: (p.stat().st_mtime_ns, str(p)))


def read(path: Path) -> Loaded:
    """A run and its page. Raises TriptychError."""
    run, problems = load(path)
    return Loaded(path, run, _page(run, path.parent, [f"{path.name}: {p}" for p in problems]))


def _page(run: Run, folder: Path, problems: list[str]) -> Page:
    match run:
        case ChipRun():
            return chip_page(run, folder, problems)
        case FpgaRun():
            return fpga_page(run, folder, problems)
        case GpuRun():
            return gpu_page(run, problems)
    raise AssertionError(run)


def write_report(
    paths: list[Path], *, against: Path | None = None, out: Path | None = None, history: Path | None = None,
    percent: float | None = None,
) -> Report:  # fmt: skip
    """Writes the report of some run files. against: a run that each is compared with. out: the folder; without, beside
    the first run. history: the file that remembers runs; without, beside the first run too. percent: how much worse
    counts as a regression.

    A file that cannot be read costs its own part alone. Raises TriptychError where none can, or that which is
    compared with; FileError where `out` holds what is no report.
    """
    loaded, problems = _loaded(paths)
    base = None if against is None else read(against)
    folder = out or _free_folder(paths[0], [each.path for each in loaded])
    _check_ours(folder)
    pages = []
    for each in loaded:
        remembered = compare.remember(history or paths[0].parent / compare.HISTORY, each.page)
        drawn = compare.trend(remembered, each.page, _first(each.page))
        more = [Section("trend", "How it went over time", [drawn])] if drawn is not None else []
        pages.append(replace(each.page, sections=[*each.page.sections, *more]))
    others = [*loaded, *([base] if base is not None and base.path not in paths else [])]
    comparisons = [_comparisons(each, others if base is None else [base]) for each in loaded]
    worse = []
    if base is not None and percent is not None:
        for each in loaded:
            worse += compare.regressions(compare.changes(base.page, each.page), percent)
    files, traces = _files(loaded, pages, comparisons, base is not None, problems)
    _replace(folder, files, paths)
    problems += [line for page in pages for line in page.problems]
    shown = comparisons[0][0][1] if base is not None and comparisons[0] else None
    return Report(folder / INDEX, len(loaded), [folder / name for name in traces], problems, worse, shown)


def _first(page: Page) -> str:
    """The headline that a trend is drawn of: the first that has a better and a worse."""
    return next((q.name for q in page.quantities if q.headline and q.better), "")


def _loaded(paths: list[Path]) -> tuple[list[Loaded], list[str]]:
    loaded, problems = [], []
    for path in paths:
        try:
            loaded.append(read(path))
        except TriptychError as error:
            problems.append(str(error))
    if not loaded:
        raise TriptychError("; ".join(problems))
    return loaded, problems


def _comparisons(run: Loaded, others: list[Loaded]) -> list[tuple[str, Table]]:
    return [
        (other.page.title, compare.comparison(other.page, run.page))
        for other in others
        if other is not run and other.page.machine == run.page.machine
    ]


def _files(
    loaded: list[Loaded], pages: list[Page], comparisons: list[list[tuple[str, Table]]], against: bool,
    problems: list[str],
) -> tuple[dict[str, str | bytes], list[str]]:  # fmt: skip
    """Everything that the folder will hold, by name; and the names of the timelines."""
    stems = [f"{number}-{_plain(page.title)}-" if len(pages) > 1 else "" for number, page in enumerate(pages, 1)]
    files: dict[str, str | bytes] = {}
    traces = []
    for each, page, stem, compared in zip(loaded, pages, stems, comparisons, strict=True):
        files[f"runs/{stem}run.json"] = each.path.read_bytes()
        timeline = trace(each.run) if isinstance(each.run, ChipRun) else None
        traces.append(fitting_name(stem[:-1] or _plain(page.title), ".trace.json") if timeline is not None else "")
        if timeline is not None:
            files[traces[-1]] = timeline
        for figure in page.figures:
            for path, content in pictures_of(plot(figure), Path("figures") / f"{stem}{figure.name}").items():
                files[str(path)] = content
            header, rows = figure.drawn.table()
            files |= _table(f"{stem}{figure.name}", header, rows)
        for table in page.tables:
            files |= _table(f"{stem}{table.name}", table.columns, table.rows)
        for number, (_, table) in enumerate(compared, 1):
            files |= _table(f"{stem}{table.name}{number if len(compared) > 1 else ''}", table.columns, table.rows)
        rows = [[q.name, q.what, q.value, q.unit, q.label.value] for q in page.quantities]
        files |= _table(f"{stem}numbers", ["name", "number", "value", "unit", "label"], rows)
    files[INDEX] = page_html(
        pages, comparisons, problems=problems, stems=stems, traces=traces, open_comparison=against
    )  # fmt: skip
    return files, [name for name in traces if name]


def _plain(text: str) -> str:
    """A title as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:80].strip("._") or "run"


def _table(name: str, header: list[str], rows: list[list[Any]]) -> dict[str, str | bytes]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    document = [dict(zip(header, row, strict=True)) for row in rows]
    return {f"tables/{name}.csv": out.getvalue(), f"tables/{name}.json": json.dumps(document, indent=0) + "\n"}


def _free_folder(run: Path, runs: list[Path]) -> Path:
    """NAME.report beside a run, or NAME-2.report where that is another run's."""
    name = run.name.removesuffix(".json").removesuffix(".run")
    for number in count(1):
        folder = run.parent / fitting_name(name if number == 1 else f"{name}-{number}", ENDING_OF_FOLDER)
        if not os.path.lexists(folder) or _runs_of(folder) == [str(p.absolute()) for p in runs]:
            return folder
    raise AssertionError("count ends never")


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        held = json.loads((folder / MANIFEST).read_bytes())
        return held if isinstance(held, dict) and isinstance(held["files"], list) else {}
    except (OSError, ValueError, KeyError):
        return {}


def _runs_of(folder: Path) -> list[str] | None:
    return _manifest(folder).get("runs")


def _check_ours(folder: Path) -> None:
    """Raises FileError for a folder that holds what is no report."""
    if folder.is_dir() and any(folder.iterdir()) and not _manifest(folder):
        raise FileError(f"cannot write {folder}: it holds files that are no report: name another --out")
    check_writable(folder)


def _replace(folder: Path, files: dict[str, str | bytes], runs: list[Path]) -> None:
    """Writes the files, and removes those of the report that was there."""
    before = [name for name in _manifest(folder).get("files", []) if isinstance(name, str)]
    told = {"runs": [str(p.absolute()) for p in runs], "files": sorted(files)}
    write(folder / MANIFEST, json.dumps(told | {"files": sorted({*files, *before})}, indent=0) + "\n")
    for name, content in sorted(files.items(), key=lambda item: item[0] == INDEX):  # the page last: it is complete then
        write(folder / name, content)
    for name in set(before) - set(files):
        old = folder / name
        if old.is_file() and folder.resolve() in old.resolve().parents:
            old.unlink()
    write(folder / MANIFEST, json.dumps(told, indent=0) + "\n")
