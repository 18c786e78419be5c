"""A cell library in a few lines: what Yosys, placement and OpenSTA need, round figures."""

from __future__ import annotations

from pathlib import Path

ARC = """timing () {{ related_pin : "{pin}"; timing_sense : {sense};
      cell_rise (scalar) {{ values ("0.1"); }} cell_fall (scalar) {{ values ("0.1"); }}
      rise_transition (scalar) {{ values ("0.05"); }} fall_transition (scalar) {{ values ("0.05"); }} }}"""
HOLD = """timing () {{ related_pin : "CK"; timing_type : {kind};
      rise_constraint (scalar) {{ values ("0.05"); }} fall_constraint (scalar) {{ values ("0.05"); }} }}"""
GATES = {"INV_X1": (1.0, "!A", "A"), "BUF_X1": (1.5, "A", "A"), "NAND2_X1": (2.0, "!(A & B)", "AB"),
         "NOR2_X1": (2.0, "!(A | B)", "AB"), "XOR2_X1": (4.0, "A ^ B", "AB")}  # fmt: skip


def _gate(name: str, area: float, function: str, inputs: str) -> str:
    sense = "positive_unate" if name == "BUF_X1" else "non_unate" if name == "XOR2_X1" else "negative_unate"
    arcs = "\n".join(ARC.format(pin=pin, sense=sense) for pin in inputs)
    pins = "\n".join(f"pin ({pin}) {{ direction : input; capacitance : 1.0; }}" for pin in inputs)
    return (
        f'cell ({name}) {{ area : {area};\n{pins}\npin (Y) {{ direction : output; function : "{function}"; {arcs} }} }}'
    )


def _flop(name: str, area: float, reset: bool) -> str:
    clear, pin = ('clear : "!RN";', "pin (RN) { direction : input; capacitance : 1.0; }") if reset else ("", "")
    edge = ARC.format(pin="CK", sense="non_unate").replace("{ related", "{ timing_type : rising_edge; related", 1)
    data = HOLD.format(kind="setup_rising") + HOLD.format(kind="hold_rising")
    return (
        f'cell ({name}) {{ area : {area}; ff (IQ, IQN) {{ next_state : "D"; clocked_on : "CK"; {clear} }}\n{pin}\n'
        f"pin (D) {{ direction : input; capacitance : 1.0; {data} }}\n"
        f"pin (CK) {{ direction : input; capacitance : 1.0; clock : true; }}\n"
        f'pin (Q) {{ direction : output; function : "IQ"; {edge} }} }}'
    )


def write_cells(folder: Path) -> Path:
    """Puts the library into a folder, under the name of a process that is known."""
    head = """library (NangateOpenCellLibrary_test) { time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA";
    pulling_resistance_unit : "1kohm"; leakage_power_unit : "1nW"; capacitive_load_unit (1, ff); nom_voltage : 1.1;
    delay_model : table_lookup;
    operating_conditions (typical) { process : 1; temperature : 25; voltage : 1.1; }
    default_operating_conditions : typical;"""
    gates = [_gate(name, *facts) for name, facts in GATES.items()]
    path = folder / "test_cells.lib"
    path.write_text("\n".join([head, *gates, _flop("DFF_X1", 6.0, False), _flop("DFFR_X1", 7.0, True), "}"]))
    return path
