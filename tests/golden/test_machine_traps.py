"""Every trap of the machine, with its cause, place and engine."""

import pytest

from tests.golden.tiny_programs import COPY, END, HALT, TINY, load, matmul, outcome, run, store, vector
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.isa import (
    Addend,
    Destination,
    Engine,
    Format,
    Function,
    Kind,
    Multiply,
    Side,
    Space,
    Trap,
)
from triptych.golden.quartdepth.chip.machine import Machine
from triptych.golden.quartdepth.chip.memory import Fault, Memory
from triptych.golden.quartdepth.chip.program import CONTROL, StoredProgram

DEPTHWISE = {"depthwise": 1, "kernel_h": 3, "kernel_w": 3}


@pytest.mark.parametrize(
    "bad",
    [
        load(space=3),
        load(rows=0),
        load(size=0),
        matmul(act_format=3),
        matmul(chunks=0),
        matmul(last_elems=17),
        matmul(last_elems=0),
        matmul(block=17),
        matmul(stride_x=0),
        matmul(act_format=2, weight_format=1),
        matmul(act_format=1, weight_format=1),
        matmul(act_format=1, weight_format=2),
        matmul(weight_format=3),
        matmul(transpose=1),
        matmul(**DEPTHWISE, weight_format=1),
        matmul(depthwise=1, kernel_h=3),
        matmul(**DEPTHWISE, block=9),
        matmul(**DEPTHWISE, n=17),
        matmul(**DEPTHWISE, chunks=2),
        vector(prog_len=0),
        vector(prog=31, prog_len=2),
        vector(block=17),
        vector(n=0),
    ],
    ids=lambda i: " ".join(f"{k}={v}" for k, v in i.fields.items()),
)
def test_illegal_fields_trap_in_decode(bad: Instruction) -> None:
    assert outcome(run(load(), bad, HALT)) == (Trap.ILLEGAL_FIELD, 1, CONTROL)


@pytest.mark.parametrize(
    "bad",
    [
        load(dram=8),
        load(spad=8),
        load(size=24),
        load(rows=2, spad_row=8),
        store(0, dram_row=4),
        matmul(act=8),
        matmul(act_pix=4),
        matmul(wgt_c=8),
        matmul(wgt=8),
        matmul(wgt_n=24),
        matmul(weight_format=1, transpose=1, wgt=4),
        vector(a=2),
        vector(b_pix=1),
        vector(d_row=3),
        vector(param=8),
    ],
    ids=lambda i: " ".join(f"{k}={v}" for k, v in i.fields.items()),
)
def test_wrong_multiples_trap_in_decode(bad: Instruction) -> None:
    assert outcome(run(load(), bad, HALT)) == (Trap.ALIGNMENT, 1, CONTROL)


def test_largest_legal_fields_pass() -> None:
    drain = vector(w=1)
    assert run(matmul(weight_format=1, transpose=1, wgt=8, block=16), drain, HALT).trap is Trap.NONE
    assert run(matmul(**DEPTHWISE, block=8, n=16), vector(n=16), HALT).trap is Trap.NONE
    assert run(vector(prog=31, block=16), HALT, microword=COPY).trap is Trap.WATCHDOG  # microword 31 is empty: ACC


@pytest.mark.parametrize("opcode", [0, 6, 255])
def test_illegal_opcodes(opcode: int) -> None:
    result = run(load(), bytes([opcode] + [0] * 63), HALT)
    assert outcome(result) == (Trap.ILLEGAL_OPCODE, 1, CONTROL)
    assert result.counts[Engine.LOAD] == 1  # raised after what stands before it


@pytest.mark.parametrize(
    "word",
    [
        {**COPY.fields, "mul": 6},
        {**COPY.fields, "fn": 5},
        {**COPY.fields, "reduce": 3},
        {**COPY.fields, "fmt_a": Format.INT16},
        {**COPY.fields, "side": Side.ADD_B, "fmt_b": Format.INT16},
        {**COPY.fields, "side": Side.MAX_B, "fmt_b": Format.INT16},
        {**COPY.fields, "mul": Multiply.B, "fmt_b": Format.INT16},
        {**COPY.fields, "mul": Multiply.B, "fn": Function.GELU},
        {**COPY.fields, "fn": Function.RECIP},
        {"kind": Kind.SCALAR, "fn": Function.GELU},
        {"kind": Kind.SCALAR, "addend": Addend.ROW},
        {"kind": Kind.SCALAR, "mul": Multiply.ROW},
        {"kind": Kind.SCALAR, "mul": Multiply.B},
    ],
    ids=str,
)
def test_illegal_microwords_trap_in_the_vpu(word: dict[str, int]) -> None:
    result = run(load(), vector(wait_load=1), HALT, microword=Microword(word))
    assert outcome(result) == (Trap.ILLEGAL_FIELD, 1, Engine.VPU)


