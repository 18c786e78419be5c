"""Which frames' keys the queries of each frame keep: block masks of a smooth field, over frames.

python tests/gpu/draft_frames.py --out DIR        # a CPU will do
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from draft_fields import FIELDS, structured_inputs

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from triptych.golden.draft_attention import select_blocks
from triptych.golden.files import write
from triptych.sim.bench.draft_record import write_record

GRID, HEADS, DIM = (8, 32, 64), 2, 64


def frame_shares(sparsity: float, seed: int = 1) -> list[dict[str, Any]]:
    """Share of kept blocks by query frame and key frame, of each head."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    q, k, v = structured_inputs(FIELDS[0], GRID, HEADS, DIM, seed, device, torch.float32)
    sets = select_blocks(q, k, v, grid=GRID, sparsity=sparsity)
    n = sets.counts.shape[-1]
    column = torch.arange(n, device=device)
    mask = ((sets.bits[..., column // 32] >> (column % 32)) & 1).float()[0]
    each = n // GRID[0]  # blocks of a frame
    shares = mask.reshape(HEADS, GRID[0], each, GRID[0], each).mean((2, 4))
    return [
        {"head": head, "sparsity": sparsity, "kept": [[round(v, 4) for v in row] for row in shares[head].tolist()]}
        for head in range(HEADS)
    ]


def main(folder: Path) -> None:
    rows = [row for sparsity in (0.5, 0.75, 0.9) for row in frame_shares(sparsity)]
    write(folder / "draft_frames.json", json.dumps({"rows": rows}, indent=1))
    write_record(folder)


if __name__ == "__main__":
    main(Path(sys.argv[sys.argv.index("--out") + 1]))
