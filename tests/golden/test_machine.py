"""The machine as a whole: a program worked out by hand, order and tokens, what an observer sees."""

import numpy as np
import pytest

from tests.golden.tiny_programs import COPY, HALT, TINY, load, matmul, outcome, run, store, vector
from triptych.golden.quartdepth.chip.codec import Microword
from triptych.golden.quartdepth.chip.isa import (
    Addend,
    Destination,
    Engine,
    Multiply,
    Side,
    SourceA,
    Space,
    Trap,
)
from triptych.golden.quartdepth.chip.machine import Machine, Retired
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import CONTROL, StoredProgram


def test_a_product_by_hand() -> None:
    """(1, 2, 3) times columns (1, 1, 1) and (-8, 7, 0), biased, halved, rounded, moved by the zero point."""
    memory = Memory(4096)
    memory.place(0, np.array([1, 2, 3] + [99] * 13, np.int8))
    columns = np.zeros((8, 16), np.uint8)
    columns[0, :3] = [0x01, 0xF1, 0x71]  # the high nibbles belong to a second step that there is not
    columns[1, :3] = [0x08, 0x07, 0x00]
    memory.place(256, columns)
    parameters = np.zeros(8, [("bias", "<i4"), ("multiplier", "<i2"), ("shift", "u1"), ("zero", "i1")])
    parameters["bias"][:2], parameters["multiplier"] = [1, -5], 1
    parameters["shift"], parameters["zero"] = 1, 10
    memory.place(512, parameters.view(np.uint8))
    word = Microword(
        {"addend": Addend.BIAS, "mul": Multiply.PARAM, "zp_param": 1, "lo": -128, "hi": 127, "dst": Destination.INT8}
    )
    memory.place(768, word.encode())
    result = Machine(TINY).run(
        [
            load(0, 0),
            load(256, 256, 128),
            load(512, 512, 64),
            load(768, 0, 32, space=Space.PROG),
            matmul(last_elems=3, wgt=256, wait_load=2),
            vector(d=1024, param=512, wait_load=4),
            store(1024, 1024, wait_vpu=1),
            HALT,
        ],
        memory,
    )
    assert outcome(result) == (Trap.NONE, 7, CONTROL)
    assert result.counts == {Engine.LOAD: 4, Engine.MXU: 1, Engine.VPU: 1, Engine.STORE: 1}
    # column 0: (1 + 2 + 3 + 1) / 2 = 3.5 -> 4; column 1: (-8 + 14 - 5) / 2 = 0.5 -> 1; others 0
    assert memory.data[1024:1040].tolist() == [14, 11, 10, 10, 10, 10, 10, 10] + [0] * 8


def test_state_is_zero_at_first_and_stays() -> None:
    chip, memory = Machine(TINY), Memory(4096)
    memory.data[:] = 7
    assert chip.run([store(0, 64, 64), HALT], memory).trap is Trap.NONE
    assert not memory.data[:64].any()
    assert chip.run([load(64), HALT], memory).trap is Trap.NONE
    assert chip.run([store(128, 0), HALT], memory).trap is Trap.NONE
    assert memory.data[128:144].tolist() == [7] * 16


def test_a_program_in_memory() -> None:
    memory = Memory(4096)
    program = [load(1024), store(2048, 0, wait_load=1), HALT]
    memory.place(256, b"".join(i.encode() for i in program))
    memory.place(1024, np.arange(16, dtype=np.uint8))
    result = Machine(TINY).run(StoredProgram(memory, 256, 3), memory)
    assert outcome(result) == (Trap.NONE, 2, CONTROL)
    assert memory.data[2048:2064].tolist() == list(range(16))


def test_copies_keep_their_strides() -> None:
    memory = Memory(4096)
    memory.place(0, np.arange(256, dtype=np.uint8))
    result = run(
        load(16, 1024, 32, rows=3, dram_row=64, spad_row=48),
        store(2048, 1024, 16, rows=2, dram_row=32, spad_row=64, wait_load=1),
        HALT,
        memory=memory,
    )
    assert result.trap is Trap.NONE
    # rows 16.., 80.., 144.. lie at 1024, 1072, 1120; the store reads 1024.. and 1088.. (the hindmost of row 1)
    assert memory.data[2048:2064].tolist() == list(range(16, 32))
    assert memory.data[2080:2096].tolist() == list(range(96, 112))


