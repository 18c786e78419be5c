"""A GPU run's page: speed over sparsity, from where on it pays, what it costs beside attention, error, masks."""

from __future__ import annotations

from triptych.sim.label import Label
from triptych.sim.view.figure import (
    Axis,
    Bars,
    Curves,
    Figure,
    Grids,
    Line,
    Page,
    Panel,
    Quantity,
    Series,
    Table,
    sections,
)
from triptych.sim.view.palette import nth
from triptych.sim.view.runs import GpuRun, KernelTime

GPU, CPU = Label.GPU_MEASURED, Label.CPU_MEASURED
DENSE = "cuDNN"
HEAD = 0.9  # sparsity of the headlines


def gpu_page(run: GpuRun, problems: list[str]) -> Page:
    """The page."""
    shapes = list(dict.fromkeys(k.shape for k in run.kernels))
    found = sections(
        ("speed", "Speed over sparsity", [*(_speed(run, n, shape) for n, shape in enumerate(shapes)), _kernels(run)]),
        ("crossover", "From where on it pays", [_crossover(run, block) for block in _blocks(run)]),
        ("overhead", "What a call spends beside attention", [_overhead(run)]),
        ("error", "Error", [*(_error(run, data) for data in _datas(run)), _equal_time(run)]),
        ("masks", "Which blocks are kept", [_masks(run)]),
    )
    libraries = ", ".join(f"{name} {version}" for name, version in run.libraries.items())
    facts = [("device", run.device), ("libraries", libraries), ("source", run.origin.source),
             ("written", f"{run.origin.time}, {run.origin.host}"), ("command", run.origin.command)]  # fmt: skip
    return Page(run.title, run.machine, _said(run), facts, quantities(run), found, problems)


def _dense(run: GpuRun, shape: str) -> float | None:
    return next((k.ms for k in run.kernels if (k.shape, k.kernel, k.sparsity) == (shape, DENSE, 0.0)), None)


def speedups(run: GpuRun, shape: str) -> dict[str, list[KernelTime]]:
    """Times by kernel, the dense one's apart, in order of sparsity."""
    found: dict[str, list[KernelTime]] = {}
    for k in sorted(run.kernels, key=lambda k: k.sparsity):
        if k.shape == shape and k.kernel != DENSE:
            found.setdefault(k.kernel, []).append(k)
    return found


def quantities(run: GpuRun) -> list[Quantity]:
    """The run in numbers."""
    found = []
    for k in run.kernels:
        dense = _dense(run, k.shape)
        found.append(Quantity(f"ms:{k.shape}:{k.kernel}:{k.sparsity:g}",
                              f"{k.kernel}, {k.shape}, {k.sparsity:.0%} sparse", k.ms, "ms", GPU, -1))  # fmt: skip
        if dense and k.kernel.startswith("ours (Hopper)") and k.sparsity == HEAD:
            found.append(
                Quantity(f"speed:{k.shape}:{k.kernel}", f"over {DENSE}, {k.shape}, {HEAD:.0%} sparse, {k.kernel}",
                         dense / k.ms, "x", GPU, 1, k.kernel == "ours (Hopper)")
            )  # fmt: skip
    for e in run.errors:
        if e.sparsity == HEAD:
            found.append(Quantity(f"error:{e.data}:{e.method}", f"error at {HEAD:.0%}, {e.data}, {e.method}", e.error,
                                  "", GPU, -1, e.method.startswith("ours, blocks of 64")))  # fmt: skip
    for s in run.overhead:
        found.append(Quantity(f"stage:{s.shape}:{s.stage}", f"{s.stage}, {s.shape}", s.ms, "ms", GPU, -1))
    return found


def _said(run: GpuRun) -> str:
    best = None
    for k in run.kernels:
        dense = _dense(run, k.shape)
        if dense and k.kernel.startswith("ours") and k.sparsity == HEAD and (best is None or dense / k.ms > best[0]):
            best = (dense / k.ms, k)
    if best is None:
        return f"Measured on {run.device}."
    return (
        f"On {run.device} a whole call at {HEAD:.0%} sparsity takes {best[1].ms:.1f} ms for {best[1].shape}: "
        f"{best[0]:.1f} times as fast as {DENSE}'s dense attention ({best[1].kernel})."
    )


