"""How often the gates between registers change: the netlist is evaluated without delays, cycle by cycle, on registers
that change at given rates, each by itself. Every net is one integer, a bit for each cycle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from triptych.sim.model.flat import Flat
from triptych.sim.model.liberty import Library

CYCLES = 256
Rate = tuple[float, float]
"""Changes a cycle, share of time at one."""

_TOKEN = re.compile(r"[A-Za-z_]\w*|[01]|[!'&*|+^()]")


def expression(function: str) -> str:
    """A Liberty function as an expression of Python on integers; `m` has all bits set. Raises ValueError."""
    tokens = [*_TOKEN.findall(function), ""]
    at = 0

    def peek() -> str:
        return tokens[at]

    def take() -> str:
        nonlocal at
        at += 1
        return tokens[at - 1]

    def either() -> str:
        out = both()
        while peek() in ("|", "+") and peek():
            take()
            out = f"({out} | {both()})"
        return out

    def both() -> str:
        out = differ()
        while peek() not in ("", ")", "|", "+"):
            if peek() in ("&", "*"):
                take()
            out = f"({out} & {differ()})"
        return out

    def differ() -> str:
        out = one()
        while peek() == "^":
            take()
            out = f"({out} ^ {one()})"
        return out

    def one() -> str:
        token = take()
        if token == "!":
            return f"(m ^ {one()})"
        if token == "(":
            out = either()
            take()
        elif token in ("0", "1"):
            out = "0" if token == "0" else "m"
        elif token.isidentifier():
            out = f"v[{token!r}]"
        else:
            raise ValueError(f"not a function of a cell: {function}")
        while peek() == "'":
            take()
            out = f"(m ^ {out})"
        return out

    return either()


@cache
def _compiled(function: str) -> Callable[[Mapping[str, int], int], int]:
    found: Callable[[Mapping[str, int], int], int] = eval(f"lambda v, m: {expression(function)}")
    return found


def _waves(rates: Mapping[int, Rate], seed: int) -> dict[int, int]:
    """Each net's values: a chain that changes as often, and is as often at one, as is said."""
    rng = np.random.default_rng(seed)
    nets = list(rates)
    changes = np.array([rates[n][0] for n in nets])
    high = np.clip([rates[n][1] for n in nets], 0.001, 0.999)
    up, down = np.minimum(changes / 2 / (1 - high), 1.0), np.minimum(changes / 2 / high, 1.0)
    value = rng.random(len(nets)) < high
    bits = np.zeros((len(nets), CYCLES), bool)
    for cycle in range(CYCLES):
        bits[:, cycle] = value
        value ^= rng.random(len(nets)) < np.where(value, down, up)
    packed = np.packbits(bits, axis=1, bitorder="little")
    return {n: int.from_bytes(row.tobytes(), "little") for n, row in zip(nets, packed, strict=True)}


def net_rates(flat: Flat, library: Library, rates: Mapping[int, Rate], seed: int = 1) -> NDArray[np.float64]:
    """Changes a cycle of every net. rates: of what registers and memories drive; ports stand still."""
    mask = (1 << CYCLES) - 1
    values: dict[int, int] = _waves(rates, seed)
    gates = [n for n, cell in enumerate(flat.cells) if library.cells[cell.kind].next_state is None]
    driven = {net for n in gates for pin in library.cells[flat.cells[n].kind].outputs
              if isinstance(net := flat.cells[n].nets.get(pin), int)}  # fmt: skip
    readers: dict[int, list[int]] = {}
    missing = {}
    for n in gates:
        cell = flat.cells[n]
        ins = {net for pin in library.cells[cell.kind].inputs if isinstance(net := cell.nets.get(pin), int)}
        waits = [net for net in ins if net in driven]
        missing[n] = len(waits)
        for net in waits:
            readers.setdefault(net, []).append(n)
    ready = [n for n in gates if not missing[n]]
    while ready:
        cell = flat.cells[ready.pop()]
        kind = library.cells[cell.kind]
        seen = {}
        for pin in kind.inputs:
            net = cell.nets.get(pin)
            seen[pin] = values.get(net, 0) if isinstance(net, int) else mask if net == "1" else 0
        for pin in kind.outputs:
            out, function = cell.nets.get(pin), kind.pins[pin].function
            if isinstance(out, int) and function:
                values[out] = _compiled(function)(seen, mask)
            for n in readers.get(out, []) if isinstance(out, int) else []:
                missing[n] -= 1
                if not missing[n]:
                    ready.append(n)
    found = np.zeros(flat.nets)
    for net, value in values.items():
        found[net] = ((value ^ (value >> 1)) & (mask >> 1)).bit_count() / (CYCLES - 1)
    return found
