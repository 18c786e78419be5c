"""What every printed and drawn number counts: the tables of docs/report.md, by the name of the number."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache

from triptych.sim.build.sources import ROOT

PAGE = ROOT / "docs" / "report.md"
_ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \|(?: (.+?) \|)?$")


@cache
def explanations() -> dict[str, str]:
    """Text by name; a name may hold `*`. Of two lines for a name the first counts."""
    found: dict[str, str] = {}
    for line in PAGE.read_text().splitlines() if PAGE.is_file() else ():
        if match := _ROW.match(line):
            found.setdefault(match[1], match[2].replace("`", ""))  # the page's fields of files come behind
    return found


def explained(name: str) -> str:
    """The line of a number, figure or column; empty where docs/report.md has none."""
    table = explanations()
    if name in table:
        return table[name]
    return next((text for pattern, text in table.items() if "*" in pattern and fnmatchcase(name, pattern)), "")
