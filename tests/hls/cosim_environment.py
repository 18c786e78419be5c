"""AXI-Stream agents around cosim_shell.sv: drivers with random gaps, monitors with random back-pressure."""

from __future__ import annotations

import ctypes
import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Event, RisingEdge
from pyuvm import ConfigDB, uvm_analysis_port, uvm_component, uvm_env, uvm_test

from triptych.sim.fastcar.csim import CSim

Beats = Sequence[bytes]


class StreamDriver(uvm_component):
    """One slave port of the shell: sends beats in order, valid held until ready, gaps before a beat at random."""

    def __init__(self, name: str, parent: uvm_component, port: int, gap: float) -> None:
        super().__init__(name, parent)
        self.port, self.gap, self.random = port, gap, random.Random(f"{name} {port}")
        self.queue: list[bytes] = []
        self.sent = 0
        self.more = Event()

    def send(self, beats: Beats) -> None:
        """Appends beats to what is to be sent."""
        self.queue.extend(beats)
        self.more.set()

    async def run_phase(self) -> None:
        dut, clock = cocotb.top, cocotb.top.clk_i
        valid, ready, data = dut.s_tvalid[self.port], dut.s_tready[self.port], dut.s_tdata[self.port]
        valid.value = 0
        while True:
            if not self.queue:
                valid.value = 0
                self.more.clear()
                await self.more.wait()
                await RisingEdge(clock)
            while self.random.random() < self.gap:
                valid.value = 0
                await RisingEdge(clock)
            data.value = int.from_bytes(self.queue.pop(0), "little")
            valid.value = 1
            await RisingEdge(clock)
            while not int(ready.value):
                await RisingEdge(clock)
            self.sent += 1


class StreamMonitor(uvm_component):
    """One master port: ready at random; publishes beats; valid must not fall nor data change before ready."""

    def __init__(self, name: str, parent: uvm_component, port: int, size: int, stall: float) -> None:
        super().__init__(name, parent)
        self.port, self.size, self.stall, self.random = port, size, stall, random.Random(f"{name} {port}")
        self.beats: list[bytes] = []
        self.arrived = Event()

    def build_phase(self) -> None:
        self.analysis = uvm_analysis_port("analysis", self)

    async def run_phase(self) -> None:
        dut, clock = cocotb.top, cocotb.top.clk_i
        valid, ready, data = dut.m_tvalid[self.port], dut.m_tready[self.port], dut.m_tdata[self.port]
        ready.value, waiting = 0, None
        while True:
            accepts = int(self.random.random() >= self.stall)
            ready.value = accepts
            await RisingEdge(clock)
            if not int(valid.value):
                assert waiting is None, f"port {self.port}: valid fell before ready"
                continue
            beat = int(data.value)
            assert waiting in (None, beat), f"port {self.port}: data changed before ready"
            waiting = None if accepts else beat
            if accepts:
                self.beats.append(beat.to_bytes(128, "little")[: self.size])
                self.analysis.write(self.beats[-1])
                self.arrived.set()

    async def take(self, count: int) -> list[bytes]:
        """The next `count` beats."""
        while len(self.beats) < count:
            self.arrived.clear()
            await self.arrived.wait()
        taken, self.beats = self.beats[:count], self.beats[count:]
        return taken


class KernelEnvironment(uvm_env):
    """Agents of every port. The environment's options: `gap` and `stall` probabilities."""

    def build_phase(self) -> None:
        inputs, outputs = ConfigDB().get(self, "", "PORTS")
        gap, stall = ConfigDB().get(self, "", "STALLS")
        self.drivers = [StreamDriver(f"driver_{i}", self, i, gap) for i in range(inputs)]
        self.monitors = [StreamMonitor(f"monitor_{i}", self, i, size, stall) for i, size in enumerate(outputs)]


class KernelTest(uvm_test):
    """Reset, then `stimulus`. COSIM_OPTIONS: JSON with lanes, library, seed, gap, stall and what the test wants."""

    ports: tuple[int, tuple[int, ...]]

    def build_phase(self) -> None:
        self.options: dict[str, Any] = json.loads(os.environ["COSIM_OPTIONS"])
        self.sim = CSim(Path(self.options["library"]), self.options["lanes"])  # the copy that Verilator has linked
        ConfigDB().set(None, "*", "PORTS", self.port_sizes())
        ConfigDB().set(None, "*", "STALLS", (self.options["gap"], self.options["stall"]))
        self.env = KernelEnvironment("env", self)

    def port_sizes(self) -> tuple[int, tuple[int, ...]]:
        """Number of inputs, bytes of each output's beat."""
        raise NotImplementedError  # a test is a subclass; pyuvm's metaclass leaves no room for ABC

    async def run_phase(self) -> None:
        self.raise_objection()
        dut = cocotb.top
        dut.ap_start.value = 0
        Clock(dut.clk_i, 10, "ns").start()
        dut.rst_ni.value = 0
        await ClockCycles(dut.clk_i, 3)
        dut.rst_ni.value = 1
        await ClockCycles(dut.clk_i, 2)
        await self.stimulus()
        self.drop_objection()

    async def start(self, prepare: Callable[[ctypes.CDLL], object]) -> None:
        """ap_start of what `prepare` sets up in the library; held until the kernel runs."""
        dut = cocotb.top
        assert int(dut.ap_idle.value), "ap_idle must be high before ap_start"
        prepare(self.sim.lib)
        dut.ap_start.value = 1
        await RisingEdge(dut.clk_i)
        await RisingEdge(dut.clk_i)
        assert not int(dut.ap_idle.value), "ap_idle must fall after ap_start"
        dut.ap_start.value = 0

    async def done(self, limit: int = 20_000) -> None:
        """Waits for ap_done; a deadlock or an error of the kernels fails the test with its text."""
        dut = cocotb.top
        for _ in range(limit):
            await RisingEdge(dut.clk_i)
            if int(dut.ap_done.value):
                assert int(dut.ap_ready.value), "ap_ready comes with ap_done"
                await RisingEdge(dut.clk_i)
                return
            if int(dut.failed_o.value):
                self.sim.lib.cosim_message.restype = ctypes.c_char_p
                raise AssertionError(self.sim.lib.cosim_message().decode())
        raise AssertionError(f"no ap_done within {limit} cycles")

    async def stimulus(self) -> None:
        """What the test does."""
        raise NotImplementedError  # a test is a subclass; pyuvm's metaclass leaves no room for ABC
