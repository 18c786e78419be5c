"""What replay costs in quality; `python -m triptych.sim.fastcar.quality` writes its section of docs/results.md.

Each case decodes four videos twice: *in context*, where every token is predicted from the real video's tokens, and
*running free*, where each video goes on from its first frame by itself. Decoding is greedy, so that dense decoding has
one answer, with which the cases are compared. The rivals of TAS: MLPs drawn at random with the same share in each
layer, and the MLPs of tokens whose input is the token of the same place one frame before ("unchanged input").
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import structural_similarity

from triptych.golden.fastcar import model
from triptych.golden.fastcar.clips import FRAMES, Condition, middle_square, photo, video_frames
from triptych.golden.fastcar.config import TasVariant
from triptych.golden.fastcar.generation import Chooser, Decoded, Sampling, decode
from triptych.golden.fastcar.integer import Ints
from triptych.golden.fastcar.model import IntegerModel
from triptych.golden.fastcar.tokenizer import SIDE, TOKENIZER_FILE, Tokenizer, load_tokenizer
from triptych.golden.files import write
from triptych.golden.provenance import code_digest, digest, sources
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.errors import TriptychError

SECTION = "fastcar-quality"
SKIPS = (0.2, 0.5, 0.8, 0.87)
MOVING = 3  # the first three test videos move as a whole, in the last one half the picture stands still
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """One way to decode. chooser: who picks the MLPs to replay; window, sink: local attention."""

    chooser: str
    skip: float = 0.0
    window: int = 0
    sink: int = 0


@dataclass(frozen=True)
class Score:
    """Against the dense decode, frames after the first: mean PSNR and SSIM, share of equal tokens and of replays."""

    psnr_db: float
    ssim: float
    agreement: float
    skipped: float


@dataclass(frozen=True)
class Row:
    """Scores of a case: in context for the moving videos and the half-still one, running free for the moving ones."""

    case: Case
    moving: Score
    half_still: Score
    free: Score
    seconds: float


def pan(picture: Picture, step: int) -> list[Picture]:
    """Eight squares that move right by `step` pixels of a photo."""
    squares = [picture[40:232, step * f : step * f + 192] for f in range(FRAMES)]
    return [np.asarray(middle_square(Image.fromarray(s), SIDE)) for s in squares]


def half_still(picture: Picture, step: int) -> list[Picture]:
    """Eight pictures whose left half moves by `step` pixels a frame while the right half stands still."""
    out = []
    for f in range(FRAMES):
        frame = picture[40 : 40 + SIDE, 60 : 60 + SIDE].copy()
        frame[:, : SIDE // 2] = picture[100 : 100 + SIDE, 20 + step * f : 20 + step * f + SIDE // 2]
        out.append(frame)
    return out


def study_videos() -> tuple[NDArray[np.float32], Ints]:
    """(4, 8, 3, 128, 128) pictures in 0..1 and conditions: the test splits of TUM and aims, a pan over a photo that
    was not trained on, and that photo with its left half moving.

    Raises ValueError when the research data is not there.
    """
    clips = []
    for sequence in ("tum_fr1_rpy", "aims"):
        frames, _ = video_frames(sequence, "test")
        left = (frames.shape[2] - SIDE) // 2
        clips.append(frames[:FRAMES, :, left : left + SIDE])
    cat = photo("chelsea")
    clips += [np.stack(pan(cat, 4)), np.stack(half_still(cat, 8))]
    kinds = [Condition.HANDHELD, Condition.ROBOT, Condition.PAN_RIGHT, Condition.ANY]
    pictures = np.stack(clips).transpose(0, 1, 4, 2, 3) / np.float32(255)
    return pictures.astype(np.float32), np.array(kinds, dtype=np.int64)


def score(tokenizer: Tokenizer, dense: Ints, tokens: Ints, replayed: NDArray[np.bool_]) -> Score:
    """tokens (videos, positions) against the dense ones; a frame with equal pictures counts as 60 dB."""
    with torch.no_grad():
        wanted, got = (
            tokenizer.decode(torch.from_numpy(np.ascontiguousarray(t[:, 256:])).view(-1, 256)).clamp(0, 1).numpy()
            for t in (dense, tokens)
        )
    psnr = [-10 * math.log10(max(1e-6, float(((a - b) ** 2).mean()))) for a, b in zip(wanted, got, strict=True)]
    ssim = [structural_similarity(a, b, channel_axis=0, data_range=1.0) for a, b in zip(wanted, got, strict=True)]
    agreement = float((dense[:, 256:] == tokens[:, 256:]).mean())
    return Score(float(np.mean(psnr)), float(np.mean(ssim)), agreement, float(replayed[:, 256:].mean()))


class Study:
    """The videos and their dense decode; rows 0..3 in context, 4..7 running free."""

    def __init__(self, model: IntegerModel, tokenizer: Tokenizer, frames: int) -> None:
        pictures, kinds = study_videos()
        with torch.no_grad():
            real = (
                tokenizer.encode(torch.from_numpy(pictures[:, :frames]).flatten(0, 1)).numpy().reshape(len(kinds), -1)
            )
        free = real.copy()
        free[:, 256:] = -1
        self.model, self.tokenizer, self.length = model, tokenizer, frames * 256
        self.given, self.conditions = np.concatenate([real, free]), np.concatenate([kinds, kinds])
        self.dense = self.decode(Case("none"), None)

    def decode(self, case: Case, chooser: Chooser | None) -> Decoded:
        """All rows in a case's way."""
        variant = TasVariant.CONSISTENT if case.chooser == "TAS consistent" else TasVariant.PUBLISHED
        skip = case.skip if case.chooser.startswith("TAS") else 0.0
        controls = self.model.controls(skip, variant=variant, window=case.window, sink=case.sink)
        return decode(self.model, self.conditions, self.given, controls, Sampling(), self.length, chooser)

    def run(self, case: Case, chooser: Chooser | None = None) -> tuple[Row, Decoded]:
        """A case's scores."""
        begin = time.time()
        got = self.decode(case, chooser)
        half = len(self.given) // 2

        def part(rows: slice) -> Score:
            return score(self.tokenizer, self.dense.made[rows], got.made[rows], got.replayed[:, :, rows])

        scores = part(slice(0, MOVING)), part(slice(MOVING, half)), part(slice(half, half + MOVING))
        return Row(case, *scores, time.time() - begin), got

    def at_random(self, like: Decoded) -> Chooser:
        """Draws with the share that each layer had in `like`, in each video."""
        share = like.replayed[:, 256:].mean(axis=1)
        draws = np.random.default_rng(7).random((self.length, *share.shape))
        return lambda position, _: draws[position] < share

    def unchanged(self) -> Chooser:
        """Replays every layer of a token whose input is that of one frame before."""
        layers = self.model.config.layers
        return lambda position, entries: np.tile(entries[position] == entries[position - 256], (layers, 1))

    def pair(self, case: Case) -> list[Row]:
        """A case, and below a chooser its rival at random."""
        unchanged = case.chooser == "unchanged input"
        row, got = self.run(case, self.unchanged() if unchanged else None)
        if case.window or case.chooser == "none":
            return [row]
        return [row, self.run(Case(f"random like {case.chooser}", case.skip), self.at_random(got))[0]]


