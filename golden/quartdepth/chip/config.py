"""Named chip configurations: the one place where sizes are written (SystemVerilog reads a generated copy)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChipConfig:
    """Sizes of one chip.

    depth:      bytes in a scratchpad word = length of the MXU's dot products (D). 16 or more, so that the nine
                taps of a depthwise kernel fit in one.
    cols:       columns of the MXU = lanes of the VPU (C). depth / cols is 1 or 2.
    rows:       rows in one accumulator bank (R): the most output pixels that a block can have.
    spad_words: scratchpad size in words.
    banks:      scratchpad banks, each with one read and one write port.
    prog_words: microwords in the VPU's program store.
    tables:     code tables (16 decode entries and 15 thresholds each).
    queue:      instructions that wait in front of each engine.
    clock_mhz:  clock at which figures are reported.
    """

    name: str
    depth: int
    cols: int
    rows: int
    spad_words: int
    banks: int = 4
    prog_words: int = 64
    tables: int = 8
    queue: int = 4
    clock_mhz: int = 1000

    def __post_init__(self) -> None:
        if self.depth < 16 or self.depth & (self.depth - 1):
            raise ValueError(f"{self.name}: depth must be a power of two of at least 16, not {self.depth}")
        if self.depth // self.cols not in (1, 2) or self.depth % self.cols:
            raise ValueError(f"{self.name}: depth / cols must be 1 or 2, not {self.depth} / {self.cols}")

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
        ChipConfig("tiny", depth=16, cols=8, rows=16, spad_words=1024, prog_words=32, queue=2),
        ChipConfig("small", depth=16, cols=8, rows=64, spad_words=16384),
        ChipConfig("paper", depth=32, cols=32, rows=64, spad_words=32768),
    )
}


def chip_config(name: str) -> ChipConfig:
    """The configuration of that name. Raises ValueError naming the choices."""
    try:
        return CONFIGS[name]
    except KeyError:
        raise ValueError(f"no configuration '{name}': choose one of {', '.join(CONFIGS)}") from None
