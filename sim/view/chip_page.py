"""A chip run's page: where its cycles, bytes and accuracy went."""

from __future__ import annotations

from pathlib import Path

from triptych.golden.quartdepth.chip.isa import Engine
from triptych.sim.label import Label
from triptych.sim.view.chip_cost import cost_sections
from triptych.sim.view.figure import (
    Axis,
    Bar,
    Bars,
    Curves,
    Figure,
    Line,
    Page,
    Quantity,
    Section,
    Series,
    Spans,
    Table,
    sections,
)
from triptych.sim.view.photos import photos_of
from triptych.sim.view.runs import ChipRun, LayerRun, Samples

RTL, CPU = Label.RTL_SIMULATED, Label.CPU_MEASURED

CAUSES = {
    "ideal": ("ideal", "blue"),
    "padding": ("active beyond ideal", "sky"),
    "fill": ("turnaround, window refill", "yellow"),
    "weights": ("weights late", "pink"),
    "acc": ("accumulators full: VPU behind", "red"),
    "spad": ("scratchpad conflict", "orange"),
    "token": ("waits for another engine", "green"),
    "empty": ("no instruction", "grey"),
}
"""Where a cycle of the matrix engine goes: what people read, and its colour."""

CLASSES = {
    "active": ("active", "blue"),
    "fill": ("turnaround, set-up", "yellow"),
    "weights": ("weights late", "pink"),
    "acc": ("accumulators", "red"),
    "spad": ("scratchpad conflict", "orange"),
    "param": ("parameters late", "sky"),
    "bus": ("memory", "pink"),
    "token": ("waits for another engine", "green"),
    "empty": ("no instruction", "grey"),
}
MODES = {"w4a4": "blue", "w4a8": "orange", "w8a8": "red", "depthwise": "green", "attention": "pink", "vector": "grey"}
FEW = 0.003  # of a run's cycles: layers with less share a bar


def chip_page(run: ChipRun, folder: Path, problems: list[str]) -> Page:
    """The page. folder: where the run file lies, with pictures and what area, timing and energy left there."""
    cost, costs = cost_sections(run, folder)
    found = sections(
        ("pictures", "What it computed", [photos_of(run.pictures, folder, RTL)]),
        ("cycles", "Where the cycles went", [_layer_bars(run), _engines(run), _gantt(run)]),
        ("roofline", "What limits each layer", [_roofline(run)]),
        ("memory", "Memory", [_traffic(run), _dram(run), _scratchpad(run)]),
        ("accuracy", "Which tensor loses the accuracy", [_errors(run), _tensor_table(run)]),
    )
    last = sections(("layers", "Every layer", [_layer_table(run)]))
    return Page(
        run.title, run.machine, limits(run), _facts(run), [*quantities(run), *costs], [*found, *cost, *last], problems
    )


def split(layer: LayerRun) -> dict[str, float]:
    """Cycles of a layer by cause; `active` is split into what the arithmetic needs and the rest. Sums to `cycles`.

    Where layers overlap one may have a few active cycles less than its products took: the next one has them.
    """
    ideal = min(layer.ideal_cycles, float(layer.classes["active"]))
    parts = {"ideal": ideal, "padding": layer.classes["active"] - ideal}
    return parts | {k: float(v) for k, v in layer.classes.items() if k != "active"}


def milliseconds(run: ChipRun) -> float:
    """A frame's time at the chip's stated clock."""
    return run.cycles / (run.chip.clock_mhz * 1e3)


