"""Teaching on a stream of frames: the quantised network learns to be its float twin on pictures without end.

Reconstruction (`reconstruct.py`) sees the calibration images alone, and moves weights alone. Here every step sees new
frames, of which nothing is known but what the float network says, and what moves are the weights' codes, their scales,
the biases and the step of every four-bit code (Esser et al. 2020), by gradient straight through all roundings. Beside
the output, maps on the way are held to the float network's: what is learnt on the frames at hand must serve others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Range, Rounded
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import QParams
from triptych.golden.quartdepth.network.quantize import quantize_ranges
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.centre import LARGEST, offset_codes
from triptych.golden.quartdepth.ptq.objective import Judge
from triptych.golden.quartdepth.ptq.reconstruct import Student, Teaching
from triptych.golden.quartdepth.ptq.simulate import simulate
from triptych.golden.quartdepth.train.steps import RecordedStep, own_stream

LEVEL = 0.3  # what a factor common to a whole picture counts beside its shape
SLOPES = 0.5  # what the slopes of the error count, at each scale


@dataclass(frozen=True)
class Lessons:
    """`steps` fix the length, or `seconds` do. Rates: of weight codes in codes, of the others relative. maps: what the
    maps on the way count; early: so many times that those of the first quarter of them do. scales: at which
    slopes of the output's error count. warm_up: steps."""

    steps: int | None = None
    seconds: float = 330.0
    code_rate: float = 0.004
    scale_rate: float = 5e-4
    bias_rate: float = 1e-3
    step_rate: float = 5e-4
    maps: float = 6.0
    early: float = 1.0
    scales: int = 1
    warm_up: int = 100


