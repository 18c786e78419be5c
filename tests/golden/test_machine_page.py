"""The vectorised machine against the numerics page read aloud (machine_page.py), on random legal instructions."""

from types import SimpleNamespace
from typing import Any

import machine_page
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig, chip_config
from triptych.golden.quartdepth.chip.isa import FIELDS, Opcode, Trap
from triptych.golden.quartdepth.chip.machine import Machine, Retired
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import named

SQUARE = ChipConfig("square", depth=16, cols=16, rows=8, spad_words=1024, prog_words=32)
configs = st.sampled_from([chip_config("tiny"), SQUARE])
HALT = Instruction(Opcode.HALT)
Draw = Any


def machine(config: ChipConfig, seed: int) -> Machine:
    """A machine full of random bytes; thresholds rise or not, as they come."""
    chip, rng = Machine(config), np.random.default_rng(seed)
    for store in (chip.state.spad, chip.state.tables):
        store[:] = rng.integers(0, 256, store.size)
    chip.state.row_scalars[:] = rng.integers(-(2**31), 2**31, chip.state.row_scalars.shape)
    return chip


@st.composite
def matmuls(draw: Draw, config: ChipConfig) -> Instruction:
    def pick(lo: int, hi: int) -> int:
        return draw(st.integers(lo, hi))

    d, c = config.depth, config.cols
    depthwise = draw(st.booleans())
    act_format = pick(0, 2)
    weight_format = 0 if depthwise or act_format else pick(0, 2)
    transpose = pick(0, 1) if weight_format else 0
    kernel = (3, 3) if depthwise else (pick(1, 3), pick(1, 3))
    n = pick(1, 3 * d if depthwise else 3 * c)
    chunks = -(-n // d) if depthwise else pick(1, 3)
    limit = config.rows * c // d if depthwise else config.rows
    unit = c if transpose else d

    def place(top: int) -> int:
        return pick(0, top // unit) * unit

    return Instruction(
        Opcode.MATMUL,
        {
            "act_format": act_format,
            "weight_format": weight_format,
            "depthwise": int(depthwise),
            "transpose": transpose,
            "code_table": pick(0, 7),
            "pad_value": pick(0, 255),
            "act": pick(0, 64) * d,
            "act_row": pick(0, 16) * d,
            "act_pix": pick(0, 4) * d,
            "in_h": pick(1, 6),
            "in_w": pick(1, 6),
            "pad_top": pick(0, 3),
            "pad_left": pick(0, 3),
            "kernel_h": kernel[0],
            "kernel_w": kernel[1],
            "stride_y": pick(1, 3),
            "stride_x": pick(1, 3),
            "chunks": chunks,
            "last_elems": pick(1, d),
            "out_h": pick(1, 4),
            "out_w": pick(1, 5),
            "block": pick(1, limit),
            "n": n,
            "wgt": place(1024),
            "wgt_n": place(1024),
            "wgt_t": place(64),
            "wgt_c": pick(0, 8) * d,
        },
    )


def keep_rows(records: list[np.ndarray]) -> Any:
    def observe(record: Retired) -> None:
        for write in record.writes:
            if write.target.value == "accumulator rows":
                records.append(write.data.view(np.int32)[np.argsort(write.start)])

    return observe


@settings(max_examples=120)
@given(st.data(), configs, st.integers(0, 2**32 - 1))
def test_matmul(data: Draw, config: ChipConfig, seed: int) -> None:
    instruction = data.draw(matmuls(config))
    chip = machine(config, seed)
    expected = machine_page.matmul(config, chip.state.spad.tobytes(), chip.state.tables.tobytes(), named(instruction))
    rows: list[np.ndarray] = []
    run = chip.start([instruction, drain(instruction), HALT], Memory(64), keep_writes=True)
    record = next(r for r in iter(run.step, None) if r.pc == 0)
    keep_rows(rows)(record)
    assert rows[0].tolist() == expected
    words = [word for row in expected for word in row]
    assert record.signature == sum(machine_page.rotated(w, a) for a, w in enumerate(words)) & 0xFFFFFFFF


def drain(matmul: Instruction) -> Instruction:
    """A VECTOR that takes a MATMUL's rows and drops them (microword 0 is all zero: A from the accumulators)."""
    shape = {"h": matmul["out_h"], "w": matmul["out_w"], "n": matmul["n"], "block": matmul["block"]}
    return Instruction(Opcode.VECTOR, {"prog_len": 1, **shape})


@st.composite
def microwords(draw: Draw, steps: dict[str, int]) -> Microword:
    """Random legal microwords; shifts are drawn so that most results are not saturated."""

    def pick(lo: int, hi: int) -> int:
        return draw(st.integers(lo, hi))

    scalar = pick(0, 5) == 0
    encode = pick(0, 1)
    word = {
        "kind": int(scalar),
        "src_a": pick(0, 1),
        "fmt_a": pick(0, 2),
        "table_a": pick(0, 7),
        "a_shl": pick(0, 15),
        "addend": draw(st.sampled_from([0, 3])) if scalar else pick(0, 3),
        "rs_a": pick(0, 3),
        "imm_add": pick(-(2**31), 2**31 - 1) >> pick(0, 31),
        "mul": draw(st.sampled_from([0, 2])) if scalar else pick(0, 4),
        "rs_m": pick(0, 3),
        "imm_m": pick(-32768, 32767) >> pick(0, 15),
        "imm_s": pick(-64, 63),
        "fn": draw(st.sampled_from([0, 3, 4])) if scalar else pick(0, 2),
        "side": pick(0, 2),
        "fmt_b": pick(0, 2),
        "table_b": pick(0, 7),
        "b_add": pick(-32768, 32767),
        "b_m": pick(-32768, 32767),
        "b_s": pick(0, 63),
        "z_s": pick(0, 15) >> pick(0, 4),
        "zp_param": pick(0, 1),
        "out_add": pick(-32768, 32767),
        "lo": draw(st.sampled_from([-32768, -128, 0, 5])),
        "hi": draw(st.sampled_from([32767, 127, 15, 0])),
        "encode": encode,
        "table_e": pick(0, 7),
        "dst": draw(st.sampled_from([d for d in range(4) if d == 0 or steps["d"] % steps[f"dst{d}"] == 0])),
        "reduce": pick(0, 2),
        "rs_d": pick(0, 3),
    }
    if not scalar and word["reduce"]:
        word["rs_d"] = next(r for r in range(4) if r not in (word["rs_a"], word["rs_m"]))
    return Microword(word)


@st.composite
def vectors(draw: Draw, config: ChipConfig) -> tuple[Instruction, list[Microword]]:
    def pick(lo: int, hi: int) -> int:
        return draw(st.integers(lo, hi))

    c = config.cols
    unit = draw(st.sampled_from([c, 2 * c]))  # INT16 needs 2 C
    fields = {
        "prog": pick(0, 8),
        "h": pick(1, 4),
        "w": pick(1, 4),
        "n": pick(1, 3 * c),
        "block": pick(1, config.rows),
        "param": pick(0, 64) * config.depth,
    }
    for name in "abd":
        fields |= {name: pick(0, 60) * unit, f"{name}_row": pick(0, 24) * unit, f"{name}_pix": pick(0, 8) * unit}
    if draw(st.booleans()):  # in place
        fields |= {"a": fields["d"], "a_row": fields["d_row"], "a_pix": fields["d_pix"]}
    steps = {"d": unit, "dst1": c, "dst2": c // 2, "dst3": 2 * c}
    words = draw(st.lists(microwords(steps), min_size=1, max_size=4))
    return Instruction(Opcode.VECTOR, {**fields, "prog_len": len(words)}), words


def feed(config: ChipConfig, vector: Instruction, rows: int) -> list[Instruction]:
    """At most two MATMULs that make so many rows, in another shape than the VECTOR takes them."""
    out = []
    while rows:
        part = -(-rows // 2) if not out else rows
        fields = {f.name: f.minimum for f in FIELDS[Opcode.MATMUL] if f.minimum is not None}
        out.append(
            Instruction(
                Opcode.MATMUL,
                {**fields, "in_w": 64, "act_pix": 16, "out_w": part, "block": 3, "n": config.cols, "wgt_c": 16}
                | {"last_elems": 16, "act": 64 * len(out)},
            )
        )
        rows -= part
    return out


@settings(max_examples=150)
@given(st.data(), configs, st.integers(0, 2**32 - 1))
def test_vector(data: Draw, config: ChipConfig, seed: int) -> None:
    instruction, words = data.draw(vectors(config))
    chip = machine(config, seed)
    code = b"".join(w.encode() for w in words)
    chip.state.prog[32 * instruction["prog"] :][: len(code)] = np.frombuffer(code, np.uint8)
    turns = sum(not w["kind"] and not w["src_a"] for w in words)
    needed = turns * instruction["h"] * instruction["w"] * -(-instruction["n"] // config.cols)
    feeders = feed(config, instruction, needed)
    spad = bytearray(chip.state.spad.tobytes())
    tables = chip.state.tables.tobytes()
    row_scalars = chip.state.row_scalars.tolist()
    rows = [r for f in feeders for r in machine_page.matmul(config, bytes(spad), tables, named(f))]
    sig = machine_page.vector(
        config, spad, tables, row_scalars, named(instruction), [named(w) for w in words], iter(rows)
    )
    result = chip.run([*feeders, instruction, HALT], Memory(64))
    assert result.trap is Trap.NONE, result.detail
    assert chip.state.spad.tobytes() == bytes(spad)
    assert chip.state.row_scalars.tolist() == row_scalars
    assert next(r for r in result.retired if r.pc == len(feeders)).signature == sig


def test_named_fields_know_no_others() -> None:
    assert isinstance(named(HALT), SimpleNamespace)
    assert not hasattr(named(HALT), "rows")
