"""Register abstraction layer: a mirror of the register block, predicted from what the bus monitor sees.

Our own adapter, on the map that is generated from rtl/regs/quartdepth.rdl. peakrdl-pyuvm 0.9 makes classes for pyuvm's
register layer, of which release 5.0.0 leaves some seventy methods of uvm_reg, uvm_reg_block and uvm_reg_map unwritten
(NotImplementedError), mirror checks among them; what our tests want of it fits on this page.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pyuvm import uvm_object, uvm_subscriber

from triptych.sim.rtl.registers import Register
from triptych.sim.rtl.registers.register_map import REGISTERS


@dataclass(frozen=True)
class Access:
    """One access on AXI4-Lite. strobes: of a write, a bit a byte."""

    write: bool
    address: int
    data: int
    strobes: int = 15


def kept(register: Register) -> int:
    """Bits that read back what was written."""
    return sum(f.mask for f in register.fields if f.writable and f.readable)


def constant(register: Register) -> int:
    """Bits that always read as their reset value."""
    return sum(f.mask for f in register.fields if f.readable and not f.writable and f.reset is not None)


def reset_value(register: Register) -> int:
    """What reset leaves in it, as far as the map says."""
    return register.pack(**{f.name: f.reset for f in register.fields if f.reset is not None})


def _bytes(strobes: int) -> int:
    return sum(0xFF << 8 * b for b in range(4) if strobes >> b & 1)


class RegisterModel(uvm_object):
    """mirror: what each register should hold; bits that the chip changes by itself are not predicted."""

    def __init__(self, name: str = "registers") -> None:
        super().__init__(name)
        self.by_address = {r.address + at: (r, at) for r in REGISTERS.values() for at in range(0, r.width // 8, 4)}
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """As after reset."""
        self.mirror = {name: reset_value(r) for name, r in REGISTERS.items()}

    def predict(self, access: Access) -> None:
        """Takes a write over; checks a read. Raises AssertionError when it shows anything but the mirror."""
        register, offset = self.by_address.get(access.address, (None, 0))
        if register is None:
            assert access.write or not access.data, f"{access.address:#x}, where nothing is, reads {access.data:#x}"
            return
        name = register.name
        if access.write:
            self.writes[name] += 1
            mask = (kept(register) >> 8 * offset) & _bytes(access.strobes)
            written = (access.data & mask) << 8 * offset
            self.mirror[name] = self.mirror[name] & ~(mask << 8 * offset) | written
            return
        self.reads[name] += 1
        mask = (kept(register) | constant(register)) >> 8 * offset
        wrong = (access.data ^ self.mirror[name] >> 8 * offset) & mask & 0xFFFFFFFF
        assert not wrong, f"{name} reads {access.data:#x}, its mirror is {self.mirror[name]:#x} (bits {wrong:#x})"

    def changed(self, register: str, **fields: int) -> int:
        """The mirror of a register with some fields changed: what a write of these fields alone must write."""
        value = self.mirror[register]
        for f in REGISTERS[register].fields:
            if f.name in fields:
                value = value & ~f.mask | fields[f.name] << f.lo & f.mask
        return value

    def missing(self) -> list[str]:
        """Accesses that were never seen: reads of what can be read, writes of what can be written."""
        out = [f"read {n}" for n, r in REGISTERS.items() if any(f.readable for f in r.fields) and not self.reads[n]]
        return out + [
            f"write {n}" for n, r in REGISTERS.items() if any(f.writable for f in r.fields) and not self.writes[n]
        ]


class RegisterPredictor(uvm_subscriber):
    """Passes what the monitor sees to the `model`, which the environment sets."""

    model: RegisterModel

    def write(self, tt: Access) -> None:
        """Called with every access."""
        self.model.predict(tt)