def quantities(run: ChipRun) -> list[Quantity]:
    """The run in numbers, the first of which a person reads first."""
    ms = milliseconds(run)
    found = [
        Quantity("latency", f"latency at {run.chip.clock_mhz} MHz", ms, "ms", RTL, -1, True),
        Quantity("fps", f"frames a second at {run.chip.clock_mhz} MHz", 1e3 / ms, "", RTL, 1, True),
        Quantity("cycles", "cycles", run.cycles, "", RTL, -1, True),
        Quantity("mac_per_cycle", "MACs a cycle", run.macs_per_cycle, "MAC/cycle", RTL, 1, True),
        Quantity("of_peak", f"of the W4A4 peak of {run.chip.peak:,}", 100 * run.macs_per_cycle / run.chip.peak, "%",
                 RTL, 1, True),
    ]  # fmt: skip
    if run.layers:
        found.append(
            Quantity("mxu_utilization", "MXU, each layer of its own mode's rate", 100 * run.utilization, "%", RTL, 1)
        )
    moved = run.bytes_read + run.bytes_written
    found += [
        Quantity("dram_bytes", "DRAM traffic", moved / 1e6, "MB", RTL, -1, True),
        Quantity("dram_share", f"of the memory's {run.memory.bytes_per_cycle:g} B/cycle",
                 100 * moved / run.cycles / run.memory.bytes_per_cycle, "%", RTL),
        Quantity("macs", "multiply-accumulates", run.network.macs / 1e6, "MMAC", RTL),
    ]  # fmt: skip
    for engine, classes in run.counters.items():
        for name, cycles in classes.items():
            better = 0 if name == "active" else -1
            found.append(Quantity(f"{engine.lower()}_{name}", f"{engine} {CLASSES[name][0]}", cycles, "cycles", RTL,
                                  better))  # fmt: skip
    for layer in run.layers:
        found.append(Quantity(f"layer:{layer.name}", f"layer {layer.name}", layer.cycles, "cycles", RTL, -1))
    return found


def limits(run: ChipRun) -> str:
    """What limits the run, in a sentence."""
    if not run.layers:
        return "What limits it is not known: the run file holds no layers."
    parts = {cause: sum(split(layer)[cause] for layer in run.layers) for cause in CAUSES}
    losses = sorted((c for c in CAUSES if c != "ideal"), key=lambda c: -parts[c])
    worst, second = losses[:2]
    at = max(run.layers, key=lambda layer: split(layer)[worst])
    slow = sum(layer.ideal_cycles for layer in run.layers) - run.network.macs / run.chip.peak
    text = (
        f"Of the cycles {parts['ideal'] / run.cycles:.0%} are products at their mode's rate. The largest loss is "
        f"“{CAUSES[worst][0]}”, {parts[worst] / run.cycles:.1%}, most of it in {at.name}; then "
        f"“{CAUSES[second][0]}”, {parts[second] / run.cycles:.1%}."
    )
    if slow > 0.01 * run.cycles:
        text += f" Modes slower than W4A4 cost {slow / run.cycles:.0%} of the cycles."
    return text


def _facts(run: ChipRun) -> list[tuple[str, str]]:
    height, width, channels = run.network.input
    exact = {True: "yes", False: "NO", None: "not compared"}[run.bit_exact]
    chip = run.chip
    return [
        ("network", f"{run.network.name}, {height} × {width} × {channels}"),
        ("widths", run.network.widths.value if run.network.widths else "not stated"),
        ("chip", f"{chip.name}: D {chip.depth}, C {chip.cols}, R {chip.rows}, {chip.spad_bytes // 1024} KiB"),
        ("memory", f"{run.memory.bytes_per_cycle:g} B/cycle, latency {run.memory.latency}"),
        ("bit-exact", exact),
        ("source", run.origin.source),
        ("run", f"{run.origin.time}, {run.origin.host}"),
        ("command", run.origin.command),
    ]


def _named(run: ChipRun, what: str) -> str:
    widths = run.network.widths.value if run.network.widths else "widths not stated"
    return f"{what}: {run.network.name}, {widths}, {run.chip.name}"


def _layer_bars(run: ChipRun) -> Figure | None:
    if not run.layers:
        return None
    shown = [layer for layer in run.layers if layer.cycles > FEW * run.cycles]
    rest = [layer for layer in run.layers if layer not in shown and layer.cycles]
    rows = [layer.name for layer in shown] + ([f"({len(rest)} smaller layers)"] if rest else [])
    series = []
    for cause, (name, colour) in CAUSES.items():
        values = [split(layer)[cause] / 1e3 for layer in shown]
        values += [sum(split(layer)[cause] for layer in rest) / 1e3] if rest else []
        series.append(Series(name, colour, values))
    notes = [f"{layer.mode}, {layer.macs / 1e6:.2f} MMAC, {layer.cycles:,} cycles" for layer in shown]
    bars = Bars(rows, series, Axis("thousand cycles of the matrix engine"), notes + ([""] if rest else []))
    return Figure("layers", _named(run, "cycles by layer and cause"), RTL, bars)


