"""Products that keep the VPU stand between others: nothing that meets changes its order, and the array waits less."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from tests.golden.test_tokens import words
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Opcode
from triptych.golden.quartdepth.compiler import schedule
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.compiler.interleave import Scheduled
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import calibrate, quantize_ranges
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors.single import random_codes

SIZE = (28, 36)


def fused(kernel: int) -> Network:
    """The end of a dense head: convolutions of 64 channels, the last of `kernel`, then the map doubled and read."""
    torch.manual_seed(2)
    wide = [nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1)]
    last = nn.Conv2d(64, 64, kernel, padding=kernel // 2)
    double = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    graph = capture(nn.Sequential(*wide, last, double, nn.Conv2d(64, 32, 3, padding=1)), torch.zeros(1, 3, *SIZE))
    return quantize_ranges(graph, calibrate(graph, [torch.rand(1, 3, *SIZE)]), Widths.W4A4)


def turns(compiled: Compiled) -> int:
    """How often the MXU goes from one layer to another."""
    found = zip(compiled.instructions, compiled.layer_of, strict=True)
    layers = [layer for i, layer in found if i.opcode is Opcode.MATMUL]
    return sum(a != b for a, b in pairwise(layers))


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Scheduled], list[Scheduled]]]:
    """What goes into `overlap`, and what comes out."""
    seen: list[tuple[list[Scheduled], list[Scheduled]]] = []
    inner = schedule.overlap

    def both(listed: list[Scheduled], config: object) -> list[Scheduled]:
        seen.append((list(listed), inner(listed, config)))  # type: ignore[arg-type]
        return seen[-1][1]

    monkeypatch.setattr(schedule, "overlap", both)
    return seen


def test_one_by_one_between_three_by_three(
    orders: list[tuple[list[Scheduled], list[Scheduled]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, config = fused(1), chip_config("paper")
    compiled = compile_network(network, config)
    ((listed, ordered),) = orders
    assert sorted(map(id, listed)) == sorted(map(id, ordered))
    place = {id(entry): n for n, entry in enumerate(ordered)}
    sets = [(words(entry, True), words(entry, False)) for entry in listed]
    for j, (written, read) in enumerate(sets):
        for i in range(j):
            if sets[i][0] & (written | read) or sets[i][1] & written:
                assert place[id(listed[i])] < place[id(listed[j])], (i, j)
    codes = random_codes(network, 3)
    assert np.array_equal(run_on_machine(compiled, codes, noise=1), network.run_integer(codes))
    monkeypatch.setattr(schedule, "overlap", lambda listed, config: listed)
    apart = compile_network(network, config)
    assert turns(compiled) > turns(apart)
    assert compiled.cycles < 0.99 * apart.cycles


@pytest.mark.parametrize(("chip", "kernel"), [("paper", 3), ("small", 1)])
def test_others_stay(chip: str, kernel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The array is the slower one, or both are alike."""
    network, config = fused(kernel), chip_config(chip)
    there = compile_network(network, config)
    monkeypatch.setattr(schedule, "overlap", lambda listed, config: listed)
    assert there.program == compile_network(network, config).program
