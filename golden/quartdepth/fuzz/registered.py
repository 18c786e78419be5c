"""Whatever operations the registry holds, by their own examples: a new one is drawn without a line here."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import nn

from triptych.golden.quartdepth.fuzz.kind import Kind, Size
from triptych.golden.quartdepth.network.registry import operations

MOST_KERNEL = 15  # of the convolutions that make an example's size


def example(operation: str, seed: int) -> nn.Module:
    """A module of the registry's, whose operation stands in it, with random weights; `wanted` is its input's size.
    The caller's own: a case changes its weights."""
    return copy.deepcopy(_example(operation, seed))


@cache
def _example(operation: str, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # what a case draws next is the same, whether this one was kept or not
        torch.manual_seed(seed)
        made = operations()[operation].example(random.Random(seed))
    module = copy.deepcopy(made.module).eval()
    module.wanted = Size(*made.shape)  # type: ignore[assignment]
    return module


@cache
def _example_size(operation: str, seed: int) -> tuple[Size, Size | None]:
    """Sizes of what an example takes and makes; None if that is no map, or if it has to read the photo itself."""
    module = _example(operation, seed)
    wanted: Size = module.wanted  # type: ignore[assignment]
    with torch.no_grad():
        made = module(torch.zeros(1, *wanted))
    within = not operations()[operation].photo and made.ndim == 4 and len(made) == 1
    return wanted, Size(*made.shape[1:]) if within else None


class Registered(Kind):
    """An operation's own example, whatever operations there are; convolutions before it make its input's size."""

    often = 6.0
    SEEDS = 64

    def numbers(self, rng: random.Random, sizes: Sequence[Size]) -> dict[str, int]:
        return {"operation": rng.randrange(len(operations())), "seed": rng.randrange(self.SEEDS)}

    def size(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> Size | None:
        names = list(operations())
        if numbers["operation"] >= len(names):
            return None
        wanted, made = _example_size(names[numbers["operation"]], numbers["seed"])
        reach = max(abs(a - b) for a, b in zip(wanted[1:], sizes[0][1:], strict=True))
        return made if reach < MOST_KERNEL else None

    def made(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> dict[str, str]:
        name, (c, h, w) = list(operations())[numbers["operation"]], sizes[0]
        wanted, _ = _example_size(name, numbers["seed"])
        less, more = (
            (max(h - wanted.h, 0) + 1, max(w - wanted.w, 0) + 1),
            (max(wanted.h - h, 0) + 1, max(wanted.w - w, 0) + 1),
        )
        out = {}
        if more != (1, 1):
            out["_more"] = f"nn.ConvTranspose2d({c}, {wanted.c}, {more})"
            c = wanted.c
        if less != (1, 1) or c != wanted.c:
            out["_less"] = f"nn.Conv2d({c}, {wanted.c}, {less})"
        return {**out, "": f'example("{name}", {numbers["seed"]})'}

    def text(self, numbers: Mapping[str, int], sizes: Sequence[Size]) -> list[str]:
        text = "{0}"
        for suffix in [s for s in self.made(numbers, sizes) if s]:
            text = f"self.{{me}}{suffix}({text})"
        return [f"self.{{me}}({text})"]
