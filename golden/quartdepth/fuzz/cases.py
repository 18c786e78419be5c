"""A random network as a value: steps, sizes, widths and a seed, the text of its PyTorch module, and that module."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.fuzz.kind import Size, Step
from triptych.golden.quartdepth.fuzz.kinds import KINDS
from triptych.golden.quartdepth.fuzz.registered import example
from triptych.golden.quartdepth.network.widths import Widths

MOST_STEPS = 8
TRIES = 20  # draws of a kind before another one is drawn
SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17)


class IllegalCase(ValueError):
    """Steps that do not fit together."""


@dataclass(frozen=True)
class Case:
    """A network: `steps` read the input (value 0) and each other; the last one makes the output.

    seed: of weights, image and codes. tables: some maps have LogNP tables instead of uniform codes.
    """

    input: Size
    steps: tuple[Step, ...]
    widths: Widths
    seed: int
    tables: bool = False

    def sizes(self) -> list[Size]:
        """Sizes of all values. Raises IllegalCase."""
        sizes = [self.input]
        for step in self.steps:
            if not step.inputs or max(step.inputs) >= len(sizes):
                raise IllegalCase(f"{step.kind} reads a value that is not made")
            size = KINDS[step.kind].legal_size(step.numbers, [sizes[n] for n in step.inputs])
            if size is None:
                raise IllegalCase(f"{step.kind} does not fit {[sizes[n] for n in step.inputs]}")
            sizes.append(size)
        return sizes

    def source(self) -> str:
        """Python text of the class `Net`."""
        sizes = self.sizes()
        made: list[str] = []
        body: list[str] = []
        for number, step in enumerate(self.steps, 1):
            kind, mine = KINDS[step.kind], [sizes[n] for n in step.inputs]
            for suffix, text in kind.made(step.numbers, mine).items():
                made.append(f"self.s{number}{suffix} = {text}")
            lines = kind.text(step.numbers, mine)
            for place, line in enumerate(lines):
                for n, value in enumerate(step.inputs):
                    line = line.replace(f"{{{n}}}", f"x{value}")
                line = line.replace("{me}", f"s{number}")
                body.append(f"x{number} = {line}" if place == len(lines) - 1 else line)
        out = ["class Net(nn.Module):", "    def __init__(self):", "        super().__init__()"]
        out += [f"        {line}" for line in made]
        out += ["", "    def forward(self, x0):", *(f"        {line}" for line in body)]
        return "\n".join([*out, f"        return x{len(self.steps)}", ""])

    def module(self) -> nn.Module:
        """The module in eval mode, with random weights and statistics."""
        names: dict[str, Any] = {"torch": torch, "nn": nn, "F": nn.functional, "example": example}
        exec(compile(self.source(), f"case {self.seed}", "exec"), names)
        torch.manual_seed(self.seed)
        module: nn.Module = names["Net"]()
        disturb(module, self.seed)
        return module.eval()

    def image(self) -> Tensor:
        """A calibration image."""
        return torch.rand(1, *self.input, generator=torch.Generator().manual_seed(self.seed))


def disturb(module: nn.Module, seed: int) -> None:
    """Statistics and gains as trained networks have them; now and then weights of another magnitude, channels without
    weights, a layer that is far below zero."""
    rng, g = random.Random(seed), torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=g) * (high - low) + low)

    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
                uniform(part.weight, -0.5, 2.0)
                uniform(part.bias, -1.0, 1.0)
            if isinstance(part, nn.BatchNorm2d):
                assert part.running_mean is not None
                assert part.running_var is not None
                uniform(part.running_mean, -0.5, 0.5)
                uniform(part.running_var, 0.1, 4.0)
            elif isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and rng.random() < 0.2:
                odd = rng.randrange(3)
                if odd == 0:
                    part.weight.mul_(rng.choice([0.05, 8.0]))
                elif odd == 1:
                    part.weight[rng.randrange(len(part.weight))] = 0
                elif part.bias is not None:
                    part.bias.sub_(rng.choice([1.0, 20.0]))


def draw(seed: int, most: int = MOST_STEPS) -> Case:
    """A random legal network."""
    rng = random.Random(seed)
    sizes = [Size(rng.choice([1, 3, 3, 3, 4, 8, 16, 17]), rng.choice(SIDES), rng.choice(SIDES))]
    steps: list[Step] = []
    unused = {0}
    count = rng.randint(1, most)
    while len(steps) < count:
        step = _step(rng, sizes, unused, last=len(steps) == count - 1)
        steps.append(step)
        size = KINDS[step.kind].size(step.numbers, [sizes[n] for n in step.inputs])
        assert size is not None
        unused -= set(step.inputs)
        unused.add(len(sizes))
        sizes.append(size)
    widths = rng.choice([Widths.W4A8, Widths.W4A8, Widths.W4A4, Widths.W4A4, Widths.W8A8])
    return without_unused(Case(sizes[0], tuple(steps), widths, seed, widths is Widths.W4A4 and rng.random() < 0.4))


def _step(rng: random.Random, sizes: list[Size], unused: set[int], last: bool) -> Step:
    kinds = [name for name, kind in KINDS.items() if last or not kind.last]
    while True:
        name = rng.choices(kinds, [KINDS[k].often * (4 if KINDS[k].last else 1) for k in kinds])[0]
        kind = KINDS[name]
        for _ in range(TRIES):
            pick = rng.choice(sorted(unused)) if rng.random() < 0.7 else rng.randrange(len(sizes))
            inputs = kind.inputs(rng, sizes, pick)
            if inputs is None:
                continue
            mine = [sizes[n] for n in inputs]
            numbers = {k: int(v) for k, v in kind.numbers(rng, mine).items()}
            if kind.legal_size(numbers, mine) is not None:
                return Step(name, inputs, numbers)


def without_unused(case: Case) -> Case:
    """Without the steps that the output does not depend on. Steps that change a value in place are kept with it."""
    needed = {len(case.steps)}
    for number in range(len(case.steps), 0, -1):
        if number in needed:
            needed |= set(case.steps[number - 1].inputs)
    order = [0, *sorted(needed - {0})]
    place = {old: new for new, old in enumerate(order)}
    steps = []
    for number in order[1:]:
        step = case.steps[number - 1]
        steps.append(Step(step.kind, tuple(place[n] for n in step.inputs), step.numbers))
    return Case(case.input, tuple(steps), case.widths, case.seed, case.tables)
