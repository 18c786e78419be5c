"""The instruction set, written once.

Encoder, decoder, assembler, disassembler, the SystemVerilog package, `docs/isa.md` and the coverage bins are made
from the tables of this module. Instructions are 64 bytes, VPU microwords 32 bytes, both little-endian; fields are
packed upwards from bit 0 in the order in which they stand here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from triptych.golden.quartdepth.arithmetic.codetable import (
    TABLE_BYTES as TABLE_BYTES,  # the store's unit is a code table
)


class Engine(IntEnum):
    """The four decoupled engines; the number is the index of their token counters."""

    LOAD = 0
    MXU = 1
    VPU = 2
    STORE = 3


class Opcode(IntEnum):
    """Zero is illegal on purpose: a program that runs into empty memory traps."""

    LOAD = 1
    MATMUL = 2
    VECTOR = 3
    STORE = 4
    HALT = 5


class Space(IntEnum):
    """Where a LOAD writes."""

    SPAD = 0
    PROG = 1
    TABLE = 2


class ActFormat(IntEnum):
    """How the MXU reads activations: D int8 a step, or 2 D codes of 4 bits that stand for a table's entries or for
    themselves."""

    INT8 = 0
    TABLE4 = 1
    UINT4 = 2


class WeightFormat(IntEnum):
    """Stationary operand: two int4 a cell byte, one int8 (activation-by-activation and W8), or one int4, the low nibble
    (activation-by-activation)."""

    INT4 = 0
    INT8 = 1
    LOW4 = 2


class Kind(IntEnum):
    """A VECTOR microword streams groups and pixels; a SCALAR one streams row scalars."""

    VECTOR = 0
    SCALAR = 1


class SourceA(IntEnum):
    ACC = 0
    SPAD = 1


class Format(IntEnum):
    """Element format of a VPU stream. INT16 is for destinations only."""

    INT8 = 0
    UINT4 = 1
    TABLE4 = 2
    INT16 = 3


class Addend(IntEnum):
    NONE = 0
    BIAS = 1  # + bias of the lane's parameter
    ROW = 2  # - RS[rs_a] of the row
    IMM = 3  # + imm_add


class Multiply(IntEnum):
    NONE = 0
    PARAM = 1
    IMM = 2
    ROW = 3
    SQUARE = 4
    B = 5  # + b_add, saturated to 16 bits


class Function(IntEnum):
    IDENT = 0
    EXP2N = 1
    GELU = 2
    RECIP = 3  # SCALAR microwords only
    RSQRT = 4  # SCALAR microwords only


class Side(IntEnum):
    NONE = 0
    ADD_B = 1
    SCALE_F = 2
    MAX_B = 3


def reads_b(kind: int, side: int, mul: int) -> bool:
    """Whether a microword reads the second stream."""
    return kind == Kind.VECTOR and (side in (Side.ADD_B, Side.MAX_B) or mul == Multiply.B)


class Reduce(IntEnum):
    NONE = 0
    SUM = 1
    MAX = 2


class Destination(IntEnum):
    NONE = 0
    INT8 = 1
    NIBBLE = 2
    INT16 = 3


class Trap(IntEnum):
    """Causes in the CSR."""

    NONE = 0
    ILLEGAL_OPCODE = 1
    ILLEGAL_FIELD = 2
    ALIGNMENT = 3
    RANGE = 4
    BUS_FETCH = 5
    BUS_LOAD = 6
    BUS_STORE = 7
    NO_HALT = 8
    WATCHDOG = 9


INSTRUCTION_BYTES = 64
MICROWORD_BYTES = 32
PARAM_BYTES = 8  # int32 bias, int16 multiplier, uint8 shift, int8 zero point
ROW_SCALARS = 4


@dataclass(frozen=True)
class Field:
    """One field. `unit` is what its value must be a multiple of: 1, 'word' (D), 'lanes' (C) or 'half' (C/2)."""

    name: str
    width: int
    doc: str
    signed: bool = False
    unit: str = "1"
    enum: type[IntEnum] | None = None
    minimum: int | None = None
    lo: int = -1


def _pack(*fields: Field) -> tuple[Field, ...]:
    out, lo = [], 0
    for f in fields:
        out.append(Field(f.name, f.width, f.doc, f.signed, f.unit, f.enum, f.minimum, lo))
        lo += f.width
    return tuple(out)


HEADER = (
    Field("opcode", 8, "operation", enum=Opcode),
    Field("wait_load", 16, "start when LOAD has retired at least so many instructions"),
    Field("wait_mxu", 16, "start when MXU has retired at least so many instructions"),
    Field("wait_vpu", 16, "start when VPU has retired at least so many instructions"),
    Field("wait_store", 16, "start when STORE has retired at least so many instructions"),
)

_COPY = (
    Field("dram", 32, "byte address in memory", unit="word"),
    Field("dram_row", 32, "bytes from one row to the next in memory", unit="word"),
    Field("spad", 24, "byte address in the scratchpad (or store of microwords, of tables)", unit="word"),
    Field("spad_row", 24, "bytes from one row to the next in the scratchpad", unit="word"),
    Field("rows", 16, "rows to copy", minimum=1),
    Field("row_bytes", 24, "bytes in a row", unit="word", minimum=1),
)

FIELDS: dict[Opcode, tuple[Field, ...]] = {
    Opcode.LOAD: _pack(*HEADER, *_COPY, Field("space", 2, "where to write", enum=Space)),
    Opcode.STORE: _pack(*HEADER, *_COPY),
    Opcode.HALT: _pack(*HEADER),
    Opcode.MATMUL: _pack(
        *HEADER,
        Field("act_format", 2, "format of the streamed operand", enum=ActFormat),
        Field("weight_format", 2, "format of the stationary operand", enum=WeightFormat),
        Field("depthwise", 1, "1: 3x3 depthwise convolution, columns are channels"),
        Field("transpose", 1, "1: a word of the stationary operand holds one k of all columns (needs INT8 or LOW4)"),
        Field("code_table", 3, "code table that decodes TABLE4"),
        Field(
            "pad_value",
            8,
            "byte that stands for every byte outside the picture; of codes the one in its low four bits for each",
        ),
        Field("act", 24, "byte address of input pixel (0, 0)", unit="word"),
        Field("act_row", 24, "bytes from input row to input row", unit="word"),
        Field("act_pix", 20, "bytes from input pixel to input pixel", unit="word"),
        Field("in_h", 16, "rows of the input that exist", minimum=1),
        Field("in_w", 16, "columns of the input that exist", minimum=1),
        Field("pad_top", 4, "rows of padding above row 0"),
        Field("pad_left", 4, "columns of padding left of column 0"),
        Field("kernel_h", 4, "rows of the kernel", minimum=1),
        Field("kernel_w", 4, "columns of the kernel", minimum=1),
        Field("stride_y", 3, "input rows from output row to output row", minimum=1),
        Field("stride_x", 3, "input columns from output column to output column", minimum=1),
        Field(
            "chunks",
            12,
            "steps a tap: words of D int8 or of 2 D codes; depthwise: groups of D channels",
            minimum=1,
        ),
        Field(
            "last_elems",
            7,
            "bytes of the last chunk of each tap that count; the others are zero",
            minimum=1,
        ),
        Field("out_h", 16, "rows of the output", minimum=1),
        Field("out_w", 16, "columns of the output", minimum=1),
        Field("block", 8, "output pixels in a block (row-major); R at most, depthwise R * C / D", minimum=1),
        Field("n", 13, "output channels", minimum=1),
        Field("wgt", 24, "byte address of the stationary operand", unit="lanes"),
        Field("wgt_n", 24, "bytes from one tile of C columns to the next", unit="lanes"),
        Field("wgt_t", 24, "bytes from one tile along k to the next", unit="lanes"),
        Field("wgt_c", 24, "bytes from column to column (transpose: from k to k)", unit="word"),
    ),
    Opcode.VECTOR: _pack(
        *HEADER,
        Field("prog", 8, "first microword"),
        Field("prog_len", 4, "microwords", minimum=1),
        Field("h", 16, "rows of pixels", minimum=1),
        Field("w", 16, "columns of pixels", minimum=1),
        Field("n", 13, "channels", minimum=1),
        Field("block", 8, "pixels in a block (row-major), R at most; must equal the MATMUL's that feeds it", minimum=1),
        Field("a", 24, "byte address of source A", unit="half"),
        Field("a_row", 24, "bytes from row to row of A", unit="half"),
        Field("a_pix", 20, "bytes from pixel to pixel of A", unit="half"),
        Field("b", 24, "byte address of source B", unit="half"),
        Field("b_row", 24, "bytes from row to row of B", unit="half"),
        Field("b_pix", 20, "bytes from pixel to pixel of B", unit="half"),
        Field("d", 24, "byte address of the destination", unit="half"),
        Field("d_row", 24, "bytes from row to row of the destination", unit="half"),
        Field("d_pix", 20, "bytes from pixel to pixel of the destination", unit="half"),
        Field("param", 24, "byte address of the parameters, 8 bytes a channel", unit="word"),
    ),
}

ENGINE_OF: dict[Opcode, Engine] = {
    Opcode.LOAD: Engine.LOAD,
    Opcode.MATMUL: Engine.MXU,
    Opcode.VECTOR: Engine.VPU,
    Opcode.STORE: Engine.STORE,
}

MICROWORD: tuple[Field, ...] = _pack(
    Field("kind", 1, "vector or scalar", enum=Kind),
    Field("src_a", 1, "accumulators or scratchpad", enum=SourceA),
    Field("fmt_a", 2, "format of source A", enum=Format),
    Field("table_a", 3, "code table of source A"),
    Field("a_shl", 4, "left shift of A"),
    Field("addend", 2, "what is added to A", enum=Addend),
    Field("rs_a", 2, "row scalar subtracted; SCALAR: row scalar read"),
    Field("imm_add", 32, "addend IMM", signed=True),
    Field("mul", 3, "what A is multiplied by", enum=Multiply),
    Field("rs_m", 2, "row scalar of multiply ROW"),
    Field("imm_m", 16, "multiplier IMM", signed=True),
    Field("imm_s", 7, "shift of IMM, SQUARE and B; added to the exponent of ROW", signed=True),
    Field("fn", 3, "function", enum=Function),
    Field("side", 2, "second operand", enum=Side),
    Field("fmt_b", 2, "format of source B", enum=Format),
    Field("table_b", 3, "code table of source B"),
    Field("b_add", 16, "added to B before its multiplication", signed=True),
    Field("b_m", 16, "multiplier of the second operand", signed=True),
    Field("b_s", 6, "shift of the second operand"),
    Field("z_s", 4, "rounding shift of the sum of both operands"),
    Field("zp_param", 1, "1: zero point of the lane's parameter, 0: out_add"),
    Field("out_add", 16, "added before clamping", signed=True),
    Field("lo", 16, "lower clamp", signed=True),
    Field("hi", 16, "upper clamp", signed=True),
    Field("encode", 1, "1: compare with the thresholds of table_e"),
    Field("table_e", 3, "code table of the encoder"),
    Field("dst", 2, "destination", enum=Destination),
    Field("reduce", 2, "reduction over the channels of a row", enum=Reduce),
    Field("rs_d", 2, "row scalar written by a reduction or by SCALAR"),
)

for _fields in FIELDS.values():
    assert _fields[-1].lo + _fields[-1].width <= 8 * INSTRUCTION_BYTES
assert MICROWORD[-1].lo + MICROWORD[-1].width <= 8 * MICROWORD_BYTES
