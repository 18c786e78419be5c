"""Cycles by hand (docs/architecture.md): the page's arithmetic is right, and RTL takes what the page predicts."""

from __future__ import annotations

import ast
import operator
import re

import numpy as np
import pytest

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format, Trap
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.vectors import single
from triptych.sim.build.sources import ROOT
from triptych.sim.rtl.run import run_program

EXAMPLES = {
    "GEMM": single.matmul(197, 384, 96, Format.UINT4, Format.UINT4, seed=2),
    "Attention head": single.attention(197, 1, 32, seed=5, inner=16),
    "3x3 convolution": single.conv2d((24, 32, 48), 32, source=Format.UINT4, output=Format.UINT4, seed=7),
}
CLOSE = 0.01
PAGE = ROOT / "docs" / "architecture.md"
OPERATORS = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(text: str) -> float:
    """Sums, products and quotients of numbers."""

    def of(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            return float(OPERATORS[type(node.op)](of(node.left), of(node.right)))
        assert isinstance(node, ast.Constant)
        return float(node.value)  # type: ignore[arg-type]

    return of(ast.parse(text, mode="eval").body)


def worked() -> dict[str, dict[str, float]]:
    """Results on the page by example and line, each computed from what stands before it."""
    found: dict[str, dict[str, float]] = {}
    for name, lines in re.findall(r"^\*\*(.+?)\*\*: .*\n((?:- \w+ = .*\n?)+)", PAGE.read_text(), re.MULTILINE):
        found[name] = {}
        for what, left, right in re.findall(r"^- (\w+) = (.*) = (\d+)$", lines, re.MULTILINE):
            assert value(left) == int(right), f"{name}: {what}"
            found[name][what] = float(right)
        *parts, total = found[name].values()
        assert sum(parts) == total, name
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_prediction(name: str) -> None:
    page, network = worked(), EXAMPLES[name]
    assert set(page) == set(EXAMPLES)
    cycles, array = measured(network)
    assert page[name]["array"] == array
    assert abs(page[name]["cycles"] - cycles) <= CLOSE * cycles, f"{name}: RTL takes {cycles}"


def measured(network: Network) -> tuple[int, int]:
    """Cycles of the run, and those in which the array stepped."""
    config = chip_config("small")
    compiled = compile_network(network, config)
    image = np.frombuffer(compiled.memory(single.random_codes(network, 1)), np.uint8)
    run = run_program(config, image, compiled.prog_base, len(compiled.instructions))
    assert run.trap is Trap.NONE
    return run.cycles, run.counters["MXU"]["active"]
