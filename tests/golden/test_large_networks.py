"""Large networks: programs that are as long as they must be, compile times and memory that stay usable."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Opcode
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.ops.resize import QResample
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors.single import random_codes

torch.set_num_threads(1)


class _Resized(nn.Module):
    """Corners stay: at these sizes hardly two rows or columns have the same factors."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 24, 1), nn.Conv2d(24, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(F.interpolate(self.first(x), (67, 131), mode="bilinear", align_corners=True))
        return y


def test_rows_and_columns_of_their_own_factors_are_one_instruction_a_tile() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 38, 71)
    network = quantize(capture(_Resized().eval(), x), [x], Widths.W4A8)
    compiled = compile_network(network, chip_config("small"))
    counts = Counter(
        compiled.layers[n].name
        for n, i in zip(compiled.layer_of, compiled.instructions, strict=True)
        if i.opcode is Opcode.VECTOR
    )
    resized = [(s.layer, len(c.tiles)) for c in compiled.plan.clusters for s in c.cluster.steps]
    found = {layer.axis: (counts[layer.name], tiles) for layer, tiles in resized if isinstance(layer, QResample)}
    assert 60 <= found[0][0] <= 2 * 67
    assert 120 <= found[1][0] <= 131 * found[1][1]
    codes = random_codes(network, 1)
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))
