"""A backbone's change as thin matrices: what a file carries computes what was trained."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.kit.vit import photo, tiny_vit
from triptych.golden.quartdepth.train.average import average
from triptych.golden.quartdepth.train.steps import npz_bytes
from triptych.golden.quartdepth.zoo.low_rank import LowRank, merged, split
from triptych.golden.quartdepth.zoo.vit import DepthVit
from triptych.golden.quartdepth.zoo.vit_backbone import BackboneError, read_head

torch.set_num_threads(1)


def changed() -> tuple[DepthVit, LowRank]:
    """A small network and a change of it that is not zero."""
    model = tiny_vit().eval()
    change = LowRank(model.pretrained, 3)
    with torch.no_grad():
        for parameter in change.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    return model, change


def test_a_file_computes_what_was_trained(tmp_path: Path) -> None:
    model, change = changed()
    plain = model(photo())
    file = tmp_path / "w.npz"
    file.write_bytes(npz_bytes(change.arrays(change.state_dict()) | {"head": torch.ones(2)}, {}))
    handles = change.attach()
    with torch.no_grad():
        trained = model(photo())
    for handle in handles:
        handle.remove()
    changes, rest = split(read_head(file))
    assert rest.keys() == {"head"}
    assert len(changes) == 2 * len(change.layers) == 2 * 4 * 4
    model.pretrained.load_state_dict(merged(model.pretrained.state_dict(), changes))
    with torch.no_grad():
        loaded = model(photo())
    assert (trained - plain).abs().max() > 0.05
    torch.testing.assert_close(loaded, trained, atol=2e-3, rtol=2e-3)  # a file holds float16


def test_a_new_change_changes_nothing_and_loads_what_another_saved() -> None:
    model, change = changed()
    fresh = LowRank(model.pretrained, 3)
    plain = model(photo())
    for handle in fresh.attach():
        assert torch.equal(model(photo()), plain)
        handle.remove()
    fresh.load(change.arrays(change.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), change.parameters(), strict=True))
    with pytest.raises(KeyError):
        fresh.load({})
    with pytest.raises(KeyError):
        merged(model.pretrained.state_dict(), {"low_rank.none.down": torch.ones(1, 1)})


def test_the_mean_of_files(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.npz" for i in range(4)]
    for file, values in zip(files, (torch.zeros(3), torch.ones(3), torch.ones(4), 3 * torch.ones(3)), strict=True):
        file.write_bytes(npz_bytes({"a": values}, {"steps": 1, "config": {}}))
    average(files[0], [files[1]], 0.25, tmp_path / "mean.npz")
    assert np.allclose(read_head(tmp_path / "mean.npz")["a"], 0.25)
    average(files[0], [files[1], files[3]], 0.25, tmp_path / "mean.npz")
    assert np.allclose(read_head(tmp_path / "mean.npz")["a"], 0.5)
    with pytest.raises(BackboneError, match="different networks"):
        average(files[0], [files[1], files[2]], 0.25, tmp_path / "no.npz")
