"""Small programs written by hand, one for every way in which networks use the chip, over random data.

The golden vectors, the chip's directed tests and the smoke tests of larger configurations all run them. Data come from
a bit generator's raw output, whose stream NumPy keeps fixed, so that they are the same everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.quartdepth.chip.codec import Instruction, Microword, encode_program
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    ENGINE_OF,
    INSTRUCTION_BYTES,
    PARAM_BYTES,
    ActFormat,
    Addend,
    Destination,
    Engine,
    Format,
    Function,
    Kind,
    Multiply,
    Opcode,
    Reduce,
    Side,
    SourceA,
    Space,
    WeightFormat,
)
from triptych.golden.quartdepth.chip.memory import Memory

MEMORY_BYTES = 1 << 17


def noise(seed: int, size: int) -> NDArray[np.uint8]:
    """`size` random bytes, the same on every machine."""
    words = np.random.PCG64(seed).random_raw(-(-size // 8))
    return np.asarray(words).astype("<u8").view(np.uint8)[:size].copy()


@dataclass(frozen=True)
class Example:
    """A program in a memory.

    instructions: with HALT at the end. base: where they lie in `memory`.
    """

    name: str
    config: ChipConfig
    instructions: tuple[Instruction, ...]
    memory: Memory
    base: int


class Builder:
    """Puts data into memory and scratchpad and instructions behind each other, each waiting for all before it."""

    def __init__(self, name: str, config: ChipConfig, seed: int) -> None:
        self.name, self.config, self.seed = name, config, seed
        self.memory = Memory(MEMORY_BYTES)
        self.instructions: list[Instruction] = []
        self.issued: Counter[Engine] = Counter()
        self._memory_top = self._spad_top = 0

    def up(self, size: int) -> int:
        """`size` bytes rounded up to whole words."""
        return -(-size // self.config.depth) * self.config.depth

    def room(self, size: int) -> int:
        """Address of free scratchpad bytes, fit for every granule."""
        unit = max(self.config.depth, 2 * self.config.cols)
        at, self._spad_top = self._spad_top, self._spad_top + -(-size // unit) * unit
        assert self._spad_top <= self.config.spad_bytes, f"{self.name} does not fit into {self.config.name}"
        return at

    def place(self, data: NDArray[np.uint8]) -> int:
        """Address of `data` in memory."""
        at, self._memory_top = self._memory_top, self._memory_top + self.up(data.size)
        self.memory.place(at, data)
        return at

    def add(self, opcode: Opcode, **fields: int) -> None:
        """Append an instruction that waits for all before it."""
        self._append(opcode, fields, dict(self.issued))

    def drain(self, **fields: int) -> None:
        """Append a VECTOR that waits for all before it but the last MATMUL, whose rows it takes."""
        self._append(Opcode.VECTOR, fields, {**self.issued, Engine.MXU: self.issued[Engine.MXU] - 1})

    def _append(self, opcode: Opcode, fields: dict[str, int], waits: dict[Engine, int]) -> None:
        every = {**{f"wait_{e.name.lower()}": count for e, count in waits.items()}, **fields}
        self.instructions.append(Instruction(opcode, {k: int(v) for k, v in every.items() if v}))
        if opcode in ENGINE_OF:
            self.issued[ENGINE_OF[opcode]] += 1

    def load(self, data: NDArray[np.uint8], space: Space = Space.SPAD) -> int:
        """A LOAD of `data` to free scratchpad bytes, whose address is returned, or to the start of another store."""
        size = self.up(data.size)
        at = self.room(size) if space is Space.SPAD else 0
        self.add(Opcode.LOAD, dram=self.place(data), spad=at, rows=1, row_bytes=size, space=space)
        return at

    def random(self, size: int) -> int:
        """A LOAD of random bytes to free scratchpad bytes."""
        self.seed += 1
        return self.load(noise(self.seed, self.up(size)))

    def microwords(self, *words: Microword) -> None:
        """A LOAD of the program store from its start."""
        self.load(np.frombuffer(b"".join(w.encode() for w in words), np.uint8), Space.PROG)

    def tables(self) -> None:
        """A LOAD of all code tables: random entries, rising thresholds."""
        data = noise(self.seed + 1000, self.config.tables * 64).reshape(-1, 64)
        thresholds = np.sort(data[:, 16:46].copy().view("<i2"), axis=1)
        data[:, 16:46] = np.ascontiguousarray(thresholds).view(np.uint8)
        data[:, 46:] = 0
        self.load(data.reshape(-1), Space.TABLE)

    def parameters(self, channels: int, shift: int) -> int:
        """A LOAD of random parameters, requantising by about 2^-shift."""
        groups = -(-channels // self.config.cols) * self.config.cols
        self.seed += 1
        raw = noise(self.seed, groups * PARAM_BYTES).view("<i2").reshape(-1, 4).astype(np.int64)
        kinds = [("bias", "<i4"), ("multiplier", "<i2"), ("shift", "u1"), ("zero_point", "i1")]
        out = np.zeros(groups, dtype=kinds)
        out["bias"] = raw[:, 0]
        out["multiplier"] = raw[:, 1] | 0x4000
        out["shift"] = shift + (raw[:, 2] & 3)
        out["zero_point"] = raw[:, 3] >> 10
        return self.load(out.view(np.uint8))

    def store(self, at: int, rows: int, row_bytes: int) -> None:
        """A STORE of scratchpad rows that lie end to end, spread in memory with one word between them."""
        pitch = row_bytes + self.config.depth
        dram = self.place(np.zeros(rows * pitch, np.uint8))
        self.add(Opcode.STORE, dram=dram, dram_row=pitch, spad=at, spad_row=row_bytes, rows=rows, row_bytes=row_bytes)

    def finish(self) -> Example:
        """The program with HALT, in memory behind the data."""
        self.add(Opcode.HALT)
        base = -(-self._memory_top // INSTRUCTION_BYTES) * INSTRUCTION_BYTES
        self.memory.place(base, encode_program(self.instructions))
        return Example(self.name, self.config, tuple(self.instructions), self.memory, base)


def vector_word(**fields: int) -> Microword:
    """A VECTOR microword that clamps to int8 unless told otherwise."""
    return Microword({"kind": Kind.VECTOR, "lo": -128, "hi": 127, **fields})


@dataclass(frozen=True)
class Layer:
    """Shape of a layer of a matrix: in_h x in_w pixels of `channels` to `n`."""

    in_h: int
    in_w: int
    channels: int
    n: int
    kernel: int = 1
    stride: int = 1

    @property
    def out_h(self) -> int:
        return -(-self.in_h // self.stride)

    @property
    def out_w(self) -> int:
        return -(-self.in_w // self.stride)


def _matmul(b: Builder, s: Layer, act: ActFormat, weight: WeightFormat, block: int, /, **fields: int) -> None:
    """A MATMUL over random pixels and weights."""
    depth, cols = b.config.depth, b.config.cols
    coded = act is not ActFormat.INT8
    lanes = -(-s.channels // 2) if coded else s.channels
    chunks = -(-lanes // depth)
    pix = chunks * depth
    steps = s.kernel * s.kernel * chunks
    tiles = -(-steps // 2) if weight is WeightFormat.INT4 and not coded else steps
    columns = -(-s.n // cols)
    b.add(
        Opcode.MATMUL,
        **{
            "act_format": act, "weight_format": weight, "pad_value": 0x53, "act": b.random(s.in_h * s.in_w * pix),
            "act_row": s.in_w * pix, "act_pix": pix, "in_h": s.in_h, "in_w": s.in_w, "pad_top": s.kernel // 2,
            "pad_left": s.kernel // 2, "kernel_h": s.kernel, "kernel_w": s.kernel, "stride_y": s.stride,
            "stride_x": s.stride, "chunks": chunks, "last_elems": lanes - (chunks - 1) * depth, "out_h": s.out_h,
            "out_w": s.out_w, "block": block, "n": s.n, "wgt": b.random(columns * tiles * cols * depth),
            "wgt_n": tiles * cols * depth, "wgt_t": cols * depth, "wgt_c": depth, **fields,
        },
    )  # fmt: skip


def _depthwise(b: Builder, s: Layer, act: ActFormat, block: int, /, **fields: int) -> None:
    """A depthwise MATMUL over random pixels and weights."""
    depth, cols = b.config.depth, b.config.cols
    chunks = -(-s.channels // depth)
    pix = b.up(chunks * depth // (1 if act is ActFormat.INT8 else 2))
    b.add(
        Opcode.MATMUL,
        **{
            "act_format": act, "depthwise": 1, "pad_value": 0xC3, "act": b.random(s.in_h * s.in_w * pix),
            "act_row": s.in_w * pix, "act_pix": pix, "in_h": s.in_h, "in_w": s.in_w, "pad_top": 1, "pad_left": 1,
            "kernel_h": 3, "kernel_w": 3, "stride_y": s.stride, "stride_x": s.stride, "chunks": chunks,
            "last_elems": depth, "out_h": s.out_h, "out_w": s.out_w, "block": block, "n": s.channels,
            "wgt": b.random(chunks * cols * depth), "wgt_t": cols * depth, "wgt_c": depth, **fields,
        },
    )  # fmt: skip


def _drain(b: Builder, s: Layer, words: int, block: int, bits: int, prog: int = 0, /, **fields: int) -> None:
    """The VECTOR behind a MATMUL, and a STORE of what it writes: `bits` an element, groups end to end."""
    groups = -(-s.n // b.config.cols)
    pix = b.up(groups * b.config.cols * bits // 8)
    d = b.room(s.out_h * s.out_w * pix)
    b.drain(
        **{
            "prog": prog, "prog_len": words, "h": s.out_h, "w": s.out_w, "n": s.n, "block": block, "d": d,
            "d_row": s.out_w * pix, "d_pix": pix, **fields,
        },
    )  # fmt: skip
    b.store(d, s.out_h, s.out_w * pix)


REQUANTISE = {
    "src_a": SourceA.ACC, "addend": Addend.BIAS, "mul": Multiply.PARAM, "zp_param": 1, "dst": Destination.INT8,
}  # fmt: skip


def convolution(config: ChipConfig) -> Example:
    """3x3 convolution, stride 2, padded, int8 by int4, requantised with every lane's own parameters."""
    b, s = Builder("convolution", config, 100), Layer(7, 9, config.depth + 4, config.cols + 4, kernel=3, stride=2)
    b.microwords(vector_word(**REQUANTISE))
    param = b.parameters(s.n, 24)
    _matmul(b, s, ActFormat.INT8, WeightFormat.INT4, 16)
    _drain(b, s, 1, 16, 8, param=param)
    return b.finish()


