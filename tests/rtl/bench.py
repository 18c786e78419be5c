"""What the cocotb tests share: clock and reset, random stalls, and an AXI4 memory with errors and silence."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteReadBus, AxiLiteWriteBus
from cocotbext.axi.axil_channels import (
    AxiLiteARBus,
    AxiLiteAWBus,
    AxiLiteBBus,
    AxiLiteRBus,
    AxiLiteWBus,
)

from tests.kit.axi_memory import AxiSubordinate, Behaviour
from tests.kit.sparse import SparseMemory
from triptych.golden.quartdepth.chip.memory import Fault

PERIOD = 10


async def hold_reset(reset: Any) -> None:
    """The edge that asynchronous resets wait for, before any clock: until then flops hold anything."""
    for level in (1, 0):
        reset.value = level
        await Timer(1, "ns")


async def start(dut: Any) -> None:
    """Clock and reset; inputs must have been set before."""
    dut.clk_i.value = 0
    await hold_reset(dut.rst_ni)
    cocotb.start_soon(Clock(dut.clk_i, PERIOD, unit="ns").start())
    await ClockCycles(dut.clk_i, 3)
    dut.rst_ni.value = 1
    await RisingEdge(dut.clk_i)


def stalls(rng: random.Random, share: float) -> Iterator[bool]:
    """True in about `share` of the cycles, in streaks: what a pause generator wants."""
    while True:
        pause = rng.random() < share
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            yield pause


def _named(bus: type, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> type:
    """The channel with our port names: `_i` and `_o` at the end."""
    names = {n: f"{n}_i" for n in inputs} | {n: f"{n}_o" for n in outputs}
    return type(bus.__name__, (bus,), {"_signals": names, "_optional_signals": []})


def lite_bus(dut: Any, prefix: str = "s_axil") -> AxiLiteBus:
    """The AXI4-Lite slave port of `dut`."""
    aw = _named(AxiLiteAWBus, ("awaddr", "awprot", "awvalid"), ("awready",))
    w = _named(AxiLiteWBus, ("wdata", "wstrb", "wvalid"), ("wready",))
    b = _named(AxiLiteBBus, ("bready",), ("bresp", "bvalid"))
    ar = _named(AxiLiteARBus, ("araddr", "arprot", "arvalid"), ("arready",))
    r = _named(AxiLiteRBus, ("rready",), ("rdata", "rresp", "rvalid"))
    write = AxiLiteWriteBus(aw(dut, prefix), w(dut, prefix), b(dut, prefix))
    return AxiLiteBus(write, AxiLiteReadBus(ar(dut, prefix), r(dut, prefix)))


class AxiMemory:
    """All of the 32-bit address space behind the master port. `errors` are ranges that answer SLVERR or DECERR; a range
    in `silent` never answers until `speak`. Every burst seen is kept in `reads` and `writes` as (address, bytes)."""

    def __init__(self, dut: Any, rng: random.Random, behaviour: Behaviour | None = None) -> None:
        self.data = SparseMemory(rng.getrandbits(32))
        self.errors: list[range] = []
        self.silent: list[range] = []
        self.port = AxiSubordinate(dut, dut.clk_i, dut.rst_ni, self, rng, behaviour)
        self.reads, self.writes = self.port.reads, self.port.writes

    def speak(self) -> None:
        """Silent ranges answer from now on."""
        self.silent = []

    def read(self, address: int, length: int) -> bytes:
        """Called by the AXI model for every beat."""
        return self.data.read(address, length)

    def write(self, address: int, data: bytes) -> None:
        """Called by the AXI model for every beat, or enabled byte of it."""
        self.data.write(address, data)

    def fault(self, address: int, length: int) -> Fault | None:
        """What is wrong with this place now."""
        for fault, places in ((Fault.HANG, self.silent), (Fault.ERROR, self.errors)):
            if any(address < bad.stop and address + length > bad.start for bad in places):
                return fault
        return None
