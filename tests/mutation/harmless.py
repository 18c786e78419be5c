"""Mutants that change nothing that can happen, though from any state the module could tell: by module and text, and by
the line where the text says too little.

Each rests on an assertion that a proof keeps, on a parameter's range or on what stands a line below; those of golden's
code on what Python and NumPy say of an operation. They do not count, as those that Yosys proves equivalent do not.
"""

from __future__ import annotations

ANY_NEGATIVE = "NumPy takes any negative size for the one it has to find"
AT_ONCE = "how much is gathered at once; the rest follows"
BOTH_WAYS = "words one by one or spans one by one: the same words, only faster; test_tokens has both sides of FEW"

HARMLESS: dict[tuple[str, ...], str] = {
    (
        "decode",
        "operand left out: `valid_q && leave` -> `leave`",
    ): "prove_head: what is not there is pushed nowhere",
    (
        "dma_setup",
        "operand left out: `instr_valid_i && instr_ready_o && !stop_i` -> `instr_valid_i && instr_ready_o`",
    ): "prove_setup: after a stop it is idle, and what its registers hold is offered to nobody",
    (
        "dma_setup",
        "top bit lost: `extent_t'(product_q) + extent_t'(box_q.spad) + extent_t'(box_q.words)` -> "
        "`$unsigned({1'b0, ($bits(end_word) - 1)'(extent_t'(product_q) + extent_t'(box_q.spad) + "
        "extent_t'(box_q.words))})`",
    ): "prove_setup: words have 20 bits at most, so that the sum is below 2^37",
    (
        "dma_store",
        "top bit lost: `head_done ? '0 : beat_q + 1'b1` -> "
        "`$unsigned({1'b0, ($bits(beat_d) - 1)'(head_done ? '0 : beat_q + 1'b1)})`",
    ): "AXI4's bursts have 256 beats at most, so that the count ends at 255",
    (
        "dma_store",
        "operand left out: `bursts_valid || aw_valid_o` -> `bursts_valid`",
    ): "prove_store: a burst is outstanding from its offer on, and no answer comes before AW is taken",
    (
        "drs_policy",
        "top bit lost: `(row_q == '0) ? '0 : index_q` -> "
        "`$unsigned({1'b0, ($bits(index_d) - 1)'((row_q == '0) ? '0 : index_q)})`",
    ): "prove_policy: while rows come, the last one's bit is zero",
    (
        "fetch",
        "operand left out: `!stop_i && whole_q != '0` -> `whole_q != '0`",
    ): "a line below, what is read at a stop is offered to nobody, and the next place is the first again",
    (
        "mxu_acc",
        "top bit lost: `upper_q ? (final_row >> 1) + 8'd1 : '0` -> "
        "`$unsigned({1'b0, ($bits(tile_row) - 1)'(upper_q ? (final_row >> 1) + 8'd1 : '0)})`",
    ): "RowsInRange: a bank has 255 rows at most, so that the upper tile begins at 127 at most",
    (
        "mxu_loader",
        "top bit lost: `word_q` -> `$unsigned({1'b0, ($bits(word_d) - 1)'(word_q)})`",
    ): "both ways to a step set it anew",
    (
        "lane_sequencer",
        "top bit lost: `window_ends ? '0 : pass_o + 1'b1` -> "
        "`$unsigned({1'b0, ($bits(pass_d) - 1)'(window_ends ? '0 : pass_o + 1'b1)})`",
    ): "32 rows make 32 passes at most, so that the last one's number is 31",
    (
        "mxu_stream",
        "top bit lost: `(row_end || pass_end || job_q.stride_x >= 3'd3) ? 4'd0 : 4'd3 - 4'(job_q.stride_x)` -> "
        "`$unsigned({1'b0, ($bits(first_column) - 1)'((row_end || pass_end || job_q.stride_x >= 3'd3) ? 4'd0 : "
        "4'd3 - 4'(job_q.stride_x))})`",
    ): "prove_words: 3 at most",
    (
        "mxu_stream",
        "operand left out: `advance && run_q` -> `advance`",
    ): "prove_words: a job that begins sets all of these registers; between jobs nobody reads them",
    (
        "mxu_stream",
        "top bit lost: `kx_q + 4'd1` -> `$unsigned({1'b0, ($bits(kx_d) - 1)'(kx_q + 4'd1)})`",
    ): "the depthwise loop's: decode lets no kernel pass there but of three columns. The other loop's reads the same "
    "and does not come to be asked about: test_loops_of_every_magnitude[67,500 tiles] makes no progress with it",
    (
        "score_walk",
        "top bit lost: `distance ? 8'd1 : derived_i.heads_each` -> "
        "`$unsigned({1'b0, ($bits(members) - 1)'(distance ? 8'd1 : derived_i.heads_each)})`",
    ): "128 heads at most: where as many share a key head it is the only one, and its last one ends the row",
    (
        "step_setup",
        "top bit lost: `10'((32'(shape_i.width) + Bytes - 1) / Bytes)` -> "
        "`$unsigned({1'b0, ($bits(now_d.width_segments) - 1)'(10'((32'(shape_i.width) + Bytes - 1) / Bytes))})`",
    ): "a row has 16,384 elements at most, 256 words of 64; the field is as wide as the hidden's",
    (
        "sum_drain",
        "top bit lost: `base_q` -> `$unsigned({1'b0, ($bits(base_d) - 1)'(base_q)})`",
    ): "a product has 16,384 sums at most, 8,192 pairs",
    (
        "vpu_parameters",
        "condition stuck: `landing_q` -> `1'b1`",
    ): "the count's register takes what is made there only where a word lands, or at a start, which clears it",
    (
        "vpu_stream_address",
        "top bit lost: `half_i ? ByteW'(Lanes / 2) : double_i ? ByteW'(2 * Lanes) : ByteW'(Lanes)` -> "
        "`$unsigned({1'b0, ($bits(granule) - 1)'(half_i ? ByteW'(Lanes / 2) : double_i ? ByteW'(2 * Lanes) : "
        "ByteW'(Lanes))})`",
    ): "prove_stream: three constants, of eight bits at most",
    (
        "golden.numerics",
        "operand left out: `(np.uint32(32) - count) & np.uint32(31)` -> `(np.uint32(32) - count)`",
    ): "NumPy shifts a word of 32 bits by 32 to zero, and the word itself is there already",
    (
        "golden.codetable",
        "constant off by one: `16` -> `(17)`",
        "starts = np.bincount(np.array(thresholds, dtype=np.int64) - INT16_MIN, minlength=1 << 16)",
    ): "a table of all codes that is longer than int16 has values; they are never read",
    ("golden.schedule", "operator: `len(spans) > FEW` -> `((len(spans)) < (FEW))`"): BOTH_WAYS,
    ("golden.schedule", "operator: `len(spans) > FEW` -> `((len(spans)) >= (FEW))`"): BOTH_WAYS,
    ("golden.schedule", "condition turned: `len(spans) > FEW` -> `(not (len(spans) > FEW))`"): BOTH_WAYS,
    (
        "golden.machine_vpu",
        "constant off by one: `16` -> `(17)`",
        "UNSIGNED = np.arange(16, dtype=np.int8)",
    ): "a code of four bits picks none but the first sixteen",
    (
        "golden.machine_vpu",
        "constant off by one: `1` -> `(2)`",
        "self.rows = {n: r.reshape(len(r), -1) for n, r in zip(order, rows, strict=True)}",
    ): ANY_NEGATIVE,
    (
        "golden.machine_vpu",
        "constant off by one: `1` -> `(2)`",
        "for start in range(max(0, (last - first - 1) // block - 1) * block, last - first, block):",
    ): "one block of row scalars more is written over by the later ones",
    (
        "golden.machine_vpu",
        "operator: `v + 32768` -> `((v) - (32768))`",
    ): "the table has 65,536 codes: Python counts from its end to the same one",
    (
        "golden.machine_mxu",
        "constant off by one: `1` -> `(2)`",
        "SLICE = 1 << 20  # elements of the streamed operand that are gathered at once: about what the caches hold",
    ): AT_ONCE,
    (
        "golden.machine_mxu",
        "constant off by one: `1` -> `(2)`",
        "step = max(1, SLICE // (start.shape[1] * i.chunks * state.config.depth))",
    ): AT_ONCE,
    (
        "golden.machine_mxu",
        "constant off by one: `1` -> `(2)`",
        "weights = weights.reshape(i.n, -1, depth, 2).swapaxes(2, 3).reshape(i.n, -1, depth)[:, :steps]",
    ): ANY_NEGATIVE,
    (
        "hls.attention",
        "operand left out: `window && position + 1 > window` -> `(window)`",
    ): "a first key below zero is that of no old ones, too: the walk adds what it has taken away",
    (
        "hls.attention",
        "operator: `head < here` -> `(head) <= (here)`",
    ): "sums of a head that is not there are cleared with the others and sent nowhere",
}
