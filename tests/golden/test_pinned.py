"""Integer networks and programs are what is committed: no judge that moves with golden could say so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from triptych.sim.bench import pinned
from triptych.sim.errors import TriptychError


@pytest.mark.parametrize("vit", [False, pytest.param(True, marks=pytest.mark.slow)])  # the shipped file takes longest
def test_networks_and_programs_are_the_committed_ones(vit: bool) -> None:
    """After a change that is meant: `triptych hashes --commit REASON`."""
    wanted, ranges = pinned.committed()
    assert set(wanted) == {"METER w4a8", "METER w4a4", pinned.VIT}
    if not vit:
        del wanted[pinned.VIT]
    found, _ = pinned.measure(ranges, vit)
    assert pinned.differences(found, wanted) == []


def test_a_change_is_committed_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "hashes.json"
    old = pinned.Hashes("n", "p", 10)
    assert pinned.committed(path) == ({}, {})
    with pytest.raises(TriptychError, match="takes the reason"):
        pinned.commit({"a": old}, {}, " ", path)
    pinned.commit({"a": old}, {"m": (-0.5, 1.0)}, "first", path)
    assert pinned.committed(path) == ({"a": old}, {"m": (-0.5, 1.0)})
    other = {"a": replace(old, program="q", instructions=11)}
    assert pinned.differences(other, {"a": old}) == ["a: the same network, another program (10 -> 11)"]
    assert pinned.differences({"a": replace(old, network="m")}, {"a": old})[0].startswith("a: another network")
    assert pinned.differences({}, {"a": old}) == ["a: measured no more"]
    pinned.commit(other, {}, "second", path)
    assert pinned.committed(path) == (other, {})
    path.write_text("{")
    with pytest.raises(TriptychError, match="is damaged"):
        pinned.committed(path)
