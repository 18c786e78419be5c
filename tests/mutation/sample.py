"""What the mutation commands share, whatever the language: what they are asked, which mutants they draw, the process
that runs the tests with one of them, what is kept of it and said.

Results go to out/mutation as they come; what is there about the same text is not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from tests.mutation.harmless import HARMLESS
from tests.mutation.operators import Mutant
from tests.mutation.wait import NOTICED, Row, kept
from triptych.sim.build import children
from triptych.sim.build.sources import ROOT
from triptych.sim.cli.progress import console

OUT = ROOT / "out" / "mutation"
T = TypeVar("T")


def draw(found: Sequence[T], count: int, seed: int) -> list[T]:
    """So many of them, the same ones for the same seed, in their order."""
    return [found[k] for k in sorted(random.Random(seed).sample(range(len(found)), min(count, len(found))))]


class Sample:
    """Mutants of one file. name: what results call it, `ENGINE/MODULE` when the draw was from a whole engine. chosen:
    by the number that switches one on, in the order of the file. of: how many they were drawn from. stages: groups of
    tests that a mutant may survive."""

    def __init__(self, name: str, path: Path, chosen: Mapping[int, Mutant], of: int, stages: int = 1) -> None:
        self.name, self.path, self.chosen, self.of, self.stages = name, path, chosen, of, stages
        self.text = path.read_text()
        self.source = hashlib.sha256(self.text.encode()).hexdigest()[:16]
        self.file = OUT / f"{name}.jsonl"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.before = kept(self.file, self.source, stages)
        self.killers = Counter(row["by"] for row in self.before.values() if row["outcome"] == "killed")
        console.print(f"{name}: {len(self.chosen)} of {self.of} mutants", highlight=False)

    @property
    def first(self) -> list[str]:
        """The tests that noticed most so far, most first."""
        return [name for name, _ in self.killers.most_common()]

    def harmless(self, mutant: Mutant) -> str:
        """Why nothing can notice it, where that is written down."""
        module, said = self.name.rpartition("/")[2], mutant.describe(self.text).partition(": ")[2]
        line = self.text.splitlines()[mutant.line - 1].strip()
        return HARMLESS.get((module, said)) or HARMLESS.get((module, said, line), "")

    def known(self, mutant: Mutant) -> Row | None:
        """What an earlier run found out; not of a survivor that has turned out harmless."""
        row = self.before.get(mutant.describe(self.text))
        return None if row and row["outcome"] == "survived" and self.harmless(mutant) else row

    def keep(self, mutant: Mutant, outcome: str, by: str) -> Row:
        """Writes down what became of it."""
        row: Row = {
            "module": self.name, "source": self.source, "of": self.of, "kind": mutant.kind,
            "said": mutant.describe(self.text), "outcome": outcome, "by": by, "stages": self.stages,
        }  # fmt: skip
        self.killers[by] += outcome == "killed"
        self.before[row["said"]] = row
        with self.file.open("a") as to:
            to.write(json.dumps(row) + "\n")
        return row

    def told(self, rows: Iterable[Row]) -> tuple[int, int, int]:
        """Says which of them nothing notices, as they come, and then how many; returns how many are noticed, count and
        are equivalent."""
        noticed = same = count = 0
        for row in rows:
            count += 1
            noticed += row["outcome"] in NOTICED
            same += row["outcome"] == "equivalent"
            if row["outcome"] not in NOTICED:
                console.print(f"  {row['outcome']}: {self.path.relative_to(ROOT)} {row['said']}", markup=False)
        print(f"{self.name}: {noticed} of {count - same} noticed, {same} equivalent", flush=True)
        return noticed, count - same, same


def forked(log: Path, arguments: Sequence[str], prepare: Callable[[], None]) -> int:
    """Starts pytest in a fork that has everything imported, after `prepare`; returns the process. log: its output."""
    child = children.fork()
    if child:
        return child
    with log.open("w") as to:
        os.dup2(to.fileno(), 1)
        os.dup2(to.fileno(), 2)
    prepare()
    common = ["-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not slow and not gpu"]
    status = int(pytest.main([*common, *arguments]))
    sys.stdout.flush()
    os._exit(status)


def parser(command: str, about: str | None, kind: str, names: Collection[str], count: int) -> argparse.ArgumentParser:
    """What every one of the commands is asked: `names` (of modules or kernels, as `kind` says), `count`, `seed`."""

    def known(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"no {kind} {name}: one of {', '.join(names)}")
        return name

    made = argparse.ArgumentParser(prog=f"make {command}", description=about)
    made.add_argument("names", nargs="*", type=known, metavar=kind, help=f"of {', '.join(names)}; all unless named")
    made.add_argument("--count", type=int, default=count, help=f"mutants of a {kind}")
    made.add_argument("--seed", type=int, default=1)
    return made
