"""Draft attention's block-sparse kernels for NVIDIA Hopper GPUs, in CUDA, compiled at first use."""

from triptych.golden.draft_attention.hopper.attention import Precision, attend, block_sparse_attention, refusal
from triptych.golden.draft_attention.hopper.build import missing_compiler
from triptych.golden.draft_attention.hopper.errors import HopperError

__all__ = ["HopperError", "Precision", "attend", "block_sparse_attention", "missing_compiler", "refusal"]
