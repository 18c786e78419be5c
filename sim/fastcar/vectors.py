"""One token of a small layer as files: what lies in the accelerator's memory before and behind it, golden's rows.

`hls/vitis/host.cpp` runs them on a board, `tests/hls/test_step_vectors.py` in C simulation. Raw little-endian arrays as
`image.py` lays them out, for kernels with 16 lanes; `shape.txt` has a line `name value` a field of `Shape`.
"""

from __future__ import annotations

from pathlib import Path

from triptych.golden.fastcar.config import TINY, Chooser, Controls
from triptych.golden.fastcar.integer import layer_step, rope_tables
from triptych.golden.fastcar.random_layer import random_layer, random_rows, random_state
from triptych.golden.files import write
from triptych.sim.fastcar.image import BYTES, DeviceState, Limits, Program, pack_rows

LANES = 16
ROWS, POSITION, SEED = 5, 19, 3
CONTROLS = Controls(threshold=1500, chooser=Chooser.CONSISTENT, chain_cap=3)
LIMITS = Limits(LANES, LANES, -(-6 * LANES // BYTES), 32, 4096, 11008, 128, 4096)
STATE = ("keys", "values", "ring", "chains")
SHAPE = (
    "layers", "rows", "position", "width", "ffn", "heads", "kv_heads", "head_dim", "frame_tokens", "context",
    "resource_scheduling",
)  # fmt: skip


def files() -> dict[str, bytes]:
    """Name to content; rows 0..4 at position 19, of which some replay."""
    layer, state, x = random_layer(TINY, SEED), random_state(TINY, ROWS, SEED), random_rows(TINY, ROWS, SEED)
    program = Program.pack(TINY, [layer], LIMITS)
    program.steer([CONTROLS])
    device = DeviceState.of(TINY, [state])
    found = {
        f"{name}.bin": getattr(program, name).tobytes() for name in ("weights", "scales", "registers", "gains", "turns")
    }
    found |= {f"{name}.bin": getattr(device, name).tobytes() for name in STATE}
    trace = layer_step(TINY, layer, rope_tables(TINY), state, x, POSITION, CONTROLS)
    after = DeviceState.of(TINY, [state])
    found |= {f"{name}_after.bin": getattr(after, name).tobytes() for name in STATE}
    found |= {"x.bin": pack_rows(x).tobytes(), "y.bin": pack_rows(trace.y).tobytes()}
    c = TINY
    values = (1, ROWS, POSITION, c.width, c.ffn, c.heads, c.kv_heads, c.head_dim, c.frame_tokens, c.context, 1)
    found["shape.txt"] = "".join(f"{n} {v}\n" for n, v in zip(SHAPE, values, strict=True)).encode()
    return found


def write_vectors(folder: Path) -> list[str]:
    """Writes them; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    found = files()
    for name, content in found.items():
        write(folder / name, content)
    return sorted(found)


def different(folder: Path) -> list[str]:
    """Names of files that are not what they should be."""
    return sorted(n for n, c in files().items() if not (folder / n).exists() or (folder / n).read_bytes() != c)
