"""METER-XXS: published weights fit and compute what was published; fusion changes nothing; errors are clear."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from triptych.golden.paths import shared_dir
from triptych.golden.photo import to_input
from triptych.golden.quartdepth.data.metrics import Scores, mean_scores, score_image
from triptych.golden.quartdepth.data.sequences import Sequence, motorcycle, read_sequence
from triptych.golden.quartdepth.train.fakequant import ActivationQuantizer, QuantSim, fake_weight
from triptych.golden.quartdepth.zoo.checkpoint import CheckpointError
from triptych.golden.quartdepth.zoo.meter import (
    DEFAULT_WEIGHTS,
    METADATA_KEY,
    METER,
    SepConv,
    fold_patches,
    fuse,
    fused_state,
    load_weights,
    unfold_patches,
    weights_metadata,
)


@pytest.fixture(scope="module")
def default() -> METER:
    return load_weights()


def _shared() -> Path:
    shared = shared_dir()
    if shared is None:
        pytest.skip("no shared data: published weights and test sequences are not here")
    return shared


def _scrambled() -> METER:
    """Random weights and random BatchNorm statistics, so that folding has something to get wrong."""
    torch.manual_seed(5)
    model = METER().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.3, 2)
    return model


def test_size_of_the_network() -> None:
    model = METER()
    assert sum(p.numel() for p in model.parameters()) == 713_464
    assert len(model.state_dict()) == 261


def test_published_weights_and_outputs() -> None:
    shared = _shared()
    model = load_weights(shared / "weights" / "meter" / "build_model_best_kitti_xxs")
    assert model.metres_per_unit == 0.1
    reference = {
        "udacity/rgb/000000": (152.672, 24.545, 561.436),
        "udacity/rgb/000020": (138.726, 22.350, 572.399),
        "metric3d_demo/rgb/000005": (271.010, 41.961, 756.405),
    }
    for name, figures in reference.items():
        rgb = np.asarray(Image.open(shared / "data" / "kitti" / f"{name}.png").convert("RGB"))
        with torch.no_grad():
            y = model(to_input(rgb[None]))
        assert y.shape == (1, 1, 48, 160)
        assert (y.mean().item(), y.min().item(), y.max().item()) == pytest.approx(figures, abs=2e-3), name


def test_shipped_weights(default: METER) -> None:
    assert DEFAULT_WEIGHTS.stat().st_size <= 4_000_000
    metadata = weights_metadata()
    assert metadata["metres_per_unit"] == default.metres_per_unit == 1.0
    assert metadata["trained_on"][:2] == ["tum_fr1_rpy", "aims"]
    assert not {"sevenscenes", "udacity", "metric3d_demo"} & set(metadata["trained_on"])
    assert metadata["complete"]
    assert all(torch.isfinite(v).all() for v in default.state_dict().values())


def _scores(model: METER, sequence: Sequence) -> Scores:
    with torch.no_grad():
        depth = [model(to_input(rgb[None]))[0, 0].numpy() for rgb in sequence.rgb]
    return mean_scores(score_image(p, d) for p, d in zip(depth, sequence.depth, strict=True))


def test_shipped_weights_on_a_photo_with_known_depth(default: METER) -> None:
    """Needs no shared data: scikit-image's motorcycle has true depth."""
    scores = _scores(default, motorcycle(default.cfg.input_size))
    assert scores.median_ratio == pytest.approx(1.632, abs=2e-3)
    assert scores.scaled.d1 == pytest.approx(0.608, abs=2e-3)
    assert scores.raw.rmse == pytest.approx(1.52, abs=1e-2)


def test_accuracy_of_the_shipped_weights(default: METER) -> None:
    """What README.md beside the weights says of them."""
    scores = _scores(default, read_sequence(_shared() / "data" / "indoor" / "aims", "test"))
    assert scores.images == 40
    assert scores.raw.d1 == pytest.approx(0.879, abs=2e-3)
    assert scores.scaled.abs_rel == pytest.approx(0.100, abs=2e-3)


def test_patches_are_laid_out_as_documented() -> None:
    x = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    tokens = unfold_patches(x)
    assert tokens.shape == (2, 4, 6, 3)
    for row in range(4):
        for column in range(6):
            (a, p), (b, q) = divmod(row, 2), divmod(column, 2)
            assert (tokens[:, 2 * p + q, 3 * a + b] == x[:, :, row, column]).all()
    assert (fold_patches(tokens, 4, 6) == x).all()


def test_fusion_changes_nothing_but_rounding() -> None:
    model = _scrambled()
    fused = fuse(model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    x = torch.rand(2, 3, 64, 128)
    with torch.no_grad():
        a, b = model(x), fused(x)
    assert (a - b).norm() / a.norm() < 1e-5
    before = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in fused.parameters()) < before


