"""Waves of a part of a run: an FST file of every signal, in which each engine says which instruction it is at, of which
layer, on which addresses; and files that open it in GTKWave and Surfer with these signals shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.golden.files import replacing, scratch, write
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.isa import Engine, Opcode
from triptych.golden.quartdepth.compiler.compile import Compiled
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import MemoryTiming, RtlRun, Waves, run_program

MARGIN = 32  # cycles before and after what was asked for
CHARACTERS = 32  # of a layer's name, and of an instruction's text, in `transactions.sv`
BOARD = "TOP.quartdepth_board"
SCOPE = f"{BOARD}.u_transactions"
SIGNALS = (("layer", 8 * CHARACTERS, True), ("text", 8 * CHARACTERS, True), ("memory", 32, False),
           ("scratchpad", 32, False))  # fmt: skip
"""Of `transactions.row_t`: name, bits, whether it is text."""


@dataclass(frozen=True)
class Window:
    """Cycles of a run, both included."""

    begin: int
    end: int


def parse_window(text: str) -> Window:
    """A:B in cycles. Raises TriptychError."""
    try:
        begin, end = (int(part) for part in text.split(":"))
    except ValueError:
        raise TriptychError(f"--trace-cycles takes A:B in cycles, for example 1000:5000, not '{text}'") from None
    if not 0 <= begin < end:
        raise TriptychError(f"--trace-cycles takes A:B with A below B, not '{text}'")
    return Window(begin, end)


def layer_window(compiled: Compiled, rtl: RtlRun, wanted: str) -> Window:
    """From the first start to the last retirement of a layer's instructions. wanted: its name, or a part that no other
    layer's name has. Raises TriptychError."""
    names = [row.name for row in compiled.layers]
    found = [n for n, name in enumerate(names) if name == wanted] or [n for n, s in enumerate(names) if wanted in s]
    if len(found) != 1:
        some = ", ".join(names[n] for n in (found or range(len(names)))[:8])
        told = "no layer has" if not found else "several layers have"
        raise TriptychError(f"--trace: {told} '{wanted}' in its name: take one of {some}{', ...' * (len(names) > 8)}")
    mine = [s for spans in rtl.spans().values() for s in spans if compiled.layer_of[s[0]] == found[0]]
    return Window(max(0, min(s[1] for s in mine) - MARGIN), max(s[2] for s in mine) + MARGIN)


def write_waves(
    compiled: Compiled, image: NDArray[np.uint8], timing: MemoryTiming, window: Window, stem: Path
) -> list[Path]:
    """Runs the program once more and writes `stem` with the endings .fst, .gtkw (GTKWave) and .sucl (Surfer).

    Raises TriptychError as `run_program`, and where the run ends before the window begins; FileError.
    """
    fst = stem.with_name(stem.name + ".fst")
    with scratch() as held, replacing(fst) as part:
        names = held / "names"
        write(names, "\n".join(_row(compiled, pc) for pc in range(len(compiled.instructions))) + "\n")
        waves = Waves(part, window.begin, window.end, names)
        rtl = run_program(
            compiled.config, image, compiled.prog_base, len(compiled.instructions), timing=timing, waves=waves
        )
        if rtl.cycles < window.begin:
            raise TriptychError(f"the run has {rtl.cycles:,} cycles: none is in {window.begin}:{window.end}")
    views = {".gtkw": gtkwave(fst.name), ".sucl": surfer()}
    for ending, content in views.items():
        write(stem.with_name(stem.name + ending), content)
    return [fst, *(stem.with_name(stem.name + ending) for ending in views)]


def _row(compiled: Compiled, pc: int) -> str:
    """An instruction as a row of `transactions.row_t`, in hexadecimal digits."""
    instruction, layer = compiled.instructions[pc], compiled.layers[compiled.layer_of[pc]].name
    texts = (layer[-CHARACTERS:], short_text(instruction)[:CHARACTERS])
    numbers = (instruction["dram"], instruction["spad"] or instruction["act"] or instruction["a"])
    head = "".join(t.encode("ascii", "replace").rjust(CHARACTERS, b"\0").hex() for t in texts)
    return head + "".join(f"{number:08x}" for number in numbers)


def short_text(instruction: Instruction) -> str:
    """What an instruction does, in a few characters."""
    match instruction.opcode:
        case Opcode.LOAD | Opcode.STORE:
            return f"{instruction.opcode.name} {instruction['rows']} x {instruction['row_bytes']} B"
        case Opcode.MATMUL:
            return f"MATMUL {instruction['out_h']}x{instruction['out_w']}x{instruction['n']}"
        case Opcode.VECTOR:
            return f"VECTOR {instruction['h']}x{instruction['w']}x{instruction['n']}"
    return instruction.opcode.name


def gtkwave(fst: str) -> str:
    """A save file of GTKWave: each engine's transaction as a group."""
    lines = [f'[dumpfile] "{fst}"', "[timestart] 0", "@28", f"{BOARD}.clk_i"]
    for engine in Engine:
        scope = f"{SCOPE}.gen_engine[{int(engine)}]"
        lines += ["@800200", f"-{engine.name}"]
        lines += ["@24", f"{scope}.pc_q[31:0]", f"{scope}.under_way_q[7:0]"]
        for name, bits, text in SIGNALS:
            lines += ["@820" if text else "@22", f"{scope}.now_q.{name}[{bits - 1}:0]"]
        lines += ["@1000200", f"-{engine.name}"]
    return "\n".join(lines) + "\n"


def surfer() -> str:
    """A command file of Surfer (`surfer --command-file`)."""
    lines = [f"variable_add {BOARD}.clk_i"]
    for engine in Engine:
        scope = f"{SCOPE}.gen_engine[{int(engine)}]"
        lines += [f"divider_add {engine.name}", f"variable_add {scope}.pc_q", f"variable_add {scope}.under_way_q"]
        lines += [f"variable_add {scope}.now_q.{name}" for name, _, _ in SIGNALS]
    return "\n".join(lines) + "\n"
