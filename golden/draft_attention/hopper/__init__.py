"""Draft attention's block-sparse kernels for NVIDIA Hopper GPUs, in CUDA, compiled at first use."""

from triptych.golden.draft_attention.hopper.attention import Precision, block_sparse_attention
from triptych.golden.draft_attention.hopper.errors import HopperError

__all__ = ["HopperError", "Precision", "block_sparse_attention"]
