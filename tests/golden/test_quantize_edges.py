"""What the quantiser once took without a word, or refused though it can be done: widths by name, images outside the
input's range, maps that are zero on all images, mixed widths behind any last layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.fuzz.judge import float_error
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.layer import Activation, Rounded, Weighted
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.ops._product import QProduct
from triptych.golden.quartdepth.network.qparams import QuantizeError, uniform_qparams
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, last_inputs, run
from triptych.golden.quartdepth.vectors.single import random_codes


class Fn(nn.Module):
    """A module from modules and a function of them."""

    def __init__(self, forward: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(x, **self.parts)


def conv(inputs: int, outputs: int, bias: float | None = None) -> nn.Conv2d:
    made = nn.Conv2d(inputs, outputs, 3, padding=1)
    if bias is not None:
        nn.init.constant_(made.bias, bias)  # type: ignore[arg-type]
    return made


def image(seed: int = 0) -> Tensor:
    return torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(seed))


def agree(network: Network) -> None:
    codes = random_codes(network, 1)
    compiled = compile_network(network, chip_config("tiny"))
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))


# ---- widths and methods by name


def test_widths_and_methods_have_names() -> None:
    graph = capture(nn.Sequential(conv(3, 8), conv(8, 8), conv(8, 1)), image())
    network = quantize(graph, [image()], "w4a4")  # type: ignore[arg-type]
    assert network.maps["0"].qparams.format is Format.UINT4
    assert Recipe("mixed", "fisher") == Recipe(Widths.MIXED, Method.FISHER)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["W4A4", "w4", 4, None])
def test_unknown_names_are_refused(what: object) -> None:
    graph = capture(conv(3, 8), image())
    with pytest.raises(ValueError, match=r"no widths .*: choose one of w4a8, w4a4, mixed, w8a8"):
        quantize(graph, [image()], what)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no widths"):
        Recipe(what, Method.FULL)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no method .*: choose one of minmax, lognp"):
        Recipe(Widths.W4A8, what)  # type: ignore[arg-type]


# ---- images that the input's code does not hold

IMAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "normalised": lambda x: (x - 0.45) / 0.225,
    "bytes": lambda x: x * 255,
    "a little below": lambda x: x - 0.01,
    "a little above": lambda x: x + 0.01,
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_that_would_be_clipped(case: str) -> None:
    """Refused by the quantiser and, before anything takes long, by every recipe."""
    x = IMAGES[case](torch.linspace(0, 1, 3 * 96).reshape(1, 3, 8, 12))
    graph = capture(nn.Sequential(conv(3, 8), conv(8, 1)), image())
    with pytest.raises(QuantizeError, match=r"images hold .* but 'input' holds 0\.\.1: give bytes / 255") as error:
        quantize(graph, [image(), x])
    assert "\n" not in str(error.value)
    for recipe in (Recipe(Widths.W4A8, Method.MINMAX), Recipe(Widths.W4A4, Method.FULL)):
        with pytest.raises(QuantizeError, match="images hold"):
            run(graph, [x], recipe, lambda *_: pytest.fail("a step began"))


def test_images_within_rounding_of_the_range() -> None:
    graph = capture(nn.Sequential(conv(3, 8), conv(8, 1)), image())
    quantize(graph, [image() * 1.0001, torch.zeros(1, 3, 8, 12) - 1e-6, torch.ones(1, 3, 8, 12) + 1e-6])


def test_an_input_of_another_range() -> None:
    """By a code of its own, or by a network that normalises."""
    torch.manual_seed(0)
    net, x = nn.Sequential(conv(3, 16), nn.ReLU(), conv(16, 1)), (image() - 0.45) / 0.225
    graph = capture(net, x)
    network = quantize(graph, [x], codes={"input": uniform_qparams(-2.0, 2.5, Format.INT8)})
    assert error_of(network, net, x) < 0.2
    norm = nn.BatchNorm2d(3, affine=False, eps=0.0)
    norm.running_mean, norm.running_var = torch.full((3,), 0.45), torch.full((3,), 0.225**2)
    whole = nn.Sequential(norm, net)
    network = quantize(capture(whole, image()), [image()])
    assert error_of(network, whole, image()) < 0.2
    agree(network)


def error_of(network: Network, module: nn.Module, x: Tensor) -> float:
    """Of the integer network on one image, relative to the module's output."""
    codes = network.maps[network.input].qparams.encode(x[0].permute(1, 2, 0).double().numpy())
    with torch.no_grad():
        wanted = module.eval()(x)[0].permute(1, 2, 0).numpy()
    got = network.maps[network.output].qparams.decode(network.run_integer(codes))
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


