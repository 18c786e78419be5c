"""`make verification`: takes over what runs left in out/ and writes docs/verification.md, and what the tests take."""

from __future__ import annotations

import re

from tests.verification import record
from tests.verification.page import page
from triptych.golden.files import write
from triptych.sim.bench.ledger import replace_section
from triptych.sim.build.sources import ROOT

PAGE = ROOT / "docs" / "verification.md"
COVERAGE = ROOT / "docs" / "coverage.md"
LENGTH = """\
## How long the tests take

With all builds there the 2,670 tests of `make test` take 291 s on two cores of an AMD EPYC (Zen 4), the command five
minutes, where four were wanted. It is 545 s of processor: golden 240, the RTL 154, the commands 95, UVM 36, the HLS
kernels 19; no test takes more than 20 (random programs under UVM: Python at 95,000 edges), 441 take .2 s and more. So
no single cause is left, but the number. With no build but the demo's it takes 14m15s (15 wanted).

| tried | before | after |
|---|---|---|
| long runs and doubles to `make test-full` | 346 s | 304 s |
| Triton's interpreter looks through its language once a launch | DraftAttention's tests 109 s of processor | 88 s |
| garbage is collected every 50,000 objects, what was imported never | five of golden's largest files 58.6 s | 55.6 s |
| materials of the rooms of calibration drawn once a process | 1.3 s a call | 0 |
| other seeds of the random programs under UVM | 20 s to all bins | 55 s: not taken |
"""


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
    replace_section("tests", LENGTH)
    print(f"{PAGE.relative_to(ROOT)} from {record.RECORD.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
