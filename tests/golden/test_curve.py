"""Functions as straight lines between codes: how far off, how many, and what has none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.ops._curve import FAR, MOST_RAMPS, _knots
from triptych.golden.quartdepth.network.ops.curve import FUNCTIONS
from triptych.golden.quartdepth.network.qparams import QuantizeError
from triptych.golden.quartdepth.network.quantize import quantize

STEEP = {"reciprocal": (0.05, 1.0), "rsqrt": (0.01, 1.0), "log": (0.01, 1.0), "log2": (0.01, 1.0), "log10": (0.01, 1.0)}
REACH = {"sin": (-4.0, 4.0), "cos": (-4.0, 4.0), "exp": (-5.0, 2.0), "expm1": (-5.0, 2.0), "sqrt": (0.0, 1.0),
         "log1p": (0.0, 9.0), **STEEP}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lines_are_as_close_as_they_say(name: str) -> None:
    """256 codes over a range with bends: within FAR of the spread, of at most MOST_RAMPS lines."""
    x = np.linspace(*REACH.get(name, (-3.0, 3.0)), 256)
    codes, values = np.arange(256), FUNCTIONS[name](torch.from_numpy(x)).numpy()
    knots = _knots(codes, values)
    assert len(knots) <= MOST_RAMPS + 1
    far = np.abs(np.interp(codes, knots, values[knots]) - values).max()
    assert far <= FAR * np.ptp(values)


class Over(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return 1 / (self.first(x) + 1e-3)


def test_a_reciprocal_of_both_signs_is_refused_in_one_line() -> None:
    net = Over()
    with torch.no_grad():
        net.first.weight.copy_(torch.tensor([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]])[:, :, None, None])
    image = torch.rand(1, 3, 4, 4)
    with pytest.raises(QuantizeError, match="reciprocal of values on both sides of zero") as error:
        quantize(capture(net, image), [image])
    assert "\n" not in str(error.value)
