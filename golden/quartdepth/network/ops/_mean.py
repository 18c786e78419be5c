"""The mean of every channel over all pixels, as depthwise convolutions that leave no pixel out."""

from __future__ import annotations

import torch

from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.shapes import Shape

MOST_SIDE = 7  # of a stage's window: strides go no further


def _side(size: int) -> tuple[int, int, int]:
    """Window, outputs and padding of one stage along an axis."""
    stages = 1
    while MOST_SIDE**stages < size:
        stages += 1
    side = next(k for k in range(1, MOST_SIDE + 1) if k**stages >= size)
    outputs = -(-size // side)
    return side, outputs, (side * outputs - size + 1) // 2


def mean_stages(name: str, source: str, shape: Shape) -> tuple[list[Conv2d], float]:
    """Layers, each a map of fewer pixels, the last of one; and what its values times are the mean: zeros beside the
    map were counted. No layers for a map of one pixel."""
    layers: list[Conv2d] = []
    height, width, counted = shape.height, shape.width, 1
    while height * width > 1:
        (kh, h, ph), (kw, w, pw) = _side(height), _side(width)
        own = f"{name}.{len(layers)}"
        weight = torch.full((shape.channels, 1, kh, kw), 1.0 / (kh * kw))
        layers.append(
            Conv2d(
                own, source, weight, torch.zeros(shape.channels), stride=(kh, kw), padding=(ph, pw), depthwise=True
            )
        )  # fmt: skip
        source, height, width, counted = own, h, w, counted * kh * kw
    return layers, counted / len(shape)
