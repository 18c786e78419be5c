"""The boards of the FastCar study: what their data sheets say, and what the model assumes about them.

Facts (bandwidth, memory, DSP48E2) are cited in `Board.source`; clocks, clusters and lanes are choices of this design.
"""

from __future__ import annotations

from dataclasses import dataclass

CHAIN = 8
"""DSPs of a lane's chain."""

PJ_PER_MAC = 1.0
"""Assumed energy of a W4A8 multiply-accumulate in a packed DSP48E2 with its operand registers, in pJ."""


@dataclass(frozen=True)
class DramTiming:
    """Timing of one channel, in ns unless stated. JEDEC names: JESD79-4 (DDR4), JESD235 (HBM2).

    line: bytes of a column burst. row: bytes of a row over the channel's devices. groups, banks: bank groups, banks of
    a group. clock: of the command bus. ccd_s, ccd_l: column to column in clocks, another or the same group. turn:
    dead time of a read-write-read turn of the data bus. pj_per_bit: assumed energy of a bit moved.
    """

    name: str
    line: int
    row: int
    groups: int
    banks: int
    clock: float
    ccd_s: int
    ccd_l: int
    rcd: float
    rp: float
    ras: float
    rrd_s: float
    rrd_l: float
    faw: float
    rfc: float
    refi: float
    turn: float
    pj_per_bit: float


DDR4_2400 = DramTiming(
    "DDR4-2400, 8 Gb x16, 64 bit", line=64, row=8192, groups=2, banks=4, clock=0.833, ccd_s=4, ccd_l=6, rcd=13.75,
    rp=13.75, ras=32.0, rrd_s=5.3, rrd_l=6.4, faw=30.0, rfc=350.0, refi=7800.0, turn=25.0, pj_per_bit=18.0,
)  # fmt: skip


def _hbm2(name: str, clock: float) -> DramTiming:
    return DramTiming(
        name, line=32, row=1024, groups=4, banks=4, clock=clock, ccd_s=2, ccd_l=4, rcd=14.0, rp=14.0, ras=33.0,
        rrd_s=4.0, rrd_l=6.0, faw=16.0, rfc=260.0, refi=3900.0, turn=20.0, pj_per_bit=3.9,
    )  # fmt: skip


HBM2_1800 = _hbm2("HBM2 1800 MT/s pseudo channel", 1.111)
HBM2_1234 = _hbm2("HBM2 1234 MT/s pseudo channel", 1.621)


@dataclass(frozen=True)
class Board:
    """One board and the accelerator that fits it.

    channels: DRAM channels of `timing`. dsp: DSP48E2 of the device. clock_mhz: assumed. clusters: matrix-vector
    engines, each fed by its share of the channels. lanes: of a cluster, a power of two. width: products of a lane's dot
    product = bytes of a weight word = DSP48E2 of a lane. fifo_words: prefetch depth of a cluster's streamer. latency:
    read round trip in ns. burst_bytes, outstanding: of the streamer's AXI reads. vector: elements a cycle of the
    row-wise unit (norm, RoPE, SwiGLU) of the whole board. ultra_lanes: lanes of a cluster whose inputs lie in UltraRAM,
    the others' in block RAM. lut_chains: chains of DSPs of a cluster's first lane that are logic instead.
    """

    name: str
    source: str
    timing: DramTiming
    channels: int
    dsp: int
    clock_mhz: int
    clusters: int
    lanes: int
    width: int = 64
    fifo_words: int = 512
    latency: float = 200.0
    burst_bytes: int = 4096
    outstanding: int = 8
    vector: int = 64
    ultra_lanes: int = 0
    lut_chains: int = 0

    @property
    def peak_bytes_per_second(self) -> float:
        """Bandwidth of the memory's pins."""
        t = self.timing
        return self.channels * t.line / (t.ccd_s * t.clock * 1e-9)

    @property
    def lane_dsp(self) -> int:
        """DSP48E2 of the lane arrays: two W4A8 products each."""
        return self.clusters * (self.lanes * self.width - self.lut_chains * CHAIN)

    @property
    def pairs(self) -> int:
        """Pairs of W4A8 products that the lanes compute a cycle, in DSPs or in logic."""
        return self.clusters * self.lanes * self.width

    @property
    def ridge_batch(self) -> float:
        """B0: rows at which the lanes take as long as their weights' stream at pin rate."""
        return 2 * self.pairs * self.clock_mhz * 1e6 * 0.5 / self.peak_bytes_per_second

    @property
    def device_ridge_batch(self) -> float:
        """B0 if every DSP48E2 of the device were a lane's."""
        return self.ridge_batch * self.dsp / self.pairs


BOARDS = {
    b.name: b
    for b in (
        Board(
            "KV260", "AMD DS986/DS987: K26, XCK26, 1,248 DSP48E2, 4 GB DDR4-2400 64 bit (19.2 GB/s)",
            DDR4_2400, channels=1, dsp=1248, clock_mhz=300, clusters=1, lanes=16,
        ),
        Board(
            "ZCU102", "AMD UG1182/DS891: XCZU9EG, 2,520 DSP48E2, DDR4 SODIMM 64 bit, taken at 2400 MT/s (19.2 GB/s)",
            DDR4_2400, channels=1, dsp=2520, clock_mhz=250, clusters=2, lanes=16, vector=128,
        ),
        Board(
            "U50", "AMD DS965: 5,952 DSP48E2, 8 GB HBM2 316 GB/s over 32 pseudo channels",
            HBM2_1234, channels=32, dsp=5952, clock_mhz=250, clusters=32, lanes=2, vector=1024, ultra_lanes=2,
        ),
        Board(
            "U280", "AMD DS963: 9,024 DSP48E2, 8 GB HBM2 460 GB/s over 32 pseudo channels",
            HBM2_1800, channels=32, dsp=9024, clock_mhz=225, clusters=32, lanes=4, vector=1024, ultra_lanes=2,
            lut_chains=2,
        ),
    )
}  # fmt: skip


def board(name: str) -> Board:
    """The board of that name, in any case. Raises ValueError naming those that there are."""
    for key, value in BOARDS.items():
        if key.lower() == name.lower():
            return value
    raise ValueError(f"no board '{name}': take one of {', '.join(BOARDS)}")
