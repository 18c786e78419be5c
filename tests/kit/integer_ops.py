"""Integer network operations in plain PyTorch, without the chip: what a layer means, whatever executes it.

Tensors are int64. Pictures are (height, width, channels), matrices (rows, channels). No operation knows tiles, words
or formats; `golden/quartdepth/chip/machine.py` and the RTL must give the same integers.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.quartdepth.arithmetic import functions

Pads = tuple[int, int, int, int]
Scale = tuple[int, int]  # multiplier, shift


def rounding_shift(v: Tensor, s: Tensor | int) -> Tensor:
    """`floor(v / 2^s + 1/2)` for s in 0..47; s broadcasts."""
    s = torch.as_tensor(s)
    return torch.where(s > 0, ((v >> (s - 1).clamp(min=0)) + 1) >> 1, v)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """(m, k) times (k, n)."""
    return a @ b


def conv2d(
    x: Tensor, weight: Tensor, stride: tuple[int, int] = (1, 1), pads: Pads = (0, 0, 0, 0), fill: int = 0
) -> Tensor:
    """Convolution (cross-correlation) of a (h, w, cin) picture with (cout, cin, kh, kw) weights.

    stride: (y, x). pads: (top, bottom, left, right) rows and columns of the value `fill`.
    """
    return _hwc(F.conv2d(_padded(x, pads, fill), weight.double(), stride=stride))


def depthwise(
    x: Tensor, weight: Tensor, stride: tuple[int, int] = (1, 1), pads: Pads = (0, 0, 0, 0), fill: int = 0
) -> Tensor:
    """Depthwise convolution of a (h, w, c) picture with (c, kh, kw) weights; the rest as `conv2d`."""
    return _hwc(F.conv2d(_padded(x, pads, fill), weight[:, None].double(), stride=stride, groups=len(weight)))


def transposed_conv2d(x: Tensor, weight: Tensor, stride: int, padding: int, output_padding: int) -> Tensor:
    """Transposed convolution of a (h, w, cin) picture with (cin, cout, kh, kw) weights, as PyTorch has it."""
    return _hwc(
        F.conv_transpose2d(_nchw(x), weight.double(), stride=stride, padding=padding, output_padding=output_padding)
    )


def transposed_phase(weight: Tensor, stride: int, padding: int, y: int, x: int) -> tuple[Tensor, tuple[int, int]]:
    """The plain convolution that gives output pixels (stride*i + y, stride*j + x) of a transposed one.

    weight: (cin, cout, kh, kw). Returns (cout, cin, ph, pw) weights for stride 1 and the place of their first tap
    relative to input pixel (i, j), which may be negative (padding). A phase may have no taps.
    """
    taps_y, first_y = _phase_taps(weight.shape[2], stride, padding, y)
    taps_x, first_x = _phase_taps(weight.shape[3], stride, padding, x)
    return weight[:, :, taps_y][:, :, :, taps_x].transpose(0, 1), (first_y, first_x)


def requantise(acc: Tensor, bias: Tensor, multiplier: Tensor, shift: Tensor, zero_point: Tensor | int) -> Tensor:
    """`rs((acc + bias) * multiplier, shift) + zero_point`, parameters one a channel (last axis); to be clamped."""
    return rounding_shift((acc + bias) * multiplier, shift) + zero_point


def softmax_numerators(x: Tensor, exponent: Scale, weight: Scale) -> tuple[Tensor, Tensor]:
    """Row softmax without its division: (rows, n) logits -> numerators 0..127 and their sums (rows,).

    `exponent` takes a logit to octaves in Q5.10 (`log2(e) * scale * 2^10`), `weight` a power in Q0.15 to 0..127.
    """
    octaves = _scaled(x - x.amax(dim=1, keepdim=True), exponent).clamp(-32768, 32767)
    powers = torch.from_numpy(functions.exp2n(octaves.numpy()))
    numerators = _scaled(powers, weight).clamp(0, 127)
    return numerators, numerators.sum(dim=1)


def divide_rows(x: Tensor, divisor: Tensor, fraction: int) -> Tensor:
    """`x / divisor * 2^-fraction` by the chip's reciprocal; x (rows, n), divisor (rows,)."""
    return _scale_rows(x, functions.recip(divisor.numpy()), fraction)


def layer_norm(x: Tensor, mean: Scale, square_shift: int, eps: int, fraction: int) -> Tensor:
    """LayerNorm of rows (rows, n) without gamma and beta, to a power of two and sqrt(n).

    `mean` takes a row's sum to its mean in Q6; squares of the centred row lose `square_shift` bits and are clamped to
    16 bits before they are summed. Result: `rs(c * m, e + fraction)`, c the centred row in Q6, `{e, m} = RSQRT(sum)`.
    """
    centred = (x << 6) - _scaled(x.sum(dim=1, keepdim=True), mean)
    squares = rounding_shift(centred.clamp(-32768, 32767) ** 2, square_shift).clamp(max=32767)
    return _scale_rows(centred, functions.rsqrt((squares.sum(dim=1) + eps).numpy()), fraction)


def resize2(x: Tensor) -> Tensor:
    """Bilinear resize of a (h, w, c) picture by two, half-pixel centres, edges clamped: along x, then along y.

    Each step gives `rs(3 A + B, 2)` of the near pixel A and the far one B.
    """
    return _double(_double(x.transpose(0, 1)).transpose(0, 1))


def _double(x: Tensor) -> Tensor:
    before, after = torch.cat([x[:1], x[:-1]]), torch.cat([x[1:], x[-1:]])
    pairs = torch.stack([rounding_shift(3 * x + before, 2), rounding_shift(3 * x + after, 2)], dim=1)
    return pairs.flatten(0, 1)


def _scaled(x: Tensor, scale: Scale) -> Tensor:
    return rounding_shift(x * scale[0], scale[1])


def _scale_rows(x: Tensor, pair: NDArray[np.int64], fraction: int) -> Tensor:
    exponent = torch.from_numpy(((pair >> 16) + fraction).clip(0, 47))
    return rounding_shift(x * torch.from_numpy(pair & 0xFFFF)[:, None], exponent[:, None])


def _phase_taps(kernel: int, stride: int, padding: int, phase: int) -> tuple[list[int], int]:
    # Output stride*i + phase takes input j through tap stride*(i - j) + phase + padding.
    taps = [t for t in range(kernel - 1, -1, -1) if (phase + padding - t) % stride == 0]
    return taps, (phase + padding - taps[0]) // stride if taps else 0


def _nchw(x: Tensor) -> Tensor:
    return x.permute(2, 0, 1)[None].double()  # sums stay far below 2^53, so float64 is exact, and much faster


def _hwc(x: Tensor) -> Tensor:
    return x[0].permute(1, 2, 0).contiguous().long()


def _padded(x: Tensor, pads: Pads, fill: int) -> Tensor:
    top, bottom, left, right = pads
    return F.pad(_nchw(x), (left, right, top, bottom), value=float(fill))
