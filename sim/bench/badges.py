"""`triptych results badges`: small pictures for README.md, each a figure that stands in docs/results.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from triptych.golden.files import write
from triptych.sim.bench.ledger import PICTURES, RESULTS
from triptych.sim.errors import TriptychError

HEIGHT, SIZE, WIDE = 20, 11, 6.4  # pixels: of a badge, of its letters, of a letter on average
INK, PAPER, SIGN = "#ffffff", "#4a4a55", "#8c2981"  # text, behind the name, behind the figure

Row = dict[str, str]


@dataclass(frozen=True)
class Badge:
    """name: of its file; says: left half. section, row: where in docs/results.md its figure stands, and the cells that
    tell the row; figure: right half, of that row."""

    name: str
    says: str
    section: str
    row: Row
    figure: Callable[[Row], str]


BADGES = (
    Badge(
        "chip", "ViT-S + DPT in 4 bits, RTL = golden", "quartdepth-depth", {"network": "ViT-S + DPT"},
        lambda r: {"true": "bit-exact", "false": "DIFFERS"}[r["bit-exact"]],
    ),
    Badge(
        "rate", "of 2,048 MAC/cycle", "quartdepth-depth", {"network": "ViT-S + DPT"}, lambda r: r["MAC/cycle"],
    ),
    Badge(
        "clock", "compiler's clock against RTL", "quartdepth-cost-model", {"layers": "all"},
        lambda r: f"{r['mean error']} mean error",
    ),
    Badge(
        "attention", "video attention at 90 %, H100", "draft-kernel",
        {"sparsity": "90 %", "kernel": "ours (Hopper)"}, lambda r: f"{r['back to back']} cuDNN",
    ),
    Badge(
        "replay", "half of the MLPs replayed", "fastcar-quality",
        {"clips": "still", "chosen by": "value", "levels of": "still", "target": "50%"},
        lambda r: f"{r['dB to dense'].split()[0]} dB to dense",
    ),
)  # fmt: skip


def rows(section: str, text: str) -> list[Row]:
    """Rows of all tables of a section, by their columns' names. Raises TriptychError."""
    begin, end = f"<!-- begin:{section} -->", f"<!-- end:{section} -->"
    if begin not in text:
        raise TriptychError(f"docs/results.md has no section {section}: measure it first")
    found: list[Row] = []
    header: list[str] = []
    for line in text.partition(begin)[2].partition(end)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif set("".join(cells)) - set("-"):
            found.append(dict(zip(header, cells, strict=False)))
    return found


def figure(badge: Badge, text: str) -> str:
    """A badge's figure from the ledger's text. Raises TriptychError."""
    for row in rows(badge.section, text):
        if all(row.get(name) == value for name, value in badge.row.items()):
            return badge.figure(row)
    raise TriptychError(f"no row of {badge.section} in docs/results.md is {badge.row}: measure it first")


def drawn(left: str, right: str) -> str:
    """A badge as SVG."""
    widths = [round(WIDE * len(part)) + 14 for part in (left, right)]
    whole = sum(widths)
    font = f'font-family="Verdana,DejaVu Sans,sans-serif" font-size="{SIZE}" fill="{INK}" text-anchor="middle"'
    label = escape(f"{left}: {right}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{HEIGHT}" role="img" aria-label="{label}">'
        f'<rect width="{whole}" height="{HEIGHT}" rx="3" fill="{SIGN}"/>'
        f'<path d="M3 0H{widths[0]}V{HEIGHT}H3A3 3 0 0 1 0 17V3A3 3 0 0 1 3 0Z" fill="{PAPER}"/>'
        f'<text x="{widths[0] / 2}" y="14" textLength="{widths[0] - 14}" {font}>{escape(left)}</text>'
        f'<text x="{widths[0] + widths[1] / 2}" y="14" textLength="{widths[1] - 14}" {font}>{escape(right)}</text>'
        "</svg>\n"
    )


def write_badges(ledger: Path = RESULTS, folder: Path = PICTURES) -> list[Path]:
    """Draws all of them. Raises TriptychError for a figure that the ledger lacks, then without any file."""
    text = ledger.read_text()
    pictures = {badge.name: drawn(badge.says, figure(badge, text)) for badge in BADGES}
    paths = []
    for name, svg in pictures.items():
        paths.append(folder / f"badge_{name}.svg")
        write(paths[-1], svg)
    return paths