# -- order ------------------------------------------------------------------------------------------------------------


def test_tokens_order_engines() -> None:
    """STORE waits for a LOAD that stands behind it in the program, which its queue lets past."""
    memory = Memory(4096)
    memory.data[:16] = 9
    result = run(store(1024, wait_load=1), load(0), HALT, memory=memory)
    assert [r.pc for r in result.retired] == [1, 0]
    assert memory.data[1024:1040].tolist() == [9] * 16


def test_a_wait_behind_a_full_queue_deadlocks() -> None:
    """One STORE at the engine's door and one in the queue; the third keeps the LOAD from being dispatched."""
    stores = [store(1024, wait_load=1)] * 3
    assert outcome(run(*stores[:2], load(0), HALT)) == (Trap.NONE, 3, CONTROL)
    assert outcome(run(*stores, load(0), HALT)) == (Trap.WATCHDOG, 0, Engine.STORE)


def test_rows_wait_in_two_banks() -> None:
    """The MXU retires when its last row is in a bank: two banks' worth need no VECTOR, a third does."""
    drain = vector(w=1)
    waits = matmul(wait_mxu=2)
    assert run(matmul(), matmul(), waits, drain, drain, drain, HALT).trap is Trap.NONE
    late = [vector(wait_mxu=3)] * 3
    assert outcome(run(matmul(), matmul(), matmul(), *late[:2], HALT)) == (Trap.WATCHDOG, 2, Engine.MXU)
    assert run(matmul(), matmul(), *[vector(wait_mxu=2)] * 2, HALT).trap is Trap.NONE
    tiles = matmul(n=17)  # three column tiles: three banks from one instruction
    assert outcome(run(tiles, vector(n=17, wait_mxu=1), HALT)) == (Trap.WATCHDOG, 0, Engine.MXU)
    depthwise = matmul(
        depthwise=1, kernel_h=3, kernel_w=3, n=32, chunks=2, out_w=2, block=2
    )  # a bank a group of 16 channels
    assert run(depthwise, vector(n=32, w=2, block=2, wait_mxu=1), HALT).trap is Trap.NONE


def test_rows_nobody_drains_keep_halt_waiting() -> None:
    assert outcome(run(matmul(), HALT)) == (Trap.WATCHDOG, 1, CONTROL)
    assert outcome(run(matmul(), vector(w=2), HALT)) == (Trap.WATCHDOG, 1, Engine.VPU)


# -- the edges of numbers ---------------------------------------------------------------------------------------------


def one_lane(
    word: dict[str, int], a: int = 0, bias: int = 0, multiplier: int = 0, shift: int = 0, zero: int = 0, b: int = 0
) -> int:
    """What lane 0 of one microword writes as int16 for int8 `a` and `b` in the scratchpad and these parameters."""
    chip = Machine(TINY)
    spad, prog = chip.state.spad, chip.state.prog
    parameters = np.zeros(1, [("bias", "<i4"), ("multiplier", "<i2"), ("shift", "u1"), ("zero", "i1")])
    parameters[0] = (bias, multiplier, shift, zero)
    spad[[0, 96]] = np.array([a, b], np.int8).view(np.uint8)
    spad[64:72] = parameters.view(np.uint8)
    base = {"src_a": SourceA.SPAD, "lo": -32768, "hi": 32767, "dst": Destination.INT16}
    prog[:32] = np.frombuffer(Microword({**base, **word}).encode(), np.uint8)
    result = chip.run([vector(b=96, d=32, param=64, n=1), HALT], Memory(64))
    assert result.trap is Trap.NONE, result.detail
    return int(spad[32:34].view("<i2")[0])


TOP, BOTTOM = 2**31 - 1, -(2**31)


