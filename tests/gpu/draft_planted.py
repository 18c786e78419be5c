"""Bugs planted in the Hopper kernels, one at a time: the checks of hopper_kernel.py must refuse every one.

    python tests/gpu/draft_planted.py                   # numerical bugs
    compute-sanitizer --tool racecheck --error-exitcode 9 python tests/gpu/draft_small.py --plant race
    compute-sanitizer --tool memcheck --error-exitcode 9 python tests/gpu/draft_small.py --plant overrun

The last two must end with status 9.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from triptych.golden.draft_attention.hopper import build, driver


@dataclass(frozen=True)
class Bug:
    """`old` becomes `new`, wherever it stands in `kernels/<source>`. `cases`: of hopper_kernel.py, that must see it."""

    source: str
    old: str
    new: str
    cases: tuple[int, ...]
    precisions: tuple[str, ...] = ("bf16",)
    bound: float | None = None
    """Of the error, where the case is known to do better than white noise."""


NUMERICAL = {
    "ragged blocks keep a column too many": Bug("pipeline.cuh", "x >= wide ||", "x > wide ||", (1, 14)),
    "a kept maximum is not a rescaled output": Bug(
        "compute16.cuh", "out[i] *= factor[i >> 1 & 1];", "out[i] *= 1.0f;", (7,)
    ),
    "the tail forgets the block sizes": Bug(
        "compute16.cuh", "(half_low(token) + kLogBlock) * per_scale", "kLogBlock * per_scale", (1,)
    ),
    "the tail counts chosen blocks again": Bug("compute16.cuh", "word >> e & 1 ?", "false ?", (0, 13)),
    "the tail reads the bits of the tile before": Bug("load16.cuh", "p.words + t * 4,", "p.words + (t ^ 1) * 4,", (9,)),
    "the walk ends after 1,024 blocks": Bug("sweep.cuh", "visits((p.words + 31) / 32)", "visits(1)", (9,)),
    "two tiles are one": Bug("pipeline.cuh", "p.order[rest]", "(p.order[rest] & ~1)", (0,)),
    "a private block goes to the other warpgroup": Bug(
        "compute16.cuh", "piece + warpgroup * (kBlockBytes >> 4)", "piece + (warpgroup ^ 1) * (kBlockBytes >> 4)", (14,)
    ),
    "the lower half of a box is stored a row off": Bug(
        "pipeline.cuh", "half << (b.log_ph - 1)", "half << b.log_ph", (0,)
    ),
    "gathered runs start a run late": Bug(
        "runs16.cuh", "run_of(b, block, place_in_tile - filled)", "run_of(b, block, place_in_tile - filled + 1)", (5,)
    ),
    "the last tile of runs is not masked": Bug("runs16.cuh", "kNoTokens | uint32_t(filled * kRunTokens)", "0", (5, 29)),
    "values of runs come from the tile itself": Bug("runs16.cuh", "either(second, previous, place)", "place", (5,)),
    "8-bit products are never flushed": Bug(
        "compute8.cuh",
        "step<false, false>(accumulate, run == 0);",
        "step<false, false>(accumulate, false);",
        (5,),
        ("fp8",),
    ),
    "8-bit weights have their bytes in another order": Bug(
        "compute8.cuh", "pairs[first + 2], 0x5410", "pairs[first + 2], 0x1054", (0,), ("fp8",)
    ),
    "8-bit scores take the scale of block 0": Bug(
        "load8.cuh",
        "shared.k_scale[to.slot] = entry.k_scale;",
        "shared.k_scale[to.slot] = maps.k_scale[0] * 1.3f;",
        (0,),
        ("fp8",),
    ),
    "the 8-bit tail counts chosen blocks again": Bug(
        "compute8.cuh", "chosen ? kNegativeInfinity :", "false ? kNegativeInfinity :", (0,), ("fp8",), 1.2e-2
    ),
    "8-bit values beyond the sample's are not written again": Bug(
        "quantise.cu", "if (largest[head] <= fmaxf(expected[head], kSmallest)) return;", "return;", (31,), ("fp8",)
    ),
    "tiles of equal length share a place": Bug("order.cu", " || (others[i] == own && base + i < mine)", "", (0,)),
    "8-bit weights forget what the maximum was": Bug(
        "compute8.cuh", "kHeadroom + kCodeOfOne - kept", "kHeadroom + kCodeOfOne - reached", (0,), ("fp8",), 1.2e-2
    ),
}

SANITIZED = {
    "race": Bug(
        "compute16.cuh",
        "const Valid valid = read_valid(at.keys.slot);\n    release(at.keys.slot);",
        "release(at.keys.slot);\n    const Valid valid = read_valid(at.keys.slot);",
        (),
    ),
    "overrun": Bug("load16.cuh", "p.words + t * 4,", "p.words + t * 4 + (1 << 26),", ()),
}


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Kernels are built from sources that hold the bug; the cache of the good ones is not touched."""
    with tempfile.TemporaryDirectory() as folder:
        sources, good = Path(folder) / "kernels", build.SOURCES
        shutil.copytree(good, sources)
        target = sources / bug.source
        text = target.read_text()
        waits = sources / "ptx.cuh"
        waits.write_text(f"#define HOPPER_WATCHDOG {WATCHDOG}\n" + waits.read_text())
        if bug.old not in text:
            raise SystemExit(f"{bug.source} no longer says {bug.old!r}: plant something else")
        target.write_text(text.replace(bug.old, bug.new))
        build.SOURCES = sources
        _forget()
        try:
            yield
        finally:
            build.SOURCES = good
            _forget()


WATCHDOG = 1 << 20
"""Tries after which a wait that a bug has made endless traps."""


def _forget() -> None:
    build._fingerprint.cache_clear()
    driver.load_kernel.cache_clear()


def judge(name: str) -> bool:
    """Whether the check refuses the bug, in this process; a trapped kernel ends it."""
    from hopper_kernel import BOUNDS, CASES, check

    bug = NUMERICAL[name]
    if bug.bound is not None:
        BOUNDS.update(dict.fromkeys(bug.precisions, bug.bound))
    with planted(bug):
        return not check(bug.precisions, tuple(CASES[i] for i in bug.cases))


def verdict(name: str) -> str:
    """ "caught", or what else became of the check; a process of its own, since a trap ends all CUDA work of one."""
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    trapped = "CUDA error" in done.stderr or "AcceleratorError" in done.stderr
    return "caught" if done.returncode == 3 else "caught: it trapped" if trapped else done.stdout + done.stderr


def main() -> None:
    if len(sys.argv) > 1:
        sys.exit(3 if judge(sys.argv[1]) else 0)
    with ThreadPoolExecutor(6) as pool:
        verdicts = dict(zip(NUMERICAL, pool.map(verdict, NUMERICAL), strict=True))
    missed = [name for name, said in verdicts.items() if not said.startswith("caught")]
    for name, said in verdicts.items():
        print(f"{name}: {said}", flush=True)
    print(f"{len(NUMERICAL) - len(missed)} of {len(NUMERICAL)} planted bugs caught", flush=True)
    if missed:
        sys.exit("not caught: " + "; ".join(missed))


if __name__ == "__main__":
    main()
