"""Named chip configurations: the one place where sizes are written (SystemVerilog reads a generated copy)."""

from __future__ import annotations

from dataclasses import dataclass

SPAD_BYTES = 1 << 24
"""What a byte address in the scratchpad reaches: 24 bits."""

SPAD_BANKS = 4
"""Banks of the scratchpad, each with one read and one write port."""


@dataclass(frozen=True)
class ChipConfig:
    """Sizes of one chip, in the ranges of `rtl/pkg/chip_pkg.sv`. Raises ValueError, also in `replace`, outside them.

    depth:      bytes in a scratchpad word = length of the MXU's dot products (D): 16, 32 or 64. 16 or more, so that
                the nine taps of a depthwise kernel fit in one.
    cols:       columns of the MXU (C): depth or half of it.
    lanes:      lanes of the VPU: 8, 16, 32 or 64, cols at most; 0 stands for as many as columns.
    full_lanes: of these, lanes with parameters, a second operand, functions and the encoder: all or half, 8 at least; 0
                stands for all. A microword that needs one of them takes a group of lanes in two halves otherwise.
    rows:       rows in one accumulator bank (R), 2 to 255: the most output pixels that a block can have.
    spad_words: scratchpad size in words, 64 or more, a multiple of its banks' number, 16 MiB at most.
    prog_words: microwords in the VPU's program store: an even number, 4 to 256.
    tables:     code tables (16 decode entries and 15 thresholds each), 1 to 8.
    queue:      instructions that wait in front of each engine: 2, 4 or 8.
    load_bursts: bursts of 32 words that LOAD has under way at most, 2 to 16. They hide a memory whose answer takes
                (load_bursts - 1) * 32 * depth bytes' time; a fetch waits behind all of them.
    clock_mhz:  clock at which figures are reported.
    """

    name: str
    depth: int
    cols: int
    rows: int
    spad_words: int
    prog_words: int = 64
    tables: int = 8
    queue: int = 4
    load_bursts: int = 8
    lanes: int = 0
    full_lanes: int = 0
    clock_mhz: int = 1000

    def __post_init__(self) -> None:
        if not self.lanes:
            object.__setattr__(self, "lanes", self.cols)
        if not self.full_lanes:
            object.__setattr__(self, "full_lanes", self.lanes)
        self._need("depth", "16, 32 or 64", self.depth in (16, 32, 64))
        self._need("cols", f"{self.depth // 2} or {self.depth} at depth {self.depth}",
                   self.cols in (self.depth // 2, self.depth))  # fmt: skip
        self._need("lanes", f"8, 16, 32 or 64, {self.cols} at most", self.lanes in (8, 16, 32, 64)
                   and self.lanes <= self.cols)  # fmt: skip
        self._need("full_lanes", f"{self.lanes}, or half of it but 8 at least",
                   self.full_lanes in (self.lanes, self.lanes // 2) and self.full_lanes >= 8)  # fmt: skip
        self._need("rows", "2 to 255", 2 <= self.rows <= 255)
        most = SPAD_BYTES // self.depth
        self._need("spad_words", f"a multiple of {SPAD_BANKS} from 64 to {most}",
                   64 <= self.spad_words <= most and self.spad_words % SPAD_BANKS == 0)  # fmt: skip
        self._need("prog_words", "an even number from 4 to 256", self.prog_words in range(4, 257, 2))
        self._need("tables", "1 to 8", 1 <= self.tables <= 8)
        self._need("queue", "2, 4 or 8", self.queue in (2, 4, 8))
        self._need("load_bursts", "2 to 16", 2 <= self.load_bursts <= 16)
        self._need("clock_mhz", "1 or more", self.clock_mhz >= 1)

    def _need(self, size: str, allowed: str, legal: bool) -> None:
        if not legal:
            raise ValueError(f"chip '{self.name}': {size} must be {allowed}, not {getattr(self, size)}")

    @property
    def spad_bytes(self) -> int:
        """Scratchpad size in bytes."""
        return self.spad_words * self.depth

    @property
    def macs_w4a8(self) -> int:
        """Multiply-accumulates a cycle with 8-bit activations and 4-bit weights."""
        return self.depth * self.cols

    @property
    def macs_w4a4(self) -> int:
        """Multiply-accumulates a cycle with uniform 4-bit activations and 4-bit weights."""
        return 2 * self.depth * self.cols


CONFIGS: dict[str, ChipConfig] = {
    c.name: c
    for c in (
        ChipConfig("tiny", depth=16, cols=8, rows=16, spad_words=1024, prog_words=32, queue=2, load_bursts=2),
        ChipConfig("small", depth=16, cols=8, rows=64, spad_words=16384),
        ChipConfig("paper", depth=32, cols=32, rows=64, spad_words=32768, load_bursts=5, full_lanes=16),
    )
}


def chip_config(name: str) -> ChipConfig:
    """The configuration of that name. Raises ValueError naming the choices."""
    try:
        return CONFIGS[name]
    except KeyError:
        raise ValueError(f"no configuration '{name}': choose one of {', '.join(CONFIGS)}") from None
