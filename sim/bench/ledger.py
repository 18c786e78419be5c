"""`docs/results.md` is written by commands only: each owns a marked section and replaces it whole."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from triptych.golden.files import write
from triptych.sim.build.sources import ROOT
from triptych.sim.errors import TriptychError
from triptych.sim.label import Label as Label  # of every row

RESULTS = ROOT / "docs" / "results.md"
PICTURES = ROOT / "docs" / "img"


def machine() -> str:
    """The computer that simulated, in words."""
    model = "unknown CPU"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [s.split(":")[1].strip() for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        model = names[0] if names else platform.machine()
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the time"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def replace_section(name: str, body: str, path: Path = RESULTS) -> None:
    """Puts `body` between the markers of section `name`, appending the section when it is new."""
    begin, end = f"<!-- begin:{name} -->", f"<!-- end:{name} -->"
    text = path.read_text() if path.exists() else "# Results\n\nWritten by commands; do not edit.\n"
    section = f"{begin}\n{body.strip()}\n{end}"
    if begin in text:
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise TriptychError(f"{path} has '{begin}' without '{end}': restore the marker")
        text = head + section + tail
    else:
        text = text.rstrip() + f"\n\n{section}\n"
    write(path, text)
