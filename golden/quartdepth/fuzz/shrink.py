"""A failing network made small: steps left out, sizes lowered, for as long as it fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

from triptych.golden.quartdepth.fuzz.cases import Case, IllegalCase, without_unused
from triptych.golden.quartdepth.fuzz.kind import Step
from triptych.golden.quartdepth.fuzz.kinds import KINDS
from triptych.golden.quartdepth.network.widths import Widths


def shrink(case: Case, fails: Callable[[Case], bool], attempts: int = 200) -> Case:
    """The smallest case found that still fails, in at most so many attempts; `case` itself fails."""
    best, left = case, attempts
    while True:
        for smaller in _smaller(best):
            if left == 0:
                return best
            left -= 1
            if fails(smaller):
                best = smaller
                break
        else:
            return best


def _smaller(case: Case) -> Iterator[Case]:
    """Legal cases a little smaller than this one, the much smaller ones first."""
    seen = {_key(case)}
    for candidate in (*_shorter(case), *_plainer(case), *_lower(case)):
        candidate = without_unused(candidate)
        try:
            candidate.sizes()
        except IllegalCase:
            continue
        if _key(candidate) not in seen:
            seen.add(_key(candidate))
            yield candidate


def _key(case: Case) -> str:
    return repr((case.input, case.steps, case.widths, case.tables))


def _shorter(case: Case) -> Iterator[Case]:
    """The network up to an earlier step; then without one step, whose readers read what it read."""
    for count in range(1, len(case.steps)):
        yield replace(case, steps=case.steps[:count])
    for gone, step in enumerate(case.steps, 1):
        for stand_in in dict.fromkeys(step.inputs):
            rest = [s for n, s in enumerate(case.steps, 1) if n != gone]

            def moved(n: int, gone: int = gone, stand_in: int = stand_in) -> int:
                n = stand_in if n == gone else n
                return n - 1 if n > gone else n

            yield replace(case, steps=tuple(replace(s, inputs=tuple(moved(n) for n in s.inputs)) for s in rest))


def _plainer(case: Case) -> Iterator[Case]:
    if case.tables:
        yield replace(case, tables=False)
    if case.widths is not Widths.W4A8:
        yield replace(case, widths=Widths.W4A8, tables=False)


def _lower(case: Case) -> Iterator[Case]:
    """A side, the channels of the input or a number of a step: to its least, to half, one less."""
    for place, value in enumerate(case.input):
        for lower in _less(value, 1):
            size = case.input._replace(**{case.input._fields[place]: lower})
            yield replace(case, input=size)
    for number, step in enumerate(case.steps):
        for name, value in step.numbers.items():
            for lower in _less(value, 0):
                steps = list(case.steps)
                steps[number] = Step(step.kind, step.inputs, {**step.numbers, name: lower})
                yield replace(case, steps=tuple(steps))
        for pair in combinations(step.numbers, 2):  # a stride and its kernel, or its padding
            steps = list(case.steps)
            lowered = {name: min(step.numbers[name], int(name in KINDS[step.kind].positive)) for name in pair}
            steps[number] = Step(step.kind, step.inputs, {**step.numbers, **lowered})
            yield replace(case, steps=tuple(steps))


def _less(value: int, least: int) -> list[int]:
    return [v for v in dict.fromkeys((least, value // 2, value - 1)) if least <= v < value]


def script(case: Case, chip: str) -> str:
    """A Python script that shows the difference: the network as text, and the way to it."""
    return f'''"""machine != run_integer on `{chip}`: found by triptych fuzz-networks, seed {case.seed}, made small."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: F401 - the network may use it

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.fuzz.cases import disturb
from triptych.golden.quartdepth.fuzz.judge import prepared, random_codes
from triptych.golden.quartdepth.fuzz.registered import example  # noqa: F401 - the network may use it
from triptych.golden.quartdepth.network.capture import capture


{case.source()}

torch.manual_seed({case.seed})
net = Net()
disturb(net, {case.seed})
net.eval()
image = torch.rand(1, {", ".join(map(str, case.input))}, generator=torch.Generator().manual_seed({case.seed}))
graph = capture(net, image)
print("module and captured graph are", float((graph.run(image) - net(image.clone())).abs().max()), "apart")
network = prepared(graph, image, "{case.widths}", {case.seed}, tables={case.tables})
codes = random_codes(network, {case.seed})
compiled = compile_network(network, chip_config("{chip}"))
different = run_on_machine(compiled, codes, noise={case.seed}) != network.run_integer(codes)
print(different.mean(), "of codes differ")
'''
