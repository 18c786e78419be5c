"""Random programs end as announced, do not depend on timing, reach everything that the instruction table offers."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.random_program import RandomProgram, random_program
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import CONFIGS, chip_config
from triptych.golden.quartdepth.chip.isa import FIELDS, MICROWORD, MICROWORD_BYTES, Kind, Opcode, Space, Trap
from triptych.golden.quartdepth.chip.machine import Machine, Retired

TINY = chip_config("tiny")
CAUSES = [t for t in Trap if t is not Trap.NONE]


def fingerprint(program: RandomProgram, config_name: str, order: int | None) -> tuple[Any, ...]:
    """Everything that a run leaves behind. order: seed of the priority of engines, None for the oldest first."""
    chip = Machine(chip_config(config_name))
    run = chip.start(program.stored, program.memory)
    if order is not None:
        rng = np.random.default_rng(order)
        run._age = lambda engine: rng.random()  # type: ignore[method-assign, assignment, return-value]
    records: list[Retired] = list(iter(run.step, None))
    result = run.result()
    signatures = tuple(sorted((r.pc, r.signature) for r in records))
    state = (chip.state.spad, chip.state.tables, chip.state.prog, chip.state.row_scalars, program.memory.data)
    return result.trap, result.pc, result.engine, signatures, *(a.tobytes() for a in state)


@settings(max_examples=12)
@given(st.sampled_from(sorted(CONFIGS)), st.integers(0, 2**32 - 1))
def test_results_do_not_depend_on_timing(config: str, seed: int) -> None:
    def fresh() -> RandomProgram:
        return random_program(chip_config(config), seed, 40)

    program = fresh()
    first = fingerprint(program, config, None)
    assert first[:3] == (Trap.NONE, program.pc, program.engine)
    for order in range(2):
        assert fingerprint(fresh(), config, order) == first


def test_matmuls_that_leave_their_vectors_no_room_are_drawn_again() -> None:
    """Of this seed a VECTOR's destination meets whatever its MATMUL reads, wherever it lies. Nothing of them stays."""

    def fresh() -> RandomProgram:
        return random_program(TINY, 1_000_808, 200)

    program = fresh()
    first = fingerprint(program, "tiny", None)
    assert first[:3] == (Trap.NONE, program.pc, program.engine)
    assert len(program.instructions) >= 200
    assert fingerprint(fresh(), "tiny", 1) == first


def test_the_waits_are_needed() -> None:
    """Without them, some order of the engines gives something else: the comparison above can fail."""

    def runs(seed: int, order: int | None) -> tuple[Any, ...]:
        program = random_program(TINY, seed, 40)
        for i in program.instructions:
            assert isinstance(i, Instruction)
            for engine in ("load", "mxu", "vpu", "store"):
                i[f"wait_{engine}"] = 0
        program.memory.place(program.base, b"".join(i.encode() for i in program.instructions))  # type: ignore[union-attr]
        return fingerprint(program, "tiny", order)

    assert any(runs(seed, 1) != runs(seed, None) for seed in range(3))


@pytest.mark.parametrize("cause", CAUSES, ids=lambda t: t.name)
def test_planted_traps(cause: Trap) -> None:
    for seed in range(5):
        program = random_program(TINY, seed, 8, cause)
        result = Machine(TINY).run(program.stored, program.memory)
        assert (result.trap, result.pc, result.engine) == (cause, program.pc, program.engine), f"seed {seed}"


def test_a_seed_is_a_program() -> None:
    one, two, other = (random_program(TINY, seed, 30) for seed in (7, 7, 8))
    assert one.memory.data.tobytes() == two.memory.data.tobytes()
    assert one.instructions == two.instructions
    assert one.instructions != other.instructions


def test_every_mode_is_reached() -> None:
    """Every value of every enumeration and flag, in instructions and in microwords, where it has a meaning."""
    seen: Counter[tuple[str, str, int]] = Counter()
    for seed in range(12):
        program = random_program(TINY, seed, 60)
        for item in program.instructions:
            assert isinstance(item, Instruction)
            seen.update((item.opcode.name, f.name, item[f.name]) for f in FIELDS[item.opcode] if f.enum or f.width == 1)
            if item.opcode is Opcode.LOAD and item["space"] == Space.PROG:
                for at in range(item["dram"], item["dram"] + item["row_bytes"], MICROWORD_BYTES):
                    word = Microword.decode(program.memory.data[at : at + MICROWORD_BYTES].tobytes())
                    kind = Kind(word["kind"]).name
                    seen.update((kind, f.name, word[f.name]) for f in MICROWORD if f.enum or f.width == 1)
    wanted = {
        (opcode.name, f.name, value)
        for opcode, fields in FIELDS.items()
        for f in fields
        if f.name != "opcode" and (f.enum or f.width == 1)
        for value in (f.enum or range(2))
    }
    scalar = {"addend": (0, 3), "mul": (0, 2), "fn": (0, 3, 4)}
    for f in MICROWORD:
        if f.name == "kind" or not (f.enum or f.width == 1):
            continue
        values = [int(v) for v in (f.enum or range(2))]
        if f.name in ("fmt_a", "fmt_b"):
            values = [0, 1, 2]
        wanted |= {("SCALAR", f.name, v) for v in scalar.get(f.name, ())}
        wanted |= {("VECTOR", f.name, v) for v in ([0, 1, 2] if f.name == "fn" else values)}
    assert not wanted - set(seen)
