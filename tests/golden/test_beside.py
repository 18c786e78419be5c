"""Maps whose cells hold the next pixel too: two taps of a kernel in one step."""

from __future__ import annotations

import numpy as np
import pytest

from tests.golden.test_compiler_shapes import chain
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format, Opcode
from triptych.golden.quartdepth.compiler.beside import Neighbours
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.compiler.pack import elements_per_step
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.vectors.single import random_codes


def paired(network: Network, chip: str) -> Compiled:
    """Compiled, exact."""
    compiled = compile_network(network, chip_config(chip))
    codes = random_codes(network, 1)
    wanted = network.run_integer(codes)
    assert len(np.unique(wanted)) > 20
    assert np.array_equal(run_on_machine(compiled, codes, noise=3), wanted)
    return compiled


def widest(compiled: Compiled) -> int:
    """Steps a row of the widest kernel."""
    found = [i for i in compiled.instructions if i.opcode is Opcode.MATMUL and not i["depthwise"]]
    return max(i["kernel_w"] for i in found)


@pytest.mark.parametrize(
    ("chip", "channels", "form", "kernel"),
    [
        ("small", 16, Format.UINT4, 3),
        ("small", 9, Format.TABLE4, 3),
        ("tiny", 16, Format.UINT4, 3),
        ("tiny", 5, Format.INT8, 3),
        ("paper", 32, Format.UINT4, 3),
        ("paper", 24, Format.TABLE4, 5),
    ],
)
@pytest.mark.parametrize("width", [1, 2, 13])
def test_two_taps_a_step(chip: str, channels: int, form: Format, kernel: int, width: int) -> None:
    compiled = paired(chain((9, width, channels), 24, kernel, 1, form, seed=channels), chip)
    room = elements_per_step(form, compiled.config) >= 2 * channels
    assert room or form is Format.TABLE4
    assert any(isinstance(step.layer, Neighbours) for step in compiled.plan.steps) == room
    assert widest(compiled) == kernel - room


@pytest.mark.parametrize(
    ("channels", "kernel", "stride"), [(17, 3, 1), (16, 3, 2), (16, 1, 1)], ids=["no room", "stride", "one tap"]
)
def test_where_it_does_not_pay(channels: int, kernel: int, stride: int) -> None:
    compiled = paired(chain((9, 13, channels), 24, kernel, stride, Format.UINT4, seed=1), "small")
    assert not any(isinstance(step.layer, Neighbours) for step in compiled.plan.steps)


def test_a_map_in_memory_stays_as_it_is() -> None:
    """What streams moves in whole words: there is no half of one to fill."""
    compiled = paired(chain((64, 64, 16), 24, 3, 1, Format.UINT4, seed=1), "tiny")
    assert not any(isinstance(step.layer, Neighbours) for step in compiled.plan.steps)
