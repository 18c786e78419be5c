"""Video from the integer model: sampling, guidance pairs, seed frames; dense, replayed, or by another's choice.

Sampling adds seeded Gumbel noise, rounded to the logits' Q10, and takes the largest (the lowest index of equals): two
runs with one seed differ only where their logits do, so a dense and a replayed video can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar.config import Controls
from triptych.golden.fastcar.integer import Ints, StepTrace
from triptych.golden.fastcar.model import LOGIT_FRACTION, IntegerModel, Session
from triptych.golden.quartdepth.arithmetic.numerics import rs

GUIDANCE_FRACTION = 4
Observer = Callable[[int, list[StepTrace], Ints], None]  # position, traces, logits
Chooser = Callable[
    [int, Ints], NDArray[np.bool_]
]  # position, embedding rows so far [positions, rows] -> [layers, rows]


@dataclass(frozen=True)
class Sampling:
    """temperature 0 is greedy; guidance: strength in sixteenths, None for none (then rows are videos)."""

    temperature: float = 0.0
    seed: int = 0
    guidance: int | None = None


@dataclass
class Decoded:
    """tokens: int64[videos, positions], those given and those made; made: what the model chose at each position,
    given tokens included; replayed: bool[layers, positions, rows]."""

    tokens: Ints
    made: Ints
    replayed: NDArray[np.bool_]
    frame_tokens: int = field(repr=False)

    @property
    def skip_ratio(self) -> float:
        """Share of MLPs replayed from the second frame on."""
        return float(self.replayed[:, self.frame_tokens :].mean())


def gumbel(seed: int, position: int, tokens: int, temperature: float) -> Ints:
    """int64[tokens] noise in Q10, the same for every video."""
    if temperature == 0:
        return np.zeros(tokens, dtype=np.int64)
    noise = np.random.default_rng([seed, position]).gumbel(size=tokens)
    return np.rint(noise * temperature * (1 << LOGIT_FRACTION)).astype(np.int64)


def guided(logits: Ints, guidance: int) -> Ints:
    """`any + guidance (asked - any) / 16` of rows (2i asked, 2i + 1 any): int64[rows / 2, tokens]."""
    asked, anything = logits[0::2], logits[1::2]
    return anything + rs((asked - anything) * guidance, GUIDANCE_FRACTION)


def decode(
    model: IntegerModel,
    conditions: NDArray[np.int64],
    given: NDArray[np.int64],
    controls: list[Controls],
    sampling: Sampling,
    length: int | None = None,
    chooser: Chooser | None = None,
    observe: Observer | None = None,
) -> Decoded:
    """Decodes videos, `length` positions (None: the context), from `given` tokens int64[videos, n <= length].

    A given token of -1, and all after n, are the model's own. Where tokens are given the model is teacher-forced:
    `made` holds what it would have chosen. conditions: int64[videos]. With guidance each video has two rows, the
    second with condition 0. chooser: replaces the decision by TAS from the second frame on. Raises ValueError for
    tokens or conditions that do not exist.
    """
    config = model.config
    length = config.layer.context if length is None else length
    if given.size and not (given.min() >= -1 and given.max() < config.tokens):
        raise ValueError(f"tokens lie in 0..{config.tokens - 1}")
    if not (conditions.min() >= 0 and conditions.max() < config.conditions):
        raise ValueError(f"conditions lie in 0..{config.conditions - 1}")
    if not given.shape[1] <= length <= config.layer.context:
        raise ValueError(f"{given.shape[1]} tokens are given and the context holds {config.layer.context}")
    videos = len(conditions)
    per_video = 1 if sampling.guidance is None else 2
    session = Session(model, videos * per_video)
    wanted = np.full((videos, length), -1, dtype=np.int64)
    wanted[:, : given.shape[1]] = given
    tokens, made = np.zeros_like(wanted), np.zeros_like(wanted)
    replayed = np.zeros((config.layers, length, videos * per_video), dtype=bool)
    entries = np.zeros((length + 1, videos * per_video), dtype=np.int64)
    entries[0] = np.repeat(conditions, per_video) + config.tokens
    if per_video == 2:
        entries[0, 1::2] = config.tokens
    for position in range(length):
        chosen = None
        if chooser and position >= config.layer.frame_tokens:
            chosen = chooser(position, entries[: position + 1])
        logits, traces = session.step(entries[position], controls, chosen)
        if observe:
            observe(position, traces, logits)
        for i, trace in enumerate(traces):
            replayed[i, position] = [not trace.index >> row & 1 for row in range(videos * per_video)]
        if sampling.guidance is not None:
            logits = guided(logits, sampling.guidance)
        made[:, position] = (logits + gumbel(sampling.seed, position, config.tokens, sampling.temperature)).argmax(1)
        tokens[:, position] = np.where(wanted[:, position] >= 0, wanted[:, position], made[:, position])
        entries[position + 1] = np.repeat(tokens[:, position], per_video)
    return Decoded(tokens, made, replayed, config.layer.frame_tokens)
