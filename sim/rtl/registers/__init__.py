"""Access to the chip's registers by name; the map itself is generated from rtl/regs/quartdepth.rdl."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """Bits `lo .. lo + width - 1` of a register. `reset` is None where hardware drives the value."""

    name: str
    lo: int
    width: int
    readable: bool
    writable: bool
    reset: int | None

    @property
    def mask(self) -> int:
        """The field's bits within the register."""
        return ((1 << self.width) - 1) << self.lo


@dataclass(frozen=True)
class Register:
    """One register: byte address, width in bits (64: two 32-bit words, low half first) and fields."""

    name: str
    address: int
    width: int
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError naming the choices."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name} has no field '{name}': choose one of {', '.join(f.name for f in self.fields)}")

    def pack(self, **values: int) -> int:
        """The register's value with these fields set and the others at their reset.

        Raises ValueError for a value that does not fit, KeyError for an unknown field."""
        word = sum((f.reset or 0) << f.lo for f in self.fields)
        for name, value in values.items():
            field = self.field(name)
            if not 0 <= value < 1 << field.width:
                raise ValueError(f"{self.name}.{name} has {field.width} bits, {value} does not fit")
            word = (word & ~field.mask) | (value << field.lo)
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """Field name -> value."""
        return {f.name: (word & f.mask) >> f.lo for f in self.fields}