@pytest.mark.parametrize(
    ("word", "lane", "expected"),
    [
        # X wraps: 127 << 15 on top of the largest number is negative, its negative beneath the smallest positive
        ({"a_shl": 15, "addend": Addend.IMM, "imm_add": TOP}, {"a": 127}, -32768),
        ({"a_shl": 15, "addend": Addend.BIAS}, {"a": 127, "bias": TOP}, -32768),
        ({"a_shl": 15, "addend": Addend.BIAS}, {"a": -128, "bias": BOTTOM}, 32767),
        # Y saturates to 32 bits, V to 16
        ({"addend": Addend.IMM, "imm_add": TOP, "mul": Multiply.IMM, "imm_m": 32767}, {}, 32767),
        ({"addend": Addend.IMM, "imm_add": TOP, "mul": Multiply.IMM, "imm_m": -32768}, {}, -32768),
        # 48-bit products are exact: 2^31 * 2^15 / 2^31 = 2^15, one more than fits in V
        ({"addend": Addend.IMM, "imm_add": BOTTOM, "mul": Multiply.IMM, "imm_m": -32768, "imm_s": 31}, {}, 32767),
        ({"addend": Addend.IMM, "imm_add": BOTTOM, "mul": Multiply.IMM, "imm_m": -32767, "imm_s": 32}, {}, 16384),
        ({"addend": Addend.IMM, "imm_add": BOTTOM, "mul": Multiply.IMM, "imm_m": 32767, "imm_s": 32}, {}, -16383),
        # shift counts stop at 0 and 47
        ({"mul": Multiply.IMM, "imm_m": 3, "imm_s": -64}, {"a": 5}, 15),
        ({"mul": Multiply.PARAM}, {"a": -128, "multiplier": 32767, "shift": 255}, 0),
        ({"addend": Addend.IMM, "imm_add": BOTTOM, "mul": Multiply.IMM, "imm_m": -32768, "imm_s": 63}, {}, 1),
        # ties go up, below zero too
        ({"mul": Multiply.PARAM}, {"a": 5, "multiplier": 1, "shift": 1}, 3),
        ({"mul": Multiply.PARAM}, {"a": -5, "multiplier": 1, "shift": 1}, -2),
        # squares are those of 16 bits
        ({"addend": Addend.IMM, "imm_add": -40000, "mul": Multiply.SQUARE, "imm_s": 16}, {}, 16384),
        # side NONE does not narrow Y to 16 bits before the zero point, SCALE_F does
        ({"addend": Addend.IMM, "imm_add": 40000, "out_add": -10000}, {}, 30000),
        ({"addend": Addend.IMM, "imm_add": 40000, "out_add": -10000, "side": Side.SCALE_F, "b_m": 1}, {}, 22767),
        # the larger of two; the second operand saturates to 32 bits before
        ({"side": Side.MAX_B, "b_m": 3}, {"a": 20, "b": 7}, 21),
        ({"side": Side.MAX_B, "b_m": 3}, {"a": 22, "b": 7}, 22),
        ({"side": Side.MAX_B, "b_m": -3}, {"a": -22, "b": 7}, -21),
        ({"side": Side.MAX_B, "b_m": 3, "z_s": 1, "out_add": 1}, {"a": 20, "b": 7}, 12),
        # products of two, in 48 bits; the factor is saturated to 16
        ({"mul": Multiply.B, "b_add": 5}, {"a": -9, "b": 7}, -108),
        ({"mul": Multiply.B, "imm_s": 2}, {"a": 9, "b": -2}, -4),
        (
            {"addend": Addend.IMM, "imm_add": BOTTOM, "mul": Multiply.B, "imm_s": 31, "b_add": -32768},
            {"b": -128},
            32767,
        ),
        ({"addend": Addend.IMM, "imm_add": -1, "mul": Multiply.B, "imm_s": 1, "b_add": 32767}, {"b": 127}, -16383),
        ({"mul": Multiply.B, "side": Side.ADD_B, "b_m": 2}, {"a": 3, "b": 5}, 25),
        ({"mul": Multiply.B, "side": Side.SCALE_F, "b_m": 2, "b_s": 3}, {"a": 3, "b": 6}, 5),
        ({"zp_param": 1, "out_add": 99}, {"a": 1, "zero": -128}, -127),
        # the upper clamp has the last word
        ({"lo": 10, "hi": -10}, {"a": 0}, -10),
        ({"lo": -10, "hi": 10}, {"a": 11}, 10),
    ],
    ids=str,
)
def test_edges_of_a_lane(word: dict[str, int], lane: dict[str, int], expected: int) -> None:
    assert one_lane(word, **lane) == expected


