"""docs/census.md and the outcomes that it is made of, docs/census.jsonl.

`python -m triptych.sim.bench.census.page [--check]` writes the page of the outcomes, or says whether it is theirs.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from triptych.golden.files import write
from triptych.sim.bench.census.networks import networks
from triptych.sim.bench.census.one import Outcome, Stage
from triptych.sim.bench.ledger import table
from triptych.sim.build.sources import ROOT

PAGE = ROOT / "docs" / "census.md"
OUTCOMES = PAGE.with_suffix(".jsonl")

HEAD = """# Census: which networks run

*Written by `triptych census`; do not edit.*

A fixed list of networks as their authors or libraries have them, random weights, tiny configurations, nothing
downloaded: every depth model class of `transformers`, published depth networks written small with the operators of
their papers' code, and a backbone of each family of `timm` under one U-Net decoder. Each is captured, quantised (W4A8,
two random pictures), compiled for the `{chip}` chip and run on the golden machine; it *runs* when the captured graph is
the module (to rounding) and the machine's codes are `run_integer`'s, bit by bit. The list never shrinks; what is out of
scope (3-D, recurrent) counts as refused. Utilization: MACs over rate, over the cycles of the compiler's clock
(`compiler/estimate.py`; `estimated`). Error: relative L2 of eight-bit integers (W8A8) from float; random weights, so it
says what the arithmetic does, not what a trained network would lose: DPT's class token, which its readout gives to
every patch, begins at zero or near it and shares the residual stream's one scale with patches ten times as large.
Seconds on a shared machine of two cores. All of it for programs: [census.jsonl](census.jsonl), an outcome a line.
"""


def operator(name: str) -> str:
    """An ATen operator without its overload."""
    return name.removeprefix("aten.").partition(".")[0]


def blocker(outcome: Outcome) -> str:
    """What keeps a network from running."""
    if outcome.operators:
        counts: Counter[str] = Counter()
        for name, count in outcome.operators.items():
            counts[operator(name)] += count
        return ", ".join(f"`{name}`" + (f" x{n}" if n > 1 else "") for name, n in counts.most_common())
    line = " ".join(outcome.error.split()).replace("|", "/")
    return f"{outcome.stage}: {line[:160]}" if line else str(outcome.stage)


def page(outcomes: Sequence[Outcome], fresh: Collection[str] | None = None) -> str:
    """The text of docs/census.md. fresh: networks that ran with this code, if not all."""
    listed, chip = networks(), outcomes[0].chip
    right = [o for o in outcomes if o.stage is Stage.EXACT]
    depth = [o for o in outcomes if listed[o.name].depth]
    lines = [HEAD.format(chip=chip), "## Result", ""]
    older = [] if fresh is None else [o.name for o in outcomes if o.name not in fresh]
    if older:
        lines += [
            f"{len(older)} of the {len(outcomes)} outcomes are of earlier code (marked *earlier*): `triptych census "
            "--publish` runs them again.", "",
        ]  # fmt: skip
    rows = []
    families = list(dict.fromkeys(entry.family for entry in listed.values()))
    for family in families:
        mine = [o for o in outcomes if listed[o.name].family == family]
        done = sum(o.stage is Stage.EXACT for o in mine)
        rows.append([family, str(len(mine)), str(done), f"{done / max(len(mine), 1):.0%}"])
    done = sum(o.stage is Stage.EXACT for o in depth)
    rows.append(["depth networks, of all these", str(len(depth)), str(done), f"{done / max(len(depth), 1):.0%}"])
    rows.append(["**all**", str(len(outcomes)), str(len(right)), f"{len(right) / len(outcomes):.0%}"])
    lines += [table(["family", "networks", "run", "share"], rows), "", "## What blocks the others", ""]
    lines += _blockers([o for o in outcomes if o.stage is not Stage.EXACT])
    for family in families:
        lines += ["", f"## {family[0].upper()}{family[1:]}", ""]
        lines.append(_networks([o for o in outcomes if listed[o.name].family == family], older))
    return "\n".join(lines) + "\n"


def _blockers(outcomes: Sequence[Outcome]) -> list[str]:
    blocks: defaultdict[str, list[str]] = defaultdict(list)
    alone: Counter[str] = Counter()
    for outcome in outcomes:
        names = {operator(name) for name in outcome.operators} or {f"({outcome.stage} only)"}
        for name in names:
            blocks[name].append(outcome.name)
        if len(names) == 1:
            alone[next(iter(names))] += 1
    rows = [
        [f"`{name}`" if not name.startswith("(") else name, str(len(where)), str(alone[name]), ", ".join(where[:6])]
        for name, where in sorted(blocks.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return [table(["operator", "networks", "it alone", "among them"], rows)] if rows else ["Nothing."]


def _networks(outcomes: Sequence[Outcome], older: Collection[str]) -> str:
    listed = networks()
    rows = []
    for o in outcomes:
        entry = listed[o.name]
        size = f"{entry.size[0]}x{entry.size[1]}"
        head = [o.name, f"`{entry.source}`", size]
        when = " *earlier*" if o.name in older else ""
        if o.stage is Stage.EXACT:
            error = "" if o.error_w8a8 is None else f"{o.error_w8a8:.1%}"
            rows.append(
                [*head, f"yes{when}", f"{o.macs / 1e6:.1f}", f"{o.cycles:,}", f"{o.utilization:.0%}", error,
                 f"{o.seconds.get('compile', 0):.1f}", ""]
            )  # fmt: skip
        else:
            rows.append([*head, f"no{when}", "", "", "", "", "", blocker(o)])
    header = ["network", "source", "photo", "runs", "MMAC", "cycles", "MXU", "error", "compile s", "blocked by"]
    return table(header, rows)


def publish(outcomes: Sequence[Outcome], fresh: Collection[str] | None = None) -> None:
    """Writes outcomes and page. fresh: as for `page`."""
    lines = [json.dumps({**vars(o), "earlier": fresh is not None and o.name not in fresh}) for o in outcomes]
    write(OUTCOMES, "\n".join(lines) + "\n")
    write(PAGE, _published())


def _published() -> str:
    """The page of the outcomes that are published. Raises KeyError when they are not those of the list."""
    held = [json.loads(line) for line in OUTCOMES.read_text().splitlines()]
    fresh = {row["name"] for row in held if not row["earlier"]}
    made = {row["name"]: Outcome(**{k: v for k, v in row.items() if k != "earlier"}) for row in held}
    outcomes = [made[name] for name in networks()]
    for outcome in outcomes:
        outcome.stage = Stage(outcome.stage)
    return page(outcomes, fresh if len(fresh) < len(outcomes) else None)


def drift() -> str:
    """What is wrong with the page; empty when it is that of the outcomes, and they those of the list."""
    try:
        text = _published()
    except (OSError, ValueError, TypeError, KeyError) as error:
        return f"docs/census.jsonl is not of the list ({error}): run `triptych census --publish`"
    if not PAGE.exists() or PAGE.read_text() != text:
        return "docs/census.md drifted from docs/census.jsonl: run `python -m triptych.sim.bench.census.page`"
    return ""


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit("usage: python -m triptych.sim.bench.census.page [--check]")
    if not sys.argv[1:]:
        write(PAGE, _published())
    sys.exit(drift() or 0)
