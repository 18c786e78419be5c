"""Functions that are sums of the chip's own: as near to PyTorch's as docs/ops.md says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from triptych.golden.quartdepth.network.ops._pointwise import Pointwise
from triptych.golden.quartdepth.network.ops.elu import ELU
from triptych.golden.quartdepth.network.ops.sigmoid import Sigmoid
from triptych.golden.quartdepth.network.ops.silu import SiLU
from triptych.golden.quartdepth.network.ops.softplus import Softplus

Function = Callable[[Tensor], Tensor]
# the layer, what it stands for, how far its arguments may reach, the error that its page states
FUNCTIONS: dict[str, tuple[Pointwise, Function, float, float]] = {
    "SiLU": (SiLU("y", "x"), F.silu, 10, 0.0052),
    "sigmoid": (Sigmoid("y", "x"), torch.sigmoid, 40, 0.0033),
    "tanh": (Sigmoid("y", "x", 2.0, 2.0, 0.0), torch.tanh, 40, 0.0065),
    "softplus": (Softplus("y", "x"), F.softplus, 40, 0.00061),
    "ELU": (ELU("y", "x", 0.5), lambda x: F.elu(x, 0.5), 40, 1e-5),
}  # Mish has a test of its own


@pytest.mark.parametrize("name", FUNCTIONS)
def test_terms_are_the_function(name: str) -> None:
    layer, function, reach, bound = FUNCTIONS[name]
    x = torch.linspace(-reach, reach, 40_001, dtype=torch.float64)
    made = torch.stack([term.of(x) for term in layer.terms]).sum(0)
    error = float((made - function(x)).abs().max())
    assert error <= bound
    assert error > 0.9 * bound or bound < 1e-4  # the page states no more than there is


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_float_layer_is_the_function(name: str) -> None:
    layer, function, reach, _ = FUNCTIONS[name]
    x = torch.linspace(-reach, reach, 1001)
    torch.testing.assert_close(layer.run({"x": x}, lambda map_name, tensor: None), function(x))
