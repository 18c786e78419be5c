"""Whether a proof refutes a mutant: cheaper than any simulation, so it is asked first."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.formal import test_chip_proofs, test_drs
from tests.formal.proof import Verdict, prove
from tests.mutation.operators import Mutant
from tests.mutation.suites import Suite
from triptych.sim.build.sources import fastcar_sources, packages

PROOFS = {
    "decode": ("prove_decode", "prove_head"), "arith_pkg": ("prove_arith",), "fifo": ("prove_fifo",),
    "dma_setup": ("prove_setup",), "dma_bursts": ("prove_bursts",), "dma_walk": ("prove_walk",),
    "read_arbiter": ("prove_arbiter",), "control": ("prove_control",), "dma_store": ("prove_store",),
    "step_writer": ("prove_writer",),
    "engine_queues": ("prove_tokens",), "tokens": ("prove_tokens",),
    "drs_policy": ("prove_policy",), "drs_map": ("prove_map", "prove_filter"), "drs_filter": ("prove_filter",),
    "drs_plan": ("prove_plan", "prove_filter"), "lane_pack": ("prove_pack",),
    "weight_streamer": ("prove_streamer",), "vpu_stream_address": ("prove_stream",),
}  # fmt: skip
"""By module: proofs that speak of it."""

LATE = {"mxu_stream": ("prove_columns", "prove_words"), "mxu_setup": ("prove_job",)}
"""Proofs that take longer than a module's own tests: asked about what these do not notice."""

SECONDS = 20
"""CPU time that a proof may take; what it does not decide in that time is left to the tests."""


def proofs_of(module: str) -> tuple[tuple[str, ...], ...]:
    """pytest's names of these, one group; none where nothing is proven."""
    names = []
    for top in (*PROOFS.get(module, ()), *LATE.get(module, ())):
        chip = top in test_chip_proofs.FILES
        test = f"test_chip_proofs.py::test_proof[{top}]" if chip else f"test_drs.py::test_proof[{top}]"
        names.append("tests/formal/" + ("test_drs.py::test_plan" if top == "prove_plan" else test))
    return (tuple(names),) if names else ()


STEPS = 3
"""Of induction: the proofs here need two; a bug that shows later is one that they close with no more."""

OPEN = "proof failed"
"""What Yosys says when an induction does not close: no state that is reached in a few steps breaks an assertion, but
one that the assertions allow leads to one that they do not."""


def refuted(suite: Suite, mutant: Mutant, late: bool = False) -> tuple[str, bool]:
    """The proof that fails with the mutant, empty when none does or none decides; and whether it is refuted by a way
    from reset, or just closes no more (then it is the design's test that fails, be the mutant a bug or not)."""
    text, unclosed = suite.path.read_text(), ""
    for top in (LATE if late else PROOFS).get(suite.module, ()):
        chip = top in test_chip_proofs.FILES
        sources = [*packages(), *test_chip_proofs.FILES[top]] if chip else fastcar_sources()
        with tempfile.TemporaryDirectory(prefix="triptych-") as held:
            changed = Path(held) / suite.path.name
            changed.write_text(text[: mutant.start] + f"({mutant.text})" + text[mutant.end :])
            files = [changed if path == suite.path else path for path in sources]
            sequential = top in (test_chip_proofs.SEQUENTIAL if chip else test_drs.SEQUENTIAL)
            cut = test_chip_proofs.CUT.get(top, ()) if chip else ()
            try:
                verdict = prove(
                    top,
                    sequential=sequential,
                    sources=files,
                    cut=cut,
                    seconds=(4 if late else 1) * SECONDS,
                    steps=STEPS,
                )
            except AssertionError as undecided:
                unclosed = unclosed or (top if OPEN in str(undecided) else "")
                continue
            if verdict is Verdict.REFUTED:
                return top, True
    return unclosed, False
