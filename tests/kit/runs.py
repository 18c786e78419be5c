"""Run files that tests report on: small, whole, and made by nothing but the record's own types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.build.sources import ROOT
from triptych.sim.rtl.cycle_classes import CLASSES
from triptych.sim.view import report
from triptych.sim.view.origin import Origin
from triptych.sim.view.runs import (
    ChipRun,
    ChipSizes,
    LayerRun,
    MemoryTerms,
    NetworkTerms,
    Program,
    Samples,
    TensorRun,
)

MEASURED = ROOT / "tests" / "gpu" / "measured" / "draft.run.json"
ORIGIN = Origin(
    "triptych depth photo.jpg", "0123456789abcdef", False, "a computer, 2 cores", "2026-01-01T00:00:00+00:00"
)
RATES = {"w4a4": 256, "w4a8": 128, "w8a8": 64, "depthwise": 128, "attention": 128}  # of `small`, MACs a cycle
MODES = {Widths.W4A8: ("w4a8", "depthwise"), Widths.W4A4: ("w4a4", "attention"), Widths.W8A8: ("w8a8", "w8a8"),
         Widths.MIXED: ("w8a8", "w4a4")}  # fmt: skip


def layer(name: str, mode: str, macs: int, cycles: int, read: int = 640, written: int = 320) -> LayerRun:
    """One that is ideal for as long as its MACs take, and waits for accumulators for the rest."""
    ideal = macs / RATES[mode]
    active = int(ideal) + 2
    classes = dict.fromkeys([c for e, names in CLASSES.items() if e.name == "MXU" for c in names], 0)
    return LayerRun(
        name, mode, macs, ideal, cycles, classes | {"active": active, "acc": cycles - active}, read, written
    )


def chip_run(title: str = "photo.w4a8-small", widths: Widths = Widths.W4A8, longer: int = 0) -> ChipRun:
    """Two layers of the modes that such a network has, of 1000 + `longer` cycles; the last 100 belong to none."""
    first, second = MODES[widths]
    layers = [
        layer("encoder.0", first, 25600, 500 + longer),
        layer("encoder.1", second, 6400, 400),
        LayerRun("(start and end)", "vector", 0, 0.0, 100, {**dict.fromkeys(layer("", "w4a4", 0, 2).classes, 0),
                                                           "empty": 100}, 0, 0),
    ]  # fmt: skip
    cycles = 1000 + longer
    counters = {
        e.name: {c: (cycles - len(names) + 1 if n == 0 else 1) for n, c in enumerate(names)}
        for e, names in CLASSES.items()
    }
    program = Program(
        ["LOAD dram=0x40 rows=1 row_bytes=640", "MATMUL wait_load=1 out_h=4", "VECTOR wait_mxu=1 h=4", "STORE rows=1",
         "HALT"],
        [0, 0, 1, 1, 1], [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 0)],
        {"LOAD": [(0, 2, 90)], "MXU": [(1, 92, 500)], "VPU": [(2, 502, 800)], "STORE": [(3, 802, 950)]},
    )  # fmt: skip
    return ChipRun(
        title, ORIGIN, ChipSizes("small", 16, 8, 64, 262144, 1000), MemoryTerms(19.2, 40),
        NetworkTerms("meter", widths, 32000, (64, 64, 3)), cycles, 1600, 640, True, layers, counters, program,
        Samples(100, [224.0] * 10), Samples(100, [1024.0 * n for n in range(10)]),
        [TensorRun("x", (64, 64, 3), 8, "INT8", 0.0), TensorRun("encoder.0", (32, 32, 8), 4, "UINT4", 0.05)],
    )  # fmt: skip


def without(run: ChipRun, part: str) -> ChipRun:
    """The run without a part."""
    return replace(run, **{part: None if part in ("program", "dram", "scratchpad") else type(getattr(run, part))()})


@pytest.fixture(autouse=True)
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matplotlib's pictures take seconds: reports here have empty ones, and the tests of pictures draw their own."""

    def blank(_: object, path: Path) -> dict[Path, bytes]:
        return {path.with_name(f"{path.name}.{ending}"): b"" for ending in ("svg", "png")}

    monkeypatch.setattr(report, "pictures_of", blank)
    monkeypatch.setattr(report, "plot", lambda drawn: drawn)


AREA_FILE = {
    "config": "small", "library": "none", "unit": "transistors", "label": "estimated", "flops": 10,
    "instances": [
        {"path": path, "module": path.rpartition("_")[2], "own": own, "total": total, "memory_bits": 8192,
         "memory_area": 0.0}
        for path, own, total in (
            ("quartdepth", 5.0, 100.0), ("quartdepth/u_mxu", 1.0, 41.0), ("quartdepth/u_mxu/u_array", 40.0, 40.0),
            ("quartdepth/u_vpu", 2.0, 44.0), ("quartdepth/u_vpu/u_lanes", 20.0, 20.0),
            ("quartdepth/u_vpu/u_reduce", 4.0, 4.0), ("quartdepth/u_vpu/u_row_function", 6.0, 6.0),
            ("quartdepth/u_vpu/u_program_store", 8.0, 8.0), ("quartdepth/u_vpu/u_sequencer", 4.0, 4.0),
            ("quartdepth/u_dma_load", 10.0, 10.0),
        )
    ],
}  # fmt: skip
"""What `triptych area` leaves: a chip whose parts have round areas."""

TIMING_FILE = {
    "config": "small", "library": "osu018",
    "paths": [{"part": "u_mxu", "delay": 5.0, "start": "a_q", "end": "b_q", "modules": ["u_mxu", "u_mxu.u_array"]},
              {"part": "u_vpu", "delay": 8.0, "start": "c_q", "end": "d_q", "modules": ["u_vpu"]}],
    "boxes": [{"what": "u_mxu", "x": 0.0, "y": 0.0, "width": 60.0, "height": 50.0},
              {"what": "u_vpu", "x": 60.0, "y": 0.0, "width": 40.0, "height": 50.0}],
    "memories": [{"what": "u_spad", "x": 0.0, "y": 50.0, "width": 100.0, "height": 30.0}],
}  # fmt: skip
"""What `triptych timing` leaves."""

ENERGY_FILE = {
    "config": "small", "library": "osu018", "network": "METER-XXS", "kinds": ["Conv2d, w4a4", "Attention, attention"],
    "macs": 200_000_000, "cycles": 1_400_000,
    "parts": [{"name": "u_mxu", "rates": [0.2, 0.02], "pj": [40.0, 4.0], "mj": 0.5},
              {"name": "u_vpu", "rates": [0.1, 0.01], "pj": [30.0, 3.0], "mj": 0.25}],
    "memories": {"SRAM": 0.125, "DRAM": 1.0},
}  # fmt: skip
"""What `triptych energy` leaves."""
