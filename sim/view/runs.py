"""What a run was, of each of the three machines: the fields of a run file. docs/report.md describes every one.

The fields without a default are there in every run; each of the others is one part of the report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.view.origin import Origin
from triptych.sim.view.records import Amount, Count, Name, Positive, Rate

Span = tuple[Count, Count, Count]  # instruction, cycle of its start, cycle of its retirement


class Machine(StrEnum):
    """Which machine ran."""

    CHIP = "chip"
    FPGA = "fpga"
    GPU = "gpu"


@dataclass(frozen=True)
class Run:
    """What every run has. title: its name."""

    machine: ClassVar[Machine]

    title: Name
    origin: Origin


@dataclass(frozen=True)
class ChipSizes:
    """The chip's configuration (`ChipConfig`)."""

    name: Name
    depth: Positive
    cols: Positive
    rows: Positive
    spad_bytes: Positive
    clock_mhz: Positive

    @property
    def peak(self) -> int:
        """Multiply-accumulates a cycle with four-bit weights and activations: the most that the chip does."""
        return 2 * self.depth * self.cols


@dataclass(frozen=True)
class MemoryTerms:
    """The memory behind the chip: bytes a cycle, reads and writes together; cycles to the first beat."""

    bytes_per_cycle: Rate
    latency: Positive


@dataclass(frozen=True)
class NetworkTerms:
    """widths: that the network was quantised to. macs: of the whole. input: height, width, channels."""

    name: Name
    widths: Widths | None
    macs: Count
    input: tuple[Positive, Positive, Positive]


@dataclass(frozen=True)
class TensorRun:
    """A feature map: shape [height, width, channels], bits of a code, its form, and its error against floating point:
    relative L2, of the network's own calibration photo."""

    name: Name
    shape: tuple[Positive, Positive, Positive]
    bits: Positive
    form: Name
    error: Amount | None = None


@dataclass(frozen=True)
class LayerRun:
    """One layer of a run.

    mode: how its products use the array. ideal_cycles: MACs over the array's rate in that mode. cycles: of all the
    MXU's classes between the retirement of the instruction before the layer's first and of its last one, so that layers
    sum to the whole. classes: those cycles by MXU class. bytes_read, bytes_written: what its loads and stores move.
    """

    name: Name
    mode: Name
    macs: Count
    ideal_cycles: Amount
    cycles: Count
    classes: dict[str, Count]
    bytes_read: Count
    bytes_written: Count

    @property
    def dram_bytes(self) -> int:
        """Both ways."""
        return self.bytes_read + self.bytes_written

    @property
    def peak(self) -> float:
        """MACs a cycle of the array in the layer's mode; 0 without products."""
        return self.macs / self.ideal_cycles if self.ideal_cycles else 0.0


@dataclass(frozen=True)
class Program:
    """instructions: as text. layer_of: index in `layers` of the layer that each works for. waits: retirements of LOAD,
    MXU, VPU and STORE that each waits for. spans: of every engine's instructions."""

    instructions: list[Name]
    layer_of: list[Count]
    waits: list[tuple[Count, Count, Count, Count]]
    spans: dict[str, list[Span]]


@dataclass(frozen=True)
class Samples:
    """Values `every` so many cycles."""

    every: Positive
    values: list[Amount]


@dataclass(frozen=True)
class Picture:
    """A picture file beside the run file."""

    file: Name
    title: Name