def _engines(run: ChipRun) -> Figure | None:
    if not run.counters:
        return None
    series = [
        Series(name, colour, [run.counters[e].get(c, 0) / 1e3 for e in run.counters])
        for c, (name, colour) in CLASSES.items()
        if any(c in classes for classes in run.counters.values())
    ]
    bars = Bars(list(run.counters), series, Axis("thousand cycles", limit=run.cycles / 1e3))
    return Figure("engines", _named(run, "cycles of each engine by class"), RTL, bars)


def _gantt(run: ChipRun) -> Figure | None:
    if run.program is None:
        return None
    program, groups = run.program, [m for m in MODES if any(layer.mode == m for layer in run.layers)]
    groups += sorted({layer.mode for layer in run.layers} - set(groups))
    bars = [
        Bar(lane, begin / 1e3, end / 1e3, groups.index(run.layers[at].mode), at, at % 2 == 0)
        for lane, engine in enumerate(Engine)
        for pc, begin, end in program.spans[engine.name]
        for at in (program.layer_of[pc],)
    ]
    colours = [(mode, MODES.get(mode, "yellow")) for mode in groups]
    texts = [f"{layer.name}: {layer.mode}, {layer.cycles:,} MXU cycles" for layer in run.layers]
    spans = Spans([e.name for e in Engine], bars, colours, texts, Axis("thousand cycles"))
    return Figure("gantt", _named(run, "what the four engines did when"), RTL, spans)


def roofline(run: ChipRun) -> Curves:
    """Achieved MACs a cycle over MACs a byte, with a ceiling for every mode that the run has."""
    slope = run.memory.bytes_per_cycle
    layers = [layer for layer in run.layers if layer.macs and layer.cycles and layer.dram_bytes]
    modes = sorted({layer.mode for layer in layers}, key=lambda m: list(MODES).index(m) if m in MODES else len(MODES))
    intensity = [layer.macs / layer.dram_bytes for layer in layers]
    low, high = min(intensity, default=1.0) / 2, 2 * max([*intensity, 2 * run.chip.peak / slope])
    lines = []
    ceilings: dict[float, list[str]] = {float(run.chip.peak): []}
    for mode in modes:
        for layer in layers:
            if layer.mode == mode and mode not in ceilings.setdefault(layer.peak, []):
                ceilings[layer.peak].append(mode)
    for peak, named in sorted(ceilings.items(), reverse=True):
        name = f"{peak:,.0f} MAC/cycle" + (f": {', '.join(named)}" if named else ": W4A4 peak")
        points = [(x, min(peak, slope * x)) for x in sorted({low, peak / slope, high}) if x >= low]
        lines.append(Line(name, "ink", points, "solid" if peak == run.chip.peak else "dashed"))
    for mode in modes:
        mine = [layer for layer in layers if layer.mode == mode]
        lines.append(
            Line(
                mode, MODES.get(mode, "yellow"),
                [(layer.macs / layer.dram_bytes, layer.macs / layer.cycles) for layer in mine], "points",
                [f"{la.name}: {la.macs / la.cycles:.1f} of {la.peak:.0f} MAC/cycle" for la in mine],
            )
        )  # fmt: skip
    return Curves(lines, Axis("MACs a byte of DRAM traffic", log=True), Axis("MACs a cycle", log=True))


def _roofline(run: ChipRun) -> Figure | None:
    if not any(layer.macs and layer.dram_bytes for layer in run.layers):
        return None
    return Figure("roofline", _named(run, "roofline of every layer"), RTL, roofline(run))


