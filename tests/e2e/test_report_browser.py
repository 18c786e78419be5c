"""The report in a real browser: everything is drawn, nothing is asked of the network, clicks do what they say; and the
timeline opens in the viewer that comes with the environment."""

from __future__ import annotations

import io
import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from tests.kit.browser import Browser, browser, chromium
from tests.kit.runs import MEASURED, chip_run
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.view import report
from triptych.sim.view.page import TEMPLATES
from triptych.sim.view.report import write_report
from triptych.sim.view.runfile import save
from triptych.sim.view.runs import ChipRun, Program, Samples

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here: apt-get install chromium")


def busy_run() -> ChipRun:
    """A run with instructions that overlap, and many of them."""
    run = chip_run("first", Widths.MIXED, longer=24000)
    long = "encoder.mvit.0.transformer.layers.0.0.fn.matmul_1.encoder.mvit.0.transformer.layers"
    run = replace(run, layers=[replace(run.layers[0], name=long), *run.layers[1:]])
    spans = {
        "LOAD": [(0, t, t + 90) for t in range(0, 24000, 200)],
        "MXU": [(1, t, t + 130) for t in range(100, 24000, 100)],
        "VPU": [(2, t, t + 90) for t in range(200, 24000, 100)],
        "STORE": [(3, t, t + 20) for t in range(300, 24000, 300)],
    }
    assert run.program is not None
    program = Program(run.program.instructions, run.program.layer_of, run.program.waits, spans)
    return replace(run, program=program, dram=Samples(50, [float(v % 960) for v in range(0, 50000, 100)]))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A page of two chip runs and a GPU's."""
    folder = tmp_path_factory.mktemp("browser")
    save(busy_run(), folder / "a.run.json")
    save(chip_run("second", Widths.W4A8), folder / "b.run.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "pictures_of", lambda drawn, path: {})
        patch.setattr(report, "plot", lambda drawn: drawn)
        made = write_report([folder / "a.run.json", folder / "b.run.json", MEASURED], history=folder / "history.jsonl")
    return made.index


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


def test_a_designer_clicks_through(page: Path, chrome: Browser) -> None:
    chrome.size(1200, 900)
    chrome.open(page.as_uri())
    for run, count in (("0", 8), ("1", 8), ("2", 9)):
        chrome.click(f'.tab[data-run="{run}"]')
        shown = f'.run[data-run="{run}"]'
        assert chrome.js(f"document.querySelectorAll('{shown} .figure').length") == count
        assert chrome.js(f"[...document.querySelectorAll('{shown} .figure')].every(f => f.dataset.drawn)")
        assert chrome.js("[...document.querySelectorAll('.run')].filter(r => !r.hidden).length") == 1
        empty = f"[...document.querySelectorAll('{shown} .chart')].filter(c => !c.firstChild || c.clientHeight < 60)"
        assert chrome.js(f"{empty}.length") == 0
        assert chrome.js("document.documentElement.scrollWidth") <= 1200
    _bars_and_points(chrome)
    _hover(chrome)
    _sorting(chrome)
    _comparison(chrome)
    _gantt(chrome)
    assert chrome.errors == []
    assert chrome.requests == [page.as_uri()]


def _bars_and_points(chrome: Browser) -> None:
    """What is drawn is what the run says."""
    chrome.click('.tab[data-run="1"]')
    values = "[...document.querySelectorAll('.run[data-run=\"1\"] [data-name=layers] rect[data-value]')]"
    assert chrome.js(f"{values}.reduce((sum, r) => sum + Number(r.dataset.value), 0)") == pytest.approx(1.0)  # thousand
    widths = chrome.js(f"{values}.map(r => [Number(r.dataset.value), r.getBoundingClientRect().width])")
    ratios = [width / value for value, width in widths if width > 10]
    assert max(ratios) == pytest.approx(min(ratios), rel=0.02)
    row = f"{values}.filter(r => r.parentNode.dataset.row === 'encoder.0').map(r => r.getBoundingClientRect())"
    edges = chrome.js(f"{row}.map(b => [b.left, b.right])")
    assert len(edges) == 3  # ideal, beyond it, accumulators: one behind the other
    assert all(b == pytest.approx(c, abs=0.6) for (_, b), (c, _) in itertools.pairwise(edges))
    points = "[...document.querySelectorAll('.run[data-run=\"1\"] [data-name=roofline] circle[data-y]')]"
    told = chrome.js(f"{points}.map(c => [Number(c.dataset.x), Number(c.dataset.y)])")
    layers = chip_run(widths=Widths.W4A8).layers[:2]
    assert told == [pytest.approx([la.macs / la.dram_bytes, la.macs / la.cycles]) for la in layers]


def _hover(chrome: Browser) -> None:
    chrome.hover('.run[data-run="1"] [data-name=layers] .row[data-row="encoder.0"]')
    assert chrome.js("document.getElementById('tip').hidden") is False
    assert chrome.js("document.getElementById('tip').textContent").startswith("encoder.0\nw4a8, 0.03 MMAC, 500 cycles")
    chrome.hover('.run[data-run="1"] [data-name=roofline] circle[data-y]')
    assert "encoder.0: 51.2 of 128 MAC/cycle" in chrome.js("document.getElementById('tip').textContent")
    chrome.hover("h1:not([hidden])")


def _sorting(chrome: Browser) -> None:
    table = '.run[data-run="1"] [data-name=layer_table]'
    column = f"[...document.querySelectorAll('{table} tbody tr')].map(r => Number(r.cells[3].dataset.value))"
    assert chrome.js(column) == [500, 400, 100]
    chrome.click(f"{table} th:nth-child(4)")
    chrome.click(f"{table} th:nth-child(4)")
    assert chrome.js(column) == [100, 400, 500]
    assert chrome.js(f"document.querySelector('{table} th:nth-child(4)').ariaSort") == "ascending"
    chrome.click(f"{table} th:nth-child(4)")
    assert chrome.js(column) == [500, 400, 100]


def _comparison(chrome: Browser) -> None:
    place = '.run[data-run="1"] .comparison'
    assert chrome.js(f"document.querySelector('{place}').hidden") is True
    chrome.click('.run[data-run="1"] .choice')
    assert chrome.js(f"document.querySelector('{place}').hidden") is False
    rows = f"[...document.querySelectorAll('{place} tbody tr')].filter(r => r.offsetParent)"
    verdicts = chrome.js(f"{rows}.map(r => r.cells[5].textContent)")
    assert "better" in verdicts
    assert "same" not in verdicts
    chrome.click(f"{place} .unchanged")
    assert "same" in chrome.js(f"{rows}.map(r => r.cells[5].textContent)")
    chrome.click('.run[data-run="1"] .choice')
    assert chrome.js(f"document.querySelector('{place}').hidden") is True
    assert chrome.js("document.querySelectorAll('.run[data-run=\"2\"] .choice').length") == 0  # no other GPU run


def _gantt(chrome: Browser) -> None:
    chrome.click('.tab[data-run="0"]')
    chart = '.run[data-run="0"] [data-name=gantt]'
    chrome.hover(f"{chart} canvas")
    told = chrome.js("document.getElementById('tip').textContent")
    assert told.startswith(("VPU, ", "MXU, "))
    assert "thousand cycles\nencoder." in told
    before = _colours(chrome, chart)
    assert len(before) >= 3  # a colour a mode, the text's, the paper
    chrome.click(f"{chart} .zoom button")
    view = chrome.js(f"document.querySelector('{chart}').view")
    assert view["to"] - view["from"] < 0.6 * 25
    chrome.click(f"{chart} .zoom button:last-child")
    assert chrome.js(f"document.querySelector('{chart}').view.to") > 20


def _colours(chrome: Browser, chart: str) -> set[tuple[int, ...]]:
    """Colours of which a canvas has much."""
    data = f"(() => {{ const c = document.querySelector('{chart} canvas'); return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }})()"  # noqa: E501
    pixels, counts = np.unique(np.array(chrome.js(data), np.uint8).reshape(-1, 4), axis=0, return_counts=True)
    return {tuple(int(v) for v in p) for p, n in zip(pixels, counts, strict=True) if n > 200}


def test_themes_phones_and_paper(page: Path, chrome: Browser) -> None:
    """Nothing overflows on a phone; dark is dark; on paper every run is there, in light colours."""
    chrome.size(390, 844, mobile=True)
    chrome.open(page.as_uri())
    for run in "012":
        chrome.js(f"show('{run}')")
        assert chrome.js("document.documentElement.scrollWidth") <= 390
        drawn = "[...document.querySelectorAll('.chart svg, .chart canvas')]"
        assert chrome.js(f"{drawn}.filter(c => c.getBoundingClientRect().width > 390).length") == 0
    chrome.js("show('0')")
    chrome.js("scrollTo(0, 0)")
    for theme, dark in (("light", False), ("dark", True)):
        chrome.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        corner = Image.open(io.BytesIO(chrome.picture())).convert("L").getpixel((3, 800))
        assert isinstance(corner, int)
        assert (corner < 60) is dark
    chrome.click("#theme")
    assert chrome.js("document.documentElement.dataset.theme") == "light"
    chrome.js("delete document.documentElement.dataset.theme")
    dark_print = [{"name": "prefers-color-scheme", "value": "dark"}]
    chrome.call("Emulation.setEmulatedMedia", media="print", features=dark_print)
    assert chrome.js("[...document.querySelectorAll('.run')].every(r => r.offsetParent)")
    assert chrome.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    chrome.wait("[...document.querySelectorAll('.figure')].every(f => f.dataset.drawn)")
    chrome.call("Emulation.setEmulatedMedia", media="", features=[])
    assert chrome.errors == []


def test_the_timeline_opens_in_the_viewer(page: Path, chrome: Browser) -> None:
    viewer = Path(sys.executable).parent / "vizviewer"
    if not viewer.exists():
        pytest.skip("no vizviewer: pip install 'triptych[hardware]'")
    (timeline,) = page.parent.glob("*first.trace.json")
    document, run = json.loads(timeline.read_text()), busy_run()
    jsonschema.validate(document, json.loads((TEMPLATES / "trace.schema.json").read_text()))
    assert run.program is not None
    told = [
        (e["args"]["pc"], round(1000 * e["ts"]), round(1000 * (e["ts"] + e["dur"])))
        for e in document["traceEvents"]
        if e["ph"] == "X" and e["cat"] != "token"
    ]
    assert told == [span for spans in run.program.spans.values() for span in spans]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [str(viewer), "--server_only", "--port", str(port), str(timeline)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _connected(port)
        chrome.size(1200, 900)
        chrome.open(f"http://127.0.0.1:{port}")
        chrome.wait("document.title.includes('Perfetto') && document.body.innerText.includes('STORE 4')", 120)
        text = chrome.js("document.body.innerText")
        assert all(name in text for name in ("LOAD 1", "MXU 2", "VPU 3", "memory 5"))
    finally:
        server.terminate()
        server.wait(20)


def _connected(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the viewer does not listen")
