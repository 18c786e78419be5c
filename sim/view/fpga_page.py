"""An FPGA run's page: what the boards hold, what replay and DRS buy, what was replayed."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from triptych.sim.label import Label
from triptych.sim.view.figure import (
    Axis,
    Bar,
    Bars,
    Curves,
    Figure,
    Grids,
    Line,
    Page,
    Panel,
    Quantity,
    Series,
    Spans,
    Table,
    sections,
)
from triptych.sim.view.palette import nth
from triptych.sim.view.photos import photos_of
from triptych.sim.view.runs import (
    BoardRun,
    FpgaRun,
    Part,
    Resources,
    SpeedPoint,
)

MODEL, CPU = Label.ESTIMATED, Label.CPU_MEASURED
NAMES = {"luts": "LUT", "flops": "FF", "dsps": "DSP48E2", "blocks": "RAMB36", "urams": "URAM"}
SCHEDULES = {"drs": "DRS on", "static-drop": "DRS off, empty passes left out", "static": "DRS off"}
SHOWN = (0.5, 0.8)  # skip ratios of the headlines


def fpga_page(run: FpgaRun, folder: Path, problems: list[str]) -> Page:
    """The page. folder: where the run file lies, with pictures."""
    found = sections(
        ("pictures", "What it made", [photos_of(run.pictures, folder, CPU)]),
        ("skips", "What was replayed", [_skip_shares(run), _skip_maps(run)]),
        ("speed", "What replay buys", [_speedup(run, board) for board in _boards(run)]),
        ("lanes", "What DRS does", [*_lanes(run), _drs(run)]),
        ("bandwidth", "Memory", [_bandwidth(run), _traffic(run)]),
        ("resources", "What the boards hold", [_resources(run), _resource_table(run)]),
    )
    facts = [("source", run.origin.source), ("run", f"{run.origin.time}, {run.origin.host}"),
             ("command", run.origin.command)]  # fmt: skip
    if run.boards:
        facts.insert(0, ("board", ", ".join(b.name for b in run.boards)))
    return Page(run.title, run.machine, _said(run), facts, quantities(run), found, problems)


def quantities(run: FpgaRun) -> list[Quantity]:
    """The run in numbers."""
    units = {"skip_ratio": ("MLPs replayed", 100.0, "%", 0), "psnr_db": ("PSNR against dense", 1.0, "dB", 1),
             "token_agreement": ("tokens equal to dense", 100.0, "%", 1)}  # fmt: skip
    found = []
    for name, value in run.measured.items():
        what, scale, unit, better = units.get(name, (name, 1.0, "", 0))
        found.append(Quantity(name, what, value * scale, unit, CPU, better, True))
    for p in run.speedups:
        if p.schedule == "drs" and p.policy == "PER_SAMPLE" and p.skip in SHOWN:
            what = f"speed-up, {p.board}, batch {p.rows}, skip {p.skip:g}"
            head = p.rows == 1 and p.skip == SHOWN[-1]
            name = f"speedup:{p.board}:{p.rows}:{p.skip:g}"
            found.append(Quantity(name, what, p.speedup, "x", MODEL, 1, head))
    for board in run.boards:
        found.append(
            Quantity(f"stream:{board.name}", f"weight stream, {board.name}", board.weights / 1e9, "GB/s", MODEL, 1)
        )
        for name, (used, has) in shares(board).items():
            found.append(
                Quantity(f"used:{board.name}:{name}", f"{NAMES[name]} of {board.name}", 100 * used / has, "%",
                         Label(board.parts[0].label), -1)
            )  # fmt: skip
    return found


def shares(board: BoardRun) -> dict[str, tuple[float, float]]:
    """Used and there, of each resource that is known and there."""
    found = {}
    for f in fields(Resources):
        has = getattr(board.has, f.name)
        each = [(part.count, getattr(part.each, f.name)) for part in board.parts]
        if has and any(value is not None for _, value in each):
            found[f.name] = (sum(count * (value or 0.0) for count, value in each), has)
    return found


def _said(run: FpgaRun) -> str:
    if run.measured:
        return "A video by the golden model in integers, dense and with replay."
    best = max((p for p in run.speedups if p.schedule == "drs"), key=lambda p: p.speedup, default=None)
    if best is None:
        return "What FastCar takes of the boards."
    return (
        f"By the cycle model replay buys up to {best.speedup:.2f}x: {best.board}, batch {best.rows}, "
        f"{best.skip:.0%} of the MLPs replayed. Decoder layers of LLaMA-7B, W4A8, one token of every row."
    )


def _boards(run: FpgaRun) -> list[str]:
    return list(dict.fromkeys(p.board for p in run.speedups))


def _points(run: FpgaRun, board: str, schedule: str, rows: int) -> list[SpeedPoint]:
    mine = [p for p in run.speedups if (p.board, p.schedule, p.rows) == (board, schedule, rows)]
    return sorted((p for p in mine if p.policy == "PER_SAMPLE"), key=lambda p: p.skip)


def _speedup(run: FpgaRun, board: str) -> Figure:
    lines = []
    for n, rows in enumerate(sorted({p.rows for p in run.speedups if p.board == board})):
        for schedule, style in (("drs", "solid"), ("static", "dashed")):
            points = _points(run, board, schedule, rows)
            name = f"batch {rows}" + ("" if schedule == "drs" else ", DRS off")
            lines.append(Line(name, nth(n), [(p.skip, p.speedup) for p in points], style))
    curves = Curves(lines, Axis("skip ratio: share of MLPs replayed", limit=1.0), Axis("speed-up over the dense layer"))
    return Figure(f"speedup_{board}", f"{board}: speed-up over skip ratio and batch", MODEL, curves)


def _drs(run: FpgaRun) -> Figure | None:
    boards = _boards(run)
    if not boards:
        return None
    most = max(p.rows for p in run.speedups)
    lines = []
    for n, board in enumerate(boards):
        on, off = (_points(run, board, schedule, most) for schedule in ("drs", "static"))
        gains = [(a.skip, b.mlp_cycles / a.mlp_cycles) for a, b in zip(on, off, strict=True) if a.mlp_cycles]
        lines.append(Line(board, nth(n), gains))
    curves = Curves(lines, Axis("skip ratio", limit=1.0), Axis("MLP cycles, DRS off over on"))
    return Figure("drs_gain", f"what DRS buys at batch {most}", MODEL, curves)


def _lanes(run: FpgaRun) -> list[Figure]:
    found = []
    end = max((span.end for lanes in run.lanes for span in lanes.spans), default=0)
    for lanes in run.lanes:
        rows = sorted({span.row for span in lanes.spans})
        bars = [Bar(s.lane, float(s.begin), float(s.end), rows.index(s.row), rows.index(s.row)) for s in lanes.spans]
        groups = [(f"row {row}", nth(n)) for n, row in enumerate(rows)]
        texts = [f"row {row} of {len(lanes.index)}" for row in rows]
        spans = Spans([f"lane {n}" for n in range(lanes.lanes)], bars, groups, texts, Axis("lane cycles", limit=end))
        name = SCHEDULES.get(lanes.schedule, lanes.schedule)
        title = f"{name}: {sum(lanes.index)} of {len(lanes.index)} rows compute, on {lanes.lanes} lanes"
        found.append(Figure(f"lanes_{lanes.schedule}", title, MODEL, spans))
    return found


def _skip_shares(run: FpgaRun) -> Figure | None:
    if not run.skip_maps:
        return None
    rows = [
        [sum(map(sum, frame)) / max(1, sum(map(len, frame))) for frame in layer] for layer in run.skip_maps
    ]  # fmt: skip
    series = [Series(f"frame {n}", nth(n), [100 * row[n] / len(row) for row in rows]) for n in range(len(rows[0]))]
    bars = Bars([f"layer {n}" for n in range(len(rows))], series, Axis("MLPs replayed, % of all frames' tokens"))
    return Figure("skip_shares", "MLPs replayed by layer, each frame's part", CPU, bars)


def _skip_maps(run: FpgaRun) -> Figure | None:
    if not run.skip_maps:
        return None
    panels = [
        Panel(f"layer {n}, frame {f}", [[float(v) for v in row] for row in frame])
        for n, layer in enumerate(run.skip_maps)
        for f, frame in enumerate(layer)
    ]
    grids = Grids(panels, len(run.skip_maps[0]), "replayed")
    return Figure("skip_maps", "which tokens replayed, by layer and frame", CPU, grids)


def _bandwidth(run: FpgaRun) -> Figure | None:
    if not run.boards:
        return None
    series = [
        Series("weight stream", "blue", [b.weights / 1e9 for b in run.boards]),
        Series("lost to refresh, rows and turns", "grey", [(b.peak - b.weights) / 1e9 for b in run.boards]),
    ]
    return Figure("bandwidth", "what the weight stream gets of the pins", MODEL,
                  Bars([b.name for b in run.boards], series, Axis("GB/s")))  # fmt: skip


def _traffic(run: FpgaRun) -> Figure | None:
    if not run.traffic:
        return None
    series = [
        Series("weights", "blue", [t.weights / 1e6 for t in run.traffic]),
        Series("keys, values, ring, constants", "orange", [t.other / 1e6 for t in run.traffic]),
        Series("weights not read", "grey", [t.skipped / 1e6 for t in run.traffic]),
    ]
    rows = [f"{t.board}, skip {t.skip:g}" for t in run.traffic]
    return Figure("token_bytes", "bytes of a layer's step, one row", MODEL, Bars(rows, series, Axis("MB")))


def _parts(run: FpgaRun) -> list[tuple[BoardRun, Part]]:
    return [(board, part) for board in run.boards for part in board.parts]


def _resources(run: FpgaRun) -> Figure | None:
    if not run.boards:
        return None
    rows, held = [], []
    for board in run.boards:
        for name in shares(board):
            rows.append(f"{board.name} {NAMES[name]}")
            held.append((board, name))
    kinds = list(dict.fromkeys((part.name, part.label) for _, part in _parts(run)))
    series = [
        Series(
            f"{kind} [{label}]", nth(n),
            [
                sum(
                    100 * p.count * (getattr(p.each, name) or 0.0) / getattr(board.has, name)
                    for p in board.parts if (p.name, p.label) == (kind, label)
                )
                for board, name in held
            ],
        )
        for n, (kind, label) in enumerate(kinds)
    ]  # fmt: skip
    bars = Bars(rows, series, Axis("% of the device"), marks=[("all of the device", 100.0)])
    label = MODEL if any(part.label == MODEL.value for _, part in _parts(run)) else Label.YOSYS_MAPPED
    return Figure("resources", "resources against the board", label, bars)


def _resource_table(run: FpgaRun) -> Table | None:
    if not run.boards:
        return None
    rows = []
    for board, part in _parts(run):
        used = [getattr(part.each, f.name) for f in fields(Resources)]
        rows.append([board.name, part.name, part.count, *used, part.label])
    for board in run.boards:
        has = [getattr(board.has, f.name) for f in fields(Resources)]
        rows.append([board.name, "the device", 1, *has, Label.CITED.value])
    columns = ["board", "part", "count", *NAMES.values(), "label"]
    return Table("resource_table", "what each part takes, and what the device has", MODEL, columns, rows)
