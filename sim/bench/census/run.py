"""Runs the census: a process for each network, what is done is kept, and the page is written of it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from triptych.sim.bench.census.entry import Entry
from triptych.sim.bench.census.networks import networks
from triptych.sim.bench.census.one import Outcome, Stage
from triptych.sim.build import children
from triptych.sim.build.sources import ROOT
from triptych.sim.errors import TriptychError

LIMIT = 600  # seconds a network may take
NEEDED = ("transformers", "timm")

Progress = Callable[[str, int, int], None]


def check_extras() -> None:
    """Raises TriptychError when the networks' libraries are missing."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise TriptychError(f"{' and '.join(missing)} missing: pip install 'triptych[census]'")


def fingerprint() -> str:
    """Of all that an outcome depends on: the golden Python, the networks, PyTorch."""
    digest = hashlib.sha256(torch.__version__.encode())
    for folder in (ROOT / "golden" / "quartdepth", ROOT / "sim" / "bench" / "census"):
        for source in sorted(folder.rglob("*.py")):
            if source.name not in ("page.py", "run.py"):
                digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def run_census(chip: str, names: list[str], out: Path, progress: Progress, limit: int = LIMIT) -> list[Outcome]:
    """Outcomes of the networks of these names (all without), those that `out` holds for this code taken from there."""
    check_extras()
    listed = networks()
    if unknown := [name for name in names if name not in listed]:
        raise TriptychError(f"no network '{unknown[0]}' in the census: --list names all")
    chosen = [listed[name] for name in names] if names else list(listed.values())
    file = out / f"{fingerprint()}-{chip}.jsonl"
    kept = _kept(file)
    outcomes: list[Outcome] = []
    for number, entry in enumerate(chosen):
        right = sum(o.stage is Stage.EXACT for o in outcomes)
        progress(f"{entry.name}, {right} of {number} run", number, len(chosen))
        outcome = kept.get(entry.name)
        if outcome is None:
            outcome = _one(entry, chip, limit)
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as lines:
                lines.write(json.dumps(vars(outcome)) + "\n")
        outcomes.append(outcome)
    return outcomes


def earlier(chip: str, out: Path) -> list[Outcome]:
    """All networks' outcomes as `out` holds them, those of this code where there are any, else the newest of earlier
    code. Raises TriptychError for a network that was never run."""
    held: dict[str, Outcome] = {}
    now = out / f"{fingerprint()}-{chip}.jsonl"
    files = sorted((f for f in out.glob(f"*-{chip}.jsonl") if f != now), key=lambda f: f.stat().st_mtime)
    for file in (*files, now):
        held.update(_kept(file))
    if missing := [name for name in networks() if name not in held]:
        raise TriptychError(f"{len(missing)} networks were never run: {', '.join(missing[:5])}")
    return [held[name] for name in networks()]


def of_this_code(chip: str, out: Path) -> set[str]:
    """Networks whose outcome `out` holds for this code."""
    return set(_kept(out / f"{fingerprint()}-{chip}.jsonl"))


def _kept(file: Path) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            outcome = Outcome(**json.loads(line))
        except (ValueError, TypeError):
            continue  # cut off while it was written
        outcome.stage = Stage(outcome.stage)
        found[outcome.name] = outcome
    return found


def _one(entry: Entry, chip: str, limit: int) -> Outcome:
    words = [sys.executable, "-m", "triptych.sim.bench.census.one", entry.name, chip]
    with children.child(words) as process:
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return Outcome(entry.name, chip, Stage.TIMEOUT, error=f"not done in {limit} s")
    lines = output.strip().splitlines()
    if process.returncode or not lines:
        last = (errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        return Outcome(entry.name, chip, Stage.CRASHED, error=last[:400])
    outcome = Outcome(**json.loads(lines[-1]))
    outcome.stage = Stage(outcome.stage)
    return outcome
