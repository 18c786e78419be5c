"""How much of a DRAM channel's pin rate a pattern of reads gets: column, activation, refresh and turn-around timing.

A command-level model of one channel: reads are served in order, rows are opened ahead for the requests that stand in
the controller's queue, every bank is closed for the all-bank refresh. Nothing is fitted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from triptych.sim.fastcar.boards import DramTiming

QUEUE = 32
"""Requests (lines) that the controller sees ahead."""


@dataclass
class _Bank:
    row: int = -1
    ready: float = 0.0  # may be activated
    open_at: float = 0.0  # columns may be read
    close_at: float = 0.0  # tRAS is over


class Channel:
    """One channel; `read` returns the time in ns at which a line's data has come."""

    def __init__(self, timing: DramTiming) -> None:
        self.timing = timing
        self.banks = [_Bank() for _ in range(timing.groups * timing.banks)]
        self.activations: deque[tuple[float, int]] = deque(maxlen=4)
        self.column_at = -1e9
        self.column_group = -1
        self.refresh_at = timing.refi

    def _place(self, address: int) -> tuple[int, int, int]:
        """Bank group (lowest bits, so that a stream alternates), bank and row of a byte address."""
        t = self.timing
        line = address // t.line
        group = line % t.groups
        row = line // t.groups // (t.row // t.line)
        return group, group * t.banks + row % t.banks, row // t.banks

    def _refresh(self) -> None:
        t = self.timing
        idle = max([self.column_at + t.clock * t.ccd_s, *(b.close_at for b in self.banks)])
        done = max(self.refresh_at, idle) + t.rp + t.rfc
        for bank in self.banks:
            bank.row, bank.ready = -1, done
        self.refresh_at += t.refi

    def open(self, address: int, now: float) -> None:
        """Activates the row of `address` if it is not open."""
        t = self.timing
        group, index, row = self._place(address)
        bank = self.banks[index]
        if bank.row == row:
            return
        at = max(now, bank.ready) if bank.row < 0 else max(now, bank.close_at) + t.rp
        if self.activations:
            last, last_group = self.activations[-1]
            at = max(at, last + (t.rrd_l if last_group == group else t.rrd_s))
        if len(self.activations) == 4:
            at = max(at, self.activations[0][0] + t.faw)
        self.activations.append((at, group))
        bank.row, bank.open_at, bank.close_at = row, at + t.rcd, at + t.ras

    def read(self, address: int, now: float) -> float:
        """Reads one line that was requested at `now`."""
        t = self.timing
        if self.column_at >= self.refresh_at:
            self._refresh()
        self.open(address, now)
        group, index, _ = self._place(address)
        gap = t.ccd_l if group == self.column_group else t.ccd_s
        self.column_at = max(now, self.banks[index].open_at, self.column_at + gap * t.clock)
        self.column_group = group
        bank = self.banks[index]
        bank.close_at = max(bank.close_at, self.column_at + 7.5)  # tRTP
        return self.column_at + t.ccd_s * t.clock


def _addresses(timing: DramTiming, total: int, streams: int, chunk: int, piece: int, stagger: bool) -> Iterator[int]:
    """`streams` readers taking turns of `chunk` bytes. Each reads pieces of `piece` bytes, pieces far apart."""
    share = total // streams
    apart = timing.groups * timing.row if stagger else 0
    for offset in range(0, share, chunk):
        for stream in range(streams):
            base = (stream << 28) + stream * apart
            for byte in range(offset, min(offset + chunk, share), timing.line):
                number, inside = divmod(byte, piece)
                yield base + number * (piece if piece >= share else piece + 0x35_2000) + inside


@lru_cache(maxsize=256)
def efficiency(
    timing: DramTiming, *, streams: int = 1, chunk: int = 4096, piece: int = 1 << 20, window: int = 32768,
    latency: float = 200.0, stagger: bool = True, total: int = 1 << 20,
) -> float:  # fmt: skip
    """Share of the pin rate that reads get.

    streams: readers that take turns. chunk: bytes of a turn. piece: bytes of a contiguous region of a reader. window:
    bytes outstanding over all readers; a request enters when the one a window earlier was answered, `latency` ns later.
    stagger: the readers' regions begin in different banks. total: bytes read. Raises ValueError on sizes that are not
    multiples of a line.
    """
    line = timing.line
    if chunk % line or piece % line or window < line or streams < 1:
        raise ValueError(f"chunk, piece and window must be multiples of {line} bytes, streams at least 1")
    channel = Channel(timing)
    ahead = window // line
    done: list[float] = []
    for i, address in enumerate(_addresses(timing, total, streams, chunk, piece, stagger)):
        answered = done[i - ahead] + latency if i >= ahead else 0.0
        queued = done[i - QUEUE] if i >= QUEUE else 0.0
        done.append(channel.read(address, max(answered, queued)))
    return len(done) * timing.ccd_s * timing.clock / done[-1]