def _traffic(run: ChipRun) -> Figure | None:
    shown = [layer for layer in run.layers if layer.dram_bytes > 0.002 * sum(la.dram_bytes for la in run.layers)]
    if not shown:
        return None
    series = [
        Series("read", "blue", [layer.bytes_read / 1e3 for layer in shown]),
        Series("written", "orange", [layer.bytes_written / 1e3 for layer in shown]),
    ]
    bars = Bars([layer.name for layer in shown], series, Axis("thousand bytes of DRAM traffic"))
    return Figure("traffic", _named(run, "DRAM traffic by layer"), RTL, bars)


def _over_time(samples: Samples, scale: float, middle: bool) -> list[tuple[float, float]]:
    shift = samples.every / 2 if middle else 0.0
    return [((n * samples.every + shift) / 1e3, v / scale) for n, v in enumerate(samples.values)]


def _dram(run: ChipRun) -> Figure | None:
    if run.dram is None:
        return None
    rate, end = run.memory.bytes_per_cycle, run.cycles / 1e3
    points = _over_time(run.dram, run.dram.every, True)[:-1]  # the last interval is shorter
    lines = [
        Line(f"mean of {run.dram.every:,} cycles", "blue", points, "area"),
        Line(f"{rate:g} B/cycle: the memory's", "ink", [(0.0, rate), (end, rate)], "dashed"),
    ]
    curves = Curves(lines, Axis("thousand cycles", limit=end), Axis("bytes a cycle", limit=1.15 * rate))
    return Figure("dram", _named(run, "DRAM traffic over time"), RTL, curves)


def _scratchpad(run: ChipRun) -> Figure | None:
    if run.scratchpad is None:
        return None
    size, end = run.chip.spad_bytes / 1024, run.cycles / 1e3
    lines = [
        Line("holds what is still to be read", "green", _over_time(run.scratchpad, 1024, False), "area"),
        Line(f"{size:g} KiB: all of it", "ink", [(0.0, size), (end, size)], "dashed"),
    ]
    curves = Curves(lines, Axis("thousand cycles", limit=end), Axis("KiB", limit=1.15 * size))
    return Figure("scratchpad", _named(run, "scratchpad in use over time"), RTL, curves)


def _errors(run: ChipRun) -> Figure | None:
    known = [t for t in run.tensors if t.error is not None]
    if not known:
        return None
    colours = {4: "red", 8: "blue", 16: "green"}
    series = [
        Series(f"{bits} bits", colours.get(bits, "grey"),
               [100 * (t.error or 0.0) if t.bits == bits else 0.0 for t in known])
        for bits in sorted({t.bits for t in known})
    ]  # fmt: skip
    notes = [f"{t.form}, {' × '.join(map(str, t.shape))}" for t in known]
    bars = Bars([t.name for t in known], series, Axis("relative error against floating point, %"), notes)
    return Figure("errors", _named(run, "error of every tensor"), CPU, bars)


def _tensor_table(run: ChipRun) -> Table | None:
    if not run.tensors:
        return None
    rows = [
        [t.name, *t.shape, t.bits, t.form, None if t.error is None else round(100 * t.error, 3)] for t in run.tensors
    ]
    columns = ["tensor", "height", "width", "channels", "bits", "code", "error, %"]
    return Table("tensors", "widths and error of every tensor", CPU, columns, rows)


def _layer_table(run: ChipRun) -> Table | None:
    if not run.layers:
        return None
    columns = ["layer", "mode", "MMAC", "cycles", "of the run, %", *(f"{c}" for c in CAUSES), "read, kB", "written, kB",
               "MAC/cycle", "of the mode's rate, %"]  # fmt: skip
    rows = [
        [
            la.name, la.mode, round(la.macs / 1e6, 3), la.cycles, round(100 * la.cycles / run.cycles, 2),
            *(round(v, 1) for v in (split(la)[c] for c in CAUSES)), la.bytes_read / 1e3, la.bytes_written / 1e3,
            round(la.macs / la.cycles, 1) if la.cycles else 0.0,
            round(100 * la.ideal_cycles / la.cycles, 1) if la.cycles else 0.0,
        ]
        for la in run.layers
    ]  # fmt: skip
    return Table("layer_table", "every layer", RTL, columns, rows)


__all__ = ["Section", "chip_page", "limits", "quantities", "roofline", "split"]
