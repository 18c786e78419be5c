"""`make verification`: takes over what runs left in out/ and writes docs/verification.md."""

from __future__ import annotations

import re

from tests.verification import record
from tests.verification.page import page
from triptych.golden.files import write
from triptych.sim.build.sources import ROOT

PAGE = ROOT / "docs" / "verification.md"
COVERAGE = ROOT / "docs" / "coverage.md"


def structural(whole: str) -> dict[str, str]:
    """The row of docs/coverage.md that sums a table up."""
    text = COVERAGE.read_text() if COVERAGE.exists() else ""
    match = re.search(rf"^\| \*\*{whole}\*\* \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|", text, re.M)
    return dict(zip(("lines", "branches", "expressions", "toggles"), match.groups(), strict=True)) if match else {}


def main() -> None:
    """Writes the record and the page."""
    found = record.update([
        ("mutation", record.mutation()), ("planted", record.planted()), ("functional", record.functional()),
        ("coverage", structural("all")), ("coverage of FastCar", structural("FastCar")),
        ("machines", record.machines()), ("kernels", record.kernels()),
        ("proofs", record.proofs()), ("soak", record.soak()),
        ("races", record.races()),
    ])  # fmt: skip
    write(PAGE, page(found))
    print(f"{PAGE.relative_to(ROOT)} from {record.RECORD.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
