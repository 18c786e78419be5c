"""DraftAttention (arXiv 2505.14708): sparse attention for video transformers, guided by a low-resolution draft."""

from triptych.golden.draft_attention.api import block_sparse_attention, draft_attention, select_blocks
from triptych.golden.draft_attention.dispatch import Backend
from triptych.golden.draft_attention.pipelines.hook import enable_draft_attention
from triptych.golden.draft_attention.selection import DraftStatistic
from triptych.golden.draft_attention.terms.block_sets import BlockSets
from triptych.golden.draft_attention.terms.errors import DraftAttentionError
from triptych.golden.draft_attention.terms.geometry import Geometry, TextPlacement

__all__ = [
    "Backend",
    "BlockSets",
    "DraftAttentionError",
    "DraftStatistic",
    "Geometry",
    "TextPlacement",
    "block_sparse_attention",
    "draft_attention",
    "enable_draft_attention",
    "select_blocks",
]
