"""Instructions to bytes and back: encoder, decoder, assembler, disassembler, all driven by `isa`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from triptych.golden.quartdepth.chip.isa import FIELDS, INSTRUCTION_BYTES, MICROWORD, MICROWORD_BYTES, Field, Opcode


class EncodingError(ValueError):
    """A field does not exist, does not fit, or a text line cannot be read."""


@cache
def _ranges(fields: tuple[Field, ...]) -> dict[str, tuple[int, int, int, int]]:
    """By name: first bit, mask, least and largest value."""
    found = {}
    for f in fields:
        low, high = (-(1 << (f.width - 1)), (1 << (f.width - 1)) - 1) if f.signed else (0, (1 << f.width) - 1)
        found[f.name] = (f.lo, (1 << f.width) - 1, low, high)
    return found


def _pack(fields: tuple[Field, ...], values: Mapping[str, int], size: int, what: str) -> bytes:
    ranges = _ranges(fields)
    if unknown := sorted(values.keys() - ranges.keys()):
        raise EncodingError(f"{what} has no field '{unknown[0]}'; it has {', '.join(f.name for f in fields)}")
    word = 0
    for name, given in values.items():
        lo, mask, low, high = ranges[name]
        value = int(given)
        if not low <= value <= high:
            bits = mask.bit_length()
            raise EncodingError(f"{what}: {name} = {value} does not fit in {bits} bits ({low}..{high})")
        word |= (value & mask) << lo
    return word.to_bytes(size, "little")


def _unpack(fields: tuple[Field, ...], data: bytes) -> dict[str, int]:
    word = int.from_bytes(data, "little")
    values = {}
    for f in fields:
        value = (word >> f.lo) & ((1 << f.width) - 1)
        values[f.name] = value - (1 << f.width) if f.signed and value >> (f.width - 1) else value
    return values


@dataclass
class Instruction:
    """One instruction: opcode and the fields that are not zero. `instruction["rows"]` reads a field (0 if unset)."""

    opcode: Opcode
    fields: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.fields.get(name, 0)

    def __setitem__(self, name: str, value: int) -> None:
        self.fields[name] = value

    def encode(self) -> bytes:
        """The 64 bytes. Raises EncodingError naming the field that does not fit."""
        values = {**self.fields, "opcode": int(self.opcode)}
        return _pack(FIELDS[self.opcode], values, INSTRUCTION_BYTES, self.opcode.name)

    @classmethod
    def decode(cls, data: bytes) -> Instruction:
        """Inverse of `encode`. Raises EncodingError for an unknown opcode; other fields are taken as they are."""
        if len(data) != INSTRUCTION_BYTES:
            raise EncodingError(f"an instruction is {INSTRUCTION_BYTES} bytes, got {len(data)}")
        try:
            opcode = Opcode(data[0])
        except ValueError:
            raise EncodingError(f"no instruction has opcode {data[0]}") from None
        values = _unpack(FIELDS[opcode], data)
        del values["opcode"]
        return cls(opcode, {k: v for k, v in values.items() if v})


@dataclass
class Microword:
    """One VPU microword: the fields that are not zero."""

    fields: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.fields.get(name, 0)

    def encode(self) -> bytes:
        """The 32 bytes. Raises EncodingError naming the field that does not fit."""
        return _pack(MICROWORD, self.fields, MICROWORD_BYTES, "MICROWORD")

    @classmethod
    def decode(cls, data: bytes) -> Microword:
        """Inverse of `encode`."""
        if len(data) != MICROWORD_BYTES:
            raise EncodingError(f"a microword is {MICROWORD_BYTES} bytes, got {len(data)}")
        return cls({k: v for k, v in _unpack(MICROWORD, data).items() if v})


def encode_program(instructions: Iterable[Instruction]) -> bytes:
    """Concatenated encodings."""
    return b"".join(i.encode() for i in instructions)


def decode_program(data: bytes) -> list[Instruction]:
    """Inverse of `encode_program`. Raises EncodingError for a length that is no multiple of 64 or an unknown opcode."""
    if len(data) % INSTRUCTION_BYTES:
        raise EncodingError(f"a program is a multiple of {INSTRUCTION_BYTES} bytes, got {len(data)}")
    return [Instruction.decode(data[i : i + INSTRUCTION_BYTES]) for i in range(0, len(data), INSTRUCTION_BYTES)]


def _field_text(fields: tuple[Field, ...], values: Mapping[str, int]) -> str:
    parts = []
    for f in fields:
        value = values.get(f.name, 0)
        if f.name == "opcode" or not value:
            continue
        if f.enum is not None and value in set(f.enum):
            parts.append(f"{f.name}={f.enum(value).name}")
        else:
            parts.append(f"{f.name}={value}" if value < 4096 else f"{f.name}={value:#x}")
    return " ".join(parts)


def disassemble(instruction: Instruction) -> str:
    """One line of text that `assemble` reads back."""
    return f"{instruction.opcode.name} {_field_text(FIELDS[instruction.opcode], instruction.fields)}".rstrip()


def disassemble_microword(word: Microword) -> str:
    """One line of text, `MICROWORD name=value ...`."""
    return f"MICROWORD {_field_text(MICROWORD, word.fields)}".rstrip()


def _parse(fields: tuple[Field, ...], words: list[str], where: str) -> dict[str, int]:
    by_name = {f.name: f for f in fields if f.name != "opcode"}
    values: dict[str, int] = {}
    for word in words:
        name, eq, text = word.partition("=")
        if not eq or name not in by_name:
            raise EncodingError(f"{where}: '{word}' is not name=value with a name of {', '.join(by_name)}")
        enum = by_name[name].enum
        if enum is not None and text in enum.__members__:
            values[name] = enum[text].value
            continue
        try:
            values[name] = int(text, 0)
        except ValueError:
            choices = f" or one of {', '.join(enum.__members__)}" if enum else ""
            raise EncodingError(f"{where}: {name} takes a number{choices}, not '{text}'") from None
    return values


def assemble(text: str) -> list[Instruction]:
    """Program text, one instruction a line, `#` starts a comment. Raises EncodingError naming the line."""
    out = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        where = f"line {number}"
        if words[0] not in Opcode.__members__:
            raise EncodingError(f"{where}: no instruction '{words[0]}'; there are {', '.join(Opcode.__members__)}")
        opcode = Opcode[words[0]]
        instruction = Instruction(opcode, _parse(FIELDS[opcode], words[1:], where))
        instruction.encode()
        out.append(instruction)
    return out
