"""Two activations that meet element by element: their maps brought to one shape, the smaller one spread."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from triptych.golden.quartdepth.network.capture import Capture, View
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.layer import FloatLayer
from triptych.golden.quartdepth.network.operation import Declined
from triptych.golden.quartdepth.network.ops._taps import Taps
from triptych.golden.quartdepth.network.ops.affine import is_by_channel
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.gather import trimmed, whole_pixels
from triptych.golden.quartdepth.network.ops.resize import along_axes

WHAT = "two activations must show the same pixels in the same order, or one of them a value a channel or a pixel"

CONSTANT = "a constant that is not one value a channel must have the shape of what shows whole channels of some pixels"


def matched(c: Capture, a: View, b: View, name: str) -> tuple[View, str, str]:
    """The view that a layer of both shows its map by, and the maps of the first and of the second, of one shape.
    name: of the layer, from which those of made maps follow. Raises GraphError."""
    try:
        shape = torch.broadcast_shapes(a.index.shape, b.index.shape)
    except RuntimeError:
        raise GraphError(WHAT) from None
    if a.index.shape != shape or (b.index.shape == shape and _spread(c, a, b.index)):
        large, small, swapped = b, a, True
    else:
        large, small, swapped = a, b, False
    index = small.index.expand(shape)
    large = View(large.fmap, large.index.expand(shape))
    whole = large.index.unique().numel() == c.shapes[large.fmap].channels * len(c.shapes[large.fmap])
    if not whole or large.index.numel() != c.shapes[large.fmap].channels * len(c.shapes[large.fmap]):
        large = _made(c, large, name)
    other = _same(c, large, View(small.fmap, index)) or _broadcast(c, large, View(small.fmap, index), name)
    return (large, other, large.fmap) if swapped else (large, large.fmap, other)


def one_by_one(c: Capture, name: str, view: View, axis: int, layer: Callable[[str, str, str], FloatLayer]) -> View:
    """What a layer of two makes of the places along an axis, one after the other. Raises GraphError."""
    first, *others = (View(view.fmap, part) for part in view.index.unbind(axis))
    made = first
    for n, part in enumerate(others, 1):
        own = name if n == len(others) else f"{name}.{n}"
        shown, one, two = matched(c, made, part, own)
        c.add(layer(own, one, two))
        made = View(own, shown.index)
    return made


def _made(c: Capture, view: View, name: str) -> View:
    """The view, of a map that has its elements and no others."""
    try:
        if view.index.ndim == 4:
            made = c.whole_map(view)
            return View(made, c.whole(made))
    except GraphError:
        pass
    if whole_pixels(c, view):
        return c.tokens(view)[0]
    try:
        return trimmed(c, name, view)
    except GraphError:
        return c.tokens(view)[0]


def _spread(c: Capture, view: View, wanted: Tensor) -> bool:
    """It shows few elements often."""
    return view.index.unique().numel() < wanted.unique().numel()


def _same(c: Capture, large: View, small: View) -> str | None:
    if c.shapes[small.fmap] == c.shapes[large.fmap] and torch.equal(small.index, large.index):
        return small.fmap
    return None


def _broadcast(c: Capture, large: View, small: View, name: str) -> str:
    """The map of the second in the shape of the first."""
    wanted, held = c.shapes[large.fmap], c.shapes[small.fmap]
    pixels, channels = large.index // wanted.channels, large.index % wanted.channels
    pixel, channel = small.index // held.channels, small.index % held.channels
    source = small.fmap
    by_channel, by_pixel = held.channels == wanted.channels, len(held) == len(wanted)
    if held.channels != 1 and not (by_channel and torch.equal(channel, channels)):
        return _parts(c, large, small)
    if by_pixel and torch.equal(pixel, pixels) and (held.height, held.width) == (wanted.height, wanted.width):
        pass
    elif len(held) == 1:
        axes = [None if n == 1 else Taps.copies([0] * n) for n in (wanted.height, wanted.width)]
        source = along_axes(c, f"{name}.spread", source, *axes).fmap
    else:
        return _parts(c, large, small)
    if held.channels != wanted.channels:
        ones = torch.ones(wanted.channels, 1, 1, 1)
        source = c.add(Conv2d(f"{name}.channels", source, ones, torch.zeros(wanted.channels))).fmap
    return source


def _parts(c: Capture, large: View, small: View) -> str:
    """The second shows a part of a map, or a whole one in another order, that can be made one in the first's order."""
    shape = c.shapes[large.fmap]
    index = torch.empty(len(shape) * shape.channels, dtype=torch.int64)
    index[large.index.flatten()] = small.index.flatten()
    try:
        return c.whole_map(View(small.fmap, index.reshape(1, shape.height, shape.width, -1).permute(0, 3, 1, 2)))
    except GraphError:
        raise GraphError(WHAT) from None


def with_constant(c: Capture, view: View, value: object, name: str) -> tuple[View, str]:
    """A view of a whole map, and the map of a constant that meets it element by element. Raises Declined for what is no
    constant of the view's shape. name: of the layer of both."""
    if not isinstance(value, Tensor) or is_by_channel(c, view, value):
        raise Declined(CONSTANT)
    try:
        value = value.float().expand(view.index.shape)
        view = trimmed(c, name, view)
    except (RuntimeError, GraphError):
        raise Declined(CONSTANT) from None
    shape, constant = c.shapes[view.fmap], f"{name}.constant"
    flat = torch.empty(len(shape) * shape.channels)
    flat[view.index.flatten()] = value.flatten()
    c.shapes[constant] = shape
    c.constants[constant] = flat.reshape(1, shape.height, shape.width, -1).permute(0, 3, 1, 2).contiguous()
    return view, constant
