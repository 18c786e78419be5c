"""Many videos at once in exact integers, on a CPU or a GPU: bit for bit what `integer.layer_step` makes of each.

Tensors of PyTorch, videos along the first axis, then positions of one frame: all of them where tokens are given
(studies in context, levels), a single one when the model runs free. Sums of products go through floating point where it
is exact. Every row decides alone. The MLP of a replayed row is computed here and dropped: this is for studies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from triptych.golden.fastcar.config import Chooser
from triptych.golden.fastcar.integer import (
    PROBABILITY_MAX,
    ROPE_FRACTION,
    ROPE_GUARD,
    Linear,
    probabilities,
    rope_tables,
)
from triptych.golden.fastcar.model import IntegerModel
from triptych.golden.fastcar.silu import silu
from triptych.golden.quartdepth.arithmetic.functions import ROW, RSQRT_BASE

RANDOM = len(Chooser)  # beside the choosers: draws of 0..2^30 - 1
DRAWS = 1 << 30
NEVER = 1 << 40


def rs(value: Tensor, shift: Tensor | int) -> Tensor:
    """Rounding shift of int64, counts clamped to 0..47."""
    count = torch.as_tensor(shift, device=value.device).clamp(0, 47)
    return (value + ((torch.ones_like(count) << count) >> 1)) >> count


def sat(value: Tensor, bits: int) -> Tensor:
    """Saturated to a signed integer of so many bits."""
    return value.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def scale_pair(table: Tensor, y: Tensor, root: bool) -> tuple[Tensor, Tensor]:
    """e and m of RECIP or (root) RSQRT of int64, positive int32 values; table: (segments, 3) of `ROW`."""
    positive = y.clamp(min=1)
    n = torch.frexp(positive.double())[1].long() - 1
    behind = (positive << (31 - n)) & 0x7FFF_FFFF
    segment = RSQRT_BASE + ((n & 1) << 4) + (behind >> 27) if root else behind >> 26
    t = (behind >> (14 if root else 13)) & 8191
    c0, c1, c2 = table[segment].unbind(-1)
    v = c0 + (c1 + rs(c2 * t, ROW.h_shift)) * t
    return 15 + (n >> 1 if root else n), rs(v, ROW.v_shift).clamp(16384, 32767)


@dataclass
class Scores:
    """What choosers see of a chunk: products of each head (rows, n, heads), distances (rows, n); int64."""

    published: Tensor
    consistent: Tensor
    value: Tensor
    key: Tensor

    def of(self, chooser: Chooser, weights: Tensor) -> Tensor:
        """(rows, n), larger replays. weights: int64 (heads,), of HEADS."""
        if chooser.is_distance:
            return self.value if chooser is Chooser.VALUE else self.key
        if chooser is Chooser.HEADS:
            return (self.consistent * weights).sum(-1)
        return (self.published if chooser is Chooser.PUBLISHED else self.consistent).sum(-1)


@dataclass
class Memory:
    """Of one layer: keys float32 and values float64 (rows, kv_heads, context, head_dim), ring int64 (rows, frame,
    width). All hold integers."""

    keys: Tensor
    values: Tensor
    ring: Tensor


@dataclass
class Way:
    """How rows choose: `chooser` int64 (rows,), a Chooser or RANDOM; levels int64 (layers, rows), a score above it
    replays. window, sink: what attention sees, 0: all."""

    chooser: Tensor
    levels: Tensor
    window: int = 0
    sink: int = 0

    @classmethod
    def dense(cls, layers: int, rows: int, device: str | torch.device, window: int = 0, sink: int = 0) -> Way:
        """Nobody replays."""
        return cls(
            torch.zeros(rows, dtype=torch.int64, device=device),
            torch.full((layers, rows), NEVER, dtype=torch.int64, device=device), window, sink,
        )  # fmt: skip

    @classmethod
    def uniform(cls, chooser: Chooser, levels: list[int], rows: int, device: str | torch.device) -> Way:
        """The same for every row."""
        level = torch.tensor(levels, dtype=torch.int64, device=device)[:, None].expand(-1, rows)
        return cls(torch.full((rows,), int(chooser), dtype=torch.int64, device=device), level)

    @classmethod
    def random(cls, shares: Tensor) -> Way:
        """Draws that replay the shares (layers, rows)."""
        chooser = torch.full((shares.shape[1],), RANDOM, dtype=torch.int64, device=shares.device)
        return cls(chooser, ((1 - shares.double()) * DRAWS).round().long() - 1)


class _Projection:
    def __init__(self, linear: Linear, device: str | torch.device) -> None:
        self.weight = torch.from_numpy(linear.exact).to(device)
        self.multiplier = torch.from_numpy(linear.multiplier.astype(np.int64)).to(device)
        self.shift = torch.from_numpy(linear.shift.astype(np.int64)).to(device)

    def __call__(self, x: Tensor) -> Tensor:
        return rs((x.float() @ self.weight).long() * self.multiplier, self.shift)


Observer = Callable[
    [int, Scores, Tensor], None
]  # layer, scores of all later frames, what its MLPs made (rows, t, width)


class Batched:
    """The integer model on a device."""

    def __init__(self, model: IntegerModel, device: str | torch.device = "cpu") -> None:
        torch.backends.cuda.matmul.allow_tf32 = False
        self.model, self.device, self.config = model, torch.device(device), model.config
        self.frame = model.config.layer.frame_tokens

        def put(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array).astype(np.int64)).to(self.device)

        self.embedding = put(model.embedding)
        names = ("q", "k", "v", "o", "gate", "up", "down")
        self.linears = [{n: _Projection(getattr(layer, n), self.device) for n in names} for layer in model.layers]
        self.gains = [(put(layer.attention_gain), put(layer.mlp_gain)) for layer in model.layers]
        self.head_weights = [put(layer.head_weights) for layer in model.layers]
        self.final_gain, self.head = put(model.final_gain), _Projection(model.head, self.device)
        self.cos, self.sin = (put(t) for t in rope_tables(model.config.layer))
        self.probability = put(probabilities()).int()
        self.row_table = put(np.array(ROW.table))
        self.silu = put(silu(np.arange(-(1 << 15), 1 << 15)))
        assert int(self.probability[0]) == PROBABILITY_MAX

    def memory(self, rows: int) -> Memory:
        """Of one layer, empty."""
        c = self.config.layer
        cache = (rows, c.kv_heads, c.context, c.head_dim)
        return Memory(
            torch.zeros(cache, device=self.device),
            torch.zeros(cache, device=self.device, dtype=torch.float64),
            torch.zeros(rows, self.frame, c.width, device=self.device, dtype=torch.int64),
        )

    def norm(self, x: Tensor, gain: Tensor, shift: int) -> Tensor:
        """`integer.rms_norm` of int64 (..., n)."""
        squares = (x * x).sum(-1, keepdim=True)
        bits = torch.frexp(squares.double())[1].long()
        half = ((bits - 31).clamp(min=0) + 1) // 2
        e, m = scale_pair(self.row_table, squares >> (2 * half), root=True)
        return sat(rs(x * m * gain, e + half + shift), 8)

    def _rope(self, v: Tensor, first: int) -> Tensor:
        """(rows, n, heads, head_dim) int16 values, turned by positions `first`..."""
        n = v.shape[1]
        cos, sin = (t[first : first + n, None] for t in (self.cos, self.sin))
        even, odd = v[..., 0::2], v[..., 1::2]
        turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
        return sat(rs(turned, ROPE_FRACTION + ROPE_GUARD), 8)

    def front(self, i: int, memory: Memory, x: Tensor, position: int, way: Way) -> tuple[Tensor, Scores | None]:
        """Layer i up to its MLP, for positions `position`... of one frame: x int64 (rows, n, width) to the stream
        behind attention, and the scores, from the second frame on. Keys and values are stored."""
        c, layer, linear = self.config.layer, self.model.layers[i], self.linears[i]
        rows, n, _ = x.shape
        normed = self.norm(x, self.gains[i][0], layer.attention_norm_shift)
        q = sat(linear["q"](normed), 16).view(rows, n, c.heads, c.head_dim)
        k = sat(linear["k"](normed), 16).view(rows, n, c.kv_heads, c.head_dim)
        v = sat(linear["v"](normed), 8).view(rows, n, c.kv_heads, c.head_dim)
        q_after = self._rope(q, position)
        memory.keys[:, :, position : position + n] = self._rope(k, position).transpose(1, 2).float()
        memory.values[:, :, position : position + n] = v.transpose(1, 2).double()
        scores = None
        if position >= self.frame:
            first = position - self.frame
            old_k, old_v = (
                t[:, :, first : first + n].transpose(1, 2).long() for t in (memory.keys, memory.values)
            )  # (rows, n, kv_heads, head_dim)
            wide = old_k.repeat_interleave(c.heads // c.kv_heads, 2)
            scores = Scores(
                (sat(rs(q, ROPE_GUARD), 8) * wide).sum(-1), (q_after * wide).sum(-1),
                -((v - old_v) ** 2).sum((2, 3)), -((self._rope(k, first) - old_k) ** 2).sum((2, 3)),
            )  # fmt: skip
        attended = self._attention(layer.score_multiplier, layer.score_shift, layer.attention_shift, memory, q_after,
                                   position, way)  # fmt: skip
        return sat(x + sat(linear["o"](attended), 16), 16), scores

    def _attention(
        self, multiplier: int, shift: int, out_shift: int, memory: Memory, q: Tensor, position: int, way: Way
    ) -> Tensor:
        c = self.config.layer
        rows, n = q.shape[:2]
        end = position + n
        keys, values = memory.keys[:, :, None, :end], memory.values[:, :, None, :end]
        grouped = q.transpose(1, 2).reshape(rows, c.kv_heads, -1, n, c.head_dim).float()
        score = grouped @ keys.transpose(-1, -2)  # (rows, kv_heads, group, n, end), exact
        at, j = torch.arange(position, end, device=self.device)[:, None], torch.arange(end, device=self.device)
        hidden = j > at
        if way.window:
            hidden = hidden | ((j <= at - way.window) & (j >= way.sink))
        score.masked_fill_(hidden, -torch.inf)
        behind = (score - score.amax(-1, keepdim=True)).clamp_(min=-float(1 << 30)).long()
        octaves = sat(rs(behind * multiplier, shift), 16)
        p = self.probability[-octaves].double().masked_fill_(hidden, 0)
        e, m = scale_pair(self.row_table, p.sum(-1, keepdim=True).long(), root=False)
        out = sat(rs((p @ values).long() * m, e - out_shift), 8)
        return out.reshape(rows, -1, n, c.head_dim).transpose(1, 2).reshape(rows, n, -1)

    def mlp(self, i: int, middle: Tensor) -> Tensor:
        """What layer i's MLP adds to int64 (rows, n, width)."""
        layer, linear = self.model.layers[i], self.linears[i]
        normed = self.norm(middle, self.gains[i][1], layer.mlp_norm_shift)
        gate, up = (sat(linear[name](normed), 16) for name in ("gate", "up"))
        return sat(linear["down"](sat(rs(self.silu[gate + (1 << 15)] * up, layer.swiglu_shift), 8)), 16)

    def choose(self, i: int, scores: Scores, way: Way, random: torch.Generator | None) -> Tensor:
        """bool (rows, n): who replays."""
        out = torch.zeros_like(scores.value, dtype=torch.bool)
        for number in way.chooser.unique().tolist():
            mine = way.chooser == number
            if number == RANDOM:
                shape = scores.value.shape
                score = torch.randint(DRAWS, shape, generator=random, device=self.device)
            else:
                score = scores.of(Chooser(number), self.head_weights[i])
            out |= (score > way.levels[i][:, None]) & mine[:, None]
        return out

    def logits(self, x: Tensor) -> Tensor:
        """int64 (..., tokens) in Q10 of the last layer's output."""
        return self.head(self.norm(x, self.final_gain, self.model.final_norm_shift))

    def context(
        self, conditions: Tensor, tokens: Tensor, way: Way | Callable[[int, Scores], Way], seed: int = 7,
        observe: Observer | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """What the model answers at each position of given tokens int64 (rows, t), t whole frames: its choices
        (rows, t), and who replayed, bool (layers, rows, t). way: or a function of a layer and its scores over all later
        frames, from which the layer's levels come."""
        tokens = tokens.to(self.device)
        entries = torch.cat([conditions.to(self.device)[:, None] + self.config.tokens, tokens[:, :-1]], 1)
        rows, t = tokens.shape
        x = self.embedding[entries]
        random = torch.Generator(self.device).manual_seed(seed)
        fixed = way if isinstance(way, Way) else Way.dense(self.config.layers, rows, self.device)
        replayed = torch.zeros(self.config.layers, rows, t, dtype=torch.bool, device=self.device)
        for i in range(self.config.layers):
            memory = self.memory(rows)
            middles, seen = [], []
            for first in range(0, t, self.frame):
                middle, scores = self.front(i, memory, x[:, first : first + self.frame], first, fixed)
                middles.append(middle)
                seen += [scores] if scores else []
            scores = Scores(*(torch.cat([getattr(s, n) for s in seen], 1) for n in Scores.__dataclass_fields__))
            mine = way if isinstance(way, Way) else way(i, scores)
            replayed[i, :, self.frame :] = self.choose(i, scores, mine, random)
            out, deltas = [], []
            for f, middle in enumerate(middles):
                delta = self.mlp(i, middle)
                deltas.append(delta)
                keep = replayed[i, :, f * self.frame : (f + 1) * self.frame, None]
                memory.ring = torch.where(keep, memory.ring, delta)
                out.append(sat(middle + memory.ring, 16))
            if observe:
                observe(i, scores, torch.cat(deltas, 1))
            x = torch.cat(out, 1)
        answers = [self.logits(part).argmax(-1) for part in x.split(self.frame, 1)]
        return torch.cat(answers, 1), replayed

    def free(self, conditions: Tensor, given: Tensor, way: Way, length: int, seed: int = 7) -> tuple[Tensor, Tensor]:
        """Greedy decoding that goes on from given tokens int64 (rows, n): tokens (rows, length), and who replayed."""
        rows, n = given.shape
        random = torch.Generator(self.device).manual_seed(seed)
        memories = [self.memory(rows) for _ in self.linears]
        tokens = torch.zeros(rows, length, dtype=torch.int64, device=self.device)
        tokens[:, :n] = given.to(self.device)
        replayed = torch.zeros(len(memories), rows, length, dtype=torch.bool, device=self.device)
        entries = torch.zeros(rows, length + 1, dtype=torch.int64, device=self.device)
        entries[:, 0] = conditions.to(self.device) + self.config.tokens
        entries[:, 1 : n + 1] = tokens[:, :n]
        position = 0
        while position < length:
            whole = position % self.frame == 0 and position + self.frame <= n
            here = slice(position, position + (self.frame if whole else 1))
            x = self._through(memories, self.embedding[entries[:, here]], here, way, random, replayed)
            if position >= n:
                tokens[:, position] = entries[:, position + 1] = self.logits(x)[:, 0].argmax(-1)
            position = here.stop
        return tokens, replayed

    def _through(
        self, memories: list[Memory], x: Tensor, here: slice, way: Way, random: torch.Generator, replayed: Tensor
    ) -> Tensor:
        """Positions `here` of one frame through all layers; notes who replayed."""
        slots = slice(here.start % self.frame, here.start % self.frame + here.stop - here.start)
        for i, memory in enumerate(memories):
            middle, scores = self.front(i, memory, x, here.start, way)
            delta = self.mlp(i, middle)
            if scores:
                replayed[i, :, here] = self.choose(i, scores, way, random)
                delta = torch.where(replayed[i, :, here, None], memory.ring[:, slots], delta)
            memory.ring[:, slots] = delta
            x = sat(middle + delta, 16)
        return x
