"""The report's content: figures say what the run says, every number is explained, broken parts cost themselves."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from tests.kit.command import triptych
from tests.kit.runs import (  # noqa: F401 - a fixture among them
    AREA_FILE,
    ENERGY_FILE,
    MEASURED,
    RATES,
    TIMING_FILE,
    blank_pictures,
    chip_run,
    without,
)
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.fastcar import study
from triptych.sim.fastcar.performance import Schedule
from triptych.sim.label import Label
from triptych.sim.view import compare
from triptych.sim.view.chip_page import chip_page, roofline, split
from triptych.sim.view.explain import explained
from triptych.sim.view.figure import Bars, Boxes, Curves, Figure, Page, Spans
from triptych.sim.view.page import TEMPLATES
from triptych.sim.view.plot import pictures_of, plot
from triptych.sim.view.report import read, write_report
from triptych.sim.view.runfile import save
from triptych.sim.view.runs import ChipRun, FpgaRun
from triptych.sim.view.trace import trace


def figure(page: Page, name: str) -> Figure:
    return next(f for f in page.figures if f.name == name)


def page_of(run: ChipRun, folder: Path = Path()) -> Page:
    return chip_page(run, folder, [])


@pytest.mark.parametrize("widths", Widths)
def test_bars_sum_to_the_runs_cycles(widths: Widths) -> None:
    run = chip_run(widths=widths)
    bars = figure(page_of(run), "layers").drawn
    assert isinstance(bars, Bars)
    assert sum(sum(s.values) for s in bars.series) * 1e3 == pytest.approx(run.cycles)
    early = replace(run.layers[0], ideal_cycles=run.layers[0].classes["active"] + 5.0)  # the next layer has its last
    for layer in (*run.layers, early):
        assert sum(split(layer).values()) == pytest.approx(layer.cycles)
        assert min(split(layer).values()) >= 0
    engines = figure(page_of(run), "engines").drawn
    assert isinstance(engines, Bars)
    assert [sum(s.values[n] for s in engines.series) * 1e3 for n in range(4)] == pytest.approx([run.cycles] * 4)


def test_small_layers_share_a_bar_and_nothing_is_lost() -> None:
    run = chip_run()
    small = [replace(run.layers[1], name=f"small{n}", cycles=2, ideal_cycles=1.0, macs=128,
                     classes=run.layers[1].classes | {"active": 1, "acc": 1}) for n in range(5)]  # fmt: skip
    rest = replace(run.layers[1], cycles=390, classes=run.layers[1].classes | {"acc": 390 - 52})
    bars = figure(page_of(replace(run, layers=[run.layers[0], rest, *small, run.layers[2]])), "layers").drawn
    assert isinstance(bars, Bars)
    assert bars.rows == ["encoder.0", "encoder.1", "(start and end)", "(5 smaller layers)"]
    assert sum(sum(s.values) for s in bars.series) * 1e3 == pytest.approx(run.cycles)


@pytest.mark.parametrize(
    ("widths", "modes"),
    [
        (Widths.W8A8, {"w8a8": 64}),
        (Widths.MIXED, {"w8a8": 64, "w4a4": 256}),
        (Widths.W4A4, {"w4a4": 256, "attention": 128}),
        (Widths.W4A8, {"w4a8": 128, "depthwise": 128}),
    ],
)
def test_points_of_the_roofline_stand_at_the_right_rate(widths: Widths, modes: dict[str, int]) -> None:
    """Points at MACs a cycle and a byte; a ceiling at the rate of each mode, named by it; the W4A4 peak always."""
    run = chip_run(widths=widths)
    curves = roofline(run)
    points = {p: line.name for line in curves.lines if line.style == "points" for p in line.points}
    for layer in run.layers[:2]:
        assert points[layer.macs / layer.dram_bytes, layer.macs / layer.cycles] == layer.mode
        assert layer.peak == RATES[layer.mode] == modes[layer.mode]
    tops = {max(y for _, y in line.points): line.name for line in curves.lines if line.style != "points"}
    assert set(tops) == {256.0, *map(float, modes.values())}
    for mode, rate in modes.items():
        assert mode in tops[float(rate)]
        assert f"{rate} MAC/cycle" in tops[float(rate)]
    for line in curves.lines:
        if line.style == "points":
            assert max(y for _, y in line.points) <= modes[line.name]
    title = figure(page_of(run), "roofline").title
    assert title == f"roofline of every layer: meter, {widths.value}, small"


def test_headlines() -> None:
    numbers = {q.name: q for q in page_of(chip_run(widths=Widths.W8A8)).quantities}
    assert numbers["latency"].value == pytest.approx(1e-3)  # 1000 cycles at 1 GHz
    assert numbers["fps"].value == pytest.approx(1e6)
    assert numbers["mac_per_cycle"].value == pytest.approx(32.0)
    assert numbers["of_peak"].value == pytest.approx(12.5)  # of 256, not of 64
    assert numbers["mxu_utilization"].value == pytest.approx(50.0)
    assert numbers["dram_bytes"].value == pytest.approx(2240e-6)
    said = page_of(chip_run(widths=Widths.W8A8)).said
    assert "“accumulators full: VPU behind”" in said
    assert "Modes slower than W4A4 cost 38% of the cycles" in said


def test_the_gantt_is_the_spans() -> None:
    run = chip_run()
    spans = figure(page_of(run), "gantt").drawn
    assert isinstance(spans, Spans)
    assert run.program is not None
    told = [(spans.lanes[b.lane], round(b.begin * 1e3), round(b.end * 1e3)) for b in spans.bars]
    assert told == [(e, b, t) for e, rows in run.program.spans.items() for _, b, t in rows]
    assert [spans.groups[b.group][0] for b in spans.bars] == ["w4a8", "w4a8", "depthwise", "depthwise"]


def test_what_is_missing_is_left_out() -> None:
    whole = {f.name for f in page_of(chip_run()).figures}
    assert whole == {"layers", "engines", "gantt", "roofline", "traffic", "dram", "scratchpad", "errors"}
    for part, gone in (
        ("program", {"gantt"}), ("dram", {"dram"}), ("scratchpad", {"scratchpad"}), ("counters", {"engines"}),
        ("tensors", {"errors"}), ("layers", {"layers", "roofline", "traffic"}),
    ):  # fmt: skip
        run = without(chip_run(), part)
        if part == "layers":
            run = without(run, "program")
            gone = {*gone, "gantt"}
        assert {f.name for f in page_of(run).figures} == whole - gone, part


def test_area_is_split_and_sums_to_the_whole(tmp_path: Path) -> None:
    (tmp_path / "area.json").write_text(json.dumps(AREA_FILE))
    page = page_of(chip_run(), tmp_path)
    drawn = figure(page, "area").drawn
    assert isinstance(drawn, Boxes)
    assert sum(box.value for box in drawn.boxes) == pytest.approx(100.0)
    assert sum(box.width * box.height for box in drawn.boxes) == pytest.approx(1.0)
    table = next(t for t in page.tables if t.name == "area_table")
    assert {row[0]: row[2] for row in table.rows} == {
        "MXU": 41.0, "VPU: reductions": 4.0, "VPU: functions": 6.0, "VPU: storage": 8.0, "VPU: requantise": 20.0,
        "VPU: control": 6.0, "DMA and scratchpad": 10.0, "front end, registers, top": 5.0,
    }  # fmt: skip
    assert figure(page, "area").label is Label.ESTIMATED
    other = replace(chip_run(), chip=replace(chip_run().chip, name="paper"))
    assert "area" not in {f.name for f in page_of(other, tmp_path).figures}  # of another chip
    (tmp_path / "area.json").write_text(json.dumps(AREA_FILE)[:-9])
    assert "area" not in {f.name for f in page_of(chip_run(), tmp_path).figures}


def test_the_clock_is_that_of_the_slowest_path(tmp_path: Path) -> None:
    (tmp_path / "timing.json").write_text(json.dumps(TIMING_FILE))
    page = page_of(chip_run(), tmp_path)
    assert {q.name: q.value for q in page.quantities}["fmax"] == pytest.approx(125.0)
    table = next(t for t in page.tables if t.name == "path_table")
    assert [row[:2] for row in table.rows] == [["u_vpu", 125.0], ["u_mxu", 200.0]]
    drawn = figure(page, "floorplan").drawn
    assert isinstance(drawn, Boxes)
    assert sum(box.width * box.height for box in drawn.boxes) == pytest.approx(1.0)
    assert drawn.boxes[0].text == "mxu: 200 MHz"


def test_energy_by_part_sums_to_the_frame(tmp_path: Path) -> None:
    (tmp_path / "energy.json").write_text(json.dumps(ENERGY_FILE))
    page = page_of(chip_run(), tmp_path)
    (number,) = (q for q in page.quantities if q.name == "energy")
    assert (number.value, number.unit, number.label) == (1.875, "mJ", Label.ESTIMATED)
    drawn = figure(page, "energy_parts").drawn
    assert isinstance(drawn, Bars)
    assert drawn.rows == ["DRAM", "mxu", "vpu", "SRAM"]
    assert sum(sum(series.values) for series in drawn.series) == pytest.approx(number.value)
    assert all(len(explained(name)) > 10 for name in ("energy", "energy_parts"))
    other = replace(chip_run(), chip=replace(chip_run().chip, name="paper"))
    assert "energy_parts" not in {f.name for f in page_of(other, tmp_path).figures}


# -- Explained numbers ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> list[Page]:
    """A page of each kind."""
    folder = tmp_path_factory.mktemp("runs")
    maps = [[[[True, False]]]]
    save(FpgaRun("video", chip_run().origin, {"skip_ratio": 0.5}, skip_maps=maps), folder / "v.run.json")
    points = [study.evaluate(study.Case("KV260", 1, skip, schedule=s)) for skip in (0.5, 0.8) for s in Schedule]
    save(study.study_run(points, ()), folder / "s.run.json")
    return [
        page_of(chip_run()),
        read(folder / "v.run.json").page,
        read(folder / "s.run.json").page,
        read(MEASURED).page,
    ]


def test_every_number_and_figure_has_its_line(every: list[Page]) -> None:
    assert {p.machine for p in every} == {"chip", "fpga", "gpu"}
    missing = []
    for page in every:
        names = [q.name for q in page.quantities] + [f.name for f in page.figures]
        names += [f"{t.name}.{c}" for t in page.tables for c in t.columns]
        names += [f"comparison.{c}" for c in compare.comparison(page, page).columns]
        missing += [name for name in names if len(explained(name)) < 10]
    assert not missing
    assert explained("nothing_of_the_kind") == ""  # a name that docs/report.md does not have is found


def test_axes_have_units_and_figures_labels(every: list[Page]) -> None:
    for page in every:
        for drawn in page.figures:
            assert isinstance(drawn.label, Label)
            for axis in (getattr(drawn.drawn, name, None) for name in ("axis", "x", "y")):
                assert axis is None or len(axis.label) > 1


# -- Timeline ------------------------------------------------------------------------------------------------------


def test_the_timeline_is_the_runs_retirements() -> None:
    run = chip_run()
    text = trace(run)
    assert text is not None
    document = json.loads(text)
    schema = json.loads((TEMPLATES / "trace.schema.json").read_text())
    jsonschema.validate(document, schema)
    assert run.program is not None
    spans = [e for e in document["traceEvents"] if e["ph"] == "X" and e["cat"] != "token"]
    found: dict[str, list[tuple[int, int, int]]] = {"LOAD": [], "MXU": [], "VPU": [], "STORE": []}
    for e in spans:
        begin, end = round(e["ts"] * 1000), round((e["ts"] + e["dur"]) * 1000)
        assert (begin, end) == (e["args"]["begin"], e["args"]["end"])
        found[list(found)[e["pid"] - 1]].append((e["args"]["pc"], begin, end))
        text = f"{e['args']['instruction']} {e['args']['operands']}"
        assert text == run.program.instructions[e["args"]["pc"]]
    assert found == run.program.spans
    waits = [(e["pid"], e["name"], e["args"]["begin"], e["args"]["end"]) for e in document["traceEvents"]
             if e.get("cat") == "token"]  # fmt: skip
    assert waits == [(2, "LOAD #1", 0, 92), (3, "MXU #1", 0, 502), (4, "VPU #1", 0, 802)]
    counters = {e["name"] for e in document["traceEvents"] if e["ph"] == "C"}
    assert counters == {"DRAM bytes a cycle", "scratchpad in use"}
    for planted in ({"dur": -1}, {"ph": "Z"}, {"args": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | {"traceEvents": [spans[0] | planted]}, schema)


def test_instructions_under_way_at_once_lie_in_rows_of_their_own() -> None:
    run = chip_run()
    assert run.program is not None
    spans = run.program.spans | {"MXU": [(1, 10, 50), (1, 40, 90), (1, 60, 95)]}
    text = trace(replace(run, program=replace(run.program, spans=spans)))
    rows = [
        e["tid"] for e in json.loads(text or "")["traceEvents"] if e["ph"] == "X" and e["pid"] == 2 and e["tid"] < 9
    ]
    assert rows == [1, 2, 1]


# -- Files ---------------------------------------------------------------------------------------------------------


class Structure(HTMLParser):
    """What stands in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str, kind: str) -> list[str | None]:
        return [a.get("data-name") for t, a in self.tags if t == tag and a.get("class") == kind]


