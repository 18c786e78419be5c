"""What can go wrong on the Hopper path."""

from __future__ import annotations

from triptych.golden.draft_attention.terms.errors import DraftAttentionError


class HopperError(DraftAttentionError):
    """The Hopper kernels cannot be built or run here, or do not take these inputs."""
