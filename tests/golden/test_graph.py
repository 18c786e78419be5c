"""Capture of PyTorch modules: the layers compute what the module computes, and the rest is refused in one line."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.ops.add import Add
from triptych.golden.quartdepth.network.ops.attention import Attention
from triptych.golden.quartdepth.network.ops.concat import Concat
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.layer_norm import LayerNorm
from triptych.golden.quartdepth.network.ops.relu import ReLU
from triptych.golden.quartdepth.zoo.meter import METER, METER_XXS, MViTConfig, Transformer, unfold_patches


class Fn(nn.Module):
    """A module from modules and a function of them."""

    def __init__(self, forward: object, **parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(x, **self.parts)  # type: ignore[operator]


def same(module: nn.Module, *shape: int, atol: float = 1e-4) -> list[object]:
    """Captures, compares with the module on random input, returns the layers."""
    torch.manual_seed(0)
    x = torch.rand(1, *shape)
    graph = capture(module, x)
    with torch.no_grad():
        torch.testing.assert_close(graph.run(x), module.eval()(x), atol=atol, rtol=1e-4)
    return list(graph.layers)


def test_residual_sums_and_relu_are_fused() -> None:
    net = Fn(
        lambda x, a, b: (a(x) + b(x).relu()).relu(),
        a=nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)),
        b=nn.Conv2d(4, 4, 1),
    )
    with torch.no_grad():
        for value in (net.parts["a"][1].running_mean, net.parts["a"][1].weight):  # type: ignore[index]
            value.uniform_(0.5, 2)
    layers = same(net, 4, 6, 5)
    assert [type(x) for x in layers] == [Conv2d, Conv2d]
    last = layers[-1]
    assert isinstance(last, Conv2d)
    assert (last.residual, last.relu) == ("parts.b", True)


def test_what_cannot_be_fused_stays_a_layer() -> None:
    net = Fn(lambda x, a: (a(x).relu() + x.relu()).relu(), a=nn.Conv2d(4, 4, 1))
    assert [type(x) for x in same(net, 4, 3, 3)] == [Conv2d, ReLU, Add]


def test_skip_made_after_the_convolution_that_takes_it() -> None:
    """The sum goes into the later of two convolutions, whichever operand it is."""
    for forward in (lambda x, a, b: b(x) + a(x), lambda x, a, b: a(x) + b(x)):
        layers = same(Fn(forward, a=nn.Conv2d(3, 3, 1), b=nn.Conv2d(3, 3, 3, 1, 1)), 3, 4, 4)
        assert len(layers) == 2


def test_concatenations_flatten() -> None:
    net = Fn(lambda x, a: torch.cat([torch.cat([a(x), x], 1), a(x)], 1), a=nn.Conv2d(2, 3, 1))
    concats = [x for x in same(net, 2, 4, 4) if isinstance(x, Concat)]
    assert [len(c.parts) for c in concats] == [3]


@pytest.mark.parametrize("pool", [(3, 2, 1, 1), (2, 2, 0, 0), (4, 2, 1, 0), (3, 1, 1, 0), (5, 3, 2, 1)])
def test_transposed(pool: tuple[int, int, int, int]) -> None:
    kernel, stride, padding, extra = pool
    same(Fn(lambda x, t: t(x).relu(), t=nn.ConvTranspose2d(3, 5, kernel, stride, padding, extra)), 3, 5, 4)


def test_mobilevit_block_leaves_pixels_alone() -> None:
    """Unfold, transformer and fold become layers over the same map; LayerNorm's gain goes into the linear layers."""

    def forward(x: Tensor, t: nn.Module) -> Tensor:
        from triptych.golden.quartdepth.zoo.meter import fold_patches

        return fold_patches(t(unfold_patches(x)), x.shape[2], x.shape[3])

    transformer = Transformer(METER_XXS, MViTConfig(16, 24, 40))
    for norm in (m for m in transformer.modules() if isinstance(m, nn.LayerNorm)):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    layers = same(Fn(forward, t=transformer), 24, 6, 8)
    attention = [x for x in layers if isinstance(x, Attention)]
    assert [(a.patch, a.heads, a.head_dim) for a in attention] == [((2, 2), 4, 8)]
    norms = [x for x in layers if isinstance(x, LayerNorm)]
    assert all(torch.equal(n.gamma, torch.ones(24)) and not n.beta.any() for n in norms)
    assert len(layers) == 2 + 3 + 1 + 1 + 2  # norms, q k v, attention, out, feed-forward