def test_the_page_stands_alone(tmp_path: Path) -> None:
    save(chip_run("</script><b>$x_$ 写真"), tmp_path / "t.run.json")
    made = write_report([tmp_path / "t.run.json"])
    assert made.index == tmp_path / "t.report" / "index.html"
    text = made.index.read_text()
    page = page_of(chip_run())
    structure = Structure(text)
    assert structure.named("figure", "figure") == [f.name for f in page.figures]
    assert structure.named("table", "sortable") == ["tensors", "layer_table", "numbers"]
    assert [a["data-quantity"] for t, a in structure.tags if "data-quantity" in a] == [
        "latency", "fps", "cycles", "mac_per_cycle", "of_peak", "dram_bytes"
    ]  # fmt: skip
    for tag, attributes in structure.tags:  # nothing is fetched: all that is named lies beside the page, to be clicked
        for name in ("src", "href"):
            address = attributes.get(name) or ""
            assert not re.match(r"(https?:)?//", address), (tag, address)
        if tag in ("script", "link", "img"):
            assert (attributes.get("src") or attributes.get("href") or "data:").startswith("data:")
        if tag == "a" and not (attributes["href"] or "").startswith("#"):
            assert (made.index.parent / (attributes["href"] or "")).is_file(), attributes
    assert text.count("</script>") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert set(data[0]) == {f.name for f in page.figures}
    figures = {p.name for p in (made.index.parent / "figures").iterdir()}
    assert figures == {f"{f.name}.{e}" for f in page.figures for e in ("svg", "png")}
    with (made.index.parent / "tables" / "layer_table.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["layer"], int(r["cycles"])) for r in rows] == [(la.name, la.cycles) for la in chip_run().layers]
    assert json.loads((made.index.parent / "tables" / "layer_table.json").read_text())[0]["layer"] == "encoder.0"


def test_a_planted_mislabel_is_seen(tmp_path: Path) -> None:
    """The widths in every title, and the peak, are those of the run: a run that says otherwise gives another page."""
    for widths in Widths:
        save(chip_run(widths=widths), tmp_path / "t.run.json")
        text = write_report([tmp_path / "t.run.json"], out=tmp_path / "r").index.read_text()
        titles = re.findall(r"<figcaption>(.*?) <small", text)
        assert len(titles) == 8
        assert all(title.endswith(f": meter, {widths.value}, small") for title in titles)
        drawn = pictures_of(plot(figure(page_of(chip_run(widths=widths)), "roofline")), tmp_path / "roofline")
        svg = drawn[tmp_path / "roofline.svg"].decode()
        assert drawn[tmp_path / "roofline.png"].startswith(b"\x89PNG")
        assert f"meter, {widths.value}, small" in svg
        others = [w.value for w in Widths if w is not widths]
        assert not any(f"meter, {other}" in text + svg for other in others)


def test_a_second_report_replaces_the_first_and_nothing_else(tmp_path: Path) -> None:
    save(chip_run(), tmp_path / "t.run.json")
    write_report([tmp_path / "t.run.json"], out=tmp_path / "r")
    (tmp_path / "r" / "mine.txt").write_text("mine")
    save(without(chip_run(), "program"), tmp_path / "t.run.json")
    write_report([tmp_path / "t.run.json"], out=tmp_path / "r")
    held = {p.name for p in (tmp_path / "r").rglob("*")}
    assert "mine.txt" in held
    assert not {"gantt.svg", "gantt.csv"} & held
    assert not any(name.endswith(".trace.json") for name in held)


def test_broken_files_cost_themselves_alone(tmp_path: Path) -> None:
    save(chip_run("good"), tmp_path / "good.run.json")
    half = (tmp_path / "good.run.json").read_text()
    (tmp_path / "half.run.json").write_text(half[: len(half) // 2])
    (tmp_path / "old.run.json").write_text('{"format": 1, "title": "old"}')
    (tmp_path / "hole.run.json").write_text(half.replace('"spans"', '"spams"').replace("good", "hole"))
    files = [tmp_path / f"{name}.run.json" for name in ("half", "good", "old", "hole")]
    done = triptych(tmp_path, "report", *files, "--out", tmp_path / "r")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("triptych: ")]
    assert len(lines) == 4
    assert "half.run.json is no run: it is no JSON, or half of it" in lines[0]
    assert "old.run.json" in lines[1]
    assert "program.spans is missing (that part of the report is left out)" in lines[2]
    assert lines[3] == "triptych: 2 of 4 runs could not be read (above); the others are in the report"
    text = (tmp_path / "r" / "index.html").read_text()
    assert text.count('class="problem"') == 3
    assert Structure(text).named("figure", "figure").count("layers") == 2


def test_gpu_speed_is_over_dense() -> None:
    page = read(MEASURED).page
    curves = figure(page, "speed_1").drawn
    assert isinstance(curves, Curves)
    rows = json.loads((MEASURED.parent / "draft_kernel.json").read_text())["rows"]
    dense = next(r["ms"] for r in rows if r["kernel"] == "cuDNN")
    ours = next(
        r for r in rows if (r["kernel"], r["sparsity"], r["precision"], r["tail"]) == ("hopper", 0.9, "16 bit", False)
    )
    line = next(line for line in curves.lines if line.name == "ours (Hopper)")
    assert dict(line.points)[90.0] == pytest.approx(dense / ours["ms"])
