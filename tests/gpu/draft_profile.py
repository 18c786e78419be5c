"""One whole call on the HunyuanVideo shape, for a profiler.

ncu --kernel-name regex:attention --section SpeedOfLight --section WarpStateStats python tests/gpu/draft_profile.py
... draft_profile.py --eight-bit
"""

from __future__ import annotations

import argparse

import torch
from draft_bench import HUNYUAN, random_inputs

from triptych.golden.draft_attention import draft_attention


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--eight-bit", action="store_true")
    parser.add_argument("--tail", action="store_true")
    options = parser.parse_args()
    inputs = random_inputs(HUNYUAN, 1)
    draft_attention(*inputs, grid=HUNYUAN.geometry.grid, sparsity=0.9, tail=options.tail, eight_bit=options.eight_bit)
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
