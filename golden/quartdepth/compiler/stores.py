"""The memory image under construction, and the chip's small stores as the program fills them."""

from __future__ import annotations

from collections.abc import Callable

from triptych.golden.quartdepth.compiler.places import CompileError, round_up


class Image:
    """Blocks of bytes at aligned addresses of memory."""

    def __init__(self, align: int) -> None:
        self.align = align
        self.size = 0
        self.blocks: list[tuple[int, bytes]] = []
        self._known: dict[bytes, int] = {}

    def reserve(self, size: int) -> int:
        """Address of `size` bytes."""
        address = self.size
        self.size = round_up(address + size, self.align)
        return address

    def put(self, data: bytes) -> int:
        """Address of the bytes; equal ones are stored once."""
        if data not in self._known:
            self._known[data] = self.reserve(len(data))
            self.blocks.append((self._known[data], data))
        return self._known[data]


class Store:
    """A small store on the chip (microwords, code tables) that is filled in turn; `emit_load(entry, data)`."""

    def __init__(self, entries: int, what: str, emit_load: Callable[[int, bytes], None]) -> None:
        self.entries, self.what, self.emit_load = entries, what, emit_load
        self.next = 0
        self.held: dict[tuple[bytes, ...], int] = {}

    def ensure(self, words: tuple[bytes, ...], keep: frozenset[tuple[bytes, ...]] = frozenset()) -> int:
        """First entry of `words`, loading them over the oldest others if need be. `keep`: not to be overwritten."""
        if words in self.held:
            return self.held[words]
        if len(words) > self.entries:
            raise CompileError(f"{len(words)} {self.what} do not fit in a store of {self.entries}")
        for _ in range(self.entries + 1):
            first = self.next if self.next + len(words) <= self.entries else 0
            gone = {k for k, at in self.held.items() if at < first + len(words) and first < at + len(k)}
            self.next = first + len(words)
            if not gone & keep:
                break
        else:
            raise CompileError(f"a layer needs more {self.what} at a time than the store's {self.entries}")
        for k in gone:
            del self.held[k]
        self.held[words] = first
        self.emit_load(first, b"".join(words))
        return first