@pytest.mark.parametrize(
    ("bad", "engine"),
    [
        (load(spad=END), Engine.LOAD),
        (load(rows=2, spad_row=END - 16, size=32), Engine.LOAD),
        (load(rows=0xFFFF, spad_row=0xFFFFF0), Engine.LOAD),
        (load(spad=32 * 32, space=Space.PROG), Engine.LOAD),
        (load(spad=8 * 64, space=Space.TABLE), Engine.LOAD),
        (store(0, spad=END - 16, size=32), Engine.STORE),
        (matmul(act=END), Engine.MXU),
        (matmul(act=END - 16, chunks=2), Engine.MXU),
        (matmul(act=END - 16, chunks=3, act_format=1), Engine.MXU),
        (matmul(wgt=END - 16 * 7), Engine.MXU),
        (matmul(wgt=END - 8, weight_format=1, transpose=1), Engine.MXU),
        (vector(a=END), Engine.VPU),
        (vector(d=END - 8, n=9), Engine.VPU),
    ],
    ids=lambda i: i.name if isinstance(i, Engine) else " ".join(f"{k}={v}" for k, v in i.fields.items()),
)
def test_ranges(bad: Instruction, engine: Engine) -> None:
    assert outcome(run(load(), bad, HALT, microword=COPY)) == (Trap.RANGE, 1, engine)


def test_what_is_not_read_cannot_be_out_of_range() -> None:
    drain = vector(w=1)
    fine = [
        (matmul(act=END - 16, act_format=1), drain),  # one word of codes
        (matmul(act=END, pad_top=1), drain),  # only padding is seen
        (matmul(wgt=END - 16 * 7, n=7), vector(n=7)),  # seven columns
        (matmul(wgt=END - 8, weight_format=1, transpose=1, last_elems=1), drain),  # one k
    ]
    for matrix, after in fine:
        result = run(matrix, after, HALT)
        assert result.trap is Trap.NONE, result.detail
    no_streams = Microword({"lo": -1, "hi": 1})
    assert run(matmul(), vector(a=END, b=END, d=END, param=END), HALT, microword=no_streams).trap is Trap.NONE


def test_granules_trap_when_the_vpu_meets_them() -> None:
    assert outcome(run(vector(a=4), HALT, microword=COPY)) == (Trap.ALIGNMENT, 0, Engine.VPU)
    nibbles = Microword({**COPY.fields, "fmt_a": Format.UINT4, "dst": Destination.NIBBLE})
    assert run(vector(a=4, d=4), HALT, microword=nibbles).trap is Trap.NONE
    words = Microword({**COPY.fields, "dst": Destination.INT16})
    assert outcome(run(vector(d=8), HALT, microword=words)) == (Trap.ALIGNMENT, 0, Engine.VPU)


@pytest.mark.parametrize(
    ("bad", "cause", "engine"),
    [
        (load(1024, size=64), Trap.BUS_LOAD, Engine.LOAD),
        (load(4096), Trap.BUS_LOAD, Engine.LOAD),
        (store(1040, size=64), Trap.BUS_STORE, Engine.STORE),
    ],
)
def test_bus_errors(bad: Instruction, cause: Trap, engine: Engine) -> None:
    memory = Memory(4096, faults=[(1072, 1073, Fault.ERROR)])
    assert outcome(run(load(), bad, HALT, memory=memory)) == (cause, 1, engine)
    assert run(load(1056), store(1088, wait_load=1), HALT, memory=memory).trap is Trap.NONE


def test_a_hung_memory_ends_in_the_watchdog() -> None:
    memory = Memory(4096, faults=[(1024, 1040, Fault.HANG)])
    result = run(load(), load(1024), load(), store(0), HALT, memory=memory)
    assert outcome(result) == (Trap.WATCHDOG, 1, Engine.LOAD)
    assert result.counts == {Engine.LOAD: 1, Engine.MXU: 0, Engine.VPU: 0, Engine.STORE: 1}


def test_faults_of_the_fetch() -> None:
    memory = Memory(4096)
    memory.place(256, load().encode() * 3)
    memory.faults = [(256 + 128, 256 + 192, Fault.ERROR)]
    result = Machine(TINY).run(StoredProgram(memory, 256, 4), memory)
    assert outcome(result) == (Trap.BUS_FETCH, 2, CONTROL)
    assert result.counts[Engine.LOAD] == 2
    memory.faults = [(256 + 128, 256 + 192, Fault.HANG)]
    assert outcome(Machine(TINY).run(StoredProgram(memory, 256, 4), memory)) == (Trap.WATCHDOG, 2, CONTROL)


def test_no_halt() -> None:
    assert outcome(run(load(), store(64))) == (Trap.NO_HALT, 2, CONTROL)
    assert outcome(run()) == (Trap.NO_HALT, 0, CONTROL)


def test_a_deadlock_names_the_oldest_instruction() -> None:
    result = run(load(), matmul(wait_store=1), load(wait_mxu=1), HALT)
    assert outcome(result) == (Trap.WATCHDOG, 1, Engine.MXU)
