"""State machines of the chip and of FastCar's step: which states there are, which may follow which, and which
transitions a run has seen.

`--coverage-fsm` of Verilator 5.048 is no help: it finds no machine whose register comes from a macro, and ends with an
internal error (V3Ast.h: "AstNode is not of expected type") where a field of a registered packed struct is compared with
a value of an enumeration: `instr_q.weight_format == WeightFormatInt8` in mxu_setup.sv, a like one in vpu_addresses.sv.
So a module with a cover property for each pair of states is written for each machine and bound to its register.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(r"\bo\x02arc_(?P<module>\w+)_from_(?P<a>\w+)_to_(?P<b>\w+)\x01.*' (?P<count>\d+)$")
TEXT = """
module arcs_{name} (
    input logic       clk_i,
    input logic       rst_ni,
    input logic [4:0] state_i
);
  logic [4:0] last_q;
  logic known_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) known_q <= 1'b0;
    else known_q <= 1'b1;
  end
  always_ff @(posedge clk_i) last_q <= state_i;
{covers}endmodule

bind {name} arcs_{name} u_arcs (.clk_i, .rst_ni, .state_i(5'({register})));
"""
COVER = """\
  arc_{name}_from_{a}_to_{b} : cover property (
      @(posedge clk_i) known_q && last_q == 5'd{n} && state_i == 5'd{m});
"""


@dataclass(frozen=True)
class Machine:
    """states: by name, in the order of their codes. arcs: transitions from one state to another that can happen.
    name: `state`, where the register is state_q and its type state_e."""

    states: tuple[str, ...]
    arcs: tuple[tuple[str, str], ...]
    name: str = "state"


def _machine(states: str, arcs: str, stopped: str, end: str = "Idle", name: str = "state") -> Machine:
    """arcs: `From-To ...`. stopped: states that a stop, clear or fault ends beside, by going to `end`."""
    pairs = [tuple(arc.split("-")) for arc in arcs.split()]
    pairs += [(state, end) for state in stopped.split()]
    return Machine(tuple(states.split()), tuple((a, b) for a, b in pairs), name)


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
    "step_control": _machine(
        "Idle Setup Turns Record Chains Gain Rows Heads Score Keys Values Stored Attend Output Add MlpGain Hidden Down "
        "Ring Counts Result Flush Done Stopped",
        "Idle-Setup Setup-Turns Turns-Record Record-Chains Record-Gain Chains-Gain Gain-Rows Gain-Heads Rows-Heads "
        "Heads-Score Heads-Keys Score-Keys Keys-Values Values-Stored Stored-Attend Attend-Output Output-Add "
        "Add-MlpGain Add-Down MlpGain-Hidden Hidden-Down Down-Ring Ring-Counts Counts-Record Counts-Result "
        "Result-Flush Flush-Done Done-Idle Done-Stopped",
        "Setup Turns Record Chains Gain Rows Heads Score Keys Values Stored Attend Output Add MlpGain Hidden Down Ring "
        "Counts Result", "Done", "phase",
    ),
}  # fmt: skip


def counters(name: str) -> str:
    """SystemVerilog that counts how often each state of a machine follows each, bound to its register."""
    states = list(enumerate(MACHINES[name].states))
    covers = "".join(COVER.format(name=name, a=a, b=b, n=n, m=m) for n, a in states for m, b in states)
    return TEXT.format(name=name, covers=covers, register=f"{MACHINES[name].name}_q")


def bound(sources: Sequence[Path], folder: Path) -> list[Path]:
    """What a build takes beside its sources: the counters of those machines that are among them."""
    here = [name for name in MACHINES if any(path.stem == name for path in sources)]
    if not here:
        return []
    path = folder / f"arcs_{'_'.join(here)}.sv"
    path.write_text("".join(map(counters, here)))
    return [path]


def seen(files: Iterable[Path]) -> Counter[tuple[str, str, str]]:
    """How often (module, from, to) was passed."""
    found: Counter[tuple[str, str, str]] = Counter()
    for file in files:
        for text in file.read_text(errors="replace").splitlines():
            match = LINE.search(text)
            if match:
                found[match["module"], match["a"], match["b"]] += int(match["count"])
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
