"""Where programs once computed something else, trapped or were refused: machine equals `run_integer`, whatever lay in
scratchpad and memory before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.golden.test_compiler_shapes import chain
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import QParams
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors.single import attention, conv2d, random_codes

CHIPS = ["tiny", "small", "paper"]


class Fn(nn.Module):
    """A module from modules and a function of them."""

    def __init__(self, forward: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(x, **self.parts)


def quantized(module: nn.Module, *shape: int, widths: Widths = Widths.W4A8) -> Network:
    torch.manual_seed(0)
    image = torch.rand(1, *shape)
    return quantize(capture(module, image), [image], widths)


def check(network: Network, chips: Sequence[str] = CHIPS) -> None:
    codes = random_codes(network, 1)
    wanted = network.run_integer(codes)
    assert len(np.unique(wanted)) > 1, "a constant map shows nothing"
    for chip in chips:
        compiled = compile_network(network, chip_config(chip))
        assert np.array_equal(run_on_machine(compiled, codes, noise=2), wanted), chip


# ---- attention whose heads fill no whole words


def heads(x: Tensor, q: nn.Module, p: nn.Module, count: int) -> Tensor:
    tokens = q(x.flatten(2).transpose(1, 2))
    q, k, v = tokens.reshape(1, tokens.shape[1], 3, count, -1).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # type: ignore[arg-type]
    return p(mixed).transpose(1, 2).unflatten(2, x.shape[2:])


@pytest.mark.parametrize(("count", "dim"), [(1, 20), (3, 20), (2, 24), (5, 3), (2, 33)])
def test_heads_of_any_size(count: int, dim: int) -> None:
    """The scores count the channels of a head and nothing behind the last one."""
    width = count * dim
    module = Fn(
        lambda x, a, q, p: heads(a(x), q, p, count),
        a=nn.Conv2d(3, 16, 3, padding=1), q=nn.Linear(16, 3 * width), p=nn.Linear(width, 8),
    )  # fmt: skip
    for widths in (Widths.W4A8, Widths.W4A4):
        check(quantized(module, 3, 5, 7, widths=widths), ["small", "paper"])


@pytest.mark.parametrize("kind", ["wide", "narrow", "packed"])
@pytest.mark.parametrize("dim", [1, 12, 17, 31])
def test_heads_of_any_size_with_wide_and_narrow_keys(dim: int, kind: str) -> None:
    """Packed: queries are codes of four bits, by table, and keys lie two a byte."""
    for count in (1, 3):
        check(attention(21, count, dim, kind != "wide", seed=dim + count, packed=kind == "packed"))


# ---- what the network ends in


def patches(x: Tensor, rows: int, cols: int) -> Tensor:
    """[1,C,H,W] -> [rows cols, tokens, C]: the positions of a patch."""
    _, c, h, w = x.shape
    x = x.reshape(1, c, h // rows, rows, w // cols, cols)
    return x.permute(0, 3, 5, 2, 4, 1).reshape(rows * cols, -1, c)


def pixels(x: Tensor, rows: int, cols: int, h: int, w: int) -> Tensor:
    """The inverse of `patches`."""
    x = x.reshape(1, rows, cols, h // rows, w // cols, -1)
    return x.permute(0, 5, 3, 1, 4, 2).reshape(1, -1, h, w)


@pytest.mark.parametrize(("rows", "cols", "channels"), [(1, 1, 20), (2, 1, 32), (1, 2, 20), (2, 3, 32)])
def test_attention_makes_the_output(rows: int, cols: int, channels: int) -> None:
    """In the map's order, not in that of its sequences."""

    def forward(x: Tensor, a: nn.Module) -> Tensor:
        t = patches(a(x), rows, cols)
        return pixels(F.scaled_dot_product_attention(t, t, t), rows, cols, *x.shape[2:])

    check(quantized(Fn(forward, a=nn.Conv2d(3, channels, 3, padding=1)), 3, 8, 6), ["small", "paper"])


