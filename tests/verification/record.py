"""What runs found out, kept beside the tests: a part that was run again takes the place of the one before."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.mutation.fresh import FRESH
from tests.mutation.holes import HOLES
from tests.mutation.independent import INDEPENDENT
from tests.mutation.moments import MOMENTS
from tests.mutation.wait import NOTICED
from triptych.golden.files import write
from triptych.sim.build.sources import ROOT

Row = dict[str, Any]
RECORD = Path(__file__).parent / "record.json"
OUT = ROOT / "out"
SURVIVORS = 6  # named, by module


def lines(path: Path) -> list[Row]:
    """Rows of a file with one JSON object a line; none when it is not there."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def interval(noticed: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate."""
    if not of:
        return 0.0, 1.0
    z, rate = 1.96, noticed / of
    middle = rate + z * z / (2 * of)
    spread = z * math.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    return (middle - spread) / (1 + z * z / of), (middle + spread) / (1 + z * z / of)


def _latest(path: Path) -> list[Row]:
    """What became of the mutants of the module's text that was run last."""
    rows = lines(path)
    held = {r["said"]: r for r in rows if r["source"] == rows[-1]["source"] and "broken" not in r["outcome"]}
    return list(held.values())


def mutation() -> dict[str, Row]:
    """By module, or engine (`vpu/`) where the draw was from all of its modules: mutants noticed, equivalent and left,
    of the sample."""
    files: dict[str, list[Path]] = {}
    for path in sorted((OUT / "mutation").glob("*.jsonl")):
        if path.stem != "planted":
            files[path.stem] = [path]
    for path in sorted((OUT / "mutation").glob("*/*.jsonl")):
        files.setdefault(f"{path.parent.name}/", []).append(path)
    found: dict[str, Row] = {}
    for name, paths in files.items():
        outcomes: dict[str, list[Row]] = defaultdict(list)
        drawn = [row for path in paths for row in _latest(path)]
        for row in drawn:
            outcomes["noticed" if row["outcome"] in NOTICED else row["outcome"]].append(row)
        found[name] = {
            "of": drawn[-1]["of"], "sample": len(drawn), "noticed": len(outcomes["noticed"]),
            "refuted": sum(row["outcome"] in ("refuted", "unclosed") for row in outcomes["noticed"]),
            "equivalent": len(outcomes["equivalent"]),
            "survived": [
                f"{row['module'].rpartition('/')[2]}, {row['said']}" if name.endswith("/") else row["said"]
                for row in outcomes["survived"]
            ][:SURVIVORS],
        }  # fmt: skip
    return found


def planted() -> dict[str, Row]:
    """By name of the bug: what became of it when it was run first, by the tests as they were, and last."""
    first: dict[str, Row] = {}
    last: dict[str, Row] = {}
    for row in lines(OUT / "mutation" / "planted.jsonl"):
        first.setdefault(row["name"], row)
        last[row["name"]] = row
    names = [bug.name for bug in (*HOLES, *FRESH, *MOMENTS, *INDEPENDENT)]
    before = load().get("planted", {})  # what an earlier clone's first run found out
    return {
        name: {
            **{k: last[name][k] for k in ("outcome", "by", "stages")},
            "first": before.get(name, {}).get("first", first[name]["outcome"]),
        }
        for name in names
        if name in last
    }


def functional() -> Row:
    """What the chip's slice of random programs compared and hit, from the log of `make coverage`."""
    log = OUT / "coverage" / "tests.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    match = re.search(r"(\d+) instructions compared; functional coverage (\d+)/(\d+) bins", text)
    return dict(zip(("instructions", "hit", "bins"), map(int, match.groups()), strict=True)) if match else {}


def machines() -> dict[str, list[str]]:
    """State machines: states and transitions that were seen, by `python -m tests.coverage --machines`."""
    path = OUT / "coverage" / "machines.json"
    return {row[0]: row[1:] for row in json.loads(path.read_text())} if path.exists() else {}


def kernels() -> dict[str, Row]:
    """HLS kernels: lines and branches that C simulation passed, and lines that it did not."""
    path = OUT / "hls" / "coverage.json"
    return json.loads(path.read_text()) if path.exists() else {}


def proofs() -> Row:
    """How many checks `make formal` ran, and its minutes."""
    path = OUT / "formal" / "run.json"
    return json.loads(path.read_text()) if path.exists() else {}


def races() -> dict[str, list[int]]:
    """By kernel: errors and warnings of racecheck, from the log of a run on a card (`== KERNEL` before each)."""
    path = OUT / "gpu" / "races.log"
    text = path.read_text(errors="replace") if path.exists() else ""
    found = re.findall(r"^== (\w+)$(?:(?!^== ).)*?SUMMARY: .*?\((\d+) errors?, (\d+) warnings?\)", text, re.M | re.S)
    return {name: [int(errors), int(warnings)] for name, errors, warnings in found}


def soak() -> Row:
    """The run of `make fuzz` with the most instructions, here or in the record."""
    runs = [load().get("soak", {}), *lines(OUT / "fuzz" / "log.jsonl")]
    return max(runs, key=lambda run: run.get("instructions", 0))


def load() -> dict[str, Any]:
    """The record as it is."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def update(parts: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Takes over what was run; keeps the rest. Returns the record."""
    record = load()
    for name, part in parts:
        record[name] = {**record.get(name, {}), **part}
    write(RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
    return load()  # in the order of the file, as whoever looks whether the page is current reads it
