"""What the cocotb tests share: clock and reset, random stalls, and an AXI4 memory with errors and silence."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteReadBus, AxiLiteWriteBus, AxiReadBus, AxiSlave, AxiWriteBus
from cocotbext.axi.axi_channels import AxiARBus, AxiAWBus, AxiBBus, AxiRBus, AxiWBus
from cocotbext.axi.axil_channels import (
    AxiLiteARBus,
    AxiLiteAWBus,
    AxiLiteBBus,
    AxiLiteRBus,
    AxiLiteWBus,
)

PERIOD = 10


async def start(dut: Any) -> None:
    """Clock and reset; inputs must have been set before."""
    cocotb.start_soon(Clock(dut.clk_i, PERIOD, unit="ns").start())
    dut.rst_ni.value = 0
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


def master_bus(dut: Any, prefix: str = "m_axi") -> AxiBus:
    """The AXI4 master port of `dut`."""
    aw = _named(AxiAWBus, ("awready",), ("awid", "awaddr", "awlen", "awsize", "awburst", "awvalid"))
    w = _named(AxiWBus, ("wready",), ("wdata", "wstrb", "wlast", "wvalid"))
    b = _named(AxiBBus, ("bid", "bresp", "bvalid"), ("bready",))
    ar = _named(AxiARBus, ("arready",), ("arid", "araddr", "arlen", "arsize", "arburst", "arvalid"))
    r = _named(AxiRBus, ("rid", "rdata", "rresp", "rlast", "rvalid"), ("rready",))
    write = AxiWriteBus(aw(dut, prefix), w(dut, prefix), b(dut, prefix))
    return AxiBus(write, AxiReadBus(ar(dut, prefix), r(dut, prefix)))


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
    """`size` bytes behind the master port. `errors` are ranges that answer SLVERR; a range in `silent` never answers
    until `speak`. Every burst seen is kept in `reads` and `writes` as (address, bytes)."""

    def __init__(self, dut: Any, size: int, rng: random.Random, stall: float = 0.0, latency: int = 0) -> None:
        self.data = bytearray(size)
        self.errors: list[range] = []
        self.silent: list[range] = []
        self.latency = latency
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int]] = []
        self._clock = dut.clk_i
        self._speak = Event()
        self._beat = len(dut.m_axi_rdata_i) // 8
        self._next_read = -1
        bus = master_bus(dut)
        self._slave = AxiSlave(bus, dut.clk_i, dut.rst_ni, target=self, reset_active_level=False)
        read, write = self._slave.read_if, self._slave.write_if
        channels = (read.ar_channel, read.r_channel, write.aw_channel, write.w_channel, write.b_channel)
        for channel in channels:
            channel.log.disabled = True
            if stall:
                channel.set_pause_generator(stalls(rng, stall))
        read.log.disabled = write.log.disabled = True
        cocotb.start_soon(self._watch(dut))

    def speak(self) -> None:
        """Silent ranges answer from now on."""
        self.silent = []
        self._speak.set()
        self._speak = Event()

    async def read(self, address: int, length: int) -> bytes:
        """Called by the AXI model for every beat."""
        await self._answer(address, length, address != self._next_read)
        self._next_read = address + length
        return bytes(self.data[address : address + length])

    async def write(self, address: int, data: bytes) -> None:
        """Called by the AXI model for every beat."""
        await self._answer(address, len(data), False)
        self.data[address : address + len(data)] = data

    async def _answer(self, address: int, length: int, late: bool) -> None:
        if late and self.latency:
            await ClockCycles(self._clock, self.latency)
        if any(address in hidden for hidden in self.silent):
            await self._speak.wait()
        if address + length > len(self.data) or any(address in bad for bad in self.errors):
            raise LookupError(f"error response at {address:#x}")

    async def _watch(self, dut: Any) -> None:
        while True:
            await RisingEdge(dut.clk_i)
            for seen, channel in ((self.reads, "ar"), (self.writes, "aw")):
                if (
                    getattr(dut, f"m_axi_{channel}valid_o").value == 1
                    and getattr(dut, f"m_axi_{channel}ready_i").value == 1
                ):
                    address = int(getattr(dut, f"m_axi_{channel}addr_o").value)
                    length = (int(getattr(dut, f"m_axi_{channel}len_o").value) + 1) * self._beat
                    assert address // 4096 == (address + length - 1) // 4096, f"{address:#x} + {length} crosses 4 KiB"
                    seen.append((address, length))