def table_codes(config: ChipConfig) -> Example:
    """Pointwise layer on table codes, int4 weights, encoded again with another table."""
    b, s = Builder("table_codes", config, 200), Layer(5, 6, 3 * config.depth - 3, config.cols + 2)
    fields = {**REQUANTISE, "dst": Destination.NIBBLE, "lo": -32768, "hi": 32767, "encode": 1, "table_e": 5}
    b.microwords(vector_word(**fields))
    b.tables()
    param = b.parameters(s.n, 14)
    _matmul(b, s, ActFormat.TABLE4, WeightFormat.INT4, 13, code_table=2)
    _drain(b, s, 1, 13, 4, param=param)
    return b.finish()


def uniform_codes(config: ChipConfig) -> Example:
    """3x3 convolution of unsigned 4-bit codes, with a residual of codes added before rounding to codes."""
    b, s = Builder("uniform_codes", config, 300), Layer(4, 5, 2 * config.depth + 6, 2 * config.cols, kernel=3)
    side = {"side": Side.ADD_B, "fmt_b": Format.UINT4, "b_add": -7, "b_m": 1300, "b_s": 10}
    b.microwords(vector_word(**{**REQUANTISE, **side, "dst": Destination.NIBBLE, "lo": 0, "hi": 15}))
    param = b.parameters(s.n, 23)
    pix = config.cols
    residual = b.random(s.out_h * s.out_w * pix)
    _matmul(b, s, ActFormat.UINT4, WeightFormat.INT4, 7)
    _drain(b, s, 1, 7, 4, param=param, b=residual, b_row=s.out_w * pix, b_pix=pix)
    return b.finish()


