"""Figures of `quality` as sections of docs/results.md: `python -m triptych.sim.fastcar.quality_section FIGURES ...`.

FIGURES: what `quality --out` wrote, several where kinds of clips were measured apart; `--rival FIGURES`: those of a
model that was tuned without replay, without which that comparison stays as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from triptych.golden.fastcar.config import Chooser
from triptych.sim.bench.ledger import Label, replace_section, table

SECTIONS = ("fastcar-quality", "fastcar-redundancy")
TUNING = "fastcar-tuning"
COMMAND = "`python -m triptych.sim.fastcar.quality --clips .data/fastcar --out FILE`, then `quality_section FILE`"


def with_error(value: float, error: float, sign: str = "") -> str:
    """Mean and standard error."""
    return f"{value:{sign}.2f} ± {error:.2f}"


def context_table(cells: list[dict[str, Any]]) -> str:
    """Every cell in context."""
    header = ["clips", "chosen by", "levels of", "target", "skipped", "dB to dense", "over random", "SSIM", "tokens"]
    header += ["dB to the video", "lost to dense there", "SSIM to the video"]
    lines = []
    for c in cells:
        replays = c["share"] > 0
        lines.append([
            c["kind"], c["chooser"], c["levels"], f"{c['share']:.0%}" if replays else "-", f"{c['skipped']:.0%}",
            with_error(c["db"], c["db_se"]), with_error(c["gain"], c["gain_se"], "+") if replays else "-",
            f"{c['ssim']:.3f}", f"{c['tokens']:.0%}", f"{c['real_db']:.2f}", with_error(c["lost"], c["lost_se"]),
            f"{c['real_ssim']:.3f}",
        ])  # fmt: skip
    return table(header, lines)


def free_table(rows: list[dict[str, Any]]) -> str:
    """Running free."""
    header = ["clips", "chosen by", "target", "skipped", "dB to dense", "over random", "SSIM", "tokens"]
    header += ["dB to the video", "SSIM to the video", "changed"]
    lines = []
    for r in rows:
        dense = r["chooser"] == "none"
        own = ["-", "0%", "-", "-", "-", "-"] if dense else [
            f"{r['share']:.0%}", f"{r['skipped']:.0%}", with_error(r["db"], r["db_se"]),
            with_error(r["gain"], r["gain_se"], "+"), f"{r['ssim']:.3f}", f"{r['tokens']:.0%}",
        ]  # fmt: skip
        real = [f"{r['real_db']:.2f}", f"{r['real_ssim']:.3f}", f"{r['changed']:.0%}"]
        lines.append([r["kind"], r["chooser"], *own, *real])
    return table(header, lines)


def summary_table(found: dict[str, Any]) -> str:
    """The kinds of clips."""
    header = ["clips", "tokens that stay", "tokenizer, dB", "dense decode, dB to the video", "SSIM", "tokens right"]
    return table(header, [
        [name, f"{s['unchanged']:.0%}", f"{s['tokenizer_db']:.2f}", f"{s['dense_real_db']:.2f}",
         f"{s['dense_real_ssim']:.3f}", f"{s['right']:.0%}"]
        for name, s in found["summary"].items()
    ])  # fmt: skip


def rival_table(found: dict[str, Any], rival: dict[str, Any]) -> str:
    """The same cells of two models: tuned with replay, and as long without."""
    header = ["clips", "chosen by", "target", "tuned with replay: dB to dense", "lost to the video"]
    header += ["tuned dense: dB to dense", "lost to the video"]
    lines = []
    others = {(c["kind"], c["chooser"], c["share"], c["levels"]): c for c in rival["context"]}
    for c in found["context"]:
        key = (c["kind"], c["chooser"], c["share"], c["levels"])
        if c["chooser"] not in ("consistent", "value") or c["share"] not in (0.5, 0.8) or key not in others:
            continue
        if c["levels"] == "any" and c["kind"] != "half still":
            continue
        o = others[key]
        lines.append([
            c["kind"], c["chooser"], f"{c['share']:.0%}", with_error(c["db"], c["db_se"]),
            with_error(c["lost"], c["lost_se"]), with_error(o["db"], o["db_se"]), with_error(o["lost"], o["lost_se"]),
        ])  # fmt: skip
    return table(header, lines)


def quality_body(found: dict[str, Any]) -> str:
    """The section on quality."""
    label = Label.CPU_MEASURED if found["machine"] == "CPU" else Label.GPU_MEASURED
    text = (
        f"{COMMAND}; {label.value}, {found['machine']}, {found['seconds']:.0f} s of processes: the integer model, "
        f"bit for bit golden's, greedy, {found['clips']} test clips of eight frames a kind, means ± standard "
        "errors over clips. *still*, *drift*: our scenes, a camera that stands or drifts slowly, with moving objects; "
        "*moving*: TUM and aims test clips, pans and zooms over test photos; *half still*: the right half stands. "
        "PSNR and SSIM of the "
        "pictures of frames 2 and "
        "later (equal pictures: 60 dB). *over random*: over a random choice of as many MLPs in each layer and video. "
        "*levels of*: the clips of the training data on which the thresholds were found. *tokens*: the same as "
        "dense's. *lost*: of the dense decode's PSNR to the real video. No package here ships a perceptual metric; "
        "SSIM stands in."
    )
    parts = ["## FastCar: quality of replay", text, summary_table(found), "### In the context of the real video"]
    parts.append(context_table(found["context"]))
    if found["free"]:
        parts += [
            "### Running free",
            f"{found['free_clips']} clips a kind, two frames given, six made. *changed*: tokens that differ from those "
            "of the frame before, on average: what replay must not freeze.",
            free_table(found["free"]),
        ]
    return "\n\n".join(parts)


def tuning_body(found: dict[str, Any], rival: dict[str, Any]) -> str:
    """The section on what tuning with replay is worth."""
    text = (
        f"{COMMAND} `--rival FILE`, that of the same network, tuned as long on the same data without replay, its "
        f"levels found anew. Dense, its answers lie {rival['summary']['still']['dense_real_db']:.2f} dB (still) and "
        f"{rival['summary']['drift']['dense_real_db']:.2f} dB (drift) from the real video."
    )
    return "\n\n".join(["## FastCar: what tuning with replay is worth", text, rival_table(found, rival)])


def redundancy_body(found: dict[str, Any]) -> str:
    """The section on what there is to replay."""
    header = ["clips", "layer", "distance, median", "unchanged input", "changed input"]
    header += [f"rank, {c.name.lower()}" for c in Chooser]
    lines = [
        [name, str(r["layer"]), f"{r['median']:.2f}", f"{r['unchanged']:.2f}", f"{r['changed']:.2f}"]
        + [f"{r['rank'][c.name.lower()]:+.2f}" for c in Chooser]
        for name, rows in found["redundancy"].items()
        for r in rows
    ]
    text = (
        f"{COMMAND}. Dense, on the clips of the quality study. Distance: of an MLP's output from that of the same "
        "place one frame before, relative to its length (0: a perfect replay; 1.41: unrelated); medians, then means by "
        "whether the input token is the one of a frame before. rank: correlation of a score's ranks with that "
        "distance's (-1: it tells perfectly, 0: chance)."
    )
    return "\n\n".join(["## FastCar: what there is to replay", text, table(header, lines)])


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of kinds that were measured apart, as if by one run. Raises ValueError where they do not belong together:
    another machine, another number of clips, a kind twice."""
    first, *rest = parts
    out: dict[str, Any] = deepcopy(first)
    for part in rest:
        if any(part[name] != first[name] for name in ("machine", "clips", "free_clips")):
            raise ValueError("figures of different machines or numbers of clips")
        if twice := out["summary"].keys() & part["summary"].keys():
            raise ValueError(f"figures of {', '.join(sorted(twice))} twice")
        for name in ("summary", "redundancy"):
            out[name] |= part[name]
        for name in ("context", "free"):
            out[name] += part[name]
        out["seconds"] += part["seconds"]
    out["free"].sort(key=lambda row: row["chooser"] != "none")
    return out


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m triptych.sim.fastcar.quality_section", description=__doc__)
    parser.add_argument("figures", type=Path, nargs="+")
    parser.add_argument("--rival", type=Path)
    args = parser.parse_args(argv)
    try:
        found = merged([json.loads(file.read_text()) for file in args.figures])
        rival = json.loads(args.rival.read_text()) if args.rival else None
        bodies = dict(zip(SECTIONS, (quality_body(found), redundancy_body(found)), strict=True))
        if rival:
            bodies[TUNING] = tuning_body(found, rival)
    except (OSError, ValueError, KeyError) as error:
        print(f"quality_section: no figures of triptych.sim.fastcar.quality ({error})", file=sys.stderr)
        return 1
    for name, body in bodies.items():
        replace_section(name, body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
