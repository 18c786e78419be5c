"""Whether a proof refutes a mutant that the tests have missed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.formal import test_chip_proofs, test_drs
from tests.formal.proof import Verdict, prove
from tests.mutation.operators import Mutant
from tests.mutation.suites import Suite
from triptych.sim.build.sources import fastcar_sources, packages

PROOFS = {
    "decode": ("prove_decode",), "arith_pkg": ("prove_arith",), "fifo": ("prove_fifo",), "dma_setup": ("prove_setup",),
    "dma_bursts": ("prove_bursts",), "dma_walk": ("prove_walk",), "mxu_stream": ("prove_columns",),
    "read_arbiter": ("prove_arbiter",), "control": ("prove_control",), "dma_store": ("prove_store",),
    "engine_queues": ("prove_tokens",), "tokens": ("prove_tokens",),
    "drs_policy": ("prove_policy",), "drs_map": ("prove_map", "prove_filter"), "drs_filter": ("prove_filter",),
    "drs_plan": ("prove_plan", "prove_filter"), "lane_pack": ("prove_pack",),
}  # fmt: skip
"""By module: proofs that speak of it."""


def refuted(suite: Suite, mutant: Mutant) -> str:
    """The proof that fails with the mutant; empty when none does, or none decides."""
    text = suite.path.read_text()
    for top in PROOFS.get(suite.module, ()):
        chip = top in test_chip_proofs.FILES
        sources = [*packages(), *test_chip_proofs.FILES[top]] if chip else fastcar_sources()
        with tempfile.TemporaryDirectory(prefix="triptych-") as held:
            changed = Path(held) / suite.path.name
            changed.write_text(text[: mutant.start] + f"({mutant.text})" + text[mutant.end :])
            files = [changed if path == suite.path else path for path in sources]
            sequential = top in (test_chip_proofs.SEQUENTIAL if chip else test_drs.SEQUENTIAL)
            try:
                verdict = prove(top, sequential=sequential, sources=files)
            except AssertionError:  # neither proven nor refuted
                continue
            if verdict is Verdict.REFUTED:
                return top
    return ""
