"""What hls/vitis tells the vendor's tools agrees with the kernels and with C simulation."""

from __future__ import annotations

import re

import pytest

from triptych.sim.fastcar.boards import board
from triptych.sim.fastcar.csim import GLUE, HLS


def kernels() -> dict[str, dict[str, str]]:
    """Top functions: port -> kind of interface."""
    text = (HLS / "fastcar.cpp").read_text().split('extern "C" {')[1]
    found: dict[str, dict[str, str]] = {}
    for name, body in re.findall(r"^void (\w+)\((?:.*?)\) \{\n(.*?)^\}", text, re.M | re.S):
        found[name] = {port: kind for kind, port in re.findall(r"INTERFACE (\w+) port=(\w+)", body)}
    return found


def links() -> list[tuple[str, str, str, str, int]]:
    lines = re.findall(
        r"^stream_connect=(\w+)\.(\w+):(\w+)\.(\w+):(\d+)$", (HLS / "vitis" / "link.cfg").read_text(), re.M
    )
    return [(a, b, c, d, int(n)) for a, b, c, d, n in lines]


def test_every_stream_port_is_linked_once() -> None:
    ports = {(k, p) for k, all_ports in kernels().items() for p, kind in all_ports.items() if kind == "axis"}
    ends = [end for a, b, c, d, _ in links() for end in ((a, b), (c, d))]
    assert sorted(ends) == sorted(ports)


def test_depths_are_those_of_c_simulation() -> None:
    depths = {
        k: int(v) for k, v in re.findall(r"int (\w+)_DEPTH = (\d+);", (HLS / "include" / "links.hpp").read_text())
    }
    streams = dict(re.findall(r'\{"(\w+)", (\w+)_DEPTH\}', (GLUE / "system.hpp").read_text()))
    named = {"tas_queries": "queries", "attention_heads": "heads", "y_out": "y"}
    for kernel, port, _, _, depth in links():
        assert depths[streams[named.get(port, port)]] == depth, f"{kernel}.{port}"


@pytest.mark.parametrize("name", ["u280", "kv260"])
def test_every_memory_port_has_a_place(name: str) -> None:
    text = (HLS / "vitis" / f"{name}.cfg").read_text()
    placed = re.findall(r"^sp=(\w+)\.(\w+):", text, re.M)
    wanted = [(k, p) for k, ports in kernels().items() for p, kind in ports.items() if kind == "m_axi"]
    assert sorted(placed) == sorted(wanted)
    assert f"kernel_frequency={board(name).clock_mhz}\n" in text


def test_the_script_builds_every_kernel() -> None:
    text = (HLS / "vitis" / "synthesize.tcl").read_text()
    assert re.search(r"foreach top \{([\w ]+)\}", text)[1].split() == list(kernels())  # type: ignore[index]


@pytest.mark.parametrize("name", ["u280", "kv260"])
def test_the_current_front_end_builds_the_same(name: str) -> None:
    """Kernels, clock and lanes of hls/vitis/compile.sh are those of the kernels and the boards."""
    text = (HLS / "vitis" / "compile.sh").read_text()
    assert re.search(r"for top in ([\w ]+);", text)[1].split() == list(kernels())  # type: ignore[index]
    clock, lanes = re.search(rf"^{name}\) .*clock=([\d.]+)ns lanes=(\d+)", text, re.M).groups()  # type: ignore[union-attr]
    assert abs(float(clock) * board(name).clock_mhz / 1000 - 1) < 1e-3
    assert int(lanes) == board(name).lanes
