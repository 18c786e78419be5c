"""Large networks: programs that are as long as they must be, compile times and memory that stay usable."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import ENGINE_OF, Opcode
from triptych.golden.quartdepth.compiler import compile as compile_module
from triptych.golden.quartdepth.compiler.compile import CompileError, compile_network, split
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import Capture, View, capture
from triptych.golden.quartdepth.network.exported import export
from triptych.golden.quartdepth.network.network import Network
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


def resized_network() -> Network:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 38, 71)
    return quantize(capture(_Resized().eval(), x), [x], Widths.W4A8)


def test_rows_and_columns_of_their_own_factors_are_one_instruction_a_tile() -> None:
    network = resized_network()
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


def test_instructions_are_longer_where_tokens_would_not_count_them(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    double = nn.Upsample(scale_factor=2, mode="bilinear")
    module, x = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), double, nn.Conv2d(24, 24, 3)), torch.rand(1, 3, 40, 50)
    network = quantize(capture(module.eval(), x), [x], Widths.W4A8)

    def most() -> int:
        compiled = compile_network(network, chip_config("small"))
        codes = random_codes(network, 1)
        assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))
        return max(Counter(ENGINE_OF[i.opcode] for i in compiled.instructions[:-1]).values())

    freely = most()
    monkeypatch.setattr(compile_module, "MAX_TOKENS", freely // 2)
    assert freely // 5 < most() <= freely // 2
    monkeypatch.setattr(compile_module, "MAX_TOKENS", 20)
    with pytest.raises(CompileError, match="more than 20 instructions of an engine"):
        most()


def test_a_program_is_cut_where_tokens_would_not_count_its_instructions() -> None:
    """Programs one after the other; the chip keeps what one has left for the next."""
    network, config = resized_network(), chip_config("small")
    whole = compile_network(network, config)
    compiled = compile_network(network, config, cut=90)
    codes = random_codes(network, 1)
    assert whole.programs == [len(whole.listing)]
    assert len(compiled.programs) > 2
    assert len(compiled.listing) == len(whole.listing) + len(compiled.programs) - 1
    for program in split(compiled.listing, compiled.programs):
        assert program[-1].instruction.opcode is Opcode.HALT
        assert max(Counter(ENGINE_OF[i.opcode] for i, _ in program[:-1]).values()) <= 90
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))
    assert whole.cycles < compiled.cycles < 1.1 * whole.cycles


def test_indices_of_whole_maps_share_their_memory() -> None:
    """A view's indices are of the map's size; a network has hundreds of maps."""
    layers = [nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()) for _ in range(12)]
    module, shape = nn.Sequential(nn.Conv2d(3, 16, 1), *layers).eval(), (1, 3, 40, 50)
    walk = Capture.begin(export(module, torch.rand(shape)), shape)
    walk.run()
    kept = [v.index.untyped_storage() for v in walk.values.values() if isinstance(v, View)]
    assert len(kept) > 30
    assert sum({s.data_ptr(): s.nbytes() for s in kept}.values()) <= 2 * 8 * 16 * 40 * 50
