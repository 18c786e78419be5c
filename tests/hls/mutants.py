"""A copy of hls/ with bugs planted in it, which are off until they are armed."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable
from pathlib import Path

BUGS = {
    # two entries of the compaction table change places
    "mapping": (
        "kernels/drs.hpp",
        "        if (bit(index, row)) row_of[count++] = std::uint8_t(row);\n    }\n",
        "        if (bit(index, row)) row_of[count++] = std::uint8_t(row);\n    }\n"
        "    if (planted == 1 && count > 1) {\n"
        "        const auto first = row_of[0];\n        row_of[0] = row_of[1];\n        row_of[1] = first;\n    }\n",
    ),
    # the replay ring looks one frame off
    "ring": (
        "kernels/replay_ring.hpp",
        "times<14, 9>(shape.position % shape.frame_tokens, width_words);",
        "times<14, 9>((shape.position + (planted == 2)) % shape.frame_tokens, width_words);",
    ),
    # the value cache is read one token off
    "value of another frame": (
        "kernels/tas.hpp",
        "? value_cache[base + word]",
        "? value_cache[base + word + (planted == 3) * head_words]",
    ),
    "sign of the distance": (
        "kernels/tas.hpp",
        "distance ? -1 :",
        "distance ? (planted == 4 ? 1 : -1) :",
    ),
    # one write does not wait for a free place
    "back-pressure": (
        "shim/hls_stream.h",
        "        while (full()) scheduler.wait(channel_, fibers::State::NeedsSpace);\n        put(value);",
        "        if (planted == 5 && full()) { planted = 0; return; }\n"
        "        while (full()) scheduler.wait(channel_, fibers::State::NeedsSpace);\n        put(value);",
    ),
    # a stream keeps a word that nobody reads: nothing else shows it before the next call
    "a query too many": (
        "kernels/attention.hpp",
        "    for (int i = 0; i < count; ++i) {\n#pragma HLS PIPELINE II=1\n"
        "#pragma HLS LOOP_TRIPCOUNT min=1 max=2048\n        queries.write(buffer[i]);",
        "    for (int i = 0; i < count + (planted == 6); ++i) {\n#pragma HLS PIPELINE II=1\n"
        "#pragma HLS LOOP_TRIPCOUNT min=1 max=2048\n        queries.write(buffer[i]);",
    ),
    # what lies behind an array is read and not used: no result shows it
    "beyond an array": (
        "kernels/rope.hpp",
        "        const std::int32_t cosine = turns[i];\n",
        "        [[maybe_unused]] const std::int32_t beyond = turns[i + (planted == 7) * MAX_HEAD_DIM];\n"
        "        const std::int32_t cosine = turns[i];\n",
    ),
}


def mutant(hls: Path, to: Path) -> tuple[Path, Callable[[ctypes.CDLL, str], None]]:
    """Copies `hls` to `to` with all bugs in it; returns the folder and a function that arms one ("" for none)."""
    shutil.copytree(hls, to)
    for name, right, wrong in BUGS.values():
        path = to / name
        text = path.read_text()
        assert text.count(right) == 1, f"{name} has changed: plant the bug anew"
        path.write_text(text.replace(right, wrong))
    for name in sorted({name for name, _, _ in BUGS.values()}):
        path = to / name
        path.write_text(path.read_text().replace("#pragma once", '#pragma once\nextern "C" int planted;', 1))
    path = to / "fastcar.cpp"
    path.write_text(path.read_text() + '\nextern "C" { int planted = 0; }\n')

    def arm(library: ctypes.CDLL, bug: str) -> None:
        ctypes.c_int.in_dll(library, "planted").value = [*BUGS].index(bug) + 1 if bug else 0

    return to, arm