@pytest.mark.parametrize("sizes", [(16, 16), (5, 40, 3), (1, 1), (32, 64), (33, 8)])
def test_concatenation_makes_the_output(sizes: tuple[int, ...]) -> None:
    """Parts begin at groups of lanes that the chip writes whole; also where the output is larger than a scratchpad."""
    convs = {f"c{i}": nn.Conv2d(3, n, 3, padding=1) for i, n in enumerate(sizes)}
    module = Fn(lambda x, **parts: torch.cat([p(x) for p in parts.values()], 1), **convs)
    check(quantized(module, 3, 9, 11, widths=Widths.W4A4))
    check(quantized(module, 3, 33, 37), ["tiny"])


# ---- a last convolution that cannot fold


@pytest.mark.parametrize("width", [4, 24])
def test_last_convolution_of_many_channels(width: int) -> None:
    """Pixels that share columns make a column tile of weights larger: only as many as there is room for."""
    network = chain((3, width, 2048), 4, 3, 1, Format.INT8, 0)
    check(network, ["small", "paper"])
    fold = compile_network(network, chip_config("paper")).plan.layout.fold
    assert fold is None or fold.count < 4


@pytest.mark.parametrize(("bits", "count"), [(8, 6), (4, 12)])
def test_a_last_layer_of_single_pixels_folds_too(bits: int, count: int) -> None:
    """Of eight bits it saves no step of the array: cells of several pixels are fewer to write and to store."""
    last = nn.Conv2d(32, 1, 1)
    widths = Widths.W4A4 if bits == 4 else Widths.W4A8
    network = quantized(nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), last), 3, 10, 48, widths=widths)
    check(network, ["paper"])
    fold = compile_network(network, chip_config("paper")).plan.layout.fold
    assert fold is not None
    assert (fold.count, fold.per_cell) == (count, 8 // bits)


# ---- codes that the input does not have

BAD_CODES: dict[str, tuple[np.ndarray, str]] = {
    "size": (np.zeros((8, 8, 3), int), "must be 4 x 4 x 3, not 8 x 8 x 3"),
    "batch": (np.zeros((1, 4, 4, 3), int), "not 1 x 4 x 4 x 3"),
    "pixels": (np.full((4, 4, 3), 200), r"must be in -128..127, not 200..200"),
    "below": (np.full((4, 4, 3), -129), r"not -129..-129"),
    "real": (np.zeros((4, 4, 3)), "whole numbers, not float64"),
}


@pytest.mark.parametrize("case", BAD_CODES)
def test_codes_that_the_input_does_not_have(case: str) -> None:
    """Machine and `run_integer` refuse them in the same words."""
    codes, message = BAD_CODES[case]
    network = conv2d((4, 4, 3), 8)
    compiled = compile_network(network, chip_config("tiny"))
    for run in (network.run_integer, lambda c: run_on_machine(compiled, c), compiled.memory):
        with pytest.raises(ValueError, match=message):
            run(codes)


def test_constants_are_codes_too() -> None:
    network = conv2d((4, 4, 3), 8)
    maps = {**network.maps, "c": network.maps["x"]}
    with pytest.raises(ValueError, match=r"'c' must be 4 x 4 x 3, not 4 x 4"):
        Network("x", "y", maps, network.layers, {"c": np.zeros((4, 4), int)})
    with pytest.raises(ValueError, match=r"codes of 'c' must be in -128..127"):
        Network("x", "y", maps, network.layers, {"c": np.full((4, 4, 3), 128)})


def test_int16_is_for_the_output_alone() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1))
    image = torch.rand(1, 3, 4, 4)
    network = quantize(capture(module, image), [image], codes={"1": QParams(Format.INT16, 0.01)})
    with pytest.raises(CompileError, match="'2' reads '1': INT16 is for the output alone"):
        compile_network(network, chip_config("tiny"))
