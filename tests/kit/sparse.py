"""Memory of 2^32 bytes of which only what is touched exists, and stimulus that reaches every size of value."""

from __future__ import annotations

import random

PAGE = 4096
SPACE = 1 << 32


class SparseMemory:
    """Bytes at 32-bit addresses that wrap. A page is made when it is touched, with contents that depend on `seed` and
    its address alone."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.pages: dict[int, bytearray] = {}

    def _page(self, number: int) -> bytearray:
        if number not in self.pages:
            self.pages[number] = bytearray(random.Random(self.seed << 20 | number).randbytes(PAGE))
        return self.pages[number]

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes from `address` on."""
        parts = []
        while length:
            number, place = divmod(address % SPACE, PAGE)
            part = self._page(number)[place : place + length]
            parts.append(bytes(part))
            address, length = address + len(part), length - len(part)
        return b"".join(parts)

    def write(self, address: int, data: bytes | bytearray) -> None:
        """Puts `data` at `address`."""
        at = 0
        while at < len(data):
            number, place = divmod((address + at) % SPACE, PAGE)
            part = data[at : at + PAGE - place]
            self._page(number)[place : place + len(part)] = part
            at += len(part)

    def copy(self) -> SparseMemory:
        """The same bytes, apart from now on."""
        other = SparseMemory(self.seed)
        other.pages = {number: bytearray(page) for number, page in self.pages.items()}
        return other

    def first_difference(self, other: SparseMemory) -> int | None:
        """Lowest address at which the two differ."""
        for number in sorted(self.pages.keys() | other.pages.keys()):
            ours, theirs = self._page(number), other._page(number)
            if ours != theirs:
                return number * PAGE + next(i for i in range(PAGE) if ours[i] != theirs[i])
        return None


def magnitude(rng: random.Random, bits: int, unit: int = 1) -> int:
    """A value of `bits` bits, a multiple of `unit`: every size alike, the ends of each size more often."""
    size = rng.randrange(bits + 1)
    value = rng.choice(((1 << size) - 1, 1 << size, (1 << size) + 1, (1 << bits) - 1, rng.randrange(1 << size)))
    return min(value, (1 << bits) - 1) // unit * unit
