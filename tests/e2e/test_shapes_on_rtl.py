"""Odd shapes, three ways: the chip's RTL, the golden machine and PyTorch's integers give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kit.power_on import reference
from triptych.golden.quartdepth.chip.config import CONFIGS
from triptych.golden.quartdepth.chip.isa import Format, Trap
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.vectors import single
from triptych.sim.rtl.run import run_program

TINY = CONFIGS["tiny"]
SOURCES = st.sampled_from([Format.INT8, Format.UINT4, Format.TABLE4])
OUTPUTS = st.sampled_from([Format.INT8, Format.UINT4, Format.TABLE4, Format.INT16])
ODD = st.sampled_from([1, 2, 3, 5, 7, 11, 13, 17])
CHANNELS = st.sampled_from([1, 2, 3, 7, 8, 13, 16, 17, 31, 33])
BUDGET = settings(max_examples=12, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def check(network: Network, seed: int) -> None:
    """Runs one network on RTL from a seeded power-on state, on the machine and as PyTorch integers; all are equal."""
    compiled = compile_network(network, TINY)
    codes = single.random_codes(network, seed)
    image, count = np.frombuffer(compiled.memory(codes), np.uint8), len(compiled.instructions)
    golden = reference(TINY, image, compiled.prog_base, count)
    assert golden.trap is Trap.NONE
    rtl = run_program(TINY, image, compiled.prog_base, count, max_cycles=20_000_000, power_on=seed)
    assert rtl.trap is Trap.NONE, f"the chip trapped: {rtl.trap.name} at instruction {rtl.trap_pc}"
    expected = network.run_integer(codes)
    assert np.array_equal(compiled.read_output(golden.memory), expected)
    assert np.array_equal(compiled.read_output(rtl.memory), expected)
    assert golden.differences(rtl) == []


@BUDGET
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 40), SOURCES, OUTPUTS, st.integers(0, 1 << 20))
def test_matmul(rows: int, inner: int, cols: int, source: Format, output: Format, seed: int) -> None:
    check(single.matmul(rows, inner, cols, source, output, seed=seed), seed)


@BUDGET
@given(
    ODD, ODD, CHANNELS, CHANNELS, st.sampled_from([(1, 1), (3, 3), (2, 2), (1, 3), (4, 3)]),
    st.sampled_from([(1, 1), (2, 2), (1, 2)]), st.booleans(), SOURCES, OUTPUTS, st.integers(0, 1 << 20),
)  # fmt: skip
def test_conv2d(
    height: int, width: int, channels: int, out: int, kernel: tuple[int, int], stride: tuple[int, int], padded: bool,
    source: Format, output: Format, seed: int,
) -> None:  # fmt: skip
    padding = tuple((k - 1 + 1) // 2 if padded else 0 for k in kernel)
    h, w = max(height, kernel[0]), max(width, kernel[1])
    network = single.conv2d((h, w, channels), out, kernel, stride, padding, source, output, seed=seed)
    check(network, seed)


@BUDGET
@given(ODD, ODD, CHANNELS, st.sampled_from([(1, 1), (2, 2)]), SOURCES, OUTPUTS, st.integers(0, 1 << 20))
def test_depthwise(
    height: int, width: int, channels: int, stride: tuple[int, int], source: Format, output: Format, seed: int
) -> None:
    check(single.depthwise((height, width, channels), stride, (1, 1), source, output, seed=seed), seed)


@BUDGET
@given(ODD, ODD, CHANNELS, CHANNELS, st.booleans(), SOURCES, OUTPUTS, st.integers(0, 1 << 20))
def test_conv_transpose(
    height: int, width: int, channels: int, out: int, two: bool, source: Format, output: Format, seed: int
) -> None:
    kernel, padding, extra = ((2, 2), (0, 0), (0, 0)) if two else ((3, 3), (1, 1), (1, 1))
    shape = (height, width, channels)
    check(single.conv_transpose(shape, out, kernel, (2, 2), padding, extra, source, output, seed=seed), seed)


@pytest.mark.parametrize("source", [Format.INT8, Format.UINT4], ids=["int8", "uint4"])
def test_larger_than_the_scratchpad(source: Format) -> None:
    network = single.conv2d((37, 41, 33), 29, source=source, seed=5)
    assert network.maps["x"].shape.height * 41 * 33 // (2 if source is Format.UINT4 else 1) > TINY.spad_bytes
    check(network, 5)


@pytest.mark.parametrize("kind", ["dense", "depthwise", "transposed"])
def test_int8_weights(kind: str) -> None:
    network = {
        "dense": lambda: single.conv2d((7, 9, 17), 13, (3, 3), (2, 1), (1, 1), seed=4),
        "depthwise": lambda: single.depthwise((6, 7, 11), seed=4),
        "transposed": lambda: single.conv_transpose((4, 5, 9), 10, seed=4),
    }[kind]()
    check(single.with_int8_weights(network, 4), 4)


def test_residual() -> None:
    check(single.conv2d((9, 7, 19), 19, residual=True, seed=3), 3)