@dataclass(frozen=True)
class ChipRun(Run):
    """A network on the chip's RTL. cycles: from start to interrupt. counters: cycles by engine and class.
    dram: bytes that crossed the memory port in each interval; scratchpad: bytes that hold what is still to be read."""

    machine: ClassVar[Machine] = Machine.CHIP

    chip: ChipSizes
    memory: MemoryTerms
    network: NetworkTerms
    cycles: Positive
    bytes_read: Count
    bytes_written: Count
    bit_exact: bool | None = None
    layers: list[LayerRun] = field(default_factory=list)
    counters: dict[str, dict[str, Count]] = field(default_factory=dict)
    program: Program | None = None
    dram: Samples | None = None
    scratchpad: Samples | None = None
    tensors: list[TensorRun] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    @property
    def utilization(self) -> float:
        """Ideal over actual cycles of the matrix engine, 0..1: each layer against the rate of its own mode."""
        return sum(layer.ideal_cycles for layer in self.layers) / self.cycles

    @property
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates a cycle, over the whole run."""
        return self.network.macs / self.cycles


@dataclass(frozen=True)
class Resources:
    """LUTs, flip-flops, DSPs, RAMB36 and URAM; None: not known."""

    luts: Amount | None = None
    flops: Amount | None = None
    dsps: Amount | None = None
    blocks: Amount | None = None
    urams: Amount | None = None


@dataclass(frozen=True)
class Part:
    """A part of the design on a board: how many of it, what each takes, where the figures come from."""

    name: Name
    count: Positive
    each: Resources
    label: Name


@dataclass(frozen=True)
class BoardRun:
    """has: what the device holds (cited). parts: what is built there. peak, weights: bytes a second of the memory's
    pins, and of the weight stream."""

    name: Name
    has: Resources
    parts: list[Part]
    peak: Rate
    weights: Rate


@dataclass(frozen=True)
class SpeedPoint:
    """speedup: over the dense layer; closed: by the closed form. mlp_cycles: of the projections that replay skips."""

    board: Name
    rows: Positive
    skip: Amount
    policy: Name
    schedule: Name
    window: Count
    speedup: Rate
    closed: Rate
    mlp_cycles: Amount


@dataclass(frozen=True)
class LaneSpan:
    """A lane's work in a window of weight words: for which row, from which cycle to which."""

    lane: Count
    row: Count
    begin: Count
    end: Count


@dataclass(frozen=True)
class LaneRun:
    """Who takes a window of weights. index: which rows compute."""

    schedule: Name
    lanes: Positive
    index: list[bool]
    spans: list[LaneSpan]


@dataclass(frozen=True)
class TokenBytes:
    """Bytes that a token of a layer moves, by what they are; skipped: weights that replay does not read."""

    board: Name
    skip: Amount
    weights: Amount
    skipped: Amount
    other: Amount


@dataclass(frozen=True)
class FpgaRun(Run):
    """FastCar by its cycle model and twins, or a video of the golden model. measured: of a video, skip_ratio (0..1),
    psnr_db, token_agreement (0..1). skip_maps: which tokens replayed, by layer, frame, row and column."""

    machine: ClassVar[Machine] = Machine.FPGA

    measured: dict[Name, float] = field(default_factory=dict)
    boards: list[BoardRun] = field(default_factory=list)
    speedups: list[SpeedPoint] = field(default_factory=list)
    lanes: list[LaneRun] = field(default_factory=list)
    traffic: list[TokenBytes] = field(default_factory=list)
    skip_maps: list[list[list[list[bool]]]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class KernelTime:
    """A whole call of attention. sparsity: asked for. error: relative L2 against float64 on the benchmark's data."""

    shape: Name
    kernel: Name
    sparsity: Amount
    ms: Rate
    error: Amount | None = None


@dataclass(frozen=True)
class Crossover:
    """A whole call and dense attention at one length."""

    tokens: Positive
    sparsity: Amount
    block: Positive
    dense_ms: Rate
    ms: Rate


@dataclass(frozen=True)
class Stage:
    """A part of a call that is not attention."""

    shape: Name
    stage: Name
    ms: Amount


@dataclass(frozen=True)
class MethodError:
    """Mean relative L2 error of a method over the benchmark's data. ms: of a whole call of the shape that is timed."""

    method: Name
    data: Name
    sparsity: Amount
    error: Amount
    ms: Rate | None = None


@dataclass(frozen=True)
class BlockMask:
    """Share of blocks that a frame's queries keep of a frame's keys, [query frame][key frame], of one head."""

    head: Count
    sparsity: Amount
    kept: list[list[Amount]]


@dataclass(frozen=True)
class GpuRun(Run):
    """DraftAttention's benchmarks. device: the GPU; libraries: versions by name."""

    machine: ClassVar[Machine] = Machine.GPU

    device: Name
    libraries: dict[str, Name]
    kernels: list[KernelTime] = field(default_factory=list)
    crossover: list[Crossover] = field(default_factory=list)
    overhead: list[Stage] = field(default_factory=list)
    errors: list[MethodError] = field(default_factory=list)
    masks: list[BlockMask] = field(default_factory=list)