@pytest.mark.parametrize(("kernel", "chunks", "most"), [(15, 64, 32), (5, 64, 29), (1, 65, 25)])
def test_sums_beyond_every_float(kernel: int, chunks: int, most: int) -> None:
    """Sums of up to 230,400 products near 128 * 128: just past the 24 bits of float32, far past, and past 31 bits,
    where they wrap. most: bits of the sum."""
    chip = Machine(TINY)
    seen = 16 * chunks  # bytes of activations, seen by every tap (strides 0); one tile of weights, seen by every step
    chip.state.spad[:seen], chip.state.spad[seen : seen + 16] = 0x80, 0x80
    chip.state.spad[[seen - 1, seen + 15]] = 0x81  # an odd product, so that no bit of the sum is idle
    taps = kernel * kernel
    wide = matmul(
        weight_format=1, kernel_h=kernel, kernel_w=kernel, in_h=kernel, in_w=kernel, chunks=chunks, wgt=seen, n=1
    )
    record = chip.start([wide, vector(n=1), HALT], Memory(64), keep_writes=True).step()
    assert record is not None
    exact = taps * (15 * chunks * 128 * 128 + (chunks - 1) * 128 * 127 + 127 * 127)
    assert exact.bit_length() == most
    assert int(record.writes[0].data[0, :4].view("<i4")[0]) == (exact + 2**31) % 2**32 - 2**31


# -- observation ------------------------------------------------------------------------------------------------------


def test_an_observer_can_replay_the_write_sets() -> None:
    memory = Memory(4096)
    memory.place(0, np.random.default_rng(1).integers(0, 256, 512, dtype=np.uint8))
    shadow, seen = Machine(TINY), []

    def observe(record: Retired) -> None:
        seen.append(record)
        for write in record.writes:
            for start, data in zip(write.start.tolist(), write.data, strict=True):
                if write.target.value == "scratchpad":
                    shadow.state.spad[start : start + data.size] = data

    chip = Machine(TINY)
    chip.state.prog[:32] = np.frombuffer(COPY.encode(), np.uint8)
    program = [load(0, 0, 256), vector(a=0, a_row=64, a_pix=16, d=512, d_row=48, d_pix=16, h=3, w=3, n=13, wait_load=1)]
    result = chip.run([*program, HALT], memory, on_retire=observe)
    assert np.array_equal(shadow.state.spad, chip.state.spad)
    assert [r.signature for r in result.retired] == [r.signature for r in seen]
    assert all(not r.writes for r in result.retired)
    (write,) = seen[1].writes
    assert write.locate(5, 7) == f"scratchpad byte {512 + 48 + 2 * 16 + 7:#x} (pixel y=1 x=2, channel 7)"


def test_rows_are_named_by_pixel_and_channel() -> None:
    run_ = Machine(TINY).start([matmul(n=9, out_w=3, block=2), vector(n=9, w=3, block=2), HALT], Memory(64), True)
    first, second = run_.step(), run_.step()
    assert first is not None
    assert second is not None
    assert [first.engine, second.engine] == [Engine.VPU, Engine.MXU]  # four banks: the MXU needs the VPU's help
    (write,) = second.writes
    # row-major by pixel and tile here, but numbered as handed over: block 0 gives tile 0 twice, then tile 1 twice
    assert (write.start // 32).tolist() == [0, 2, 1, 3, 4, 5]
    assert write.locate(3, 0).endswith("(pixel y=0 x=1, channel 8)")
    assert run_.step() is None
    assert run_.result().trap is Trap.NONE


def test_a_signature_by_hand() -> None:
    memory = Memory(4096)
    memory.data[:4] = [0x78, 0x56, 0x34, 0x12]
    result = run(load(0, 0x44 & ~15), HALT, memory=memory)
    # words 0x10..0x13: (0x12345678 ^ 0x10) rotated by 16, then 0x11 by 17, 0x12 by 18, 0x13 by 19
    expected = 0x56681234 + (0x11 << 17) + (0x12 << 18) + (0x13 << 19)
    assert result.retired[0].signature == expected


def test_bad_calls_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="multiple of 64 bytes, got 63"):
        Machine(TINY).run(bytes(63), Memory(64))
    with pytest.raises(ValueError, match="do not fit"):
        Memory(64).place(60, bytes(5))
    with pytest.raises(ValueError, match="memory size"):
        Memory(0)
    with pytest.raises(RuntimeError, match="has not ended"):
        Machine(TINY).start([HALT], Memory(64)).result()
