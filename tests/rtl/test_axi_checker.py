"""The protocol checker: silent on legal traffic of every kind, and it names every offence that is planted in it."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyslang
import pytest

from tests.rtl import test_control, test_dma, test_write_order
from tests.uvm import test_uvm
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.sim.build.sources import INCLUDES, SV
from triptych.sim.build.verilate import Build
from triptych.sim.fastcar.twin import Size
from triptych.sim.rtl.run import chip_build

ADDRESS = ("valid", "ready", "id", "addr", "len", "size", "burst")
CHANNELS = {
    "ar": ADDRESS,
    "r": ("valid", "ready", "id", "data", "resp", "last"),
    "aw": ADDRESS,
    "w": ("valid", "ready", "data", "strb", "last"),
    "b": ("valid", "ready", "id", "resp"),
}
NAMES = ("rst_n", *(f"{channel}_{name}" for channel, names in CHANNELS.items() for name in names))
BYTES = 4
Cycle = dict[str, int]


def ar(**fields: int) -> Cycle:
    """A read burst is offered and taken."""
    return {"ar_valid": 1, "ar_ready": 1, "ar_size": 2, "ar_burst": 1} | {f"ar_{k}": v for k, v in fields.items()}


def r(last: int = 0, **fields: int) -> Cycle:
    """A beat of read data is offered and taken."""
    return {"r_valid": 1, "r_ready": 1, "r_last": last} | {f"r_{k}": v for k, v in fields.items()}


def aw(**fields: int) -> Cycle:
    """A write burst is offered and taken."""
    return {"aw_valid": 1, "aw_ready": 1, "aw_size": 2, "aw_burst": 1} | {f"aw_{k}": v for k, v in fields.items()}


def w(last: int = 0, **fields: int) -> Cycle:
    """A beat of write data is offered and taken."""
    return {"w_valid": 1, "w_ready": 1, "w_last": last, "w_strb": 15} | {f"w_{k}": v for k, v in fields.items()}


def b(**fields: int) -> Cycle:
    """A response is offered and taken."""
    return {"b_valid": 1, "b_ready": 1} | {f"b_{k}": v for k, v in fields.items()}


def waits(cycle: Cycle) -> Cycle:
    """The same offer, not taken."""
    return {k: 0 if k.endswith("ready") else v for k, v in cycle.items()}


READ = [ar(addr=0x100, len=2), {}, r(), r(), r(1)]
WRITE = [aw(addr=0x200, len=1), w(), w(1), b()]
LEGAL: dict[str, list[Cycle]] = {
    "a read": READ,
    "a write": WRITE,
    "data before their address": [w(), w(1), w(1), aw(len=1), b(), aw(), b()],
    "an address amid its data": [w(), w(), aw(len=3), w(), w(1), b()],
    "an address with its last data": [w(), w(1) | aw(len=1), b()],
    "address and data at once": [aw() | w(1), b()],
    "a strobeless beat": [aw(), w(1, strb=0), b()],
    "identifiers interleaved": [ar(len=1), ar(id=1, len=1), r(id=1), r(), r(1, id=1), r(1)],
    "offers that wait": [waits(ar()), ar(), waits(r(1)), r(1), waits(aw()), aw(), waits(w(1)), w(1), waits(b()), b()],
    "a page to its end": [ar(addr=0xF00, len=63), *[r()] * 63, r(1)],
    "256 beats": [ar(len=255), *[r()] * 255, r(1), aw(len=255), *[w()] * 255, w(1), b()],
    "errors": [ar(len=1), r(resp=2), r(1, resp=3), aw(), w(1), b(resp=3)],
    "a reset amid a burst": [ar(len=7), r(), {"rst_n": 0}, {"rst_n": 0}, *READ, *WRITE],
    "many at once": [
        *[ar(id=i % 2) for i in range(8)],
        *[r(1, id=i % 2) for i in range(8)],
        *[aw()] * 4,
        *[w(1), b()] * 4,
    ],
}
OFFENCES: dict[str, tuple[str, list[Cycle]]] = {
    "AR withdrawn": ("AR is changed or withdrawn", [waits(ar()), {}]),
    "AR changed": ("AR is changed or withdrawn", [waits(ar()), ar(addr=4)]),
    "AW withdrawn": ("AW is changed or withdrawn", [waits(aw()), {}]),
    "AW changed": ("AW is changed or withdrawn", [waits(aw()), aw(len=1)]),
    "W withdrawn": ("W is changed or withdrawn", [aw(), waits(w(1)), {}]),
    "W changed": ("W is changed or withdrawn", [aw(), waits(w(1)), w(1, data=1)]),
    "R withdrawn": ("R is changed or withdrawn", [ar(), waits(r(1)), {}]),
    "R changed": ("R is changed or withdrawn", [ar(), waits(r(1)), r(1, data=1)]),
    "B withdrawn": ("B is changed or withdrawn", [aw(), w(1), waits(b()), {}]),
    "B changed": ("B is changed or withdrawn", [aw(), w(1), waits(b()), b(resp=2)]),
    "an offer during reset": (
        "the manager offers something during reset",
        [{"rst_n": 0}] * 3 + [{"rst_n": 0} | waits(ar())],
    ),
    "a read across 4 KiB": ("AR: burst crosses 4 KiB", [ar(addr=0xF04, len=63)]),
    "a write across 4 KiB": ("AW: burst crosses 4 KiB", [aw(addr=0xFFC, len=1)]),
    "a fixed read": ("AR: burst is not INCR", [ar(burst=0)]),
    "a wrapping write": ("AW: burst is not INCR", [aw(burst=2)]),
    "a narrow read": ("AR: size", [ar(size=1)]),
    "a wide write": ("AW: size", [aw(size=3)]),
    "a read that is not aligned": ("AR: address is not aligned", [ar(addr=2)]),
    "a write that is not aligned": ("AW: address is not aligned", [aw(addr=1)]),
    "part of a word": ("W: strobes differ", [aw(), w(1, strb=7)]),
    "RLAST early": ("R: RLAST", [ar(len=2), r(), r(1)]),
    "RLAST missing": ("R: RLAST", [ar(len=1), r(), r()]),
    "RLAST of the other identifier": ("R: RLAST", [ar(len=1), ar(id=1), r(), r(id=1)]),
    "data for nobody": ("R: data that nobody asked for", [r(1)]),
    "data with their address": ("R: data that nobody asked for", [ar() | r(1)]),
    "data of the other identifier": ("R: data that nobody asked for", [ar(), r(1, id=1)]),
    "one beat too many": ("R: data that nobody asked for", [ar(), r(1), r(1)]),
    "EXOKAY for a read": ("R: EXOKAY", [ar(), r(1, resp=1)]),
    "EXOKAY for a write": ("B: EXOKAY", [aw(), w(1), b(resp=1)]),
    "WLAST early": ("W: WLAST is not", [aw(len=2), w(), w(1)]),
    "WLAST missing": ("W: WLAST is not", [aw(len=1), w(), w()]),
    "WLAST missing, with the address": ("W: WLAST is not", [aw() | w()]),
    "WLAST early, before the address": ("W: WLAST was not", [w(1), aw(len=1)]),
    "WLAST late, before the address": ("W: WLAST was not", [w(), w(), w(1), aw(len=1)]),
    "more data than fit, before the address": ("W: more data than the burst holds", [w(), w(), aw(len=1)]),
    "257 beats": ("W: more data than any burst holds", [w()] * 257),
    "a response before the data": ("B: a response before", [aw(), b()]),
    "a response with the data": ("B: a response before", [aw(), w(1) | b()]),
    "a response before the address": ("B: a response before", [w(1), b()]),
    "two responses": ("B: a response before", [aw(), w(1), b(), b()]),
    "a response to another": ("B: a response for another identifier", [aw(), w(1), b(id=1)]),
    "too many reads": ("AR: more reads than agreed", [ar()] * 9),
    "too many writes": ("AW: more writes than agreed", [aw()] * 5),
    "too much data ahead": ("W: more data than agreed", [w(1)] * 5),
}


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Cycle]], str]:
    """Shows cycles to the checker and returns what it says."""
    program = Build(
        top="axi_checker",
        sources=(SV / "axi_checker.sv",),
        cpp=(Path(__file__).with_name("axi_checker_bench.cpp"),),
        parameters={"AddrW": 32, "Bytes": BYTES, "IdW": 1, "MaxReads": 8, "MaxWrites": 4},
    ).executable()
    trace = tmp_path_factory.mktemp("axi") / "trace"

    def run(cycles: list[Cycle]) -> str:
        rows = [{"rst_n": 0}] * 2 + cycles + [{}]
        np.array([[(({"rst_n": 1} | row).get(n, 0)) for n in NAMES] for row in rows], "<u4").tofile(trace)
        done = subprocess.run([program, trace], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert bool(done.returncode) == bool(said), said
        return said

    return run


@pytest.mark.parametrize("name", LEGAL)
def test_legal_traffic_passes(name: str, show: Callable[[list[Cycle]], str]) -> None:
    assert show(LEGAL[name]) == ""


@pytest.mark.parametrize("name", OFFENCES)
def test_planted_offence_is_named(name: str, show: Callable[[list[Cycle]], str]) -> None:
    message, cycles = OFFENCES[name]
    before = random.Random(name).sample(list(LEGAL.values()), 3)  # amid other traffic
    said = show([c for traffic in before for c in traffic] + cycles)
    assert f"AXI: {message}" in said, said


SIMULATIONS = {
    "the chip in C++": ("quartdepth_board", list(chip_build(CONFIGS["tiny"]).sources)),
    "the same from any state": (
        "quartdepth_board",
        list(chip_build(CONFIGS["tiny"], power_on=True).sources),
    ),
    "the chip under UVM": ("tb", test_uvm.files()),
    "the chip with stub engines": ("quartdepth", test_control.files()),
    "LOAD and STORE": ("bench_dma", test_dma.files()),
    "STORE alone": ("bench_store", test_write_order.files()),
    "FastCar": ("fastcar_core", list(Size().build().sources)),
}


@pytest.mark.parametrize("name", SIMULATIONS)
def test_every_simulation_of_a_bus_is_watched(name: str) -> None:
    """Elaborated, each holds exactly one checker."""
    top, files = SIMULATIONS[name]
    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    words = ["slang", "--top", top, "-Wno-unused-parameter", *(f"-I {p}" for p in INCLUDES), *map(str, files)]
    assert driver.parseCommandLine(" ".join(words))
    assert driver.processOptions()
    assert driver.parseAllSources()
    found: list[str] = []

    def visit(node: object) -> None:
        if isinstance(node, pyslang.ast.InstanceSymbol) and node.definition.name == "axi_checker":
            found.append(node.hierarchicalPath)

    driver.createCompilation().getRoot().visit(visit)
    assert len(found) == 1, found


def test_no_simulation_of_a_bus_is_missing_above() -> None:
    """Benches with an AXI4 port hold the checker, or the chip and FastCar's core, which it is bound to.

    Proofs simulate nothing."""
    for bench in Path(__file__).parents[1].rglob("*.sv"):
        text = bench.read_text()
        if re.search(r"\ba[rw]_?valid", text) and not {"stubs", "formal"} & set(bench.parts):
            assert re.search(r"\b(axi_checker|quartdepth|fastcar_core) #\(", text), bench.name
