"""The layers of a vision transformer and its head, three ways: RTL, golden machine and PyTorch integers agree."""

from __future__ import annotations

import pytest

from golden.quartdepth.chip.isa import Format
from golden.quartdepth.compiler import single
from golden.quartdepth.network.network import Network
from golden.quartdepth.network.quantize import Bits
from tests.e2e.test_shapes_on_rtl import check
from tests.golden.vit_networks import small_vit, with_factors

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
}


@pytest.mark.parametrize("network", ALONE.values(), ids=ALONE)
def test_layer(network: Network) -> None:
    check(network, 1)


@pytest.mark.parametrize("bits", list(Bits), ids=lambda b: b.value)
def test_whole_vit(bits: Bits) -> None:
    check(with_factors(small_vit(bits)[0], Format.TABLE4), 2)
