"""The chip's blocks, formally: decode, arithmetic, the array's cell, queues and tokens, addresses, arbiters. Each proof
has bugs that must refute it, and places that it must reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formal.proof import Verdict, prove
from triptych.sim.build.sources import RTL, packages

CTRL, MEM, COMMON, MXU = RTL / "ctrl", RTL / "mem", RTL / "common", RTL / "mxu"
FILES: dict[str, list[Path]] = {
    "prove_decode": [CTRL / "decode.sv"],
    "prove_head": [CTRL / "decode.sv"],
    "prove_arith": [],
    "prove_encode": [],
    "prove_cell": [],
    "prove_control": [CTRL / "control.sv"],
    "prove_fifo": [COMMON / "fifo.sv"],
    "prove_setup": [MEM / "dma_setup.sv"],
    "prove_bursts": [MEM / "dma_bursts.sv"],
    "prove_walk": [MEM / "dma_walk.sv"],
    "prove_job": [MXU / "mxu_setup.sv"],
    "prove_columns": [MXU / "mxu_stream.sv"],
    "prove_words": [MXU / "mxu_stream.sv"],
    "prove_stream": [RTL / "vpu" / f"{name}.sv" for name in ("vpu_pkg", "vpu_stream_address")],
    "prove_store": [
        COMMON / "fifo.sv",
        *(MEM / f"{name}.sv" for name in ("dma_setup", "dma_bursts", "dma_walk", "dma_front", "dma_store")),
    ],
    "prove_writer": [RTL / "fastcar" / f"{name}.sv" for name in ("fastcar_pkg", "step_pkg", "step_writer")],
    "prove_arbiter": [CTRL / "read_arbiter.sv"],
    "prove_tokens": [COMMON / "fifo.sv", MEM / "ram_1r1w.sv", CTRL / "tokens.sv", CTRL / "engine_queues.sv"],
}
SEQUENTIAL = {
    "prove_words",
    "prove_stream",
    "prove_store",
    "prove_writer",
    "prove_control",
    "prove_decode",
    "prove_head",
    "prove_fifo",
    "prove_setup",
    "prove_bursts",
    "prove_walk",
    "prove_job",
    "prove_columns",
    "prove_arbiter",
    "prove_tokens",
}
CUT = {"prove_store": [f"u_store.{name}" for name in ("bursts_valid", "burst", "walk_valid", "next_valid", "word")]}
"""What another proof speaks of: LOAD's and STORE's front may do anything here."""

REACHED = {
    "prove_decode": (1, 2, 3, 5), "prove_head": (1, 2), "prove_arith": (1, 2, 3, 4), "prove_encode": (1, 2),
    "prove_cell": (1, 2), "prove_fifo": (1,), "prove_setup": (1, 2), "prove_bursts": (1,), "prove_walk": (1, 2),
    "prove_job": (1, 2, 3), "prove_columns": (1,), "prove_words": (1,), "prove_stream": (1, 2),
    "prove_arbiter": (1,), "prove_tokens": (1,), "prove_control": (1, 2, 3), "prove_store": (1, 2, 3),
    "prove_writer": (1, 2, 3),
}  # fmt: skip
"""By proof: values of its parameter Reach, each of which must refute it."""

BUGS = {
    "alignment before legality": (
        "prove_decode", "decode.sv",
        "else if (illegal) cause = TrapIllegalField;\n      else if (misaligned) cause = TrapAlignment;",
        "else if (misaligned) cause = TrapAlignment;\n      else if (illegal) cause = TrapIllegalField;",
    ),
    "a block of R rows is refused": (
        "prove_decode", "decode.sv", "32'(matmul.block) > Rows ||\n", "32'(matmul.block) >= Rows ||\n",
    ),
    "LOW4 takes codes": (
        "prove_decode", "decode.sv", "(matmul.weight_format != WeightFormatInt4 && matmul.act_format",
        "(matmul.weight_format == WeightFormatInt8 && matmul.act_format",
    ),
    "the program store's last microword": (
        "prove_decode", "decode_pkg.sv", "i.prog_len < 4'd1 ||", "i.prog_len < 4'd2 ||",
    ),
    "a 65,536th instruction": ("prove_decode", "decode.sv", "&& sent_q[engine] == '1);", "&& sent_q[0] == '1);"),
    "a bubble behind each instruction": ("prove_head", "decode.sv", "!valid_q || leave;", "!valid_q;"),
    "a stop forgets the counts alone": (
        "prove_head", "decode.sv", "assign valid_d = !stop_i && (take", "assign valid_d = (take",
    ),
    "ties towards minus infinity": (
        "prove_arith", "arith_pkg.sv", "+ $signed({47'd0, shifted[0]})",
        "+ $signed({47'd0, shifted[0] && value != '0 && shifted[48]})",
    ),
    "saturation at 2^15": (
        "prove_arith", "arith_pkg.sv", "(value > 48'sd32767) ? 16'sh7fff", "(value > 48'sd32768) ? 16'sh7fff",
    ),
    "a carry out of 16 bits": (
        "prove_arith", "arith_pkg.sv", "|| rounded[16] != rounded[15];", "|| 1'b0;",
    ),
    "a digit of 2 from below alone": (
        "prove_arith", "arith_pkg.sv", "digit == 3'b100 || digit == 3'b011", "digit == 3'b011",
    ),
    "counts of 46 at most": ("prove_arith", "arith_pkg.sv", "(count > 10'sd47) ? 6'd47", "(count > 10'sd46) ? 6'd46"),
    "two banks alike": ("prove_arith", "arith_pkg.sv", "word[1:0] ^ word[3:2]", "word[1:0] ^ {1'b0, word[3]}"),
    "an excess of seven": ("prove_cell", "mxu_pkg.sv", "operands <<< 3", "operands * 7"),
    "codes' signs count eightfold": (
        "prove_cell", "mxu_pkg.sv", "(mode == CellPair ? 4 : 8)", "(mode == CellPair ? 3 : 8)",
    ),
    "a full FIFO takes one more": (
        "prove_fifo", "fifo.sv", "assign push    = valid_i && ready_o && !flush_i;",
        "assign push    = valid_i && !flush_i;",
    ),
    "a flush keeps what comes": ("prove_fifo", "fifo.sv", "push || flush_i, '0)", "push, '0)"),
    "an extent of 24 bits": (
        "prove_setup", "dma_setup.sv", "typedef logic [37:0] extent_t;", "typedef logic [23:0] extent_t;",
    ),
    "rows are joined that overlap": (
        "prove_setup", "dma_setup.sv", "assign contiguous = dram_row_q == 32'(box_q.words) << Shift;",
        "assign contiguous = dram_row_q <= 32'(box_q.words) << Shift;",
    ),
    "a burst across 4 KiB": (
        "prove_bursts", "dma_bursts.sv", "(9'(MaxBurst) < page_left) ? 9'(MaxBurst) : page_left;", "9'(MaxBurst);",
    ),
    "a carry at 16 MB is lost": (
        "prove_bursts", "dma_bursts.sv", "addr_d   = addr_q + (32'(beats_o) << Shift);",
        "addr_d   = {addr_q[31:24], 24'(addr_q[23:0] + 24'(32'(beats_o) << Shift))};",
    ),
    "a run of 35 bits": (
        "prove_bursts", "dma_bursts.sv", "left_d     = stream_i.run;", "left_d     = run_t'(35'(stream_i.run));",
    ),
    "a box of 2^19 words": (
        "prove_walk", "dma_walk.sv", "left_d   = box_i.words;", "left_d   = word_t'(19'(box_i.words));",
    ),
    "the next box waits for an empty walk": (
        "prove_walk", "dma_walk.sv", "assign ready_o  = !active_q || (step_i && last_o);",
        "assign ready_o  = !active_q;",
    ),
    "the pixels' highest bit": (
        "prove_job", "mxu_setup.sv", "job_d.pixels = pixels_q;", "job_d.pixels = 32'(pixels_q[30:0]);",
    ),
    "an odd step without its tile": ("prove_job", "mxu_setup.sv", "(steps >> 1) + 20'(steps[0]);", "steps >> 1;"),
    "padding above as wide as that beside": (
        "prove_job", "mxu_setup.sv", "WordW'(instr_q.act_row >> Shift) * WordW'(instr_q.pad_top)",
        "WordW'(instr_q.act_row >> Shift) * WordW'(instr_q.pad_left)",
    ),
    "a MATMUL is taken while all stops": (
        "prove_job", "mxu_setup.sv", "assign instr_ready_o = stage_q == '0 && !stop_i;",
        "assign instr_ready_o = stage_q == '0;",
    ),
    "the second row begins without padding": (
        "prove_columns", "mxu_stream.sv", "next_place.ix = -coord_t'({1'b0, job_q.pad_left});", "next_place.ix = '0;",
    ),
    "a short last word of a depthwise group": (
        "prove_words", "mxu_stream.sv", "(chunk_last && !job_q.depthwise) ? job_q.last_elems",
        "chunk_last ? job_q.last_elems",
    ),
    "the next block begins a pixel late": (
        "prove_stream", "vpu_stream_address.sv", "if (last_group_i && advance_i) block_d = follower;",
        "if (last_group_i && advance_i) block_d = stepped;",
    ),
    "a row begins where its block did": (
        "prove_stream", "vpu_stream_address.sv", "at_d.row   = block_d.row + group_d;",
        "at_d.row   = block_d.pixel + group_d;",
    ),
    "an address is not checked as it moves on": (
        "prove_stream", "vpu_stream_address.sv", "`FFL(misaligned_o, misaligned_d, check_i || step_i, 1'b0)",
        "`FFL(misaligned_o, misaligned_d, check_i, 1'b0)",
    ),
    "a new format is not checked": (
        "prove_stream", "vpu_stream_address.sv", "`FFL(misaligned_o, misaligned_d, check_i || step_i, 1'b0)",
        "`FFL(misaligned_o, misaligned_d, step_i, 1'b0)",
    ),
    "a start outlives a clear": (
        "prove_control", "control.sv", "(pending_q || accept_o) && !clear_i && !begin_o",
        "(pending_q || accept_o) && !begin_o",
    ),
    "the oldest in eight bits": (
        "prove_control", "control.sv", "oldest_pc_i[e] < oldest_pc", "8'(oldest_pc_i[e]) < 8'(oldest_pc)",
    ),
    "HALT leaves rows behind": (
        "prove_control", "control.sv", "engine_idle_i == '1 && !rows_waiting_i;", "engine_idle_i == '1;",
    ),
    "WLAST a beat early": (
        "prove_store", "dma_store.sv", "assign head_done = beat_q == head.beats - 1'b1;",
        "assign head_done = beat_q == head.beats - 1'b1 || beat_q == 9'd2;",
    ),
    "strobes after a stop": ("prove_store", "dma_store.sv", "{Depth{!stop}}, load)", "{Depth{1'b1}}, load)"),
    "an address changes while it is offered": (
        "prove_store", "dma_store.sv", "assign issue      = bursts_valid && (!aw_valid_o || aw_ready_i) && !stop &&",
        "assign issue      = bursts_valid && !stop &&",
    ),
    "data wait for their address": (
        "prove_writer", "step_writer.sv", "assign wvalid_o     = data_q && word_valid_i;",
        "assign wvalid_o     = data_q && sent_q && word_valid_i;",
    ),
    "a word is taken between bursts": (
        "prove_writer", "step_writer.sv", "assign word_ready_o = data_q && wready_i;",
        "assign word_ready_o = wready_i;",
    ),
    "a burst over the page": (
        "prove_writer", "step_writer.sv", "burst = (page_left < 7'(MaxBurst)) ? page_left : 7'(MaxBurst);",
        "burst = 7'(MaxBurst);",
    ),
    "an offer is withdrawn": ("prove_arbiter", "read_arbiter.sv", "take || (valid_q && !ar_ready_i)", "take"),
    "EXOKAY is an error": (
        "prove_arbiter", "read_arbiter.sv", "assign error     = r_resp_i[1];", "assign error     = r_resp_i != '0;",
    ),
    "a retirement counts twice": ("prove_tokens", "tokens.sv", "tokens_o[e] + 1'b1;", "tokens_o[e] + 16'd2;"),
    "VPU's count is not waited for": ("prove_tokens", "engine_queues.sv", "tokens_i[EngineVpu] >= wait_vpu", "1'b1"),
    "one too many under way": (
        "prove_tokens", "engine_queues.sv", "head_valid[e] && flight_ready[e] &&", "head_valid[e] &&",
    ),
}  # fmt: skip


def verdict(top: str, reach: int = 0, planted: tuple[str, str, str] | None = None) -> Verdict:
    """Of a proof, with something that it must reach or a bug."""
    files = [*packages(), *FILES[top]]
    return prove(
        top, sequential=top in SEQUENTIAL, parameters={"Reach": reach}, sources=files, planted=planted,
        cut=CUT.get(top, ()),
    )  # fmt: skip


LONG = {"prove_words", "prove_stream"}  # the solver looks for the way from reset for ten seconds and more


@pytest.mark.parametrize("top", FILES)
def test_proof(top: str) -> None:
    assert verdict(top) is Verdict.PROVEN


@pytest.mark.parametrize(
    ("top", "reach"),
    [pytest.param(t, n, marks=[pytest.mark.slow] * (t in LONG)) for t, numbers in REACHED.items() for n in numbers],
)
def test_reached(top: str, reach: int) -> None:
    assert verdict(top, reach) is Verdict.REFUTED


SLOW = {"one too many under way", "a short last word of a depthwise group", "the next block begins a pixel late"}


def test_what_is_planted_has_its_place() -> None:
    """Of the slow ones, too: a change that moves a line shows at once."""
    for name, (top, file, text, _) in BUGS.items():
        path = next(p for p in (*packages(), *FILES[top]) if p.name == file)
        assert path.read_text().count(text) == 1, name


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in BUGS])
def test_planted_bug_is_refuted(name: str) -> None:
    top, *planted = BUGS[name]
    file, text, bug = planted
    assert verdict(top, planted=(file, text, bug)) is Verdict.REFUTED
