"""Fine-tuning with replay in the loop: whole sequences in which MLP outputs are replayed as decoding would.

In each step a share of the MLPs of frames 2 and later is replayed in every layer, chosen by a score; the same share in
all layers, another in every step, none in some. A gate has no gradient: it is part of the data. (Gradients straight
through it drove every layer's output to a constant.) The loss is the tokens' cross-entropy, the distance from what the
network said before it was tuned, dense, and for choosers by TAS the alignment of the score with what it should tell:
whether the MLP's output lies nearer to that of a frame before than the median.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.golden.fastcar.config import Chooser
from triptych.golden.fastcar.decoder import Decoder, Front, Layer, replay_score

ALIGN = 0.05  # weight of the alignment, a layer
DENSE_STEPS = 0.15  # share of steps without replay
SHARES = (0.1, 0.9)

Pass = Callable[[Tensor], Front]
Mlp = Callable[[Tensor], Tensor]
Batch = tuple[Tensor, Tensor]  # tokens (b, context), conditions (b,)


@dataclass
class Runner:
    """Training passes of a decoder; `compiled`: its two halves of a layer, attention and MLP, through torch.compile."""

    model: Decoder
    compiled: bool

    def __post_init__(self) -> None:
        def front(layer: Layer) -> Pass:
            return lambda x: layer.front(x, self.model.cos, self.model.sin)

        layers = [layer for layer in self.model.layers if isinstance(layer, Layer)]
        self.fronts: list[Pass] = [front(layer) for layer in layers]
        self.mlps: list[Mlp] = [layer.mlp for layer in layers]
        if self.compiled:
            self.fronts = [torch.compile(f, dynamic=False) for f in self.fronts]
            self.mlps = [torch.compile(m, dynamic=False) for m in self.mlps]

    def dense(self, kinds: Tensor, tokens: Tensor) -> Tensor:
        """Logits (b, t, tokens)."""
        x = self.model.table()[self.model.inputs(kinds, tokens)]
        for front, mlp in zip(self.fronts, self.mlps, strict=True):
            middle = front(x).middle
            x = middle + mlp(middle)
        return self.model.logits(x)

    def replayed(self, kinds: Tensor, tokens: Tensor, chooser: Chooser, share: float) -> tuple[Tensor, Tensor]:
        """Logits, and the alignment loss (zero for distances), with a share replayed in every layer."""
        frame = self.model.config.layer.frame_tokens
        x = self.model.table()[self.model.inputs(kinds, tokens)]
        loss = x.new_zeros((), dtype=torch.float32)
        for front, mlp in zip(self.fronts, self.mlps, strict=True):
            seen = front(x)
            delta = mlp(seen.middle)
            score = training_score(chooser, seen, frame)
            if not chooser.is_distance:
                loss = loss + ALIGN * alignment(score, delta, frame)
            if share > 0:
                flat = score.detach().flatten()
                level = flat.sort().values[min(len(flat) - 1, int(len(flat) * (1 - share)))]
                delta = chained(delta, score.detach() > level, frame)
            x = seen.middle + delta
        return self.model.logits(x), loss


def training_score(chooser: Chooser, seen: Front, frame: int) -> Tensor:
    """(b, t - frame) float32, larger replays. A distance has no gradient, and its ties are broken at random."""
    if not chooser.is_distance:
        query = seen.q if chooser is Chooser.PUBLISHED else seen.q_after
        return replay_score(chooser, query[:, :, frame:].float(), seen.k_after[:, :, :-frame].float())
    what = (seen.v if chooser is Chooser.VALUE else seen.k).detach().float()
    far = replay_score(chooser, what[:, :, frame:], what[:, :, :-frame])
    return far - 1e-4 * far.std() * torch.rand_like(far)


def alignment(score: Tensor, delta: Tensor, frame: int) -> Tensor:
    """Cross-entropy of the standardised score (b, t - frame) against "nearer than the median" of delta (b, t, w)."""
    d = delta.detach().float()
    distance = (d[:, frame:] - d[:, :-frame]).norm(dim=-1) / d[:, frame:].norm(dim=-1).clamp(min=1e-6)
    near = (distance < distance.median()).float()
    flat = score.detach().flatten()
    return F.binary_cross_entropy_with_logits((score - flat.median()) / (flat.std() + 1e-6), near)


def chained(delta: Tensor, replays: Tensor, frame: int) -> Tensor:
    """(b, t, w) as the ring gives them: what each place computed last. replays: bool (b, t - frame)."""
    b, t, width = delta.shape
    frames = delta.view(b, -1, frame, width)
    gate = replays.view(b, -1, frame, 1)
    ring, out = frames[:, 0], [frames[:, 0]]
    for f in range(1, frames.shape[1]):
        ring = torch.where(gate[:, f - 1], ring, frames[:, f])
        out.append(ring)
    return torch.stack(out, 1).view(b, t, width)


def tuning_loss(
    runner: Runner, teacher: Runner, choosers: list[Chooser], draw: Callable[[], Batch],
    token_loss: Callable[[Tensor, Tensor], Tensor], seed: int,
) -> Callable[[float], Tensor]:  # fmt: skip
    """One batch's loss, for `train.train`. choosers take turns at random; none: no replay, to compare with."""
    frame = runner.model.config.layer.frame_tokens
    random = np.random.default_rng(seed)

    def loss(_: float) -> Tensor:
        tokens, kinds = draw()
        share = 0.0 if random.random() < DENSE_STEPS else random.uniform(*SHARES)
        if choosers:
            chooser = choosers[random.integers(len(choosers))]
            logits, aligned = runner.replayed(kinds, tokens, chooser, share)
        else:
            logits, aligned = runner.dense(kinds, tokens), torch.zeros((), device=tokens.device)
        with torch.no_grad():
            want = teacher.dense(kinds, tokens)[:, frame:].float().log_softmax(-1)
        got = logits[:, frame:].float().log_softmax(-1)
        distance = (want.exp() * (want - got)).sum(-1).mean()
        return token_loss(logits, tokens) + distance + aligned

    return loss