def cases() -> list[Case]:
    """Every case but the rivals at random, in the order of the table."""
    tas = [Case(variant, skip) for skip in SKIPS for variant in ("TAS published", "TAS consistent")]
    local = [
        Case(chooser, skip, w, 16) for w in (256, 16) for chooser, skip in (("none", 0.0), ("TAS published", 0.87))
    ]
    return [*tas, Case("unchanged input"), *local]


@lru_cache(maxsize=1)
def _study(frames: int) -> Study:
    torch.set_num_threads(1)
    return Study(IntegerModel.load(), load_tokenizer(), frames)


def _measure(job: tuple[int, Case]) -> list[Row]:
    frames, case = job
    return _study(frames).pair(case)


def _row(stored: dict[str, Any]) -> Row:
    moving, half_still, free = (Score(**stored[name]) for name in ("moving", "half_still", "free"))
    return Row(Case(**stored["case"]), moving, half_still, free, stored["seconds"])


def study_key(frames: int) -> str:
    """What every row depends on: the code, the model's weights, the test videos, the number of frames."""
    pictures, kinds = study_videos()
    weights = [path.read_bytes() for path in (model.MODEL_FILE, TOKENIZER_FILE)]
    code = code_digest(sources(sys.modules[__name__])).encode()
    return digest(code, *weights, pictures.tobytes(), kinds.tobytes(), str(frames).encode())


