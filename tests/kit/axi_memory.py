"""An AXI4 subordinate in Python that can behave in every way AXI4 allows: who waits for whom on the write channels,
order of read data between identifiers, stalls, latency, errors at any beat, silence."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import cocotb
from cocotb.triggers import FallingEdge, First, RisingEdge

from triptych.golden.quartdepth.chip.memory import Fault
from triptych.sim.rtl.orders import ReadOrder, WriteOrder

OKAY, SLVERR, DECERR = 0, 2, 3
OUTSTANDING = 16  # bursts taken before the first is answered, for each direction


@dataclass(frozen=True)
class Behaviour:
    """latency: most cycles from an address (a write's last beat) to its answer. stall: share of cycles in which a
    channel holds back, each for itself. late_write: writes take effect with their response, not before."""

    latency: int = 0
    stall: float = 0.0
    writes: WriteOrder = WriteOrder.FREE
    reads: ReadOrder = ReadOrder.IN_ORDER
    late_write: bool = False

    @classmethod
    def random(cls, rng: random.Random) -> Behaviour:
        """From a memory that always answers at once to a slow and contrary one."""
        return cls(
            rng.choice((0, 1, 3, 12, 40)), rng.choice((0.0, 0.1, 0.3, 0.6)),
            rng.choice(list(WriteOrder)), rng.choice(list(ReadOrder)), rng.random() < 0.5,
        )  # fmt: skip


class Backend(Protocol):
    """What lies behind the port."""

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes there."""

    def write(self, address: int, data: bytes) -> None:
        """Puts `data` there."""

    def fault(self, address: int, length: int) -> Fault | None:
        """What is wrong with this place now."""


@dataclass
class _Read:
    ident: int
    beats: deque[int]  # addresses
    due: int  # cycle


@dataclass
class _Write:
    ident: int
    address: int
    beats: int
    due: int = 0
    data: list[tuple[int, bytes, int]] = field(default_factory=list)  # address, bytes, strobes
    resp: int = OKAY


class _Channel:
    """Signals of one channel by their names without prefix and suffix; writes only what changes."""

    def __init__(self, dut: Any, prefix: str, inputs: str, outputs: str, suffixes: tuple[str, str]) -> None:
        self.into = {n: getattr(dut, f"{prefix}_{n}{suffixes[0]}") for n in inputs.split()}
        self.out = {n: getattr(dut, f"{prefix}_{n}{suffixes[1]}") for n in outputs.split()}
        self.driven: dict[str, int] = {}

    def get(self, name: str) -> int:
        return int(self.out[name].value)

    def drive(self, **values: int) -> None:
        for name, value in values.items():
            if self.driven.get(name) != value:
                self.driven[name] = value
                self.into[name].value = value


def _streaks(rng: random.Random, share: float) -> Iterator[bool]:
    """True in about `share` of the cycles, in streaks."""
    while True:
        pause = rng.random() < share
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            yield pause


class AxiSubordinate:
    """Serves the manager port `prefix` of `dut`. suffixes: what inputs' and outputs' names end in.

    reads, writes: every burst seen, as (address, bytes). `behaviour` may be replaced while nothing is outstanding.
    offers: a signal that is high while the manager offers an address or data. With it the subordinate sleeps while
    nothing is owed and nothing offered, its signals as they stand: most cycles of a program are such.
    """

    def __init__(
        self, dut: Any, clock: Any, reset_n: Any, backend: Backend, rng: random.Random,
        behaviour: Behaviour | None = None, prefix: str = "m_axi", suffixes: tuple[str, str] = ("_i", "_o"),
        offers: Any = None,
    ) -> None:  # fmt: skip
        def channel(inputs: str, outputs: str) -> _Channel:
            return _Channel(dut, prefix, inputs, outputs, suffixes)

        self.ar = channel("arready", "arvalid arid araddr arlen")
        self.r = channel("rvalid rid rdata rresp rlast", "rready")
        self.aw = channel("awready", "awvalid awid awaddr awlen")
        self.w = channel("wready", "wvalid wdata wstrb wlast")
        self.b = channel("bvalid bid bresp", "bready")
        self.clock, self.reset_n, self.backend, self.rng, self.offers = clock, reset_n, backend, rng, offers
        self.size = len(self.r.into["rdata"]) // 8
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int]] = []
        self.cycle = 0
        self._reading: list[_Read] = []
        self._current: _Read | None = None
        self._addressed: deque[_Write] = deque()  # addresses whose data are not complete
        self._ahead: deque[tuple[bytes, int, bool]] = deque()  # beats that came before their address
        self._complete: deque[_Write] = deque()
        self.set(behaviour or Behaviour())
        self._quiet()
        cocotb.start_soon(self._run())

    def set(self, behaviour: Behaviour) -> None:
        """Behave so from now on."""
        self.behaviour = behaviour
        self._stalls = [_streaks(self.rng, behaviour.stall) for _ in range(5)]

    def _quiet(self) -> None:
        for waiting in (self._reading, self._addressed, self._ahead, self._complete):
            waiting.clear()
        self._current = None
        self.ar.drive(arready=0)
        self.r.drive(rvalid=0)
        self.aw.drive(awready=0)
        self.w.drive(wready=0)
        self.b.drive(bvalid=0)

    @property
    def outstanding(self) -> bool:
        """Whether an answer is owed."""
        return bool(self._reading or self._addressed or self._ahead or self._complete)

    async def _run(self) -> None:
        while True:
            await RisingEdge(self.clock)
            if self.reset_n.value != 1:
                self._quiet()
                continue
            self.cycle += 1
            ar, r, aw, w, b = (not next(s) for s in self._stalls)
            self._read_cycle(ar, r)
            self._write_cycle(aw, w, b)
            if self.offers is not None and not self.outstanding:
                await FallingEdge(self.clock)  # what is offered from this cycle on stands here
                if self.offers.value != 1:
                    await First(RisingEdge(self.offers), FallingEdge(self.reset_n))

    def _due(self) -> int:
        return self.cycle + self.rng.randint(0, self.behaviour.latency)

    # -- reads

    def _read_cycle(self, take: bool, answer: bool) -> None:
        ar, r = self.ar, self.r
        if ar.driven["arready"] and ar.get("arvalid"):
            address, beats = ar.get("araddr"), ar.get("arlen") + 1
            self.reads.append((address, beats * self.size))
            places = deque(address + n * self.size for n in range(beats))
            self._reading.append(_Read(ar.get("arid"), places, self._due()))
        offered = bool(r.driven["rvalid"])
        if offered and r.get("rready"):
            assert self._current is not None
            self._current.beats.popleft()
            if not self._current.beats:
                self._reading.remove(self._current)
            if not self._current.beats or self.behaviour.reads is ReadOrder.INTERLEAVED:
                self._current = None
            offered = False
        if not offered:
            burst = self._next_read() if answer else None
            if burst is None:
                r.drive(rvalid=0, rdata=self.rng.getrandbits(8 * self.size), rresp=self.rng.randrange(4))
            else:
                self._offer(burst)
        ar.drive(arready=int(take and len(self._reading) < OUTSTANDING))

    def _next_read(self) -> _Read | None:
        if self._current is None:
            first: dict[int, _Read] = {}
            for burst in self._reading:
                first.setdefault(burst.ident, burst)
            choices = list(first.values())
            if self.behaviour.reads is ReadOrder.IN_ORDER:
                choices = self._reading[:1]
            ready = [c for c in choices if self.cycle >= c.due and self._fault(c.beats[0]) is not Fault.HANG]
            if not ready:
                return None
            self._current = self.rng.choice(ready)
        elif self._fault(self._current.beats[0]) is Fault.HANG:
            return None
        return self._current

    def _fault(self, address: int) -> Fault | None:
        return self.backend.fault(address, self.size)

    def _offer(self, burst: _Read) -> None:
        address = burst.beats[0]
        bad = self._fault(address) is Fault.ERROR
        data = self.rng.randbytes(self.size) if bad else self.backend.read(address, self.size)
        resp = self.rng.choice((SLVERR, DECERR)) if bad else OKAY
        self._current = burst
        self.r.drive(
            rvalid=1,
            rid=burst.ident,
            rdata=int.from_bytes(data, "little"),
            rresp=resp,
            rlast=int(len(burst.beats) == 1),
        )

    # -- writes

    def _write_cycle(self, take: bool, data: bool, answer: bool) -> None:
        aw, w, b = self.aw, self.w, self.b
        if aw.driven["awready"] and aw.get("awvalid"):
            address, beats = aw.get("awaddr"), aw.get("awlen") + 1
            self.writes.append((address, beats * self.size))
            self._addressed.append(_Write(aw.get("awid"), address, beats))
        offered = bool(w.get("wvalid"))  # and not taken
        if offered and w.driven["wready"]:
            offered = False
            self._ahead.append((w.get("wdata").to_bytes(self.size, "little"), w.get("wstrb"), bool(w.get("wlast"))))
        while self._ahead and self._addressed:
            self._beat(*self._ahead.popleft())
        answered = bool(b.driven["bvalid"])
        if answered and b.get("bready"):
            done = self._complete.popleft()
            if self.behaviour.late_write:
                self._apply(done)
            answered = False
        if not answered:
            ready = bool(self._complete) and answer and self.cycle >= self._complete[0].due
            ready = ready and all(self._fault(a) is not Fault.HANG for a, _, _ in self._complete[0].data)
            if ready:
                burst = self._complete[0]
                bad = any(self._fault(a) is Fault.ERROR for a, _, _ in burst.data)
                b.drive(bvalid=1, bid=burst.ident, bresp=self.rng.choice((SLVERR, DECERR)) if bad else OKAY)
            else:
                b.drive(bvalid=0, bresp=self.rng.randrange(4))
        self._write_ready(take, data, offered)

    def _write_ready(self, take: bool, data: bool, offered: bool) -> None:
        order = self.behaviour.writes
        room = len(self._addressed) + len(self._complete) < OUTSTANDING
        waiting = bool(self._addressed)
        if order is WriteOrder.OFFERED:
            take = take and offered and not waiting
        elif order is WriteOrder.DATA_FIRST:
            take = take and any(last for *_, last in self._ahead)
        if order in (WriteOrder.ADDRESS_FIRST, WriteOrder.OFFERED):
            # The last beat that is still missing may be taken in this very cycle.
            missing = sum(burst.beats for burst in self._addressed)
            data = data and missing > 0
        self.aw.drive(awready=int(take and room))
        self.w.drive(wready=int(data and len(self._ahead) < 2 * 256))

    def _beat(self, data: bytes, strobes: int, last: bool) -> None:
        burst = self._addressed[0]
        burst.data.append((burst.address, data, strobes))
        if not self.behaviour.late_write and self._fault(burst.address) is None:
            self._store(burst.address, data, strobes)
        burst.address += self.size
        burst.beats -= 1
        assert last == (burst.beats == 0), f"WLAST is {int(last)} with {burst.beats} beats to come"
        if not burst.beats:
            burst.due = self._due()
            self._complete.append(self._addressed.popleft())

    def _apply(self, burst: _Write) -> None:
        for address, data, strobes in burst.data:
            if self._fault(address) is None:
                self._store(address, data, strobes)

    def _store(self, address: int, data: bytes, strobes: int) -> None:
        if strobes == (1 << self.size) - 1:
            self.backend.write(address, data)
        else:
            for byte in range(self.size):
                if strobes >> byte & 1:
                    self.backend.write(address + byte, data[byte : byte + 1])