def test_rows_as_channels() -> None:
    """A few: each a map of its own."""
    torch.manual_seed(1)
    same(Fn(lambda x, conv: conv(x.transpose(1, 2)), conv=nn.Conv2d(6, 5, 3, padding=1)), 4, 6, 7)
    same(Fn(lambda x, conv: conv(x).transpose(1, 2)[:, :4] + x, conv=nn.Conv2d(4, 6, 1)), 4, 6, 7)


def test_scaled_dot_product_attention_over_all_pixels() -> None:
    def forward(x: Tensor, qkv: nn.Module, norm: nn.Module) -> Tensor:
        b, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = qkv(norm(tokens)).reshape(b, h * w, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c)
        return (tokens + y).transpose(1, 2).reshape(b, c, h, w)

    layers = same(Fn(forward, qkv=nn.Linear(8, 24), norm=nn.LayerNorm(8)), 8, 4, 6)
    assert any(isinstance(x, Attention) and x.patch == (1, 1) for x in layers)


def test_meter() -> None:
    """As it is trained, BatchNorm and 1x1 convolutions not yet fused."""
    torch.manual_seed(1)
    assert len(same(METER().eval(), 3, 64, 64)) == 86


LINEAR = nn.Linear(12, 12)


def rolled(x: Tensor) -> Tensor:
    """Elements that are neither whole pixels nor their channels any more, which no layer can show."""
    return x.flatten(1).roll(1, 1).reshape(x.shape)


def softmax_twice(x: Tensor) -> Tensor:
    q = x.flatten(2).transpose(1, 2)
    return (q @ q.transpose(1, 2)).softmax(-1).softmax(-1) @ q


REFUSED = {
    "unknown functions": (lambda x: x.erfinv(), "erfinv"),
    "even padding": (nn.Conv2d(4, 4, 2, padding="same"), "pads one side more"),
    "circular pads": (lambda x: nn.functional.pad(x, (1, 1, 1, 1), "circular"), "circular"),
    "constant pads": (lambda x: nn.functional.pad(x, (1, 1, 1, 1), value=2.0), "pads with zeros"),
    "a power of a map": (lambda x: x**x, "pow"),
    "mean of rolled elements": (lambda x: rolled(x).mean(2), "mean must be over"),
    "linear over rolled elements": (lambda x: LINEAR(rolled(x)), "is not the channels of a pixel"),
    "product without softmax": (lambda x: x @ x.transpose(2, 3) @ x, "softmax"),
    "batch norm of rolled elements": (
        Fn(lambda x, norm: norm(rolled(x)), norm=nn.BatchNorm2d(4)),
        "is no \\[1,C,H,W\\] map",
    ),
    "batch norm without statistics": (nn.BatchNorm2d(4, track_running_stats=False), "without running statistics"),
    "softmax twice": (softmax_twice, "softmax must run"),
    "a product as weights": (lambda x: nn.functional.conv2d(x, x), "must be constants"),
    "dilated transposed": (nn.ConvTranspose2d(4, 4, 3, 2, 1, dilation=2), "no dilation"),
    "extra rows": (nn.ConvTranspose2d(4, 4, 3, 2, 0, output_padding=1), "must not exceed"),
    "small transposed kernel": (nn.ConvTranspose2d(4, 4, 1, 2), "smaller than its stride"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case: str) -> None:
    what, message = REFUSED[case]
    module = what if isinstance(what, nn.Module) else Fn(what)
    with pytest.raises(GraphError, match=message) as error:
        capture(module, torch.rand(1, 4, 12, 12))
    assert "\n" not in str(error.value)


def test_batch_of_two_is_refused() -> None:
    with pytest.raises(GraphError, match=r"\[1,C,H,W\]"):
        capture(nn.Conv2d(3, 3, 1), torch.rand(2, 3, 4, 4))
