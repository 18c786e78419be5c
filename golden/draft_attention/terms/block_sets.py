"""The chosen blocks of a call, one bit a block pair."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from triptych.golden.draft_attention.terms.geometry import Geometry

WORD_BITS = 32


def row_words(n_blocks: int) -> int:
    """Words of a bit row: whole groups of four, which a copy engine moves at once."""
    return -(-n_blocks // (4 * WORD_BITS)) * 4


@dataclass(frozen=True)
class BlockSets:
    """Which key blocks each query block attends to, as kernels read it.

    `bits`: int32 `[batch, q_heads, n_query_blocks, row_words(n_key_blocks)]`, bit c % 32 of word c // 32 says whether
    key block c is chosen; bits from n_key_blocks on are zero. `counts`: int32 `[batch, q_heads, n_query_blocks]`, the
    bits of each row. `geometry`: the boxes of a video latent that the blocks are (`select_blocks`), in its numbering:
    video blocks row by row and frame by frame, then text blocks; None for runs of consecutive tokens.
    `key_blocks`: n_key_blocks where it differs from n_query_blocks. `paired`: query blocks 2 i and 2 i + 1 of the video
    have one set, and so have those of the text; kernels for 64-token blocks then read one row for two.
    """

    bits: torch.Tensor
    counts: torch.Tensor
    geometry: Geometry | None = None
    key_blocks: int | None = None
    paired: bool = False

    @property
    def n_query_blocks(self) -> int:
        return self.counts.shape[-1]

    @property
    def n_key_blocks(self) -> int:
        return self.n_query_blocks if self.key_blocks is None else self.key_blocks

    def mask(self) -> torch.Tensor:
        """bool `[batch, q_heads, n_query_blocks, n_key_blocks]`, True where a pair of blocks is computed."""
        shifts = torch.arange(WORD_BITS, device=self.bits.device)
        return (((self.bits[..., None] >> shifts) & 1) != 0).flatten(-2)[..., : self.n_key_blocks]

    def density(self) -> torch.Tensor:
        """float32 `[batch, q_heads]`: share of block pairs that are computed."""
        return self.counts.sum(-1) / float(self.n_query_blocks * self.n_key_blocks)


def sets_from_mask(mask: torch.Tensor, geometry: Geometry | None = None) -> BlockSets:
    """The sets of a block mask, bool `[batch, heads, n_query_blocks, n_key_blocks]`."""
    n_query, n = mask.shape[-2:]
    words = row_words(n)
    padded = torch.nn.functional.pad(mask, (0, words * WORD_BITS - n)).unflatten(-1, (words, WORD_BITS))
    shifts = torch.arange(WORD_BITS, dtype=torch.int32, device=mask.device)
    bits = (padded.to(torch.int32) << shifts).sum(-1, dtype=torch.int32)  # each bit once: the sum is their union
    return BlockSets(bits, mask.sum(-1, dtype=torch.int32), geometry, None if n == n_query else n)
