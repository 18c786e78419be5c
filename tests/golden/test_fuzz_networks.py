"""Random networks agree; the generator says what it claims; a fault that is planted is found and made small."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.compiler import job_work, layout
from triptych.golden.quartdepth.fuzz.cases import Case, IllegalCase, draw
from triptych.golden.quartdepth.fuzz.judge import judge
from triptych.golden.quartdepth.fuzz.kind import Size, Step
from triptych.golden.quartdepth.fuzz.kinds import KINDS
from triptych.golden.quartdepth.fuzz.shrink import script, shrink
from triptych.golden.quartdepth.network.ops import _attention_work, _product
from triptych.golden.quartdepth.network.widths import Widths

CHIPS = list(CONFIGS)
COUNT = 40


@pytest.mark.parametrize("part", range(4))
def test_random_networks(part: int) -> None:
    """Each on one chip; `triptych fuzz-networks` takes all three, and as many as wanted."""
    right, steps = 0, Counter[str]()
    for seed in range(part, COUNT, 4):
        case = draw(seed, most=5)
        judged = judge(case, [CHIPS[seed // 4 % 3]])
        assert not judged.wrong, f"seed {seed}: {judged.wrong}\n{case.source()}"
        assert "capture" not in judged.refused, judged.refused
        right += len(judged.right)
        steps.update(step.kind for step in case.steps)
    assert right >= 6
    assert len(steps) >= 5


def test_a_seed_is_a_network() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    drawn = Counter(step.kind for seed in range(150) for step in draw(seed).steps)
    assert set(drawn) == set(KINDS)
    assert min(drawn.values()) >= 5


def test_a_case_is_the_same_whenever_it_is_made() -> None:
    """Examples are kept; what one case makes of their weights is not the next one's."""
    seeds = [s for s in range(40) if any(step.kind == "Registered" for step in draw(s).steps)][:6]
    first = [{n: v.clone() for n, v in draw(s).module().state_dict().items()} for s in seeds]
    for seed, before in zip(seeds, first, strict=True):
        again = draw(seed).module().state_dict()
        assert all(torch.equal(before[name], value) for name, value in again.items())


def test_what_does_not_fit_is_no_case() -> None:
    conv = Step("Conv", (0,), {"o": 4, "kh": 5, "kw": 1, "sy": 1, "sx": 1, "py": 0, "px": 0, "bias": 1})
    with pytest.raises(IllegalCase, match="Conv does not fit"):
        Case(Size(3, 4, 4), (conv,), Widths.W4A8, 0).sizes()
    with pytest.raises(IllegalCase, match="not made"):
        Case(Size(3, 4, 4), (Step("Relu", (1,), {"form": 0}),), Widths.W4A8, 0).sizes()


# ---- planted faults

REAL_MATMUL = job_work._matmul


def wrong_padding(*args: object) -> dict[str, int]:
    """Padding is zero instead of the code of zero."""
    return {**REAL_MATMUL(*args), "pad_value": 0}  # type: ignore[arg-type]


def one_column_off(*args: object) -> dict[str, int]:
    """The last input column of a tile does not count."""
    fields = REAL_MATMUL(*args)  # type: ignore[arg-type]
    return {**fields, "in_w": max(fields["in_w"] - (fields["in_w"] > 6), 1)}


PLANTED = {
    "padding": mock.patch.object(job_work, "_matmul", wrong_padding),
    "a column": mock.patch.object(job_work, "_matmul", one_column_off),
    "lanes behind a head": mock.patch.object(_attention_work, "min", lambda first, *_: first, create=True),
    "cells of INT16": mock.patch.object(layout._Layouter, "_unit", lambda self, code: self.config.depth),
}


def first_found(stages: list[str]) -> tuple[Case, str]:
    """The first of sixty networks that is wrong."""
    for seed in range(60):
        case = draw(seed, most=4)
        for stage in judge(case, stages).wrong:
            return case, stage
    raise AssertionError("not found")


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_faults_are_found(fault: str) -> None:
    with PLANTED[fault]:
        case, stage = first_found(["paper"])
    assert stage == "paper"
    assert not judge(case, [stage]).wrong


def test_a_planted_fault_of_the_quantiser_is_found() -> None:
    """Factors that are a quarter too large: machine and run_integer agree, the module does not."""
    real = _product.fixed_point
    with mock.patch.object(_product, "fixed_point", lambda factor, what: real(min(1.25 * factor, 32767.0), what)):
        found = next(seed for seed in range(20) if "quantise" in judge(draw(seed, most=4), []).wrong)
    assert not judge(draw(found, most=4), []).wrong


@pytest.mark.slow
def test_what_is_found_is_made_small(tmp_path: Path) -> None:
    """One step is left, on few pixels; the script of it shows no difference where nothing is planted."""
    with PLANTED["padding"]:
        case, stage = first_found(["tiny"])
        small = shrink(case, lambda c: stage in judge(c, [stage]).wrong, attempts=12)
        assert stage in judge(small, [stage]).wrong
    assert len(small.steps) == 1
    assert small.input < case.input
    file = tmp_path / "found.py"
    file.write_text(script(small, stage))
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.endswith("\n0.0 of codes differ\n")


def test_shrinking_reaches_the_least() -> None:
    """Of any network with a transposed convolution, that alone remains, on one pixel."""

    def fails(case: Case) -> bool:
        return any(step.kind == "Transposed" for step in case.steps)

    case = next(c for c in (draw(seed) for seed in range(100)) if fails(c) and len(c.steps) > 4)
    small = shrink(case, fails, attempts=2000)
    assert len(small.steps) == 1
    assert (small.input, small.widths) == (Size(1, 1, 1), Widths.W4A8)
    assert {k: v for k, v in small.steps[0].numbers.items() if v} == {"o": 1, "kh": 1, "kw": 1, "sy": 1, "sx": 1}


def test_noise_is_where_the_program_must_write_first() -> None:
    """The judge's random bytes are not what the result is made of."""
    from triptych.golden.quartdepth.compiler.compile import compile_network
    from triptych.golden.quartdepth.compiler.run import run_on_machine
    from triptych.golden.quartdepth.vectors.single import conv2d, random_codes

    network = conv2d((37, 41, 16), 24, seed=1)
    compiled = compile_network(network, CONFIGS["tiny"])
    assert compiled.made
    codes = random_codes(network, 1)
    runs = [run_on_machine(compiled, codes, noise=noise) for noise in (None, 1, 2)]
    assert all(np.array_equal(run, runs[0]) for run in runs)
