"""The chip's state machines: which states there are, which may follow which, and which transitions a run has seen.

`--coverage-fsm` of Verilator 5.048 is no help: it finds no machine whose register comes from a macro, and ends with an
internal error (V3Ast.h: "AstNode is not of expected type") where a field of a registered packed struct is compared with
a value of an enumeration: `instr_q.weight_format == WeightFormatInt8` in mxu_setup.sv, a like one in vpu_addresses.sv.
So fsm_arcs.sv is bound to the registers, with a cover property for each pair of states.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ARCS = Path(__file__).parent / "fsm_arcs.sv"
LINE = re.compile(r"\bu_arcs_(?P<module>\w+?)\.gen_from\[(?P<a>\d+)\]\.gen_to\[(?P<b>\d+)\].*' (?P<count>\d+)$")


@dataclass(frozen=True)
class Machine:
    """states: by name, in the order of their codes. arcs: transitions from one state to another that can happen."""

    states: tuple[str, ...]
    arcs: tuple[tuple[str, str], ...]


def _machine(states: str, arcs: str, stopped: str) -> Machine:
    """arcs: `From-To ...`. stopped: states that a stop or clear ends, beside."""
    pairs = [tuple(arc.split("-")) for arc in arcs.split()]
    pairs += [(state, "Idle") for state in stopped.split()]
    return Machine(tuple(states.split()), tuple((a, b) for a, b in pairs))


MACHINES = {
    "control": _machine(
        "Idle Running Done Trapped", "Idle-Running Running-Done Running-Trapped Done-Idle", "Running Trapped"
    ),
    "dma_setup": _machine(
        "Idle Extent Check Offer Fault", "Idle-Extent Extent-Check Check-Offer Check-Fault Offer-Idle",
        "Extent Check Fault",
    ),
    "vpu_sequencer": _machine(
        "Idle Fetch Drain Setup Stream Retire Fault",
        "Idle-Fetch Fetch-Drain Drain-Setup Drain-Retire Setup-Stream Setup-Fault Stream-Drain Stream-Fault "
        "Retire-Idle",
        "Fetch Drain Setup Stream Fault",
    ),
}  # fmt: skip


def bound(sources: Sequence[Path], folder: Path) -> list[Path]:
    """What a build takes beside its sources: the counters, bound to those machines that are among them."""
    here = [name for name in MACHINES if any(path.stem == name for path in sources)]
    if not here:
        return []
    lines = [
        f"bind {name} fsm_arcs #(.States({len(MACHINES[name].states)})) "
        f"u_arcs_{name} (.clk_i, .rst_ni, .state_i(3'(state_q)));\n"
        for name in here
    ]
    path = folder / f"bind_{'_'.join(here)}.sv"
    path.write_text("".join(lines))
    return [ARCS, path]


def seen(files: Iterable[Path]) -> Counter[tuple[str, str, str]]:
    """How often (module, from, to) was passed."""
    found: Counter[tuple[str, str, str]] = Counter()
    for file in files:
        for text in file.read_text(errors="replace").splitlines():
            match = LINE.search(text)
            if match:
                states = MACHINES[match["module"]].states
                found[match["module"], states[int(match["a"])], states[int(match["b"])]] += int(match["count"])
    return found


def rows(found: Counter[tuple[str, str, str]]) -> list[list[str]]:
    """A table's rows: machine, states, transitions, what is missing. Raises AssertionError for a transition that should
    not exist."""
    out = []
    for name, machine in MACHINES.items():
        arcs = {(a, b) for (m, a, b), count in found.items() if m == name and count and a != b}
        assert arcs <= set(machine.arcs), f"{name} goes {sorted(arcs - set(machine.arcs))}, which nobody expects"
        states = {s for (m, a, b), count in found.items() if m == name and count for s in (a, b)}
        missing = [f"{a} to {b}" for a, b in machine.arcs if (a, b) not in arcs]
        out.append([
            f"`{name}`", f"{len(states)} of {len(machine.states)}", f"{len(arcs)} of {len(machine.arcs)}",
            ", ".join(missing) or "-",
        ])  # fmt: skip
    return out