def _coded(x: Tensor, size: Tensor, levels: Tensor, thresholds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What x [N] means after a code of this size, where it lies within its levels, how its error depends on size."""
    v = x / size
    y = levels[torch.bucketize(v, thresholds, out_int32=True, right=True)] * size
    inside = (v >= levels[0]) & (v <= levels[-1])
    return y, inside, torch.where(inside, y - x, y).bfloat16()


def _even(x: Tensor, size: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for levels evenly apart, `size` times low..high."""
    q = torch.floor(x / size + 0.5)
    inside = (q >= low) & (q <= high)
    y = q.clamp(low, high) * size
    return y, inside, torch.where(inside, y - x, y).bfloat16()


def _passed(gradient: Tensor, inside: Tensor) -> Tensor:
    return gradient * inside


def _passed_and_summed(gradient: Tensor, inside: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    return gradient * inside, (gradient * rest).sum()


def _difference(y: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Mean square of y - true over the variance of `true`, and that variance."""
    variance = true.var()
    return (y - true).square().mean() / variance, variance


def _difference_back(y: Tensor, true: Tensor, factor: Tensor) -> Tensor:
    return (y - true) * factor


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=True)


def _on(device: torch.device, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is, on a CUDA device as one kernel: a step is some ten thousand small ones without."""
    return _compiled(function) if device.type == "cuda" else function


class _Code(torch.autograd.Function):
    """What x means after a code whose step is `exp(log)` times as large; differentiable by x and log."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, log: Tensor, scale: Tensor, rule: Callable[..., Any], *terms: Tensor) -> Tensor:
        flat = x.contiguous().view(-1)
        y, inside, rest = _on(x.device, rule)(flat, log.exp() * scale, *terms)
        ctx.save_for_backward(inside, *([rest] if ctx.needs_input_grad[1] else []))
        return cast(Tensor, y.view(x.shape))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (inside, *rest) = gradients, ctx.saved_tensors
        flat, by_log = gradient.contiguous().view(-1), None
        if rest:
            by_x, by_log = _on(flat.device, _passed_and_summed)(flat, inside, *rest)
        else:
            by_x = _on(flat.device, _passed)(flat, inside)
        return by_x.view(gradient.shape), by_log, None, None, *[None] * (len(ctx.needs_input_grad) - 4)


class _Apart(torch.autograd.Function):
    """Mean square of y - true over the variance of `true`; differentiable by y."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, true: Tensor) -> Tensor:
        a, b = y.contiguous().view(-1), true.contiguous().view(-1)
        share, variance = _on(y.device, _difference)(a, b)
        ctx.save_for_backward(a, b, variance)
        ctx.shape = y.shape
        return cast(Tensor, share)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        a, b, variance = ctx.saved_tensors
        factor = gradients[0] * (2 / a.numel()) / variance
        return _on(a.device, _difference_back)(a, b, factor).view(ctx.shape), None


def _widen(found: dict[str, Range], name: str, x: Tensor) -> None:
    low, high = (float(v) for v in torch.aminmax(x))
    old = found.get(name, (low, high))
    found[name] = min(low, old[0]), max(high, old[1])


def movable(graph: FloatGraph, codes: Mapping[str, QParams]) -> list[str]:
    """The maps whose steps may move: of four bits, and of no layer that copies codes."""
    tied = {name for layer in graph.layers for name in layer.copies}
    tied |= {layer.name for layer in graph.layers if layer.copies}
    return [name for name, q in codes.items() if q.bits == 4 or q.narrow if name not in tied and name != graph.input]


class Learner(Student):
    """A network whose weights and steps move. codes: of all maps. graph: its float twin, on the device."""

    def __init__(
        self, graph: FloatGraph, rounded: Mapping[str, Rounded], codes: Mapping[str, QParams], lessons: Lessons,
        top: int, latent: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        """latent: weight codes before their rounding, of a run to go on from."""
        super().__init__(graph, rounded, Teaching(0, top=top))
        self.graph, self.known, self.lessons = graph, dict(codes), lessons
        device = graph.device
        with torch.no_grad():  # a code starts where the weight lies, as far as it then rounds to what was chosen
            for layer in self.layers:
                r = rounded[layer.name]
                if latent is not None:
                    self.codes[layer.name].copy_(latent[layer.name])
                    continue
                real = layer.weight / layer.by_output(r.scale)
                self.codes[layer.name].copy_(real.clamp(r.codes - 0.49, r.codes + 0.49))
        self.moving = movable(graph, codes)
        self.logs = {name: torch.zeros((), device=device) for name in codes}
        for name in self.moving:
            self.logs[name].requires_grad_(True)
        one = torch.ones((), device=device)
        self.rules: dict[str, tuple[Tensor, Callable[..., Any], tuple[Tensor, ...]]] = {}
        for name, q in codes.items():
            if q.table is not None:
                levels = (torch.tensor(q.table.entries, device=device, dtype=torch.float32) - q.zero) * q.scale
                thresholds = torch.tensor(q.table.thresholds, device=device, dtype=torch.float32)
                self.rules[name] = one, _coded, (levels, (thresholds - q.zero - 0.5) * q.unit)
            elif q.bits != 16:
                low, high = (torch.tensor(float(v - q.zero), device=device) for v in q.limits)
                self.rules[name] = torch.tensor(q.scale, device=device), _even, (low, high)
        still = replace(graph, constants={n: self.coded(n, c).detach() for n, c in graph.constants.items()})
        self.coded_graph = still
        rates = (lessons.code_rate, lessons.scale_rate, lessons.bias_rate, lessons.step_rate)
        parts = (self.codes, self.scales, self.biases, {name: self.logs[name] for name in self.moving})
        cuda = device.type == "cuda"
        groups = [
            {"params": list(part.values()), "lr": torch.zeros((), device=device), "top": rate}
            for part, rate in zip(parts, rates, strict=True) if part
        ]  # fmt: skip
        self.optimizer = torch.optim.Adam(groups, fused=cuda, capturable=cuda)

    def coded(self, name: str, x: Tensor) -> Tensor:
        """What a map means after its code."""
        if name not in self.rules:
            return x
        scale, rule, terms = self.rules[name]
        return cast(Tensor, _Code.apply(x, self.logs[name], scale, rule, *terms))

    def run(self, image: Tensor, seen: Callable[[str, Tensor], None] = lambda name, y: None,
            inner: Callable[[str, Tensor], None] | None = None) -> Tensor:  # fmt: skip
        """The output for pictures [B,C,H,W]. seen: is shown every map before its code; inner: what layers hold."""

        def observe(name: str, y: Tensor) -> Tensor:
            seen(name, y)
            return self.coded(name, y)

        return simulate(self.coded_graph, image, None, self.weights(), observe, inner=inner)

    def codes_now(self) -> dict[str, QParams]:
        """Codes with the steps learnt."""
        out = dict(self.known)
        for name in self.moving:
            q, factor = self.known[name], float(self.logs[name].detach().exp())
            out[name] = replace(q, scale=q.scale * factor, unit=q.unit * factor if q.table is not None else q.unit)
        return out

    @torch.no_grad()
    def ranges(self, batches: Iterable[Tensor]) -> dict[str, Range]:
        """Smallest and largest value of all maps and inner tensors, in the network as it is quantised."""
        found: dict[str, Range] = {}
        for image in batches:
            _widen(found, self.graph.input, image)
            for name, constant in self.graph.constants.items():
                _widen(found, name, constant)
            self.run(image, partial(_widen, found), partial(_widen, found))
        return found

    def network(self, batches: Iterable[Tensor]) -> Network:
        """The integer network; batches of pictures show what attention and LayerNorm hold."""
        rounded = {n: Rounded(r.codes.cpu(), r.scale.cpu(), r.bias.cpu()) for n, r in self.rounded().items()}
        graph = self.graph.to(torch.device("cpu"))
        # steps that became finer would leave a LayerNorm's offset no zero point
        codes = offset_codes(graph, self.codes_now(), LARGEST)
        return quantize_ranges(graph, self.ranges(batches), Widths.W4A4, codes, (), rounded)


def shape_error(space: Tensor, target: Tensor, scales: int = 1) -> Tensor:
    """Mean error [B,1,h,w] of log depth: a picture's common factor counts `LEVEL`, slopes `SLOPES`: between neighbours,
    and of so many `scales` in all between means of 2, 4, ... pixels, in which blotches show as grain does in the first
    (Li and Snavely 2018)."""
    error = space - target
    level = error.mean((1, 2, 3), keepdim=True)
    loss = (error - level).abs().mean() + LEVEL * level.abs().mean()
    for size in (1 << scale for scale in range(scales)):
        means = F.avg_pool2d(error, size)
        across = (means[..., 1:] - means[..., :-1]).abs().mean()
        down = (means[..., 1:, :] - means[..., :-1, :]).abs().mean()
        loss = loss + SLOPES * (down + across)
    return loss


def widened(graph: FloatGraph, codes: Mapping[str, QParams], batches: Iterable[Tensor]) -> dict[str, QParams]:
    """Codes of all maps of a float network: those of four bits as they are, the others by the ranges seen in batches
    of pictures. Batches lie where the graph does."""
    found: dict[str, Range] = {}
    with torch.no_grad():
        for image in batches:
            _widen(found, graph.input, image)
            for name, constant in graph.constants.items():
                _widen(found, name, constant)
            simulate(graph, image, observe=partial(_widen, found), inner=partial(_widen, found))
    known = {name: q for name, q in codes.items() if name in graph.shapes}
    four = {name: q for name, q in known.items() if q.bits == 4 or q.narrow}
    maps = quantize_ranges(graph.to(torch.device("cpu")), found, Widths.W4A4, four, known.keys() - four.keys()).maps
    return {name: maps[name].qparams for name in graph.shapes if name in maps}


def on_the_way(codes: Mapping[str, QParams], graph: FloatGraph) -> tuple[str, ...]:
    """Maps that a learner is held to beside its output: those of eight bits, sums and what LayerNorms read."""
    return tuple(n for n, q in codes.items() if q.bits == 8 and not q.narrow and n != graph.input)


@dataclass
class Course:
    """The lessons of a learner. frames: a new batch of pictures as the graph takes them. watched: maps on the way.
    generator: whatever `frames` draws with. other: a second teacher's output for such pictures, which counts `share` of
    the output's error, the float twin the rest. parts: of a batch, gone through one after the other to save memory."""

    learner: Learner
    judge: Judge
    frames: Callable[[], Tensor]
    watched: tuple[str, ...]
    generator: torch.Generator
    other: Callable[[Tensor], Tensor] | None = None
    share: float = 0.7
    parts: int = 1

    def step(self) -> Tensor:
        """One step; the loss."""
        self.learner.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            images = self.frames().chunk(self.parts)
        losses = [self._lesson(image) for image in images]
        self.learner.optimizer.step()
        return torch.stack(losses).mean()

    def _lesson(self, image: Tensor) -> Tensor:
        """The loss of a part of a batch, whose gradients it adds."""
        learner, lessons = self.learner, self.learner.lessons
        wanted: dict[str, Tensor] = {}

        def keep(name: str, y: Tensor) -> None:
            if name in self.watched:
                wanted[name] = y

        with torch.no_grad():
            target = self.judge.space(simulate(learner.graph, image, observe=keep))
            second = None if self.other is None else self.judge.space(self.other(image))
        apart: list[Tensor] = []
        first = self.watched[: -(-len(self.watched) // 4)]

        def compare(name: str, y: Tensor) -> None:
            if name in wanted:
                share = cast(Tensor, _Apart.apply(y, wanted[name]))
                apart.append(share * lessons.early if name in first else share)

        space = self.judge.space(learner.run(image, compare))
        loss = shape_error(space, target, lessons.scales)
        if second is not None:
            loss = (1 - self.share) * loss + self.share * shape_error(space, second, lessons.scales)
        total = loss + lessons.maps * torch.stack(apart).mean() if apart and lessons.maps else loss
        (total / self.parts).backward()
        return loss.detach()

    def run(self) -> Iterator[tuple[int, float, Tensor]]:
        """(steps taken, share done, loss), step by step."""
        lessons = self.learner.lessons
        with own_stream(self.generator.device):
            step, began, taken = RecordedStep(self.step, self.generator), time.monotonic(), 0
            while True:
                spent = (time.monotonic() - began) / lessons.seconds
                done = spent if lessons.steps is None else taken / lessons.steps if lessons.steps else 1.0
                if done >= 1:
                    return
                rate = min(1.0, (taken + 1) / lessons.warm_up) * (0.5 + 0.5 * math.cos(math.pi * done))
                for group in self.learner.optimizer.param_groups:
                    group["lr"].fill_(rate * group["top"])
                loss = step()
                taken += 1
                yield taken, done, loss