def test_fused_weights_are_those_of_any_processor(default: METER) -> None:
    """A processor's matrix product adds in its own order: another order, the same weights."""
    turned, fused = load_weights(), fuse(default).state_dict()
    for module in turned.modules():
        if isinstance(module, SepConv):
            module.depthwise.weight.data = module.depthwise.weight.data.flip(0)
            module.pointwise.weight.data = module.pointwise.weight.data.flip(1)
    assert all(torch.equal(value, fused[name]) for name, value in fuse(turned).state_dict().items())


def test_fused_weights_carry_gradients() -> None:
    model = _scrambled()
    skeleton = fuse(model)
    torch.func.functional_call(skeleton, fused_state(model), (torch.rand(1, 3, 64, 64),)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("shape", [(1, 3, 100, 64), (1, 1, 64, 64), (3, 64, 64), (1, 3, 0, 64)])
def test_wrong_input_is_refused(default: METER, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 64"):
        default(torch.zeros(shape))


def test_weight_files_that_do_not_fit(tmp_path: Path, default: METER) -> None:
    state = dict(default.state_dict())
    state["encoder.conv2.0.weight"] = torch.zeros(160, 81, 1, 1)
    del state["decoder.conv2d_in.weight"]
    state["head.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError) as error:
        load_weights(tmp_path / "odd.pt")
    line = str(error.value)
    assert "\n" not in line
    assert "1 missing: decoder.conv2d_in.weight" in line
    assert "1 unexpected: head.weight" in line
    assert "encoder.conv2.0.weight is [160, 81, 1, 1], not [160, 80, 1, 1]" in line


def test_weight_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weight file"):
        load_weights(tmp_path / "nowhere.pt")
    (tmp_path / "noise.pt").write_bytes(b"\x80\x02noise")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save(nn.Linear(1, 1), tmp_path / "module.pt")  # a pickled object: never executed
    np.savez(tmp_path / "object.npz", a=np.array([{}], dtype=object))
    (tmp_path / "cut.npz").write_bytes(DEFAULT_WEIGHTS.read_bytes()[:5000])
    for name in ("noise.pt", "empty.pt", "list.pt", "module.pt", "object.npz", "cut.npz"):
        with pytest.raises(CheckpointError, match=f"{name}") as error:
            load_weights(tmp_path / name)
        assert "\n" not in str(error.value)


def test_state_dict_without_a_unit(tmp_path: Path, default: METER) -> None:
    torch.save(default.state_dict(), tmp_path / "own.pt")
    assert load_weights(tmp_path / "own.pt").metres_per_unit is None
    np.savez(tmp_path / "own.npz", **{k: v.numpy() for k, v in default.state_dict().items()})
    assert METADATA_KEY not in np.load(tmp_path / "own.npz").files
    assert load_weights(tmp_path / "own.npz").metres_per_unit is None


def test_simulated_weights_have_fifteen_levels_a_channel() -> None:
    torch.manual_seed(0)
    w = torch.randn(6, 5, 3, 3)
    q = fake_weight(w, 0)
    for channel, original in zip(q, w, strict=True):
        scale = original.abs().max() / 7
        codes = channel / scale
        assert torch.allclose(codes, codes.round(), atol=1e-5)
        assert codes.abs().max() <= 7.001
        assert (channel - original).abs().max() <= scale * 0.5001


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_simulated_activations(bits: int, symmetric: bool) -> None:
    torch.manual_seed(1)
    quantizer = ActivationQuantizer(symmetric=symmetric)
    x = torch.randn(1000) * 3 + 1
    quantizer.observe(x, running=False)
    q = quantizer(x, bits)
    assert len(q.unique()) <= 2**bits
    assert quantizer(torch.zeros(1), bits).item() == 0  # padding
    step = (x.max() - x.min()) / (2**bits - 1) if not symmetric else x.abs().max() / (2 ** (bits - 1) - 1)
    assert (q - x).abs().max() <= step * 1.001  # half a step of rounding, half of the zero point's
    assert (quantizer(2 * x, bits).max() - q.max()).abs() < 1e-5  # saturates


def test_simulation_in_float_mode_is_the_fused_network(default: METER) -> None:
    fused = fuse(default)
    state = {k: v.detach() for k, v in fused.state_dict().items()}
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = fused(x)
        sim = QuantSim(fused)
        with sim.observe("minmax"):
            assert (sim.run(x, state, None) == expected).all()
        error = {bits: (sim.run(x, state, bits) - expected).norm() / expected.norm() for bits in (4, 8)}
    assert 0 < error[8] < error[4]
