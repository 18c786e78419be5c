"""`triptych fuzz-networks`: random legal networks through capture, quantiser, compiler, machine and, some, RTL."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from triptych.golden.files import write
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.compiler.compile import Compiled
from triptych.golden.quartdepth.fuzz.cases import Case, draw
from triptych.golden.quartdepth.fuzz.judge import judge
from triptych.golden.quartdepth.fuzz.shrink import script, shrink
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.build.sources import ROOT
from triptych.sim.rtl.run import run_program

Progress = Callable[[str, int, int], None]
MAX_CYCLES = 50_000_000
ATTEMPTS = 200  # to make a network smaller
SMALL_ERROR = 0.02  # relative error at w8a8 that all but a few networks must keep
WORST = 10  # networks of the largest errors that are named


@dataclass(frozen=True)
class Difference:
    """A network that judges do not agree about, made small. stage: "capture", "quantise" or a chip; file: a script
    that shows it."""

    seed: int
    stage: str
    what: str
    file: str


@dataclass
class Fuzzed:
    """What came of a run. right: programs by chip. rtl: of them, those that ran on RTL too. refused: by stage and
    reason, how often. steps: by kind, how often. errors: of the eight-bit integer networks from their modules in
    float, relative L2, with the seed and the steps' kinds."""

    cases: int
    seed: int
    right: Counter[str] = field(default_factory=Counter)
    rtl: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    errors: list[tuple[float, int, tuple[str, ...]]] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, record: Record) -> None:
        """Add a network."""
        self.right.update(record.right)
        self.rtl.update(record.rtl)
        self.refused.update(record.refused)
        self.steps.update(record.steps)
        self.differences += [Difference(*d) for d in record.differences]
        if record.error is not None:
            self.errors.append((record.error, record.seed, tuple(record.steps)))
        self.seconds += record.seconds

    @property
    def near(self) -> float | None:
        """Share of the networks whose error is at most SMALL_ERROR."""
        return sum(e <= SMALL_ERROR for e, *_ in self.errors) / len(self.errors) if self.errors else None

    @property
    def worst(self) -> list[tuple[float, int, tuple[str, ...]]]:
        """The largest errors, largest first."""
        return sorted(self.errors, reverse=True)[:WORST]

    def summary(self) -> dict[str, object]:
        """For JSON."""
        return {
            "networks": self.cases,
            "seed": self.seed,
            "programs": dict(self.right),
            "rtl": dict(self.rtl),
            "refused": dict(self.refused.most_common()),
            "steps": dict(self.steps.most_common()),
            "differences": [vars(d) for d in self.differences],
            "within_two_percent": self.near,
            "worst": [{"error": e, "seed": seed, "steps": steps} for e, seed, steps in self.worst],
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Record:
    """What came of one network, as it is kept. error: see `Judged`. seconds: that it took."""

    seed: int
    right: list[str]
    rtl: list[str]
    refused: list[str]
    steps: list[str]
    differences: list[tuple[int, str, str, str]]
    error: float | None
    seconds: float


class Kept:
    """Records of networks that are done, a line each, for the code that made them: a run that was cut off goes on."""

    def __init__(self, folder: Path, chips: Sequence[str]) -> None:
        self.file = folder / f"{_fingerprint()}-{'-'.join(chips)}.jsonl"
        self.records: dict[int, Record] = {}
        if self.file.exists():
            for line in self.file.read_text().splitlines():
                try:
                    record = Record(**json.loads(line))
                except (ValueError, TypeError):
                    continue  # cut off while it was written
                self.records[record.seed] = record

    def get(self, seed: int, on_rtl: bool) -> Record | None:
        """The network's record, if there is one, with RTL if that is wanted."""
        record = self.records.get(seed)
        shown = record is not None and all(Path(file).exists() for *_, file in record.differences)
        return record if record is not None and shown and (record.rtl or not on_rtl) else None

    def put(self, record: Record) -> None:
        """Keep it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps(vars(record)) + "\n")


def _fingerprint() -> str:
    """Of all that a record depends on: the golden Python, PyTorch."""
    digest = hashlib.sha256(torch.__version__.encode())
    for source in sorted((ROOT / "golden" / "quartdepth").rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def fuzz_networks(
    count: int, seed: int, chips: Sequence[str], rtl: int, rtl_chips: Sequence[str], out: Path, progress: Progress
) -> Fuzzed:  # fmt: skip
    """Judges the networks of seeds seed .. seed + count - 1 on all chips, the first `rtl` programs on RTL too, those of
    `rtl_chips` in turn. Every difference is made small and leaves a script in `out`."""
    result, kept = Fuzzed(count, seed), Kept(out, chips)
    for number in range(count):
        progress(f"network {number + 1} of {count}, {len(result.differences)} differ", number, count)
        wanted = sum(result.rtl.values()) < rtl
        record = kept.get(seed + number, wanted)
        if record is None:
            on_rtl = rtl_chips[number % len(rtl_chips)] if wanted else None
            record = _judged(draw(seed + number), chips, on_rtl, out, progress)
            kept.put(record)
        result.count(record)
    return result


def _judged(case: Case, chips: Sequence[str], rtl: str | None, out: Path, progress: Progress) -> Record:
    begun = time.monotonic()
    ran: list[str] = []
    on_rtl = None if rtl is None else _rtl_of(rtl, ran)
    judged = judge(case, chips, on_rtl)
    ran = list(dict.fromkeys(ran))
    differences = [_difference(case, stage, what, chips, on_rtl, out, progress) for stage, what in judged.wrong.items()]
    refused = [f"{stage}: {_reason(line)}" for stage, line in judged.refused.items()]
    steps = [step.kind for step in case.steps]
    seconds = time.monotonic() - begun
    return Record(case.seed, judged.right, ran, refused, steps, differences, judged.error, seconds)


def _reason(line: str) -> str:
    """A refusal without names and numbers."""
    return re.sub(r"\d+", "N", re.sub(r"'[^']*'", "'...'", line))


def _rtl_of(chip: str, ran: list[str]) -> Callable[[Compiled, Ints, Ints], None]:
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
        ran.append(chip)

    return run


def _difference(
    case: Case, stage: str, what: str, chips: Sequence[str],
    on_rtl: Callable[[Compiled, Ints, Ints], None] | None, out: Path, progress: Progress,
) -> tuple[int, str, str, str]:  # fmt: skip
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
    return case.seed, stage, what, str(file)


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
    found = "\n".join(f"- {d.seed}, {d.stage}: {d.what}" for d in result.differences)
    reasons = "\n".join(f"- {count:,}: {reason}" for reason, count in result.refused.most_common())
    worst = "\n".join(f"- {100 * e:.1f} %: seed {seed}: {', '.join(steps)}" for e, seed, steps in result.worst)
    median = 100 * float(np.median([e for e, *_ in result.errors])) if result.errors else 0.0
    near = "no" if result.near is None else f"{100 * result.near:.1f} % of"
    body = (
        "## Random networks\n"
        "Random legal PyTorch modules: the captured graph equals the module, at w8a8 the integer network is near it, "
        "and the golden machine's codes equal `run_integer`'s bit by bit, from random bytes in scratchpad and memory "
        "(`triptych fuzz-networks`).\n\n"
        f"{table(header, [row])}\n\nSteps: {kinds}.\n\nRefused, by chip and reason:\n{reasons or '- nothing'}\n\n"
        f"Differ, by seed and stage:\n{found or '- nothing'}\n\n"
        f"Eight-bit integers (w8a8) against the module in float, relative L2 of the output: median {median:.2f} %, at "
        f"most {100 * SMALL_ERROR:.0f} % on {near} networks. The worst:\n{worst or '- none'}"
    )
    replace_section("fuzz-networks", body)
