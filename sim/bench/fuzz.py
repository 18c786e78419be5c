"""`triptych fuzz-networks`: random legal networks through capture, quantiser, compiler, machine and, some, RTL."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from triptych.golden.files import write
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.compiler.compile import Compiled
from triptych.golden.quartdepth.fuzz.cases import Case, draw
from triptych.golden.quartdepth.fuzz.judge import judge
from triptych.golden.quartdepth.fuzz.shrink import script, shrink
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.rtl.run import run_program

Progress = Callable[[str, int, int], None]
MAX_CYCLES = 50_000_000
ATTEMPTS = 200  # to make a network smaller


@dataclass(frozen=True)
class Difference:
    """A network that judges do not agree about, made small. stage: "capture", "quantise" or a chip; file: a script
    that shows it."""

    seed: int
    stage: str
    what: str
    file: Path


@dataclass
class Fuzzed:
    """What came of a run. right: programs by chip. rtl: of them, those that ran on RTL too. refused: by stage and
    reason, how often."""

    cases: int
    seed: int
    right: Counter[str] = field(default_factory=Counter)
    rtl: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> dict[str, object]:
        """For JSON."""
        return {
            "networks": self.cases,
            "seed": self.seed,
            "programs": dict(self.right),
            "rtl": dict(self.rtl),
            "refused": dict(self.refused.most_common()),
            "steps": dict(self.steps.most_common()),
            "differences": [
                {"seed": d.seed, "stage": d.stage, "what": d.what, "script": str(d.file)} for d in self.differences
            ],
            "seconds": round(self.seconds, 1),
        }


def fuzz_networks(
    count: int, seed: int, chips: Sequence[str], rtl: int, out: Path, progress: Progress
) -> Fuzzed:  # fmt: skip
    """Judges the networks of seeds seed .. seed + count - 1 on all chips, the first `rtl` programs on RTL too, chip by
    chip in turn. Every difference is made small and leaves a script in `out`."""
    result = Fuzzed(count, seed)
    begun = time.monotonic()
    for number in range(count):
        case = draw(seed + number)
        chip = chips[number % len(chips)]
        on_rtl = _rtl_of(chip, result.rtl) if sum(result.rtl.values()) < rtl else None
        progress(f"network {number + 1} of {count}, {len(result.differences)} differ", number, count)
        judged = judge(case, chips, on_rtl)
        result.right.update(judged.right)
        result.steps.update(step.kind for step in case.steps)
        result.refused.update(f"{stage}: {_reason(line)}" for stage, line in judged.refused.items())
        for stage, what in judged.wrong.items():
            result.differences.append(_difference(case, stage, what, chips, on_rtl, out, progress))
    result.seconds = time.monotonic() - begun
    return result


def _reason(line: str) -> str:
    """A refusal without names and numbers."""
    return re.sub(r"\d+", "N", re.sub(r"'[^']*'", "'...'", line))


def _rtl_of(chip: str, counted: Counter[str]) -> Callable[[Compiled, Ints, Ints], None]:
    def run(compiled: Compiled, codes: Ints, wanted: Ints) -> None:
        if compiled.config.name != chip:
            return
        image = np.frombuffer(compiled.memory(codes), np.uint8)
        done = run_program(
            compiled.config, image, compiled.prog_base, len(compiled.instructions), max_cycles=MAX_CYCLES
        )
        assert done.trap is Trap.NONE, f"RTL trapped: {done.trap.name} at instruction {done.trap_pc}"
        different = int((compiled.read_output(done.memory) != wanted).sum())
        assert not different, f"{different} of {wanted.size} codes of the RTL differ from run_integer's"
        counted[chip] += 1

    return run


def _difference(
    case: Case, stage: str, what: str, chips: Sequence[str],
    on_rtl: Callable[[Compiled, Ints, Ints], None] | None, out: Path, progress: Progress,
) -> Difference:  # fmt: skip
    tried = 0

    def fails(smaller: Case) -> bool:
        nonlocal tried
        tried += 1
        progress(f"seed {case.seed} differs: making it small, attempt {tried}", 0, 0)
        return stage in judge(smaller, [c for c in chips if c == stage], on_rtl).wrong

    small = shrink(case, fails, ATTEMPTS)
    chip = stage if stage in chips else chips[0]
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"seed-{case.seed}-{stage}.py"
    write(file, script(small, chip))
    return Difference(case.seed, stage, what, file)


def publish(result: Fuzzed) -> None:
    """The row of docs/results.md."""
    names = list(result.right)
    header = ["networks", "seeds", *(f"programs, {n}" for n in names), "on RTL", "refused", "differ", "s", "label"]
    refused = sum(result.refused.values())
    row = [
        f"{result.cases:,}", f"{result.seed}..{result.seed + result.cases - 1}",
        *(f"{result.right[n]:,}" for n in names), ", ".join(f"{n} {k}" for k, n in result.rtl.items()) or "0",
        f"{refused:,}", str(len(result.differences)), f"{result.seconds:,.0f}", Label.CPU_MEASURED.value,
    ]  # fmt: skip
    kinds = ", ".join(f"{name} {count:,}" for name, count in result.steps.most_common())
    reasons = "\n".join(f"- {count:,}: {reason}" for reason, count in result.refused.most_common())
    body = (
        "## Random networks\n"
        "Random legal PyTorch modules: the captured graph equals the module, and the golden machine's codes equal "
        "`run_integer`'s bit by bit, from random bytes in scratchpad and memory (`triptych fuzz-networks`).\n\n"
        f"{table(header, [row])}\n\nSteps: {kinds}.\n\nRefused, by chip and reason:\n{reasons or '- nothing'}"
    )
    replace_section("fuzz-networks", body)