def depthwise(config: ChipConfig) -> Example:
    """3x3 depthwise convolution of int8 with GELU behind it."""
    b, s = Builder("depthwise", config, 400), Layer(6, 5, config.depth + 8, config.depth + 8, kernel=3)
    gelu = {"mul": Multiply.IMM, "imm_m": 17000, "imm_s": 16, "fn": Function.GELU, "side": Side.SCALE_F}
    b.microwords(vector_word(**{**REQUANTISE, **gelu, "b_m": 9000, "b_s": 19}))
    param = b.parameters(s.n, 20)
    _depthwise(b, s, ActFormat.INT8, 8)
    _drain(b, s, 1, 8, 8, param=param)
    return b.finish()


def depthwise_codes(config: ChipConfig) -> Example:
    """3x3 depthwise convolutions of both kinds of codes, stride 2, to int16."""
    b, s = Builder("depthwise_codes", config, 500), Layer(5, 7, config.depth, config.depth, kernel=3, stride=2)
    wide = {"src_a": SourceA.ACC, "mul": Multiply.IMM, "imm_m": 24001, "imm_s": 13, "lo": -32768, "hi": 32767}
    b.microwords(vector_word(**wide, dst=Destination.INT16))
    b.tables()
    _depthwise(b, s, ActFormat.TABLE4, 6, code_table=7)
    _drain(b, s, 1, 6, 16)
    _depthwise(b, s, ActFormat.UINT4, 5)
    _drain(b, s, 1, 5, 16)
    return b.finish()


