"""Random modules with attention, as networks have it."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.network.operation import Example


class _Attends(nn.Module):
    def __init__(self, heads: int, dim: int, patch: tuple[int, int], reduced: int) -> None:
        super().__init__()
        self.heads, self.patch, width = heads, patch, heads * dim
        self.first, self.qkv, self.last = nn.Conv2d(3, 8, 1), nn.Linear(8, 3 * width), nn.Linear(width, 5)
        self.reduce = nn.Conv2d(8, 8, reduced, reduced) if reduced else None

    def forward(self, x: Tensor) -> Tensor:
        (py, px), (h, w) = self.patch, x.shape[2:]
        y = self.first(x)
        t = y.reshape(8, h // py, py, w // px, px).permute(2, 4, 1, 3, 0).reshape(py * px, -1, 8)
        q, k, v = self.qkv(t).reshape(*t.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        if self.reduce is not None:  # fewer keys than queries, as SegFormer has them
            t = self.reduce(y).flatten(2).transpose(1, 2)
            _, k, v = self.qkv(t).reshape(*t.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = self.last(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y.reshape(py, px, h // py, w // px, 5).permute(4, 2, 0, 3, 1).reshape(1, 5, h, w)


class _Windows(nn.Module):
    """Swin's: windows, rolled or not, relative biases by head, masks by window."""

    def __init__(self, heads: int, dim: int, window: int, counts: tuple[int, int], shift: int, spelled: int) -> None:
        super().__init__()
        self.heads, self.dim, self.window, self.shift, self.spelled = heads, dim, window, shift, spelled
        n, width = window * window, heads * dim
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Linear(width, 8)
        self.qkv, self.head = nn.Linear(8, 3 * width), nn.Conv2d(8, 4, 1)
        self.bias = nn.Parameter(torch.randn(heads, n, n))
        hides = (torch.rand(counts[0] * counts[1], 1, n, n) < 0.3) & ~torch.eye(n, dtype=torch.bool)
        self.mask = nn.Parameter(torch.where(hides, -100.0, 0.0) if shift else torch.zeros(1, 1, n, n))

    def forward(self, x: Tensor) -> Tensor:
        n, y = self.window, self.first(x).permute(0, 2, 3, 1)
        _, h, w, c = y.shape
        t = y.roll((-self.shift, -self.shift), (1, 2)).reshape(h // n, n, w // n, n, c).transpose(1, 2)
        t = t.reshape(-1, n * n, c)
        q, k, v = self.qkv(t).reshape(len(t), n * n, 3, self.heads, self.dim).permute(2, 0, 3, 1, 4).unbind(0)
        if self.spelled == 0:
            z = nn.functional.scaled_dot_product_attention(q, k, v, self.bias + self.mask)
        elif self.spelled == 1:
            scores = (q * self.dim**-0.5) @ k.transpose(-1, -2) + self.bias
            scores = scores.view(1, -1, self.heads, n * n, n * n) + self.mask[None]
            z = scores.view(-1, self.heads, n * n, n * n).softmax(-1) @ v
        else:  # values by keys, as LeViT and EfficientViT have them
            scores = q @ k.transpose(-1, -2) * self.dim**-0.5 + self.bias + self.mask
            z = (v.transpose(-1, -2) @ scores.softmax(-1).transpose(-1, -2)).transpose(-1, -2)
        t = self.last(z.transpose(1, 2).flatten(2)).reshape(h // n, w // n, n, n, 8).transpose(1, 2)
        y = y + t.reshape(1, h, w, 8).roll((self.shift, self.shift), (1, 2))
        out: Tensor = self.head(y.permute(0, 3, 1, 2))
        return out


class _Tokens(nn.Module):
    """BEiT's and CaiT's: a class token, biases by head, sizes of values apart, a query of the class alone."""

    def __init__(self, heads: int, dims: tuple[int, int], tokens: int, kind: int) -> None:
        super().__init__()
        self.heads, self.dims, self.kind, width = heads, dims, kind, heads * (2 * dims[0] + dims[1])
        self.first, self.qkv, self.last = nn.Conv2d(3, 8, 1), nn.Linear(8, width), nn.Linear(heads * dims[1], 5)
        self.token, self.bias = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(heads, tokens, tokens))
        self.gain = nn.Parameter(torch.rand(heads, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        t = torch.cat([self.token, self.first(x).flatten(2).transpose(1, 2)], 1)
        parts = self.qkv(t).reshape(1, t.shape[1], self.heads, -1).transpose(1, 2)
        q, k, v = parts.split([self.dims[0], self.dims[0], self.dims[1]], 3)
        if self.kind == 1:
            q = q[:, :, :1]
        scores = q @ k.transpose(-1, -2) * self.gain
        if self.kind == 0:
            scores = scores + self.bias
        y = self.last((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)).transpose(1, 2)
        return y[:, :, :, None] if self.kind == 1 else y[:, :, 1:].unflatten(2, x.shape[2:])


def example(rng: random.Random) -> Example:
    """Over all pixels, at positions of a patch, fewer keys than queries; windows; tokens."""
    kind = rng.randrange(3)
    if kind == 1:
        window, counts = rng.choice([2, 3]), (rng.randint(1, 3), rng.randint(1, 3))
        windows = _Windows(
            rng.choice([1, 2, 3]), rng.choice([4, 8, 24]), window, counts, rng.randrange(window), rng.randrange(3)
        )
        return Example(windows, (3, window * counts[0], window * counts[1]))
    if kind == 2:
        size, dims = (rng.randint(1, 5), rng.randint(1, 5)), (rng.choice([4, 8, 20]), rng.choice([4, 8, 16]))
        return Example(_Tokens(rng.choice([1, 2, 3]), dims, 1 + size[0] * size[1], rng.randrange(3)), (3, *size))
    patch = rng.choice([(1, 1), (1, 1), (2, 2), (1, 2)])
    size = (patch[0] * rng.randint(1, 5), patch[1] * rng.randint(1, 5))
    reduced = 2 if patch == (1, 1) and min(size) > 1 and rng.random() < 0.6 else 0
    return Example(_Attends(rng.choice([1, 2, 3]), rng.choice([8, 16, 32]), patch, reduced), (3, *size))
