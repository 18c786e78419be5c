"""Paper and ours: what is extrapolated, and what is read from other sections."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.e2e.test_sweep import NETWORK, SMALL, one_by_one
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors.single import random_codes
from triptych.golden.quartdepth.zoo.vit import Backbone, DptConfig, VitConfig
from triptych.sim.bench import paper
from triptych.sim.bench.cost import published_gmac_j, said_of
from triptych.sim.model import sweep
from triptych.sim.model.shapes import Shallow, depth_vit
from triptych.sim.model.sweep import Point, Row


def test_each_block_more_takes_the_same() -> None:
    few = paper.Clocked(3.0, [100, 200, 300], "", 1024, 0, 1)
    more = paper.Clocked(4.0, [110, 220, 330], "too small", 2048, 0, 2)
    assert paper.extrapolated(few, few, more, 12) == paper.Clocked(14.0, [210, 420, 630], "too small", 2048, 0, 2)
    assert paper.extrapolated(few, few, more, 2) == more


def test_a_block_is_timed_on_encoders_alone() -> None:
    whole = paper.Clocked(5.0, [1000, 2000, 3000], "", 1024, 0, 3)
    few, more = (paper.Clocked(g, [c, c, c], "", 1024, 0, 1) for g, c in ((1.0, 60), (2.0, 100)))
    assert paper.extrapolated(whole, few, more, 3) == paper.Clocked(7.0, [1080, 2080, 3080], "", 1024, 0, 3)


def test_an_encoder_is_what_its_last_block_needs() -> None:
    backbone = VitConfig(dim=32, depth=2, heads=2, grid=3, taps=(1, 1, 1, 1))
    head = DptConfig(features=16, channels=(16, 16, 16, 16))
    network = depth_vit(backbone, head, (42, 42), Widths.W4A4)
    encoder = paper.encoder(network, 2)
    assert encoder.output.startswith("pretrained.blocks.1.")
    assert not any(layer.name.startswith("depth_head") for layer in encoder.layers)
    assert {layer.name for layer in encoder.layers} < {layer.name for layer in network.layers}
    codes = random_codes(network, 1)
    seen: dict[str, Ints] = {}
    network.run_integer(codes, seen.__setitem__)
    assert np.array_equal(encoder.run_integer(codes), seen[encoder.output])


def test_a_shallow_backbone_is_tapped_as_often() -> None:
    torch.manual_seed(1)
    deep = Backbone(VitConfig(dim=32, depth=2, heads=2, grid=3, taps=(0, 0, 1, 1)))
    shallow = Shallow(deep.cfg)
    shallow.load_state_dict(deep.state_dict())
    photo = torch.rand(1, 3, 42, 42)
    one, other = deep(photo)
    for found, wanted in zip(shallow(photo), (one, one, other, other), strict=True):
        assert torch.equal(found, wanted)


def test_energy_is_read_from_its_section() -> None:
    text = "### `small`, lib: 1.234 mJ a frame, 90 GMAC/J (120 without DRAM)\n### `paper`, lib: 2 mJ a frame"
    assert published_gmac_j("small", text) == 120.0
    assert published_gmac_j("paper", text) is None


def test_a_chip_that_is_not_made_anew_keeps_its_table() -> None:
    energy = "<!-- begin:quartdepth-energy -->\n## Energy\n### `paper`, lib: 2 mJ\n<!-- end:quartdepth-energy -->\n"
    timing = (
        "<!-- begin:quartdepth-timing -->\nSlow.\n\n### `small`, lib\n|a|\n\n![s](s.png)\n\n### `paper`, lib\n|b|\n"
    )
    text = energy + timing + "<!-- end:quartdepth-timing -->\n### `tiny`"
    assert said_of("timing", "small", text) == "### `small`, lib\n|a|\n\n![s](s.png)"
    assert said_of("timing", "paper", text) == "### `paper`, lib\n|b|"
    assert said_of("timing", "tiny", text) == ""
    assert said_of("energy", "paper", text) == "### `paper`, lib: 2 mJ"


def test_points_of_a_sweep_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_BUILD", str(tmp_path))
    bad = Point(24, 24, 64, 256, 0, 19.2, 40.0, 1000)
    found = sweep.sweep(NETWORK, [SMALL, bad], one_by_one, lambda *_: None, keep=True)
    asked: list[Point] = []

    def only_bad(network: Network, tasks: list[list[Point]]) -> Iterable[list[Row]]:
        asked.extend(point for task in tasks for point in task)
        return one_by_one(network, tasks)

    assert sweep.sweep(NETWORK, [SMALL, bad], only_bad, lambda *_: None, keep=True) == found
    assert asked == [bad]  # what failed is tried again
