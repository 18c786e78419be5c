"""From bytes to operations, with everything that decode checks (docs/architecture.md, Legality)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Protocol

import numpy as np

from triptych.golden.quartdepth.chip.codec import EncodingError, Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    FIELDS,
    INSTRUCTION_BYTES,
    MICROWORD,
    ActFormat,
    Addend,
    Field,
    Format,
    Function,
    Kind,
    Multiply,
    Opcode,
    SourceA,
    Trap,
    WeightFormat,
    reads_b,
)
from triptych.golden.quartdepth.chip.memory import Memory

CONTROL = 4  # the "engine" of fetch and decode in the trap CSR
Constraint = tuple[str, frozenset[int] | None, int | None]  # field, members of its enumeration, minimum


def _constraints(fields: tuple[Field, ...]) -> list[Constraint]:
    """The fields that cannot take every value."""
    return [
        (f.name, None if f.enum is None else frozenset(f.enum), f.minimum)
        for f in fields
        if f.name != "opcode" and (f.enum is not None or f.minimum is not None)
    ]


_OF_INSTRUCTION = {opcode: _constraints(fields) for opcode, fields in FIELDS.items()}
_OF_MICROWORD = _constraints(MICROWORD)


class TrapError(Exception):
    """An instruction cannot go on; `cause` is what the CSR shows, `detail` what a person wants to know."""

    def __init__(self, cause: Trap, detail: str) -> None:
        super().__init__(f"{cause.name}: {detail}")
        self.cause = cause
        self.detail = detail


class Fetch(Protocol):
    """Where instructions come from."""

    @property
    def count(self) -> int:
        """Instructions."""

    def read(self, index: int) -> bytes:
        """The 64 bytes of instruction `index`. Raises BusError, BusHang."""


@dataclass(frozen=True)
class StoredProgram:
    """`count` instructions at `base` in memory, as the chip fetches them."""

    memory: Memory
    base: int
    count: int

    def read(self, index: int) -> bytes:
        """The 64 bytes of instruction `index`. Raises BusError, BusHang."""
        address = (self.base + index * INSTRUCTION_BYTES) & 0xFFFFFFFF
        return self.memory.read_rows(np.array([address]), INSTRUCTION_BYTES).tobytes()


class ListedProgram:
    """A program that does not lie in memory: bytes, or instructions (or their 64 bytes) one by one."""

    def __init__(self, program: bytes | Sequence[Instruction | bytes]) -> None:
        """Raises ValueError when the length of bytes is no multiple of 64."""
        if isinstance(program, bytes):
            if len(program) % INSTRUCTION_BYTES:
                raise ValueError(f"a program is a multiple of {INSTRUCTION_BYTES} bytes, got {len(program)}")
            size = INSTRUCTION_BYTES
            self._items: list[bytes] = [program[i : i + size] for i in range(0, len(program), size)]
        else:
            self._items = [i.encode() if isinstance(i, Instruction) else i for i in program]
        self.count = len(self._items)

    def read(self, index: int) -> bytes:
        """The 64 bytes of instruction `index`."""
        return self._items[index]


def decode(data: bytes, config: ChipConfig) -> Instruction:
    """The instruction in 64 bytes, checked. Raises TrapError with what decode reports."""
    try:
        instruction = Instruction.decode(data)
    except EncodingError as error:
        raise TrapError(Trap.ILLEGAL_OPCODE, str(error)) from None
    fields = FIELDS[instruction.opcode]
    _check_values(_OF_INSTRUCTION[instruction.opcode], instruction, instruction.opcode.name)
    if instruction.opcode is Opcode.MATMUL:
        _check_matmul(instruction, config)
    elif instruction.opcode is Opcode.VECTOR:
        _check_vector(instruction, config)
    units = {"1": 1, "word": config.depth, "lanes": config.cols, "half": config.cols // 2}
    for f in fields:
        multiple = units[f.unit]
        if f.name in ("wgt", "wgt_n", "wgt_t") and not instruction["transpose"]:
            multiple = config.depth
        if instruction[f.name] % multiple:
            raise TrapError(Trap.ALIGNMENT, f"{f.name} = {instruction[f.name]} is no multiple of {multiple}")
    return instruction


@lru_cache(maxsize=1024)
def decode_microword(data: bytes, tables: int) -> SimpleNamespace:
    """The fields of the microword in 32 bytes, checked, on a chip with so many code tables. Raises TrapError with what
    the VPU reports, reaching it."""
    word = Microword.decode(data)
    _check_values(_OF_MICROWORD, word, "microword")
    if word["kind"] == Kind.VECTOR:
        reads_a = word["src_a"] == SourceA.SPAD
        _illegal(reads_a and word["fmt_a"] == Format.INT16, "source A cannot be INT16")
        second = reads_b(word["kind"], word["side"], word["mul"])
        _illegal(second and word["fmt_b"] == Format.INT16, "source B cannot be INT16")
        _illegal(word["mul"] == Multiply.B and word["fn"] != Function.IDENT, "a product with B takes no function")
        _illegal(word["fn"] in (Function.RECIP, Function.RSQRT), "RECIP and RSQRT belong to SCALAR microwords")
        used = {
            "table_a": reads_a and word["fmt_a"] == Format.TABLE4,
            "table_b": second and word["fmt_b"] == Format.TABLE4,
            "table_e": bool(word["encode"]),
        }
        for name in used:
            _illegal(used[name] and word[name] >= tables, f"{name} = {word[name]} on a chip of {tables} code tables")
    else:
        _illegal(word["addend"] not in (Addend.NONE, Addend.IMM), "a SCALAR microword adds nothing or imm_add")
        _illegal(word["mul"] not in (Multiply.NONE, Multiply.IMM), "a SCALAR microword multiplies by nothing or imm_m")
        _illegal(word["fn"] in (Function.EXP2N, Function.GELU), "EXP2N and GELU belong to VECTOR microwords")
    return named(word)


def _check_values(constraints: list[Constraint], item: Instruction | Microword, what: str) -> None:
    for name, members, minimum in constraints:
        value = item[name]
        _illegal(members is not None and value not in members, f"{what}: {name} = {value} means nothing")
        _illegal(minimum is not None and value < minimum, f"{what}: {name} must be at least {minimum}")


def _check_matmul(i: Instruction, config: ChipConfig) -> None:
    _illegal(i["block"] > config.rows, f"block = {i['block']} exceeds the {config.rows} rows of an accumulator bank")
    _illegal(i["last_elems"] > config.depth, f"last_elems = {i['last_elems']} exceeds a word of {config.depth} bytes")
    two_a_byte = i["weight_format"] == WeightFormat.INT4
    _illegal(not two_a_byte and i["act_format"] != ActFormat.INT8, "4-bit activations need INT4 weights")
    _illegal(bool(i["transpose"]) and two_a_byte, "transpose needs INT8 or LOW4 weights")
    coded = i["act_format"] == ActFormat.TABLE4
    _illegal(
        coded and i["code_table"] >= config.tables, f"code_table = {i['code_table']} of {config.tables} code tables"
    )
    if i["depthwise"]:
        limit = config.rows * config.cols // config.depth
        _illegal(not two_a_byte, "depthwise needs INT4 weights")
        _illegal((i["kernel_h"], i["kernel_w"]) != (3, 3), "depthwise needs a 3x3 kernel")
        _illegal(i["block"] > limit, f"block = {i['block']} exceeds the {limit} of a depthwise convolution")
        _illegal(i["chunks"] != -(-i["n"] // config.depth), f"chunks must be ceil(n / {config.depth})")


def _check_vector(i: Instruction, config: ChipConfig) -> None:
    _illegal(i["block"] > config.rows, f"block = {i['block']} exceeds the {config.rows} rows of an accumulator bank")
    end = i["prog"] + i["prog_len"]
    _illegal(end > config.prog_words, f"microwords up to {end} exceed the program store of {config.prog_words}")


def _illegal(condition: bool, detail: str) -> None:
    if condition:
        raise TrapError(Trap.ILLEGAL_FIELD, detail)


def named(item: Instruction | Microword) -> SimpleNamespace:
    """All fields as attributes: a name that does not exist is an error, not a zero."""
    fields = FIELDS[item.opcode] if isinstance(item, Instruction) else MICROWORD
    return SimpleNamespace(**{f.name: item[f.name] for f in fields})
