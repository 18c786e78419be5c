"""What replay costs in quality: `python -m sim.fastcar.quality` measures and writes its section of docs/results.md.

Each case decodes the same videos twice: *in context*, where every token sees the dense video's tokens, and *running
free*, where it sees its own. Decoding is greedy, so a dense run has one answer and both are compared with it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from golden.fastcar.clips import FRAMES, Condition, middle_square, photo, video_frames
from golden.fastcar.config import TasVariant
from golden.fastcar.generation import Decoded, Sampling, decode
from golden.fastcar.integer import Ints, StepTrace, temporal_score
from golden.fastcar.model import IntegerModel
from golden.fastcar.tokenizer import SIDE, Tokenizer, load_tokenizer
from sim.errors import TriptychError
from sim.ledger import Label, replace_section, table, write_text

SECTION = "fastcar-quality"
SKIPS = (0.2, 0.5, 0.8, 0.87)
Choice = NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """One way to decode: who chooses the MLPs to replay, how many, and what attention sees."""

    chooser: str  # "TAS published", "TAS consistent", "random", "none"
    skip: float = 0.0
    window: int = 0
    sink: int = 0

    @property
    def attention(self) -> str:
        """As the table says it."""
        return f"local {self.window}, sink {self.sink}" if self.window else "all"


@dataclass
class Score:
    """Means over videos, frames after the seed; against the dense decode."""

    psnr_db: float
    ssim: float
    agreement: float
    skipped: float


@dataclass
class Row:
    """A case and its two scores."""

    case: Case
    in_context: Score
    running_free: Score
    seconds: float = field(default=0.0)


def test_videos() -> tuple[NDArray[np.float32], Ints, list[str]]:
    """(n, 8, 3, 128, 128) pictures in 0..1, conditions and names: test splits of TUM and aims, a photo not trained on.

    Raises ValueError when the research data is not there.
    """
    clips, kinds, names = [], [], []
    for sequence, condition, starts in (
        ("tum_fr1_rpy", Condition.HANDHELD, (0, 24, 48)),
        ("aims", Condition.ROBOT, (0, 24)),
    ):
        frames, _ = video_frames(sequence, "test")
        left = (frames.shape[2] - SIDE) // 2
        for start in starts:
            clips.append(frames[start : start + FRAMES, :, left : left + SIDE])
            kinds.append(condition)
            names.append(f"{sequence} {start}")
    cat = photo("chelsea")
    pan = [cat[40 : 40 + 2 * SIDE - 64, 4 * f : 4 * f + 2 * SIDE - 64] for f in range(FRAMES)]
    from PIL import Image

    clips.append(np.stack([np.asarray(middle_square(Image.fromarray(p), SIDE)) for p in pan]))
    kinds.append(Condition.PAN_RIGHT)
    names.append("chelsea pan")
    pictures = np.stack(clips).transpose(0, 1, 4, 2, 3).astype(np.float32) / 255
    return pictures, np.array(kinds, dtype=np.int64), names


def pictures_of(tokenizer: Tokenizer, tokens: Ints) -> NDArray[np.float32]:
    """(videos, frames, 3, 128, 128) in 0..1 of tokens (videos, frames * 256)."""
    with torch.no_grad():
        made = tokenizer.decode(torch.from_numpy(tokens).view(-1, 256)).clamp(0, 1)
    return made.view(len(tokens), -1, 3, SIDE, SIDE).numpy()


def score(tokenizer: Tokenizer, dense: Ints, tokens: Ints, skipped: float) -> Score:
    """Tokens (videos, positions) against the dense ones, from the second frame on. Equal pictures count as 60 dB."""
    wanted, got = (pictures_of(tokenizer, t)[:, 1:] for t in (dense, tokens))
    psnr, ssim = [], []
    for a, b in zip(wanted.reshape(-1, 3, SIDE, SIDE), got.reshape(-1, 3, SIDE, SIDE), strict=True):
        psnr.append(min(60.0, -10 * math.log10(max(1e-12, float(((a - b) ** 2).mean())))))
        ssim.append(float(structural_similarity(a, b, channel_axis=0, data_range=1.0)))
    agreement = float((dense[:, 256:] == tokens[:, 256:]).mean())
    return Score(float(np.mean(psnr)), float(np.mean(ssim)), agreement, skipped)


def choice(case: Case, shape: tuple[int, int, int], seed: int = 0) -> Choice | None:
    """bool[layers, positions, rows] of a case whose chooser is not TAS; None for TAS and dense."""
    if case.chooser != "random":
        return None
    return np.random.default_rng(seed).random(shape) < case.skip


@dataclass
class Study:
    """Videos, their dense decode, and what TAS it had."""

    model: IntegerModel
    tokenizer: Tokenizer
    conditions: Ints
    given: Ints  # int64[videos, 256], the seed frames
    dense: Decoded

    @classmethod
    def begin(cls, model: IntegerModel, tokenizer: Tokenizer, length: int | None = None) -> Study:
        """Decodes the test videos densely from their first frames."""
        pictures, conditions, _ = test_videos()
        with torch.no_grad():
            given = tokenizer.encode(torch.from_numpy(pictures[:, 0])).numpy()
        dense = decode(model, conditions, given, model.controls(), Sampling(), length)
        return cls(model, tokenizer, conditions, given, dense)

    def run(self, case: Case, given: Ints) -> Decoded:
        """Decodes in a case's way, from the tokens given."""
        length = self.dense.tokens.shape[1]
        variant = TasVariant.CONSISTENT if case.chooser == "TAS consistent" else TasVariant.PUBLISHED
        skip = case.skip if case.chooser.startswith("TAS") else 0.0
        controls = self.model.controls(skip, variant=variant, window=case.window, sink=case.sink)
        chosen = choice(case, (self.model.config.layers, length, len(given)))
        return decode(self.model, self.conditions, given, controls, Sampling(), length, chosen)

    def row(self, case: Case) -> Row:
        """Both scores of a case."""
        begin = time.time()
        context, free = self.run(case, self.dense.tokens), self.run(case, self.given)
        scores = (
            score(self.tokenizer, self.dense.tokens, d.made if d is context else d.tokens, d.skip_ratio)
            for d in (context, free)
        )
        return Row(case, *scores, time.time() - begin)
