"""Draft attention over several GPUs: Ulysses (arXiv 2309.14509) with heads dealt out by their mask density.

Each rank holds a run of the sequence for all heads. One all-to-all turns this into the whole sequence for some heads,
the draft and the attention run there as on one GPU, a second all-to-all turns back. Heads that keep more blocks cost
more, so the groups of heads that share a key head are assigned by longest processing time first, and ranks may hold
different numbers of heads.

A rank works through its heads in a few passes: while one is computed, the tensors of the next arrive and the result
of the one before leaves. On the way tensors lie tokens first, `[tokens, batch, heads, dim]`, where the run of a rank is
one piece: what arrives is read, and what leaves is sent, where it lies; only what is sent at first is packed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from triptych.golden.draft_attention.api import draft_attention
from triptych.golden.draft_attention.dispatch import DENSE_FLOPS
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


LARGEST_PASSES = 2
PASS_BYTES = 1 << 27
"""What a rank holds of q for each pass, at least: below, a pass costs more than it hides."""

EXCHANGE_BYTES = 2.5e8
"""What two GPUs of one host exchange in a millisecond (docs/results.md)."""

EXCHANGE_MS = 1.0
"""And what an exchange costs beside."""


def passes_of(own: Sequence[int], passes: int) -> list[list[int]]:
    """`own` in `passes` parts of nearly equal length, some perhaps empty."""
    return [list(own[i * len(own) // passes : (i + 1) * len(own) // passes]) for i in range(passes)]


def _index(heads: list[int]) -> slice | list[int]:
    """An index of these heads, one or more: a slice, which copies nothing, where they are evenly spaced."""
    step = heads[1] - heads[0] if len(heads) > 1 else 1
    evenly = heads == list(range(heads[0], heads[-1] + 1, step))
    return slice(heads[0], heads[-1] + 1, step) if evenly else heads


_WORD = torch.int64


def _copies_as_words(x: torch.Tensor) -> bool:
    per_word = _WORD.itemsize // x.element_size()
    steps = [step for step, size in zip(x.stride()[:-1], x.shape[:-1], strict=True) if size > 1]
    sizes = (*steps, x.shape[-1], x.storage_offset())
    return x.stride(-1) == 1 and all(size % per_word == 0 for size in sizes)


def _copy(target: torch.Tensor, source: torch.Tensor) -> None:
    """`target.copy_(source)`, eight bytes at a time where the channels allow it: PyTorch takes one element."""
    if target.dtype == source.dtype and _copies_as_words(target) and _copies_as_words(source):
        target, source = target.view(_WORD), source.view(_WORD)
    target.copy_(source)


@dataclass(frozen=True)
class _Exchange:
    """The all-to-alls of one pass: who holds which run of the sequence, and which heads. Both return at once."""

    lengths: list[int]
    rank: int
    group: dist.ProcessGroup | None

    def _start(self, incoming: torch.Tensor, outgoing: torch.Tensor, received: list[int], sent: list[int]) -> Any:
        return dist.all_to_all_single(incoming, outgoing, received, sent, group=self.group, async_op=True)

    def to_heads(self, x: torch.Tensor, heads: list[list[int]]) -> tuple[torch.Tensor, Any]:
        """`[batch, all heads, local, dim]` -> `[batch, own heads, length, dim]`, and what to wait for."""
        batch, _, local, dim = x.shape
        mine = len(heads[self.rank])
        sent = [batch * len(own) * local * dim for own in heads]
        received = [batch * mine * length * dim for length in self.lengths]
        outgoing = x.new_empty(sum(sent))
        for piece, own in zip(outgoing.split(sent), heads, strict=True):
            if own:
                _copy(piece.view(local, batch, len(own), dim), x[:, _index(own)].permute(2, 0, 1, 3))
        incoming = x.new_empty(sum(received))
        work = self._start(incoming, outgoing, received, sent)
        return incoming.view(sum(self.lengths), batch, mine, dim).permute(1, 2, 0, 3), work

    def to_sequence(self, x: torch.Tensor, heads: list[list[int]]) -> tuple[list[torch.Tensor], Any]:
        """`[batch, own heads, length, dim]` -> `[batch, heads of rank r, local, dim]` for every r, once it has come."""
        batch, mine, _, dim = x.shape
        local = self.lengths[self.rank]
        sent = [batch * mine * length * dim for length in self.lengths]
        received = [batch * len(own) * local * dim for own in heads]
        incoming = x.new_empty(sum(received))
        work = self._start(incoming, x.permute(2, 0, 1, 3).reshape(-1), received, sent)
        parts = zip(incoming.split(received), heads, strict=True)
        return [part.view(local, batch, len(own), dim).permute(1, 2, 0, 3) for part, own in parts], work


@functools.cache
def _say_it_does_not_pay(length: int, heads: int) -> None:
    warnings.warn(
        f"{length} tokens of {heads} heads are attended faster on one GPU than exchanged between several: "
        "gather the sequence and call draft_attention",
        RuntimeWarning,
        stacklevel=3,
    )


def pays(q: torch.Tensor, length: int, kept: float, world: int) -> bool:
    """Whether several GPUs are expected to be faster than one; q `[batch, heads, local, dim]` of this rank."""
    if q.device.type != "cuda":
        return True
    batch, heads, _, dim = q.shape
    one_ms = 4.0 * batch * heads * length**2 * dim * kept / DENSE_FLOPS
    moved = 4.0 * batch * heads * length * dim * q.element_size() / world * (world - 1) / world
    return one_ms * (1 - 1 / world) > moved / EXCHANGE_BYTES + EXCHANGE_MS


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
    if not pays(q, sum(lengths), sum(kept) / heads, world):
        _say_it_does_not_pay(sum(lengths), heads)
    dealt = balance_groups(costs, world)
    most = max(len(own) for own in dealt)
    held = max(lengths) * q.shape[0] * heads * q.shape[3] * q.element_size()  # the same on every rank
    passes = max(1, min(LARGEST_PASSES, most, held // PASS_BYTES))
    exchange = _Exchange(list(lengths), rank, group)
    arriving = []
    for key_heads in zip(*(passes_of(own, passes) for own in dealt), strict=True):
        query_heads = [[key * per_key + i for key in own for i in range(per_key)] for own in key_heads]
        tensors = [exchange.to_heads(x, h) for x, h in ((q, query_heads), (k, list(key_heads)), (v, list(key_heads)))]
        arriving.append((query_heads, tensors))
    leaving = []
    for query_heads, tensors in arriving:
        for _, work in tensors:
            work.wait()
        whole_q, whole_k, whole_v = (x for x, _ in tensors)
        out = whole_q
        if whole_q.shape[1] > 0:
            own = [shares[head] for head in query_heads[rank]]
            out = draft_attention(whole_q, whole_k, whole_v, grid=grid, sparsity=own, **options)
        leaving.append((query_heads, *exchange.to_sequence(out, query_heads)))
    result = torch.empty_like(q)
    for query_heads, parts, work in leaving:
        work.wait()
        for part, own in zip(parts, query_heads, strict=True):
            if own:
                heads_of_rank = _index(own)
                if isinstance(heads_of_rank, slice):
                    _copy(result[:, heads_of_rank], part)
                else:
                    result[:, heads_of_rank] = part
    return result
