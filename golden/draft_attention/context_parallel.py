"""Draft attention over several GPUs: Ulysses (arXiv 2309.14509) with heads dealt out by their mask density.

Each rank holds a run of the sequence for all heads. One all-to-all turns this into the whole sequence for some heads,
the draft and the attention run there as on one GPU, a second all-to-all turns back. Heads that keep more blocks cost
more, so the groups of heads that share a key head are assigned by longest processing time first, and ranks may hold
different numbers of heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from triptych.golden.draft_attention.api import draft_attention
from triptych.golden.draft_attention.terms.errors import DraftAttentionError


def balance_groups(costs: Sequence[float], world_size: int) -> list[list[int]]:
    """Deal items to `world_size` ranks so that the largest sum of costs stays small; ascending item numbers each.

    Longest processing time first: at most 4/3 of the best possible largest sum (Graham 1969). Deterministic.
    """
    ranks: list[list[int]] = [[] for _ in range(world_size)]
    load = [0.0] * world_size
    for item in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        rank = min(range(world_size), key=lambda r: (load[r], len(ranks[r]), r))
        ranks[rank].append(item)
        load[rank] += costs[item]
    return [sorted(items) for items in ranks]


@dataclass(frozen=True)
class _Exchange:
    """Who holds which query and key heads, and which run of the sequence."""

    query_heads: list[list[int]]
    key_heads: list[list[int]]
    lengths: list[int]
    rank: int
    group: dist.ProcessGroup | None

    def send(self, pieces: list[torch.Tensor], received_shapes: list[torch.Size]) -> list[torch.Tensor]:
        """All-to-all of one tensor for each rank; shapes of what comes back are known beforehand."""
        outgoing = torch.cat([piece.reshape(-1) for piece in pieces])
        sizes = [shape.numel() for shape in received_shapes]
        incoming = outgoing.new_empty(sum(sizes))
        dist.all_to_all_single(incoming, outgoing, sizes, [piece.numel() for piece in pieces], group=self.group)
        return [part.view(shape) for part, shape in zip(incoming.split(sizes), received_shapes, strict=True)]

    def to_heads(self, x: torch.Tensor, heads: list[list[int]]) -> torch.Tensor:
        """`[batch, heads, local, dim]` of every head -> `[batch, own heads, length, dim]`."""
        batch, _, _, dim = x.shape
        mine = len(heads[self.rank])
        shapes = [torch.Size((batch, mine, length, dim)) for length in self.lengths]
        return torch.cat(self.send([x[:, own] for own in heads], shapes), dim=2)

    def to_sequence(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, own query heads, length, dim]` -> `[batch, heads, local, dim]`."""
        batch, _, _, dim = x.shape
        local = self.lengths[self.rank]
        shapes = [torch.Size((batch, len(own), local, dim)) for own in self.query_heads]
        parts = self.send(list(x.split(self.lengths, dim=2)), shapes)
        order = torch.tensor([head for own in self.query_heads for head in own], device=x.device)
        return torch.cat(parts, dim=1)[:, order.argsort()]


def ulysses_draft_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    grid: tuple[int, int, int],
    lengths: Sequence[int],
    sparsity: float | Sequence[float] = 0.9,
    densities: Sequence[float] | None = None,
    group: dist.ProcessGroup | None = None,
    **options: Any,
) -> torch.Tensor:
    """`draft_attention` of a sequence that is split over the ranks of `group`.

    q `[batch, q_heads, local, dim]`, k, v `[batch, kv_heads, local, dim]`: this rank's run of the sequence; `lengths`
    names the run of every rank, in rank order. `densities`: kept share of each query head, used to balance the ranks;
    1 - sparsity when None. `options` go to `draft_attention`.
    Returns `[batch, q_heads, local, dim]`. Raises DraftAttentionError when shapes and lengths disagree.
    """
    world, rank = dist.get_world_size(group), dist.get_rank(group)
    heads, kv_heads = q.shape[1], k.shape[1]
    if len(lengths) != world or lengths[rank] != q.shape[2]:
        raise DraftAttentionError(
            f"lengths must name the run of each of {world} ranks; rank {rank} holds {q.shape[2]} of {list(lengths)}"
        )
    if heads % kv_heads:
        raise DraftAttentionError(f"{heads} query heads are no multiple of {kv_heads} key heads")
    shares = (sparsity,) * heads if isinstance(sparsity, (int, float)) else tuple(sparsity)
    kept = [1.0 - share for share in shares] if densities is None else list(densities)
    if len(shares) != heads or len(kept) != heads:
        raise DraftAttentionError(f"sparsity and densities must name each of the {heads} query heads")
    per_key = heads // kv_heads
    costs = [sum(kept[i * per_key : (i + 1) * per_key]) for i in range(kv_heads)]
    key_heads = balance_groups(costs, world)
    query_heads = [[key * per_key + i for key in own for i in range(per_key)] for own in key_heads]
    exchange = _Exchange(query_heads, key_heads, list(lengths), rank, group)
    whole_q = exchange.to_heads(q, query_heads)
    whole_k, whole_v = (exchange.to_heads(x, key_heads) for x in (k, v))
    if whole_q.shape[1] == 0:
        out = whole_q
    else:
        own = [shares[head] for head in query_heads[rank]]
        out = draft_attention(whole_q, whole_k, whole_v, grid=grid, sparsity=own, **options)
    return exchange.to_sequence(out)
