"""Why replay costs what it costs: `python -m triptych.sim.fastcar.redundancy` writes its section of docs/results.md.

Dense decoding in the context of the study's clips. For each layer: how far the MLP's output lies from that of the same
place one frame before (relative to its own length: 0 is a perfect replay, 1.41 an unrelated vector), and whether TAS
tells (rank correlation with that distance; -1 would be a perfect score, 0 is chance).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from triptych.golden.fastcar.calibrate import both_scores
from triptych.golden.fastcar.integer import Ints
from triptych.golden.fastcar.model import IntegerModel, Session
from triptych.golden.fastcar.tokenizer import load_tokenizer
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.quality import MOVING, study_videos

SECTION = "fastcar-redundancy"
FRAMES = 3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Observed:
    """distance: [positions, layers, videos]; tas: [positions, layers, 2 variants, videos]; unchanged: [positions,
    videos], the input token is the one of a frame before."""

    distance: Floats
    tas: Ints
    unchanged: NDArray[np.bool_]


def observe(model: IntegerModel, conditions: Ints, tokens: Ints) -> Observed:
    """Dense decoding of given tokens int64[videos, positions]."""
    frame = model.config.layer.frame_tokens
    session = Session(model, len(tokens))
    entries = np.concatenate([conditions[:, None] + model.config.tokens, tokens[:, :-1]], axis=1)
    outputs: list[list[Floats]] = []
    distance, tas = [], []
    for position in range(tokens.shape[1]):
        before = [state.keys[:, :, position - frame].copy() for state in session.states]
        _, traces = session.step(entries[:, position], model.controls())
        outputs.append([trace.delta_mlp.astype(np.float64) for trace in traces])
        if position >= frame:
            pairs = zip(outputs[position], outputs[position - frame], strict=True)
            distance.append([np.linalg.norm(a - b, axis=1) / np.linalg.norm(a, axis=1) for a, b in pairs])
            tas.append([both_scores(trace, keys) for trace, keys in zip(traces, before, strict=True)])
    return Observed(np.array(distance), np.array(tas), (entries[:, frame:] == entries[:, :-frame]).T)


def rank_correlation(a: Floats | Ints, b: Floats | Ints) -> float:
    """Spearman's, of two flat arrays (ties in order of appearance)."""
    first, second = (np.argsort(np.argsort(v.ravel())).astype(np.float64) for v in (a, b))
    return float(np.corrcoef(first, second)[0, 1])


def body(seen: Observed) -> str:
    """The section of docs/results.md."""
    lines = []
    for layer in range(seen.distance.shape[1]):
        distance = seen.distance[:, layer]
        moving, still = distance[:, :MOVING], distance[:, MOVING:]
        row = [str(layer), f"{np.median(moving):.2f}", f"{np.median(still):.2f}"]
        row += [f"{distance[seen.unchanged].mean():.2f}", f"{distance[~seen.unchanged].mean():.2f}"]
        for part in (slice(0, MOVING), slice(MOVING, None)):
            row += [f"{rank_correlation(seen.tas[:, layer, v, part], distance[:, part]):+.2f}" for v in (0, 1)]
        lines.append(row)
    header = ["layer", "distance, moving", "half still", "unchanged input", "changed input"]
    header += [f"TAS {variant}, {part}" for part in ("moving", "half still") for variant in ("published", "consistent")]
    share = [f"{seen.unchanged[:, part].mean():.0%}" for part in (slice(0, MOVING), slice(MOVING, None))]
    text = (
        f"`python -m triptych.sim.fastcar.redundancy`, {Label.CPU_MEASURED.value}, {FRAMES} frames of the clips of the "
        "quality study. Distance: of an MLP's output from that of the same place one frame before, relative to its "
        "length (0: a perfect replay; 1.41: unrelated); medians, then means by whether the input token is the one of a "
        f"frame before (so are {share[0]} of the moving clips' tokens and {share[1]} of the half-still one's). TAS: "
        "rank correlation with that distance (-1: TAS picks perfectly, 0: chance)."
    )
    return "\n\n".join(["## FastCar: what there is to replay", text, table(header, lines)])


def main(argv: list[str] | None = None) -> int:
    """Command line, without options."""
    argparse.ArgumentParser(prog="python -m triptych.sim.fastcar.redundancy", description=__doc__).parse_args(argv)
    torch.set_num_threads(1)
    try:
        pictures, kinds = study_videos()
        with torch.no_grad():
            tokens = load_tokenizer().encode(torch.from_numpy(pictures[:, :FRAMES]).flatten(0, 1)).numpy()
        seen = observe(IntegerModel.load(), kinds, tokens.reshape(len(kinds), -1))
        replace_section(SECTION, body(seen))
    except (ValueError, TriptychError) as error:
        print(f"redundancy: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
