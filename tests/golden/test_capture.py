"""Modules that are not what they seem: views, in-place operators, shared layers, and what cannot be traced at all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d


class Fn(nn.Module):
    """A module from modules and a function of them."""

    def __init__(self, forward: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(x, **self.parts)


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def norm(channels: int) -> nn.BatchNorm2d:
    """BatchNorm with statistics, gains and offsets of its own."""
    made = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for tensor in (made.running_mean, made.bias):
            tensor.uniform_(-1, 1)  # type: ignore[union-attr]
        for tensor in (made.running_var, made.weight):
            tensor.uniform_(0.5, 9)  # type: ignore[union-attr]
        made.weight[0] *= -1
    return made


def same(module: nn.Module, *shape: int) -> list[object]:
    """Captures, compares with the module on random input of both signs, returns the layers."""
    torch.manual_seed(0)
    x = torch.rand(1, *shape) - 0.5
    graph = capture(module, x)
    with torch.no_grad():
        torch.testing.assert_close(graph.run(x), module.eval()(x.clone()), atol=1e-5, rtol=1e-4)
    return list(graph.layers)


# ---- BatchNorm


def pixels(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def through_a_view(x: Tensor, linear: nn.Module, norm: nn.Module) -> Tensor:
    t = linear(pixels(x))
    return norm(t.permute(0, 3, 1, 2)) + t.permute(0, 3, 1, 2)


BATCH_NORMS: dict[str, tuple[nn.Module, int]] = {
    "folded": (Fn(lambda x, a, n: n(a(x)), a=conv(3, 8), n=norm(8)), 1),
    "folded after another layer": (Fn(lambda x, a, b, n: n(a(x)) + b(x), a=conv(3, 8), b=conv(3, 8), n=norm(8)), 2),
    "folded into a transposed one": (Fn(lambda x, a, n: n(a(x)), a=nn.ConvTranspose2d(3, 8, 2, 2), n=norm(8)), 1),
    "twice": (Fn(lambda x, a, n, m: m(n(a(x))), a=conv(3, 8), n=norm(8), m=norm(8)), 1),
    "read elsewhere": (Fn(lambda x, a, n: n(a(x)) + a(x), a=conv(3, 8), n=norm(8)), 2),
    "read elsewhere, one value": (Fn(lambda x, a, n: (lambda y: n(y) + y)(a(x)), a=conv(3, 8), n=norm(8)), 2),
    "read through a view": (Fn(through_a_view, linear=nn.Linear(3, 8), norm=norm(8)), 2),
    "the output too": (Fn(lambda x, a, n: (lambda y: torch.cat([n(y), y], 1))(a(x)), a=conv(3, 8), n=norm(8)), 3),
    "behind a ReLU": (Fn(lambda x, a, n: n(a(x).relu()), a=conv(3, 8), n=norm(8)), 2),
    "first": (Fn(lambda x, n, a: a(n(x)), n=norm(3), a=conv(3, 8)), 2),
}  # fmt: skip


@pytest.mark.parametrize("case", BATCH_NORMS)
def test_batch_norm(case: str) -> None:
    """Folded where nothing else reads the convolution, by whatever name; else a layer of its own."""
    module, layers = BATCH_NORMS[case]
    assert len(same(module, 3, 6, 5)) == layers


def test_batch_norm_of_a_row_of_tokens() -> None:
    module = Fn(lambda x, a, n: n(a(x).flatten(2)).unflatten(2, (6, 5)), a=conv(3, 8), n=nn.BatchNorm1d(8))
    with torch.no_grad():
        module.parts["n"].running_var.fill_(3.0)  # type: ignore[operator]
    assert len(same(module, 3, 6, 5)) == 1


# ---- in-place operators


def relu_of_a_view(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    y = a(x)
    F.relu_(y.flatten(2))
    return b(y)


def add_to_a_view(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    y = a(x)
    y.flatten(2).add_(b(x).flatten(2))
    return y


def relu_of_a_base(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    y = a(x)
    tokens = y.flatten(2)
    y.relu_()
    return b(tokens.unflatten(2, y.shape[2:]))


def relu_before_a_copy(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    y = a(x)
    kept = y.clone()
    y.relu_()
    return b(y) + kept


def relu_of_the_input(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    x.relu_()
    return b(a(x))


@pytest.mark.parametrize(
    "forward", [relu_of_a_view, add_to_a_view, relu_of_a_base, relu_before_a_copy, relu_of_the_input]
)
def test_in_place(forward: Callable[..., Tensor]) -> None:
    """What an in-place operator on a view does to its base, and to all other views, but to no copy."""
    same(Fn(forward, a=conv(3, 8), b=conv(3 if forward is add_to_a_view else 8, 8)), 3, 6, 5)


def test_inplace_modules_and_sums() -> None:
    def forward(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        y = a(x)
        y += b(x)
        return y

    block = nn.Sequential(conv(3, 8), norm(8), nn.ReLU(inplace=True))
    assert [type(x) for x in same(Fn(forward, a=block, b=conv(3, 8)), 3, 6, 5)] == [Conv2d, Conv2d]


def test_views_of_copies() -> None:
    """What is contiguous in PyTorch need not be so in the order that the capture keeps."""

    def copied(x: Tensor, a: nn.Module) -> Tensor:
        return a(x).permute(0, 2, 3, 1).contiguous().view(1, 30, 8).transpose(1, 2).contiguous().view(1, 8, 6, 5)

    def in_place(x: Tensor, a: nn.Module) -> Tensor:
        y = a(x).transpose(1, 3).clone()
        F.relu_(y.flatten(2))
        return y.transpose(1, 3)

    same(Fn(copied, a=conv(3, 8)), 3, 6, 5)
    same(Fn(in_place, a=conv(3, 8)), 3, 6, 5)


# ---- the caller's module


def test_modes_are_given_back() -> None:
    """Each submodule is in the mode that it was in, whether the capture works or not."""
    module = nn.Sequential(conv(3, 8), norm(8), nn.Dropout(), nn.Sequential(conv(8, 4), norm(4)))
    module.train()
    module[3].eval()
    before = [part.training for part in module.modules()]
    statistics = copy.deepcopy(module.state_dict())
    capture(module, torch.rand(1, 3, 6, 5))
    assert [part.training for part in module.modules()] == before
    with pytest.raises(GraphError):
        capture(nn.Sequential(module, nn.Softshrink()), torch.rand(1, 3, 6, 5))
    assert [part.training for part in module.modules()] == before
    assert all(torch.equal(statistics[name], value) for name, value in module.state_dict().items())


# ---- what is refused


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu() if x.sum() > 0 else x


class Counting(nn.Module):
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return x.relu()


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu() @ torch.zeros(99, 2)


IMAGE = torch.rand(1, 3, 6, 5)
REFUSED: dict[str, tuple[object, object, str]] = {
    "a tuple": (conv(3, 8), (IMAGE,), "must be one tensor .* not tuple"),
    "no batch": (conv(3, 8), IMAGE[0], r"must be \[1,C,H,W\], not \[3, 6, 5\]"),
    "a double": (conv(3, 8), IMAGE.double(), "must be float32, not float64"),
    "bfloat16": (conv(3, 8).bfloat16(), IMAGE, "'weight' is bfloat16: the module must be float32"),
    "bfloat16 buffer": (nn.Sequential(conv(3, 8), norm(8).half()), IMAGE, "'1.weight' is float16"),
    "a second input": (Two(), IMAGE, r"must take one tensor, but its forward is \(x"),
    "a branch": (Branch(), IMAGE, "cannot trace the module: .*data-dependent"),
    "a state": (Counting(), IMAGE, "changes its buffer 'seen'"),
    "its own error": (Broken(), IMAGE, "cannot trace the module: "),
    "nothing": (nn.Sequential(), IMAGE, "the module has no layer"),
    "only views": (Fn(lambda x: x.flatten(2).unflatten(2, (6, 5))), IMAGE, "the module has no layer"),
    "a function": (torch.relu, IMAGE, "must be an nn.Module"),
    "no statistics": (nn.Sequential(conv(3, 8), nn.BatchNorm2d(8, track_running_stats=False)), IMAGE, "running statis"),
    "no output": (Fn(lambda x: None), IMAGE, "must return tensors, not something else"),  # type: ignore[arg-type,return-value]
    "a rolled output": (Fn(lambda x: x.relu().flatten(1).roll(1, 1).reshape(x.shape)), IMAGE, "the output: .* no "),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case: str) -> None:
    module, example, message = REFUSED[case]
    with pytest.raises(GraphError, match=message) as error:
        capture(module, example)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.sinh()  # gate line


def test_every_unsupported_node_is_named_with_its_place() -> None:
    """Two kinds in three places, each once, with module and source line; what follows from them is not reported."""
    module = nn.Sequential(conv(3, 8), Gate(), conv(8, 8), nn.Sequential(Gate(), nn.Softshrink()), conv(8, 8))
    lines = Path(__file__).read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.endswith("# gate line"))
    with pytest.raises(GraphError) as error:
        capture(module, torch.rand(1, 3, 6, 6))
    parts = str(error.value).split("; ")
    assert [("sinh" in p, "softshrink" in p) for p in parts] == [(True, False), (True, False), (False, True)]
    assert f"(1, test_capture.py:{line})" in parts[0]
    assert f"(3.0, test_capture.py:{line})" in parts[1]
    assert "(3.1" in parts[2]
