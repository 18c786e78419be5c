"""Which tokens make up a block: boxes of a video latent (`geometry.Geometry`) or runs of a sequence (`Runs`).

Everything after block selection knows tokens only through a layout; queries and keys may have different ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from triptych.golden.draft_attention.terms.errors import DraftAttentionError


class Layout(Protocol):
    """What attention needs to know of the blocks of one sequence."""

    @property
    def length(self) -> int:
        """Tokens of the sequence, those in no block included."""

    @property
    def n_blocks(self) -> int: ...

    @property
    def block_size(self) -> int:
        """Slots of a block; it may hold fewer tokens."""

    def tokens(self, batch: int) -> torch.Tensor:
        """int64 `[n_blocks, block_size]` (CPU): token positions of every block of sample `batch`, -1 where none is."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Consecutive tokens: block i holds the first `sizes[i]` tokens from position `i * block` on.

    `length`: tokens of the sequence; the last block may be cut short by it. `block`: slots of a block.
    `sizes`: int32 `[1 or batch, n_blocks]`, contiguous, on the device of the tensors, each in [0, block]; None for
    full blocks. The tokens behind a block's size are padding: no key is taken from there, and their rows of the
    output are zero. These are VSA's variable block sizes (arXiv 2505.13389): tiles of 4 x 4 x 4 tokens, each padded
    to 64 slots.
    """

    length: int
    block: int
    sizes: torch.Tensor | None = None

    @property
    def n_blocks(self) -> int:
        return -(-self.length // self.block)

    @property
    def block_size(self) -> int:
        return self.block

    def tokens(self, batch: int) -> torch.Tensor:
        slots = torch.arange(self.n_blocks * self.block).view(self.n_blocks, self.block)
        inside = slots < self.length
        if self.sizes is not None:
            sizes = self.sizes[batch if len(self.sizes) > 1 else 0].cpu()
            inside = inside & (slots - slots[:, :1] < sizes[:, None])
        return torch.where(inside, slots, -1)

    def for_samples(self, samples: slice) -> Runs:
        """The layout of some samples of the batch."""
        if self.sizes is None or len(self.sizes) == 1:
            return self
        return Runs(self.length, self.block, self.sizes[samples])


def check_runs(runs: Runs, batch: int, device: torch.device, what: str) -> None:
    """Raises DraftAttentionError when `runs.sizes` does not describe `what`. Values are not read: that would wait."""
    if runs.sizes is None:
        return
    shape, dtype = tuple(runs.sizes.shape), runs.sizes.dtype
    if dtype != torch.int32 or shape not in ((1, runs.n_blocks), (batch, runs.n_blocks)):
        raise DraftAttentionError(
            f"block_sizes of {what} must be int32 [{runs.n_blocks}] or [{batch}, {runs.n_blocks}]; got {dtype} {shape}"
        )
    if runs.sizes.device != device:
        raise DraftAttentionError(f"block_sizes of {what} must be on {device}; got {runs.sizes.device}")