def attention(config: ChipConfig) -> Example:
    """Scores, softmax in integers, and the product with the values, divided by the row's sum when it is drained."""
    tokens, depth = 12, config.depth
    b = Builder("attention", config, 600)
    b.microwords(
        vector_word(src_a=SourceA.ACC, mul=Multiply.IMM, imm_m=19000, imm_s=24, dst=Destination.INT8,
                    reduce=Reduce.MAX, rs_d=0),
        vector_word(src_a=SourceA.SPAD, fmt_a=Format.INT8, addend=Addend.ROW, rs_a=0, a_shl=0, mul=Multiply.IMM,
                    imm_m=64, imm_s=0, fn=Function.EXP2N, side=Side.SCALE_F, b_m=127, b_s=15, lo=0,
                    dst=Destination.INT8, reduce=Reduce.SUM, rs_d=1),
        Microword({"kind": Kind.SCALAR, "rs_a": 1, "rs_d": 2, "fn": Function.RECIP}),
        vector_word(src_a=SourceA.ACC, mul=Multiply.ROW, rs_m=2, imm_s=-1, dst=Destination.INT8),
    )  # fmt: skip
    scores = Layer(3, 4, depth, tokens)
    row = b.up(tokens)
    d = b.room(tokens * row)
    _matmul(b, scores, ActFormat.INT8, WeightFormat.INT8, tokens)
    _drain(b, scores, 3, tokens, 8, a=d, a_row=4 * row, a_pix=row, d=d, d_row=4 * row, d_pix=row)
    values = Layer(3, 4, tokens, depth)
    fields = {"act": d, "wgt": b.random(tokens * depth), "wgt_c": depth, "wgt_n": config.cols, "wgt_t": 0}
    _matmul(b, values, ActFormat.INT8, WeightFormat.INT8, tokens, transpose=1, **fields)
    _drain(b, values, 1, tokens, 8, 3)
    return b.finish()


