"""Monitor of the chip's AXI4 manager: whole bursts, and which kinds of them were seen.

Handshakes alone are watched, whatever drives the other side. That beats, last flags and responses fit their addresses
is checked here once more, apart from rtl/common/axi_checker.sv.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from itertools import product
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, RisingEdge
from pyuvm import uvm_analysis_port, uvm_monitor, uvm_subscriber

PAGE = 4096
VALID, TAKEN = 0b10_10_10_10_10, 0b11
DIRECTIONS = ("read", "write")
KINDS = ("one beat", "more beats", "up to 4 KiB", "error", "waited", "taken at once", "alone", "others under way")


@dataclass
class Burst:
    """One burst. beats: as its address says. waited: cycles in which the address was offered in vain. others: bursts of
    its direction that were under way when it was taken. error: any response that is an error."""

    direction: str
    address: int
    beats: int
    waited: int
    others: int
    seen: int = 0
    error: bool = False


class BusMonitor(uvm_monitor):
    """Publishes every burst on `port` when its last response has come."""

    def build_phase(self) -> None:
        self.port = uvm_analysis_port("port", self)
        self.forget()

    def forget(self) -> None:
        """Nothing is under way: after a reset."""
        self.reads: dict[int, deque[Burst]] = defaultdict(deque)
        self.addressed: deque[Burst] = deque()
        self.sent: deque[int] = deque()  # beats of bursts whose data are complete
        self.beats = 0
        self.waited = dict.fromkeys(DIRECTIONS, 0)

    async def run_phase(self) -> None:
        dut = cocotb.top
        while True:
            await FallingEdge(dut.clk)  # what stands here is taken at the next rising edge
            if dut.rst_n.value != 1:
                self.forget()
                await RisingEdge(dut.rst_n)
                continue
            bus = int(dut.bus.value)
            if not bus & VALID:
                await First(RisingEdge(dut.bus_busy), FallingEdge(dut.rst_n))
                continue
            ar, r, aw, w, b = (bus >> shift & 3 for shift in (8, 6, 4, 2, 0))
            if ar & 2:
                self._address(dut, "read", "ar", ar == TAKEN)
            if aw & 2:
                self._address(dut, "write", "aw", aw == TAKEN)
            if r == TAKEN:
                self._read(int(dut.m_axi_rid.value), int(dut.m_axi_rresp.value), dut.m_axi_rlast.value == 1)
            if w == TAKEN:
                self.beats += 1
                if dut.m_axi_wlast.value == 1:
                    self.sent.append(self.beats)
                    self.beats = 0
            if b == TAKEN:
                self._response(int(dut.m_axi_bresp.value))

    def _address(self, dut: Any, direction: str, channel: str, taken: bool) -> None:
        if not taken:
            self.waited[direction] += 1
            return
        address = int(getattr(dut, f"m_axi_{channel}addr").value)
        beats = int(getattr(dut, f"m_axi_{channel}len").value) + 1
        size = len(dut.m_axi_wstrb)
        assert address % PAGE + beats * size <= PAGE, f"{direction} of {beats} beats from {address:#x} leaves its 4 KiB"
        queue = self.reads[int(dut.m_axi_arid.value)] if direction == "read" else self.addressed
        others = sum(map(len, self.reads.values())) if direction == "read" else len(self.addressed)
        queue.append(Burst(direction, address, beats, self.waited[direction], others))
        self.waited[direction] = 0

    def _read(self, ident: int, response: int, last: bool) -> None:
        assert self.reads[ident], f"a beat for identifier {ident}, of which nothing is asked"
        burst = self.reads[ident][0]
        burst.seen += 1
        burst.error |= response >= 2
        assert last == (burst.seen == burst.beats), f"RLAST is {int(last)} at beat {burst.seen} of {burst.beats}"
        if last:
            self.port.write(self.reads[ident].popleft())

    def _response(self, response: int) -> None:
        assert self.addressed, "a response to no address"
        assert self.sent, "a response before the last beat"
        burst, beats = self.addressed.popleft(), self.sent.popleft()
        assert beats == burst.beats, f"{beats} beats for an address that says {burst.beats}"
        burst.seen, burst.error = beats, response >= 2
        self.port.write(burst)


class BusCoverage(uvm_subscriber):
    """Kinds of bursts in both directions; all are wanted."""

    def build_phase(self) -> None:
        self.hits: Counter[tuple[str, str]] = Counter()
        self.goal = set(product(DIRECTIONS, KINDS))

    def write(self, tt: Burst) -> None:
        """Samples one burst."""
        size = len(cocotb.top.m_axi_wstrb)
        kinds = {
            "one beat": tt.beats == 1, "more beats": tt.beats > 1, "error": tt.error,
            "up to 4 KiB": (tt.address + tt.beats * size) % PAGE == 0, "waited": tt.waited > 0,
            "taken at once": not tt.waited, "alone": not tt.others, "others under way": tt.others > 0,
        }  # fmt: skip
        self.hits.update((tt.direction, kind) for kind, there in kinds.items() if there)

    def missing(self) -> list[tuple[str, str]]:
        """What was not seen."""
        return sorted(self.goal - set(self.hits))

    def summary(self) -> str:
        """In a line."""
        missing = self.missing()
        text = f"bus coverage {len(self.goal) - len(missing)}/{len(self.goal)} bins"
        return f"{text}, missing {missing}" if missing else text
