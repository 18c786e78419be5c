"""Tensors into the layouts of docs/numerics.md, and a bench that runs one layer on the golden machine."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.arithmetic.numerics import pack_nibbles, unpack_nibbles
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import ActFormat, Destination, Opcode, Trap, WeightFormat
from triptych.golden.quartdepth.chip.machine import Machine, Result
from triptych.golden.quartdepth.chip.memory import Memory

Ints = NDArray[np.int64]
HALT = Instruction(Opcode.HALT)


def up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def pixels_bytes(x: Ints, fmt: ActFormat, depth: int) -> NDArray[np.uint8]:
    """(h, w, c) codes as (h, w, bytes): a whole number of words a pixel, garbage (0xA5) behind the last channel."""
    codes = x.shape[2]
    if fmt == ActFormat.INT8:
        data = x.astype(np.int8).view(np.uint8)
    else:
        data = pack_nibbles(np.pad(x, ((0, 0), (0, 0), (0, codes % 2)), constant_values=0))
    return np.pad(data, ((0, 0), (0, 0), (0, -data.shape[2] % depth)), constant_values=0xA5)


def steps_of(channels: int, fmt: ActFormat, depth: int) -> tuple[int, int]:
    """`chunks` and `last_elems` of a pixel."""
    lanes = channels if fmt == ActFormat.INT8 else -(-channels // 2)
    chunks = -(-lanes // depth)
    return chunks, lanes - (chunks - 1) * depth


def weight_tiles(w: Ints, fmt: ActFormat, weight_format: WeightFormat, config: ChipConfig) -> NDArray[np.uint8]:
    """(n, taps, cin) weights as (n tiles, k tiles, C, D) bytes."""
    n, _, cin = w.shape
    d, c = config.depth, config.cols
    wide = d if fmt == ActFormat.INT8 else 2 * d
    w = np.pad(w, ((0, -n % c), (0, 0), (0, -cin % wide)))
    lanes = w.reshape(len(w), -1, wide)  # column, step, lane
    if fmt != ActFormat.INT8:
        cells = pack_nibbles(lanes)
    elif weight_format != WeightFormat.INT4:
        cells = lanes.astype(np.int8).view(np.uint8)
    else:
        lanes = np.pad(lanes, ((0, 0), (0, lanes.shape[1] % 2), (0, 0)))
        cells = ((lanes[:, 0::2] & 15) | ((lanes[:, 1::2] & 15) << 4)).astype(np.uint8)
    return np.ascontiguousarray(cells.reshape(-1, c, cells.shape[1], d).swapaxes(1, 2))


def depthwise_tiles(w: Ints, config: ChipConfig) -> NDArray[np.uint8]:
    """(channels, 9) weights as (groups, C, D) bytes."""
    d, c = config.depth, config.cols
    w = np.pad(w, ((0, -len(w) % d), (0, d - 9))).reshape(-1, d // c, c, d) & 15
    return (w[:, 0] | (w[:, 1] << 4 if d > c else 0)).astype(np.uint8)


def parameters(bias: Ints, multiplier: Ints, shift: Ints, zero_point: Ints) -> NDArray[np.uint8]:
    kinds = [("b", "<i4"), ("m", "<i2"), ("s", "u1"), ("z", "i1")]
    out = np.zeros(len(bias), dtype=kinds)
    out["b"], out["m"], out["s"], out["z"] = bias, multiplier, shift, zero_point
    return out.view(np.uint8)


@dataclass
class Bench:
    """A machine whose scratchpad is filled by hand."""

    config: ChipConfig
    top: int = 0
    chip: Machine = field(init=False)

    def __post_init__(self) -> None:
        self.chip = Machine(self.config)
        self.chip.state.spad[:] = 0x5A

    def put(self, data: NDArray[np.uint8]) -> int:
        """Place bytes in the next free words; returns their address."""
        at = self.room(data.size)
        self.chip.state.spad[at : at + data.size] = data.reshape(-1)
        return at

    def room(self, size: int) -> int:
        at, self.top = self.top, up(self.top + size, 2 * self.config.depth)
        assert self.top <= self.config.spad_bytes, "the example does not fit: choose smaller shapes"
        return at

    def table(self, number: int, table: CodeTable) -> None:
        self.chip.state.tables[64 * number :][:64] = np.frombuffer(table.to_bytes(), np.uint8)

    def program(self, *words: Microword) -> None:
        code = np.frombuffer(b"".join(w.encode() for w in words), np.uint8)
        self.chip.state.prog[: code.size] = code

    def run(self, *instructions: Instruction) -> Result:
        result = self.chip.run([*instructions, HALT], Memory(64))
        assert result.trap is Trap.NONE, result.detail
        return result

    def read(self, at: int, shape: tuple[int, ...], strides: tuple[int, ...], kind: Destination) -> Ints:
        """A picture whose innermost axis (channels) is packed, the outer axes at byte strides."""
        length = {1: shape[-1], 2: -(-shape[-1] // 2), 3: 2 * shape[-1]}[kind]
        start = at + sum(np.ogrid[tuple(slice(s) for s in shape[:-1])][k] * strides[k] for k in range(len(strides)))
        data = np.stack([self.chip.state.spad[start + b] for b in range(length)], axis=-1)
        if kind == Destination.NIBBLE:
            return unpack_nibbles(data)[..., : shape[-1]].astype(np.int64)
        return data.view(np.int8 if kind == Destination.INT8 else "<i2").astype(np.int64)