def layer_norm(config: ChipConfig) -> Example:
    """Mean, centred squares and inverse root of every pixel, then the scaled difference; several blocks."""
    b, channels, h, w = Builder("layer_norm", config, 700), 2 * config.cols + 5, 4, 6
    b.microwords(
        vector_word(src_a=SourceA.SPAD, reduce=Reduce.SUM, rs_d=0),
        Microword({"kind": Kind.SCALAR, "rs_a": 0, "mul": Multiply.IMM, "imm_m": 32767 // channels, "imm_s": 9}),
        vector_word(src_a=SourceA.SPAD, a_shl=6, addend=Addend.ROW, mul=Multiply.SQUARE, imm_s=8, lo=0, hi=32767,
                    reduce=Reduce.SUM, rs_d=1),
        Microword({"kind": Kind.SCALAR, "rs_a": 1, "addend": Addend.IMM, "imm_add": 3, "rs_d": 1,
                   "fn": Function.RSQRT}),
        vector_word(src_a=SourceA.SPAD, a_shl=6, addend=Addend.ROW, mul=Multiply.ROW, rs_m=1, imm_s=-3,
                    out_add=-3, dst=Destination.INT8),
    )  # fmt: skip
    pix = b.up(channels + config.cols)
    a = b.random(h * w * pix)
    d = b.room(h * w * pix)
    strides = {"a": a, "a_row": w * pix, "a_pix": pix, "d": d, "d_row": w * pix, "d_pix": pix}
    b.add(Opcode.VECTOR, prog_len=5, h=h, w=w, n=channels, block=10, **strides)
    b.store(d, h, w * pix)
    return b.finish()


def resize(config: ChipConfig) -> Example:
    """Rows scaled by two with weights 3 and 1, written to every other pixel of the destination."""
    b, channels, h, w = Builder("resize", config, 800), config.cols, 5, 6
    b.microwords(
        vector_word(src_a=SourceA.SPAD, fmt_a=Format.UINT4, mul=Multiply.IMM, imm_m=3, side=Side.ADD_B,
                    fmt_b=Format.UINT4, b_m=1, out_add=2, dst=Destination.INT8),
        vector_word(src_a=SourceA.SPAD, fmt_a=Format.TABLE4, table_a=3, side=Side.ADD_B, fmt_b=Format.TABLE4,
                    table_b=4, b_m=-3, dst=Destination.INT8, zp_param=1),
    )  # fmt: skip
    b.tables()
    param = b.parameters(channels, 0)
    pix, wide = config.cols, 2 * config.cols
    a = b.random(h * w * pix)
    d = b.room(h * 2 * w * wide)
    for side in range(2):
        source, neighbour = (a + side * pix, a + (1 - side) * pix)
        strides = {"a": source, "a_row": w * pix, "a_pix": pix, "b": neighbour, "b_row": w * pix, "b_pix": pix}
        target = {"d": d + side * wide, "d_row": 2 * w * wide, "d_pix": 2 * wide}
        b.add(Opcode.VECTOR, prog=side, prog_len=1, h=h, w=w - 1, n=channels - side, block=9, param=param,
              **strides, **target)  # fmt: skip
    b.store(d, h, 2 * w * wide)
    return b.finish()


def two_maps(config: ChipConfig) -> Example:
    """The larger of two maps, and their product with the map of one pixel."""
    b, channels, h, w = Builder("two_maps", config, 900), 2 * config.cols - 3, 4, 5
    b.microwords(
        vector_word(src_a=SourceA.SPAD, mul=Multiply.IMM, imm_m=93, imm_s=6, side=Side.MAX_B, b_add=11, b_m=77, b_s=6,
                    dst=Destination.INT8),
        vector_word(src_a=SourceA.SPAD, addend=Addend.IMM, imm_add=-3, mul=Multiply.B, imm_s=1, fmt_b=Format.UINT4,
                    b_add=-9, side=Side.SCALE_F, b_m=700, b_s=12, out_add=4, dst=Destination.INT8),
    )  # fmt: skip
    pix = 2 * config.cols
    strides = {"a_row": w * pix, "a_pix": pix, "d_row": w * pix, "d_pix": pix}
    one, two, factor = b.random(h * w * pix), b.random(h * w * pix), b.random(pix)
    d = b.room(h * w * pix)
    sizes = {"prog_len": 1, "h": h, "w": w, "n": channels, "block": 7}
    b.add(Opcode.VECTOR, prog=0, **sizes, **strides, a=one, b=two, b_row=w * pix, b_pix=pix, d=d)
    b.store(d, h, w * pix)
    b.add(Opcode.VECTOR, prog=1, **sizes, **strides, a=d, b=factor, d=one)
    b.store(one, h, w * pix)
    return b.finish()


EXAMPLES: tuple[Callable[[ChipConfig], Example], ...] = (
    convolution, table_codes, uniform_codes, depthwise, depthwise_codes, attention, layer_norm, resize,
    two_maps,
)  # fmt: skip
"""All of them; each fits into every configuration."""
