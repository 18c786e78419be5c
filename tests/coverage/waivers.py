"""Points that no test can pass, with the reason for each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.coverage.counts import Counts, Point


@dataclass(frozen=True)
class Waiver:
    """module: the file's name, or `*`. kind: of points, or `*`. comment, line: what the point's comment and the text of
    its line hold. reason: why nothing passes it."""

    module: str
    kind: str
    comment: str
    line: str
    reason: str

    def covers(self, point: Point, text: str) -> bool:
        """Whether the point is one of these."""
        named = self.module in ("*", point.module) and self.kind in ("*", point.kind)
        return named and bool(re.search(self.comment, point.comment)) and bool(re.search(self.line, text))


WAIVERS = (
    Waiver("*", "toggle", r"^(sram_)?(pins|status)_[io]", "", "for the memory compiler's macros: nobody drives them"),
    Waiver("*", "toggle", r"^unused_", "", "names what nothing reads"),
    Waiver("dma_front", "toggle", r"^limit_i", "", "bits of the chip's sizes, which stand still"),
    Waiver("dma_load", "toggle", r"^limit\[", "", "bits of the chip's sizes, which stand still"),
    Waiver("dma_setup", "toggle", r"^limit_i", "", "bits of the chip's sizes, which stand still"),
    Waiver("vpu_stream_address", "toggle", r"^granule", "", "bits of the chip's sizes, which stand still"),
    Waiver("mxu_loader", "toggle", r"^n_step", "", "bits of the chip's sizes, which stand still"),
    Waiver("mxu_stream", "toggle", r"^n_step", "", "bits of the chip's sizes, which stand still"),
    Waiver("*", "toggle", r"^test_en_i", "", "the scan mode's pin"),
    Waiver("chip_pkg", "*", "", "", "functions of parameters: elaboration alone calls them"),
    Waiver("reset_sync", "*", "", r"test_en_i", "the scan mode's pin"),
    Waiver("clock_gate", "*", "", r"test_en_i", "the scan mode's pin"),
    Waiver("ram_1r1w", "*", r"pins_i|status_o", "", "for the memory compiler's macros"),
    Waiver("*", "branch", "", r"`FFLNR\(.*, 1'b1\)", "registers without an enable, which load in every cycle"),
    Waiver("*", "*", "", r"^\s*default\s*:", "case items that an enumeration does not have"),
)  # fmt: skip


def waived(counts: Counts, text_of: dict[str, list[str]]) -> dict[Point, str]:
    """Reasons by point, of those that no run passed."""
    found = {}
    for point, count in counts.items():
        if count:
            continue
        lines = text_of[point.place]
        text = lines[point.line - 1] if point.line <= len(lines) else ""
        reason = next((w.reason for w in WAIVERS if w.covers(point, text)), None)
        if reason:
            found[point] = reason
    return found