def measure_all(frames: int, processes: int, out: Path) -> list[Row]:
    """The rows of every case; those that `out` holds of an earlier run with the same key are not made again."""
    key = study_key(frames)
    try:
        stored = json.loads(out.read_text()) if out.is_file() else {}
        done = {_row(rows[0]).case: [_row(r) for r in rows] for rows in stored.get(key, [])}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise TriptychError(f"{out} is no record of this study: delete it or name another --out") from None
    todo = [case for case in cases() if case not in done]
    with Pool(processes) as pool:
        for case, rows in zip(todo, pool.imap(_measure, [(frames, case) for case in todo]), strict=True):
            done[case] = rows
            found = [[asdict(r) for r in done[c]] for c in cases() if c in done]
            write(out, json.dumps({key: found}, indent=1))
    return [row for case in cases() for row in done[case]]


def body(rows: list[Row], frames: int) -> str:
    """The section of docs/results.md."""

    def cell(s: Score) -> list[str]:
        return [f"{s.skipped:.0%}", f"{s.psnr_db:.2f}", f"{s.ssim:.3f}", f"{s.agreement:.0%}"]

    header = ["replay chosen by", "target", "attention"]
    header += [f"{part}: {what}" for part in ("moving", "half still") for what in ("skipped", "dB", "SSIM", "tokens")]
    header += ["free: skipped", "dB", "SSIM", "tokens"]
    lines = []
    for r in rows:
        seen = f"{r.case.window} + {r.case.sink}" if r.case.window else "all"
        target = f"{r.case.skip:.0%}" if r.case.skip else "-"
        lines.append([r.case.chooser, target, seen, *cell(r.moving), *cell(r.half_still), *cell(r.free)])
    text = (
        f"`python -m triptych.sim.fastcar.quality --frames {frames}`, {Label.CPU_MEASURED.value}: the integer golden "
        "model, greedy, against its own dense decode; PSNR of the pictures of frames 2 and later. *moving*: in the "
        "context of three real clips that move as a whole (TUM test, aims test, a pan); *half still*: of a clip whose "
        "right half stands still; *free*: the moving clips from their first frame on by themselves. attention: window "
        "and sink. random: with the shares that the row above had in each layer and video. No package here ships a "
        "perceptual metric; SSIM stands in."
    )
    return "\n\n".join(["## FastCar: quality of replay", text, table(header, lines)])


def main(argv: list[str] | None = None) -> int:
    """Command line: `--frames N` of 3..8, `--out FILE` for the figures as JSON, `--processes N`."""
    parser = argparse.ArgumentParser(prog="python -m triptych.sim.fastcar.quality", description=__doc__)
    parser.add_argument("--frames", type=int, default=FRAMES, choices=range(3, FRAMES + 1))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/fastcar_quality.json"))
    args = parser.parse_args(argv)
    try:
        study_videos()
        rows = measure_all(args.frames, args.processes, args.out)
        replace_section(SECTION, body(rows, args.frames))
    except (ValueError, TriptychError) as error:
        print(f"quality: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