def _speed(run: GpuRun, number: int, shape: str) -> Figure | None:
    dense = _dense(run, shape)
    if dense is None:
        return None
    lines = []
    for n, (kernel, times) in enumerate(speedups(run, shape).items()):
        style = "solid" if kernel.startswith("ours") else "dashed"
        texts = [f"{kernel}: {k.ms:.2f} ms" for k in times]
        lines.append(Line(kernel, nth(n), [(100 * k.sparsity, dense / k.ms) for k in times], style, texts))
    most = max((k.sparsity for k in run.kernels), default=0.0)
    ideal = [(float(s), 1 / (1 - s / 100)) for s in range(0, round(100 * most) + 1, 5)]
    lines.append(Line("ideal: 1 / (1 − sparsity)", "ink", ideal, "dashed"))
    curves = Curves(lines, Axis("sparsity, %", limit=100.0), Axis(f"speed over {DENSE} dense", log=True))
    return Figure(f"speed_{number + 1}", f"{shape}: whole calls over {DENSE}'s {dense:.1f} ms", GPU, curves)


def _kernels(run: GpuRun) -> Table | None:
    if not run.kernels:
        return None
    rows = []
    for k in run.kernels:
        dense = _dense(run, k.shape)
        rows.append([k.shape, k.kernel, round(100 * k.sparsity, 1), round(k.ms, 3),
                     round(dense / k.ms, 3) if dense else None, k.error])  # fmt: skip
    columns = ["shape", "kernel", "sparsity, %", "ms", f"over {DENSE}", "error"]
    return Table("kernel_table", "every kernel", GPU, columns, rows)


def _blocks(run: GpuRun) -> list[int]:
    return sorted({c.block for c in run.crossover}, reverse=True)


def _crossover(run: GpuRun, block: int) -> Figure:
    mine = [c for c in run.crossover if c.block == block]
    lines = []
    for n, sparsity in enumerate(sorted({c.sparsity for c in mine})):
        points = sorted((float(c.tokens), c.dense_ms / c.ms) for c in mine if c.sparsity == sparsity)
        lines.append(Line(f"{sparsity:.0%} sparse", nth(n), points))
    ends = [float(c.tokens) for c in mine]
    lines.append(Line("as fast as dense", "ink", [(min(ends), 1.0), (max(ends), 1.0)], "dashed"))
    curves = Curves(lines, Axis("tokens", log=True), Axis("speed over dense", log=True))
    return Figure(f"crossover_{block}", f"blocks of {block} tokens: speed over length", GPU, curves)


def _overhead(run: GpuRun) -> Figure | None:
    if not run.overhead:
        return None
    stages = list(dict.fromkeys(s.stage for s in run.overhead))
    rows, values = [], []
    for stage in stages:
        for s in run.overhead:
            if s.stage == stage:
                rows.append(f"{s.shape}: {stage}")
                values.append(s.ms)
    return Figure("overhead", "time of everything but attention", GPU,
                  Bars(rows, [Series("ms", "blue", values)], Axis("ms")))  # fmt: skip


def _datas(run: GpuRun) -> list[str]:
    return list(dict.fromkeys(e.data for e in run.errors))


def _error(run: GpuRun, data: str) -> Figure:
    lines = []
    for n, method in enumerate(dict.fromkeys(e.method for e in run.errors)):
        points = sorted((100 * e.sparsity, e.error) for e in run.errors if (e.method, e.data) == (method, data))
        lines.append(Line(method, nth(n), points, "solid" if method.startswith("ours") else "dashed"))
    curves = Curves(lines, Axis("sparsity, %", limit=100.0), Axis("relative L2 error", log=True))
    name = "error_video" if "video" in data else "error_fields"
    return Figure(name, f"error against dense attention: {data}", GPU, curves)


def _equal_time(run: GpuRun) -> Figure | None:
    lines = []
    for n, method in enumerate(dict.fromkeys(e.method for e in run.errors)):
        points = sorted((e.ms, e.error) for e in run.errors
                        if e.method == method and "video" not in e.data and e.ms is not None)  # fmt: skip
        if points:
            lines.append(Line(method, nth(n), points, "solid" if method.startswith("ours") else "dashed"))
    if not lines:
        return None
    curves = Curves(lines, Axis("ms of a whole call", log=True), Axis("relative L2 error", log=True))
    return Figure("error_time", "error at equal time: structured fields", GPU, curves)


def _masks(run: GpuRun) -> Figure | None:
    if not run.masks:
        return None
    panels = [Panel(f"head {m.head}, {m.sparsity:.0%}", m.kept) for m in run.masks]
    across = min(len(panels), 6)
    grids = Grids(panels, across, "of the blocks kept: row query frame, column key frame")
    return Figure("masks", "blocks kept, by frame of the queries and frame of the keys", CPU, grids)
