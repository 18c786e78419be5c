"""Blocks of pixels: as few as the accumulators allow, of one size, so that the array's next weights come in time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format, Opcode
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.geometry import even_block
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.vectors import single

NETWORKS = {
    "linear": single.matmul(257, 96, 64, Format.UINT4, Format.UINT4),
    "linear, one more than the accumulators hold": single.matmul(65, 96, 64),
    "convolution": single.conv2d((13, 20, 32), 32),
    "depthwise": single.depthwise((9, 15, 32)),
    "attention": single.attention(257, 2, 32),
    "LayerNorm's tiles": single.mlp(129, 32, 64),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("rows", [64, 48])
def test_blocks_are_even(network: Network, rows: int) -> None:
    config = replace(chip_config("paper"), rows=rows)
    found = [i for i in compile_network(network, config).instructions if i.opcode is Opcode.MATMUL]
    assert found
    for i in found:
        pixels, most = i["out_h"] * i["out_w"], rows * config.cols // config.depth if i["depthwise"] else rows
        blocks = -(-pixels // i["block"])
        assert blocks == -(-pixels // most)
        assert pixels - (blocks - 1) * i["block"] > i["block"] - blocks, "the last block is much shorter"


def test_tails_over_a_row_of_tokens() -> None:
    """257 tokens on a chip of 64 rows are five blocks of 52 or 51, whatever the portions."""
    found = compile_network(NETWORKS["linear"], chip_config("paper")).instructions
    sizes = [
        min(i["block"], i["out_w"] - at)
        for i in found if i.opcode is Opcode.MATMUL for at in range(0, i["out_w"], i["block"])
    ]  # fmt: skip
    assert min(sizes) > 32, "shorter than it takes to load a tile of weights"


@pytest.mark.parametrize("count", [1, 63, 64, 65, 257, 4096])
def test_even_block(count: int) -> None:
    size = even_block(count, 64)
    assert size <= 64
    assert -(-count // size) == -(-count // 64)
