"""Where every token of a video latent lies: pooling blocks, text blocks, and their numbers.

A block is a box of `pool = (pt, ph, pw)` latent positions (the paper's region: one frame, 8 x 16 = 128 tokens;
DraftAttention, arXiv 2505.14708, section 3.2). Tokens stay in their original order in memory; a block is read in
place as a strided box.

Block numbers: video block (t, i, j) has number (t * gh + i) * gw + j with t, i, j counted in blocks; text blocks of
`pt * ph * pw` tokens each follow, whatever the place of the text in memory. Blocks at the edge of the grid and the
last text block may hold fewer tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import torch

from triptych.golden.draft_attention.terms.errors import DraftAttentionError


class GeometryError(DraftAttentionError):
    """The grid, the pooling window or the text length do not fit the sequence."""


class TextPlacement(Enum):
    """Where the text tokens stand in the sequence, relative to the video tokens."""

    AFTER = "after"
    BEFORE = "before"


def normalize_pool(pool: tuple[int, ...]) -> tuple[int, int, int]:
    """`(ph, pw)` or `(pt, ph, pw)` -> `(pt, ph, pw)`. Raises GeometryError on anything else."""
    full = (1, *pool) if len(pool) == 2 else tuple(pool)
    if len(full) != 3 or any(not isinstance(p, int) or isinstance(p, bool) or p < 1 for p in full):
        raise GeometryError(f"pool must be (height, width) or (frames, height, width), each >= 1; got {pool}")
    return full[0], full[1], full[2]


@dataclass(frozen=True)
class Geometry:
    """The layout of one sequence: a `grid = (T, H, W)` of video tokens and `text_length` text tokens.

    `pool` is given as `(ph, pw)` or `(pt, ph, pw)` and kept as `(pt, ph, pw)`.
    Raises GeometryError on sizes below 1 (text: below 0).
    """

    grid: tuple[int, int, int]
    pool: tuple[int, ...] = (8, 16)
    text_length: int = 0
    text_first: bool = False

    def __post_init__(self) -> None:
        if len(self.grid) != 3 or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in self.grid):
            raise GeometryError(f"grid must be (frames, height, width), each an int >= 1; got {self.grid}")
        if self.text_length < 0:
            raise GeometryError(f"text_length must be >= 0; got {self.text_length}")
        object.__setattr__(self, "grid", tuple(self.grid))  # a list is accepted and made hashable
        object.__setattr__(self, "pool", normalize_pool(self.pool))

    @classmethod
    def for_length(
        cls,
        length: int,
        grid: tuple[int, int, int],
        pool: tuple[int, ...] = (8, 16),
        text: TextPlacement | str = TextPlacement.AFTER,
    ) -> Geometry:
        """The geometry of a sequence of `length` tokens: what the grid does not hold is text.

        Raises GeometryError when the sequence is shorter than the grid or `text` is no TextPlacement.
        """
        try:
            placement = TextPlacement(text)
        except ValueError:
            raise GeometryError(f'text must be "after" or "before"; got {text!r}') from None
        video_only = cls(grid, pool)
        text_length = length - video_only.n_video_tokens
        if text_length < 0:
            t, h, w = video_only.grid
            raise GeometryError(
                f"grid {t} x {h} x {w} needs {video_only.n_video_tokens} tokens, but the sequence has {length}; "
                "give the grid of the latent after patching"
            )
        return cls(video_only.grid, pool, text_length, placement is TextPlacement.BEFORE)

    @property
    def block_size(self) -> int:
        """Tokens of a full block."""
        pt, ph, pw = self.pool
        return pt * ph * pw

    @property
    def blocks_per_axis(self) -> tuple[int, int, int]:
        """`(gt, gh, gw)`: blocks along frames, height and width, ragged edges included."""
        (t, h, w), (pt, ph, pw) = self.grid, self.pool
        return -(-t // pt), -(-h // ph), -(-w // pw)

    @property
    def n_video_tokens(self) -> int:
        t, h, w = self.grid
        return t * h * w

    @property
    def length(self) -> int:
        return self.n_video_tokens + self.text_length

    @property
    def n_video_blocks(self) -> int:
        gt, gh, gw = self.blocks_per_axis
        return gt * gh * gw

    @property
    def n_text_blocks(self) -> int:
        return -(-self.text_length // self.block_size)

    @property
    def n_blocks(self) -> int:
        return self.n_video_blocks + self.n_text_blocks

    @property
    def video_offset(self) -> int:
        """Position of the first video token in the sequence."""
        return self.text_length if self.text_first else 0

    @property
    def text_offset(self) -> int:
        """Position of the first text token in the sequence."""
        return 0 if self.text_first else self.n_video_tokens

    @cached_property
    def token_blocks(self) -> torch.Tensor:
        """int64 `[length]` (CPU): the block number of every token, in memory order."""
        (t, h, w), (pt, ph, pw) = self.grid, self.pool
        _, gh, gw = self.blocks_per_axis
        frame = torch.arange(t).view(t, 1, 1) // pt
        row = torch.arange(h).view(1, h, 1) // ph
        column = torch.arange(w).view(1, 1, w) // pw
        video = ((frame * gh + row) * gw + column).reshape(-1)
        text = self.n_video_blocks + torch.arange(self.text_length) // self.block_size
        return torch.cat([text, video] if self.text_first else [video, text])

    @cached_property
    def block_tokens(self) -> torch.Tensor:
        """int64 `[n_blocks, block_size]` (CPU): token positions of every block, -1 where a block has no token.

        Within a block the order is frame, row, column of the box; an absent position keeps its slot.
        """
        (t, h, w), (pt, ph, pw) = self.grid, self.pool
        gt, gh, gw = self.blocks_per_axis
        frame = (torch.arange(gt).view(gt, 1, 1, 1, 1, 1) * pt) + torch.arange(pt).view(1, 1, 1, pt, 1, 1)
        row = (torch.arange(gh).view(1, gh, 1, 1, 1, 1) * ph) + torch.arange(ph).view(1, 1, 1, 1, ph, 1)
        column = (torch.arange(gw).view(1, 1, gw, 1, 1, 1) * pw) + torch.arange(pw).view(1, 1, 1, 1, 1, pw)
        token = (frame * h + row) * w + column + self.video_offset
        inside = (frame < t) & (row < h) & (column < w)
        video = torch.where(inside, token, -1).reshape(self.n_video_blocks, self.block_size)
        slot = torch.arange(self.n_text_blocks * self.block_size)
        text = torch.where(slot < self.text_length, slot + self.text_offset, -1)
        return torch.cat([video, text.view(self.n_text_blocks, self.block_size)])

    def tokens(self, batch: int) -> torch.Tensor:
        """`block_tokens`, the same for every sample `batch`."""
        return self.block_tokens

    @cached_property
    def block_counts(self) -> torch.Tensor:
        """int64 `[n_blocks]` (CPU): tokens in each block."""
        return (self.block_tokens >= 0).sum(dim=1)

    @cached_property
    def block_frames(self) -> torch.Tensor:
        """int64 `[n_video_blocks]` (CPU): the frame group (in units of `pt` frames) of each video block."""
        gt, gh, gw = self.blocks_per_axis
        return torch.arange(gt).repeat_interleave(gh * gw)
