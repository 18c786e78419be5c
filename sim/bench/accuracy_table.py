"""Rows of the accuracy table: scores by image, their intervals, and how they are printed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triptych.golden.quartdepth.ptq.recipe import Method
from triptych.sim.bench.ledger import table
from triptych.sim.bench.peers import Peer
from triptych.sim.depth.models import MODELS

RESAMPLES, SEED = 2000, 4
POOLED = "all sequences"
INTRODUCTION = """
`triptych accuracy`. Median-scaled d1 with the 95 % interval of a bootstrap over images, AbsRel and RMSE (metres) scaled
too, raw d1 beside them. Loss: FP32's d1 less the row's, image by image. Distance: from the float network's own output,
mean |l - median(l)| of the log ratio l (`metrics.distance`). Calibrated on train frames alone. Our rows are the integer
network, bit for bit what the chip computes ("machine equal": compared with the golden machine on a test frame). Label:
`cpu-measured`. Which networks a GPU quantised, and why a target is missed, docs/method.md says.
""".strip()
PEERS = """
The peers are Brevitas 0.13.4, simulated in float: the inputs and weights of every convolution and linear layer are
quantised, sums, concatenations, attention's products, softmax, LayerNorm and biases are not, the layer that reads the
photo has eight bits, and neither GPTQ nor Qronos learns transposed convolutions. Note: the best of four calibrations,
which they were given. AIMET's AdaRound (aimet-torch 2.42.0) runs too, but made no row: on one core an iteration took
0.08 s in METER's first layer and more than 0.5 s in the second, and its default is 15,000 iterations a layer.
""".strip()
TAUGHT = "ours: taught (in the box)"
STEP = {
    Method.MINMAX: "min-max",
    Method.LOGNP: "ours: LogNP",
    Method.COMPENSATE: "ours: + compensation",
    Method.FISHER: "ours: + Fisher rounding",
    Method.FULL: "ours: + reconstruction",
}


@dataclass(frozen=True)
class Row:
    """Scores by image of one network on one sequence. note: file size and the machine's verdict, or the setting."""

    model: str
    sequence: str
    widths: str
    method: str
    d1: list[float]
    d1_scaled: list[float]
    abs_rel: list[float]
    rmse: list[float]
    distance: list[float]
    note: str


def interval(values: list[float]) -> tuple[float, float]:
    """95 % of the means of resampled images (percentile bootstrap)."""
    v = np.array(values)
    pick = np.random.default_rng(SEED).integers(len(v), size=(RESAMPLES, len(v)))
    low, high = np.percentile(v[pick].mean(1), (2.5, 97.5))
    return float(low), float(high)


def pooled(rows: list[Row]) -> list[Row]:
    """Rows over the images of all sequences, of what has a row for each; none if there is one sequence."""
    sequences = list(dict.fromkeys(r.sequence for r in rows if r.widths == "fp32"))
    by_kind: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        by_kind.setdefault((r.widths, r.method), []).append(r)
    out = []
    for (widths, method), parts in by_kind.items():
        if len(sequences) > 1 and [r.sequence for r in parts] == sequences:
            d1, scaled, abs_rel, rmse, distance = (
                [x for r in parts for x in getattr(r, field)]
                for field in ("d1", "d1_scaled", "abs_rel", "rmse", "distance")
            )
            out.append(Row(rows[0].model, POOLED, widths, method, d1, scaled, abs_rel, rmse, distance, parts[0].note))
    return out


def markdown(model: str, rows: list[Row]) -> str:
    """Tables by sequence, in Markdown, the pooled one first; rows of a sequence without an FP32 row are left out."""
    parts = [f"## Accuracy after quantisation: {MODELS[model].title}", INTRODUCTION]
    if any(r.method in {peer.value for peer in Peer} for r in rows):
        parts.append(PEERS)
    every = [*pooled(rows), *rows]
    for sequence in dict.fromkeys(r.sequence for r in every if r.widths == "fp32"):
        here = [r for r in every if r.sequence == sequence]
        exact = next(r for r in here if r.widths == "fp32").d1_scaled
        lines = []
        for r in here:
            low, high = interval(r.d1_scaled)
            loss = [a - b for a, b in zip(exact, r.d1_scaled, strict=True)]
            least, most = interval(loss)
            near, far = interval(r.distance)
            lines.append([
                r.widths, r.method, f"{np.mean(r.d1_scaled):.3f} [{low:.3f}, {high:.3f}]",
                "" if r.widths == "fp32" else f"{np.mean(loss):+.3f} [{least:+.3f}, {most:+.3f}]",
                "" if r.widths == "fp32" else f"{np.mean(r.distance):.4f} [{near:.4f}, {far:.4f}]",
                f"{np.mean(r.abs_rel):.3f}", f"{np.mean(r.rmse):.2f}", f"{np.mean(r.d1):.3f}", r.note,
            ])  # fmt: skip
        header = ["widths", "method", "d1 scaled", "loss", "distance", "AbsRel", "RMSE", "d1 raw", "note"]
        parts += [f"### {sequence}, n = {len(here[0].d1)}", table(header, lines)]
    return "\n\n".join(parts)