# ---- maps that are zero on all images


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.flatten(2).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).unflatten(2, (8, 12))


def dead(i: int = 3) -> nn.Conv2d:
    return conv(i, 8, -50.0)


def nothing() -> nn.Conv2d:
    """A convolution that is zero everywhere."""
    made = conv(3, 8, 0.0)
    nn.init.zeros_(made.weight)
    return made


def summed(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    p, q = a(x).relu(), b(x).relu()
    return p + q


def flat_norm(x: Tensor, a: nn.Module, n: nn.Module, b: nn.Module) -> Tensor:
    return b(n(a(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


DEAD: dict[str, nn.Module] = {
    "relu of its own": Fn(lambda x, a, b, c: (lambda y: b(y) + c(y.relu()))(a(x)),
                          a=dead(), b=conv(8, 8), c=conv(8, 8)),
    "relu behind a convolution": Fn(lambda x, a, b: b(a(x).relu()), a=dead(), b=conv(8, 8)),
    "sum of its own": Fn(summed, a=dead(), b=dead()),
    "sum behind a convolution": Fn(lambda x, a, b: (a(x) + b(x)).relu(), a=dead(), b=conv(3, 8)),
    "operand of a sum": Fn(lambda x, a, b: a(x).relu() + b(x), a=dead(), b=conv(3, 8)),
    "operand of a sum of its own": Fn(lambda x, a, b: a(x).relu() + b(x).relu(), a=dead(), b=conv(3, 8)),
    "part of a concatenation": Fn(lambda x, a, b: torch.cat([a(x).relu(), b(x)], 1), a=dead(), b=conv(3, 8)),
    "whole concatenation": Fn(lambda x, a, b: (lambda y, z: b(torch.cat([y.relu(), z.relu()], 1)) + y + z)(a(x), a(x)),
                              a=dead(), b=conv(16, 8)),
    "output": Fn(lambda x, a: a(x).relu(), a=dead()),
    "output of its own": Fn(lambda x, a: (lambda y: y.relu() + (y + y).relu())(a(x)), a=dead()),
    "transposed": Fn(lambda x, a, b, t: (lambda y: b(y) + t(y.relu()))(a(x)),
                     a=dead(), b=conv(8, 8), t=nn.ConvTranspose2d(8, 8, 3, 1, 1)),
    "depthwise": Fn(lambda x, a, d: d(a(x).relu()).relu(), a=dead(), d=nn.Conv2d(8, 8, 3, padding=1, groups=8)),
    "no weights": Fn(lambda x, a, b: b(a(x)), a=nothing(), b=conv(8, 8)),
    "normalised": Fn(flat_norm, a=nothing(), n=nn.LayerNorm(8), b=nn.Linear(8, 8)),
    "queries": Fn(lambda x, a, b: attend(a(x), b(x), b(x)), a=nothing(), b=conv(3, 8)),
    "keys": Fn(lambda x, a, b: attend(b(x), a(x), b(x)), a=nothing(), b=conv(3, 8)),
    "values": Fn(lambda x, a, b: attend(b(x), b(x), a(x)), a=nothing(), b=conv(3, 8)),
}  # fmt: skip


@pytest.mark.parametrize("case", DEAD)
def test_pictures_that_are_zero_on_all_images(case: str) -> None:
    """They quantise; the integer network makes zero of them, the chip the same codes for any input."""
    torch.manual_seed(0)
    graph = capture(DEAD[case], image())
    maps: dict[str, Tensor] = {}
    graph.run(image(), lambda name, tensor: maps.update({name: tensor}))
    zero = {name for name, tensor in maps.items() if not tensor.any()}
    assert zero
    for widths in (Widths.W4A4, Widths.W8A8):
        network = quantize(graph, [image()], widths)
        codes = network.maps[network.input].qparams.encode(image()[0].permute(1, 2, 0).double().numpy())
        made: dict[str, np.ndarray] = {}
        network.run_integer(codes, made.__setitem__)
        for name in zero & set(made):
            assert not network.maps[name].qparams.meaning(made[name]).any(), name
        agree(network)


@pytest.mark.parametrize("case", ["normalised"])
def test_recipes_take_them_too(case: str) -> None:
    torch.manual_seed(0)
    graph = capture(DEAD[case], image())
    agree(run(graph, [image()], Recipe(Widths.W4A4, Method.FULL, teaching=2), lambda *_: None).network)


# ---- GELU beyond its 16 bits


GELUS: dict[str, Callable[..., Tensor]] = {
    "fused": lambda x, a, b: b(F.gelu(a(x))),
    "of its own": lambda x, a, b: (lambda y: b(F.gelu(y)) + b(y))(a(x)),
    "mish": lambda x, a, b: b(F.mish(a(x))),
    "last": lambda x, a, b: F.gelu(a(x)),
}


@pytest.mark.parametrize("widths", [Widths.W8A8, Widths.W4A8, Widths.W4A4])
@pytest.mark.parametrize("case", GELUS)
def test_gelu_of_arguments_above_its_16_bits(case: str, widths: Widths) -> None:
    """Values far above 16, where the chip's GELU stops: near the float network all the same."""
    torch.manual_seed(0)
    module = Fn(GELUS[case], a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(8, 4, 1))
    with torch.no_grad():
        module.parts["a"].weight.mul_(100)  # type: ignore[operator,union-attr]
        wanted = module(image())
    network = quantize(capture(module, image()), [image()], widths)
    agree(network)
    if widths is Widths.W8A8:  # narrower weights are an error of their own
        assert float_error(network, image(), wanted) < 0.02


def test_given_weights_of_a_gelu_above_its_16_bits() -> None:
    """Rounded weights belong to the layer, not to the map that it then makes."""
    torch.manual_seed(0)
    module = Fn(GELUS["fused"], a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(8, 4, 1))
    with torch.no_grad():
        module.parts["a"].weight.mul_(100)  # type: ignore[operator,union-attr]
    graph = capture(module, image())
    layer = next(x for x in graph.layers if isinstance(x, Weighted) and x.activation is Activation.GELU)
    given = Rounded(torch.ones_like(layer.weight), torch.full((8,), 3.0), torch.zeros(8))
    network = quantize(graph, [image()], rounded={layer.name: given})
    made = next(x for x in network.layers if x.name == f"{layer.name}.sum")
    assert isinstance(made, QProduct)
    assert (made.weight == 1).all()
    assert not made.bias.any()


# ---- mixed widths

TAILS: dict[str, tuple[Callable[..., Tensor], dict[str, nn.Module], set[str]]] = {
    "convolution": (lambda y, a: a(y), {"a": conv(16, 1)}, {"s"}),
    "relu": (lambda y, a: a(y).relu(), {"a": conv(16, 1)}, {"s"}),
    "transposed": (lambda y, a: a(y), {"a": nn.ConvTranspose2d(16, 1, 2, 2)}, {"s"}),
    "residual": (lambda y, a: a(y) + y, {"a": conv(16, 16)}, {"s"}),
    "sum": (lambda y, a, b: a(y).relu() + b(y).relu(), {"a": conv(16, 4), "b": conv(16, 4)}, {"s"}),
    "concatenation": (lambda y, a, b: torch.cat([a(y), b(y)], 1), {"a": conv(16, 4), "b": conv(16, 3)}, {"s"}),
    "view": (lambda y, a: a(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), {"a": nn.Linear(16, 4)}, {"s"}),
    "attention": (lambda y, a, b: attend(a(y), a(y), b(y)), {"a": conv(16, 16), "b": conv(16, 16)}, {"s"}),
}


@pytest.mark.parametrize("case", TAILS)
def test_mixed_widths_behind_any_last_layer(case: str) -> None:
    """Eight bits into the last layers with weights, whatever stands behind them."""
    forward, parts, wanted = TAILS[case]
    torch.manual_seed(0)
    module = Fn(lambda x, s, **rest: forward(s(x).relu(), **rest), s=conv(3, 16), **parts)
    graph = capture(module, image())
    assert last_inputs(graph) == {f"parts.{n}" for n in wanted}
    network = run(graph, [image()], Recipe(Widths.MIXED, Method.MINMAX), lambda *_: None).network
    for layer in network.layers:
        if layer.name == network.output:
            assert all(network.maps[s].qparams.bits >= 8 for s in layer.sources)
    agree(network)
