"""The layers of a vision transformer and its head, three ways: RTL, golden machine and PyTorch integers agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.e2e.test_shapes_on_rtl import check
from tests.kit.vit_networks import small_vit, with_factors
from triptych.golden.photo import fit_photo, shipped_photo
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format, Trap
from triptych.golden.quartdepth.chip.machine import Machine
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors import single
from triptych.golden.quartdepth.zoo.depth_anything import Size
from triptych.golden.quartdepth.zoo.random_weights import random_weights
from triptych.golden.quartdepth.zoo.vit import DepthVit, DptConfig, VitConfig
from triptych.sim.depth.run import compare, to_tensor
from triptych.sim.rtl.run import run_program

ALONE = {
    "gelu": single.gelu_linear(37, 21, 19, seed=1),
    "gelu into a table": single.gelu_linear(5, 33, 40, Format.UINT4, Format.TABLE4, seed=2),
    "regrid": single.regridded((3, 5), 2, 33, 19, seed=3),
    "regrid, four bits": single.regridded((7, 1), 1, 40, 8, Format.UINT4, Format.UINT4, seed=4),
    "factors": single.polished((3, 5, 19), output=Format.TABLE4, seed=5),
    "factors of a table": single.polished((1, 7, 33), Format.TABLE4, seed=6),
    "rows doubled": single.doubled((5, 3, 19), 0, seed=7),
    "rows doubled, four bits": single.doubled((1, 3, 8), 0, Format.UINT4, Format.UINT4, seed=8),
    "columns doubled": single.doubled((3, 7, 17), 1, Format.TABLE4, Format.INT16, seed=9),
    "constant": single.summed((3, 11, 19), seed=10),
    "constant of a table": single.summed((1, 9, 8), Format.UINT4, Format.TABLE4, Format.UINT4, seed=11),
    "attention": single.attention(37, 2, 12, seed=12),
    "attention, four-bit keys": single.attention(19, 1, 16, narrow=True, output=Format.UINT4, seed=13),
    "attention, coded queries": single.attention(37, 3, 20, narrow=True, packed=True, seed=14),
    "attention, coded queries into a table": single.attention(19, 2, 16, True, Format.TABLE4, 15, packed=True),
}


@pytest.mark.parametrize("network", ALONE.values(), ids=ALONE)
def test_layer(network: Network) -> None:
    check(network, 1)


@pytest.mark.parametrize(
    "bits", [pytest.param(Widths.W4A8, marks=pytest.mark.slow), Widths.W4A4], ids=lambda b: b.value
)
def test_whole_vit(bits: Widths) -> None:
    check(with_factors(small_vit(bits)[0], Format.TABLE4), 2)


NETWORKS = {
    "ours": (DptConfig(), (196, 252), Widths.W4A4),  # 7.7 billion MACs
    "ours, eight bits": (DptConfig(), (196, 252), Widths.W4A8),
    "Depth Anything V2": (Size.SMALL.head, (252, 252), Widths.W4A8),  # 10.5 billion
}


@pytest.mark.slow
@pytest.mark.parametrize(("head", "size", "bits"), NETWORKS.values(), ids=NETWORKS)
def test_vit_s(head: DptConfig, size: tuple[int, int], bits: Widths) -> None:
    """A ViT-S/14 + DPT of full size with random weights, our head or the published one, one photo on `paper`."""
    torch.manual_seed(1)
    model = random_weights(DepthVit(VitConfig(), head))
    graph = capture(model, torch.zeros(1, 3, *size))
    assert graph.patches is not None
    rgb = fit_photo(shipped_photo("motorcycle_left.png"), size).rgb
    network = quantize(graph, [graph.patches.arrange(to_tensor(rgb))], bits)
    codes = image_codes(network, rgb)
    compiled = compile_network(network, chip_config("paper"))
    image, count = np.frombuffer(compiled.memory(codes), np.uint8), len(compiled.instructions)
    rtl = run_program(compiled.config, image, compiled.prog_base, count, power_on=5)
    assert rtl.trap is Trap.NONE
    memory = Memory(compiled.memory_size)
    memory.place(0, image)
    golden = Machine(compiled.config).run(StoredProgram(memory, compiled.prog_base, count), memory)
    assert compare(rtl, golden, memory.data) == (0, "")
    expected = network.run_integer(codes)
    assert len(np.unique(expected)) > 20
    assert np.array_equal(compiled.read_output(rtl.memory), expected)
