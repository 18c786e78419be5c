"""DraftAttention (arXiv 2505.14708): sparse attention for video transformers, guided by a low-resolution draft."""

from triptych.golden.draft_attention.api import draft_attention
from triptych.golden.draft_attention.diffusers_hook import enable_draft_attention
from triptych.golden.draft_attention.dispatch import Backend
from triptych.golden.draft_attention.errors import DraftAttentionError
from triptych.golden.draft_attention.geometry import Geometry, GeometryError, TextPlacement
from triptych.golden.draft_attention.selection import BlockSets, DraftStatistic, SelectionRule
from triptych.golden.draft_attention.tail import Tail

__all__ = [
    "Backend",
    "BlockSets",
    "DraftAttentionError",
    "DraftStatistic",
    "Geometry",
    "GeometryError",
    "SelectionRule",
    "Tail",
    "TextPlacement",
    "draft_attention",
    "enable_draft_attention",
]
