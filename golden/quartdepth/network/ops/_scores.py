"""Attention while it is captured: scores that are no map, and what queries, keys and values show of theirs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.operation import Declined
from triptych.golden.quartdepth.network.ops._operands import with_constant
from triptych.golden.quartdepth.network.ops._sequences import patch_of
from triptych.golden.quartdepth.network.ops.add import Add
from triptych.golden.quartdepth.network.ops.affine import Affine
from triptych.golden.quartdepth.network.ops.gather import gathered
from triptych.golden.quartdepth.network.ops.matmul import MOST_MATRICES, multiplied, side_by_side
from triptych.golden.quartdepth.network.ops.softmax import over_axis

NO_SCORES = "an operand is no activation"
HIDDEN = -1e4  # bias that hides a key from a query
HIDES = -50.0  # a bias of at most this does so: Swin has -100, others the least float


@dataclass(frozen=True)
class Scores:
    """`scale * query @ key^T + bias` of instances (sequences and heads) and, when `softmax`, its softmax, not yet
    applied to values. query, key: indices [instances, tokens, head size]. scale: [instances]. bias: [instances,
    queries, keys] or None. lead: shape of the instances in the tensor. turned: its last axes are keys, queries.
    name: of their map, if they become one."""

    query: View
    key: View
    scale: Tensor
    lead: tuple[int, ...]
    bias: Tensor | None = None
    softmax: bool = False
    turned: bool = False
    name: str = ""

    def made(self, c: Capture) -> View:
        """The queries' pixels, with keys as channels, or the other way round; instances one after the other."""
        if len(self.scale) != 1:
            if len(self.scale) > MOST_MATRICES:
                raise Declined(f"a product of two maps that is no attention can be of {MOST_MATRICES} matrices")
            each = [self.chosen(torch.tensor([i]), (), self.turned) for i in range(len(self.scale))]
            parts = [replace(s, name=f"{self.name}.{i}").made(c) for i, s in enumerate(each)]
            whole = side_by_side(c, f"{self.name}.heads", parts)
            return View(whole.fmap, whole.index.reshape(self.shape))
        query, key = View(self.query.fmap, self.query.index[0]), View(self.key.fmap, self.key.index[0].T)
        name = self.name
        while f"{name}.products" in c.shapes:  # scores that this one was made of became a map too
            name = f"{name}.again"
        view, factor = multiplied(c, f"{name}.products", query, key), float(self.scale[0])
        gain = torch.full((c.shapes[view.fmap].channels,), factor)
        if factor != 1:
            view = c.add_alike(Affine(f"{name}.scaled", view.fmap, gain, torch.zeros_like(gain)), view)
        if self.bias is not None:
            view, constant = with_constant(c, view, self.bias[0], name)
            view = c.add_alike(Add(f"{name}.biased", view.fmap, constant), view)
        if self.softmax:
            view = over_axis(c, f"{name}.softmax", view, 1)
        index = view.index.T if self.turned else view.index
        return View(view.fmap, index.reshape(self.shape))

    @property
    def size(self) -> tuple[int, int]:
        """Queries and keys."""
        return self.query.index.shape[1], self.key.index.shape[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return *self.lead, *(self.size[::-1] if self.turned else self.size)

    def by_score(self, value: Tensor) -> Tensor:
        """A constant that meets the scores, as [instances, queries, keys]."""
        try:
            value = value.float().expand(self.shape).reshape(-1, *self.shape[-2:])
        except RuntimeError:
            raise Declined("a constant that meets attention scores must have their shape") from None
        return value.transpose(1, 2) if self.turned else value

    def biased(self, value: Tensor) -> Scores:
        """With one more constant."""
        return replace(self, bias=self.by_score(value) + (0.0 if self.bias is None else self.bias))

    def chosen(self, order: Tensor, lead: tuple[int, ...], turned: bool) -> Scores:
        """Instances in another order."""
        bias = None if self.bias is None else self.bias[order]
        query, key = (replace(v, index=v.index[order]) for v in (self.query, self.key))
        return replace(self, query=query, key=key, scale=self.scale[order], lead=lead, bias=bias, turned=turned)


def scores_of(query: View, key: View, scale: float = 1.0, name: str = "") -> Scores:
    """Of [..., queries, head size] and [..., keys, head size]."""
    try:
        lead = torch.broadcast_shapes(query.index.shape[:-2], key.index.shape[:-2])
    except RuntimeError:
        raise Declined("queries and keys must have the same heads") from None
    flat = (View(v.fmap, v.index.expand(*lead, *v.index.shape[-2:]).flatten(0, -3)) for v in (query, key) if lead)
    q, k = flat if lead else (View(v.fmap, v.index[None]) for v in (query, key))
    return Scores(q, k, torch.full((max(math.prod(lead), 1),), scale), tuple(lead), name=name)


def unsettled(value: Any) -> Scores:
    """The value, which must be scores before their softmax."""
    if not isinstance(value, Scores) or value.softmax:
        raise Declined(NO_SCORES)
    return value


def add(c: Capture, node: Node) -> Scores:
    """aten.add of scores and a constant: relative positions, masks."""
    a, b = c.arg(node, 0), c.arg(node, 1)
    scores, value = (a, b) if isinstance(a, Scores) else (b, a)
    if not isinstance(value, Tensor) or c.arg(node, 2, 1) != 1:
        raise Declined(NO_SCORES)
    return unsettled(scores).biased(value)


def scale(c: Capture, node: Node) -> Scores:
    """aten.mul or aten.div of scores by a number, or one for each head."""
    a, b = c.arg(node, 0), c.arg(node, 1)
    divide = node.target is torch.ops.aten.div.Tensor
    scores, factor = (b, a) if isinstance(b, Scores) and not divide else (a, b)
    if not isinstance(factor, int | float | Tensor):
        raise Declined("attention scores can be scaled by numbers")
    scores = unsettled(scores)
    factors = scores.by_score(torch.as_tensor(factor, dtype=torch.float32))
    if not torch.equal(factors, factors[:, :1, :1].expand_as(factors)):
        raise Declined("attention scores can be scaled by a number, or one for each head")
    each = 1 / factors[:, :1, :1] if divide else factors[:, :1, :1]
    bias = None if scores.bias is None else scores.bias * each
    return replace(scores, scale=scores.scale * each.flatten(), bias=bias)


def fill(c: Capture, node: Node) -> Scores:
    """aten.masked_fill of scores where a constant is true."""
    scores, mask, value = unsettled(c.arg(node, 0)), c.arg(node, 1), float(c.arg(node, 2))
    if not isinstance(mask, Tensor) or value > HIDES:
        raise Declined("attention scores can be hidden where a constant says so, by a large negative value")
    return scores.biased(mask.float() * HIDDEN)


def rearrange(c: Capture, node: Node) -> Scores:
    """A view of scores that keeps queries and keys as its last axes, or turns them."""
    scores = c.arg(node, 0)
    if not isinstance(scores, Scores):
        raise Declined(NO_SCORES)
    args, kwargs = map_arg((node.args[1:], node.kwargs), lambda n: c.values[n.name])
    ids = torch.arange(math.prod(scores.shape)).reshape(scores.shape)
    made = node.target(ids, *args, **kwargs)  # type: ignore[operator]
    inner = torch.arange(math.prod(scores.size)).reshape(scores.shape[-2:])
    for turned, within in ((False, inner), (True, inner.T)):
        if isinstance(made, Tensor) and made.ndim > 1 and made.shape[-2:] == within.shape:
            order = made[..., :1, :1] // inner.numel()
            if torch.equal(made, order * inner.numel() + within):
                return scores.chosen(order.flatten(), tuple(made.shape[:-2]), scores.turned ^ turned)
    raise Declined("attention scores must stay queries by keys")


def softmax(c: Capture, node: Node) -> Scores:
    """aten.softmax of scores over keys."""
    scores, axis = c.arg(node, 0), int(c.arg(node, 1))
    if not isinstance(scores, Scores) or scores.softmax:
        raise Declined("softmax must run over the keys of attention scores")
    last = axis in (-1, len(scores.shape) - 1)
    if not last and axis not in (-2, len(scores.shape) - 2):
        raise Declined("softmax must run over the keys of attention scores")
    if last is scores.turned:  # what were queries are the keys
        bias = None if scores.bias is None else scores.bias.transpose(1, 2)
        scores = replace(scores, query=scores.key, key=scores.query, bias=bias, turned=not scores.turned)
    return replace(scores, softmax=True)


def hidden(mask: Tensor) -> Tensor:
    """A mask of scaled_dot_product_attention as a bias."""
    if mask.dtype is torch.bool:
        return torch.where(mask, 0.0, HIDDEN)
    return mask.float()


@dataclass(frozen=True, eq=False)
class Arranged:
    """Queries, keys and values as an attention layer takes them. maps, channels: of the three, channels [heads, size]
    or -1 for zero. patch: whose positions are the sequences. scales: by head. bias: [1 or sequences, queries, heads,
    keys]. index: of the result by instance, in a map of heads x size channels with `grid`."""

    maps: tuple[str, str, str]
    channels: tuple[Tensor, Tensor, Tensor]
    patch: tuple[int, int]
    scales: Tensor
    bias: Tensor | None
    index: Tensor


def arrange(c: Capture, name: str, scores: Scores, value: View) -> Arranged:
    """What the views of an attention show: sequences of pixels, heads of channels. Raises GraphError."""
    values = value.index.expand(*scores.lead, *value.index.shape[-2:]).reshape(-1, *value.index.shape[-2:])
    views = [_pixelwise(c, v) for v in (scores.query, scores.key, View(value.fmap, values))]
    pixels, channels = ([_pixels(c, v)[which] for v in views] for which in (0, 1))  # type: ignore[index]
    (_, heads), (_, sequences) = _numbered(channels[0]), _numbered(torch.cat(pixels, 1))
    count, many = int(heads.max()) + 1, int(sequences.max()) + 1
    where = torch.full((many, count), -1)
    where[sequences, heads] = torch.arange(len(heads))
    if len(heads) != many * count or bool((where < 0).any()):
        raise GraphError("every sequence of attention must be in all heads, once")
    first = where[0]
    if any(not torch.equal(ch, ch[first][heads]) for ch in channels):
        raise GraphError("the heads of attention must be the same channels in every sequence")
    dim = max(ch.shape[1] for ch in channels)
    picked = tuple(torch.nn.functional.pad(ch[first], (0, dim - ch.shape[1]), value=-1) for ch in channels)
    scales = scores.scale[first]
    if not torch.equal(scores.scale, scales[heads]):
        raise GraphError("attention scores must be scaled alike in every sequence")
    order = [p[where[:, 0]] for p in pixels]  # [sequences, tokens]
    patch, maps = _placed(c, name, [v.fmap for v in views], order, scores.bias is not None)
    bias = None
    if scores.bias is not None:
        bias = scores.bias[where].transpose(1, 2)  # [sequences, queries, heads, keys]
        bias = bias[:1] if bool((bias == bias[:1]).all()) else bias
    tokens = order[0] if maps[0] == views[0].fmap else torch.arange(order[0].numel())
    token = tokens.reshape(many, -1)[sequences]
    within = heads[:, None, None] * dim + torch.arange(views[2].index.shape[2])
    return Arranged(maps, picked, patch, scales, bias, token[:, :, None] * (count * dim) + within)  # type: ignore[arg-type]


def _placed(
    c: Capture, name: str, maps: list[str], order: list[Tensor], biased: bool
) -> tuple[tuple[int, int], tuple[str, str, str]]:
    """The patch whose positions are the sequences, and the maps in which they are: as they lie, or gathered."""
    many = len(order[0])
    shapes = [c.shapes[m] for m in maps]
    whole = [torch.equal(p.flatten().sort().values, torch.arange(len(s))) for p, s in zip(order, shapes, strict=True)]
    alike = all(torch.equal(p, order[0]) for p in order) and len({(s.height, s.width) for s in shapes}) == 1
    if alike and whole[0] and not biased:
        try:
            return patch_of(order[0], shapes[0]), (maps[0], maps[1], maps[2])
        except GraphError:
            pass
    out = []
    for role, fmap, pixels, shape, all_of in zip(("query", "key", "value"), maps, order, shapes, whole, strict=True):
        natural = torch.equal(pixels.flatten(), torch.arange(len(shape)))
        pairs = torch.equal(order[1], order[2])  # keys may come in any order, with their values
        free = role != "query" and not biased and pairs and whole[1] and whole[2] and shapes[1] == shapes[2]
        if many == 1 and all_of and (natural or free):
            out.append(fmap)
            continue
        flat = pixels.flatten()
        out.append(gathered(c, f"{name}.{role}", [fmap], torch.zeros_like(flat), flat, (many, pixels.shape[1])))
    return (many, 1), (out[0], out[1], out[2])


def _numbered(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows by their first appearance, and the number of each row."""
    _, inverse = torch.unique(rows, dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(rows)).scatter_reduce(0, inverse, torch.arange(len(rows)), "amin")
    rank = torch.empty_like(first)
    rank[first.argsort()] = torch.arange(len(first))
    return first.sort().values, rank[inverse]


def _pixels(c: Capture, view: View) -> tuple[Tensor, Tensor] | None:
    """Pixels [instances, tokens] and channels [instances, head size], if every token is one pixel."""
    channels = c.shapes[view.fmap].channels
    pixels, channel = view.index[:, :, 0] // channels, view.index[:, 0] % channels
    shown = torch.equal(view.index, pixels[:, :, None] * channels + channel[:, None])
    return (pixels, channel) if shown else None


def _pixelwise(c: Capture, view: View) -> View:
    """The view, of a map whose pixels are tokens."""
    if _pixels(c, view) is not None:
        return view
    try:
        made = c.whole_map(View(view.fmap, view.index[None].permute(0, 3, 1, 2)))
    except GraphError:
        raise GraphError(f"the tokens of attention are no pixels of '{view.fmap}'") from None
    return View(made, torch.arange(view.index.numel()).reshape(view.index.shape))
