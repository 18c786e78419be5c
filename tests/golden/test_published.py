"""Published networks: every key and shape of their authors' weights, and the maps that these make."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.zoo import depth_anything, midas, monodepth2
from triptych.golden.quartdepth.zoo.checkpoint import CheckpointError, read_state
from triptych.golden.quartdepth.zoo.depth_anything import Size
from triptych.golden.quartdepth.zoo.published import PUBLISHED
from triptych.sim.bench.census.torchvision_stub import install

torch.set_num_threads(1)
SIZES = {"depth-anything-v2-small": 24_785_089, "depth-anything-v2-base": 97_470_785,
         "depth-anything-v2-large": 335_315_649, "midas-small": 21_320_545, "monodepth2": 14_842_236}  # fmt: skip


def _published_shapes() -> dict[str, tuple[int, ...]]:
    """Depth Anything V2 ViT-S, as its public code (dinov2.py, dpt.py) builds it; written out, not taken from ours."""
    d, shapes = 384, {}
    shapes["pretrained.cls_token"] = (1, 1, d)
    shapes["pretrained.pos_embed"] = (1, 1370, d)
    shapes["pretrained.mask_token"] = (1, d)
    shapes["pretrained.patch_embed.proj.weight"] = (d, 3, 14, 14)
    shapes["pretrained.patch_embed.proj.bias"] = (d,)
    linear = {"attn.qkv": (3 * d, d), "attn.proj": (d, d), "mlp.fc1": (4 * d, d), "mlp.fc2": (d, 4 * d)}
    for i in range(12):
        block = f"pretrained.blocks.{i}"
        for name, shape in linear.items():
            shapes[f"{block}.{name}.weight"], shapes[f"{block}.{name}.bias"] = shape, shape[:1]
        for norm in ("norm1", "norm2"):
            shapes[f"{block}.{norm}.weight"] = shapes[f"{block}.{norm}.bias"] = (d,)
        shapes[f"{block}.ls1.gamma"] = shapes[f"{block}.ls2.gamma"] = (d,)
    shapes["pretrained.norm.weight"] = shapes["pretrained.norm.bias"] = (d,)
    channels = (48, 96, 192, 384)
    for i, c in enumerate(channels):
        shapes[f"depth_head.projects.{i}.weight"], shapes[f"depth_head.projects.{i}.bias"] = (c, d, 1, 1), (c,)
        shapes[f"depth_head.scratch.layer{i + 1}_rn.weight"] = (64, c, 3, 3)
        unit = f"depth_head.scratch.refinenet{i + 1}"
        shapes[f"{unit}.out_conv.weight"], shapes[f"{unit}.out_conv.bias"] = (64, 64, 1, 1), (64,)
        for part in ("resConfUnit1.conv1", "resConfUnit1.conv2", "resConfUnit2.conv1", "resConfUnit2.conv2"):
            shapes[f"{unit}.{part}.weight"], shapes[f"{unit}.{part}.bias"] = (64, 64, 3, 3), (64,)
    for i, shape in ((0, (48, 48, 4, 4)), (1, (96, 96, 2, 2)), (3, (384, 384, 3, 3))):
        shapes[f"depth_head.resize_layers.{i}.weight"] = shape
        shapes[f"depth_head.resize_layers.{i}.bias"] = shape[1:2]
    for name, shape in (
        ("output_conv1", (32, 64, 3, 3)),
        ("output_conv2.0", (32, 32, 3, 3)),
        ("output_conv2.2", (1, 32, 1, 1)),
    ):
        shapes[f"depth_head.scratch.{name}.weight"], shapes[f"depth_head.scratch.{name}.bias"] = shape, shape[:1]
    return shapes


def random_weights(model: nn.Module) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {n: torch.rand_like(t) * 0.04 if t.is_floating_point() else t for n, t in model.state_dict().items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes(name: str) -> None:
    with torch.device("meta"):
        model = PUBLISHED[name].build()
    assert sum(p.numel() for p in model.parameters()) == SIZES[name]


def test_the_authors_vit_s_checkpoint_key_by_key(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {name: torch.randn(shape) * 0.02 for name, shape in _published_shapes().items()}
    torch.save({"model": state}, tmp_path / "depth_anything_v2_vits.pth")
    model = PUBLISHED["depth-anything-v2-small"].load(tmp_path / "depth_anything_v2_vits.pth")
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        assert model(torch.rand(1, 3, 28, 42)).shape == (1, 1, 28, 42)


def transformers_model(size: Size, device: str) -> nn.Module:
    """That library's own network of this size, random weights."""
    install()
    transformers = pytest.importorskip("transformers", reason="pip install 'triptych[census]'")
    backbone, head = size.backbone, size.head
    dino = transformers.Dinov2Config(
        hidden_size=backbone.dim, num_hidden_layers=backbone.depth, num_attention_heads=backbone.heads,
        image_size=518, patch_size=14, out_indices=[t + 1 for t in backbone.taps], apply_layernorm=True,
        reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=dino, reassemble_hidden_size=backbone.dim, neck_hidden_sizes=list(head.channels),
        fusion_hidden_size=head.features, patch_size=14,
    )  # fmt: skip
    with torch.device(device):
        return transformers.DepthAnythingForDepthEstimation(config).eval()


@pytest.mark.slow
def test_transformers_network_and_ours_make_the_same_map(tmp_path: Path) -> None:
    """Its weights under its keys, in its file format."""
    theirs = transformers_model(Size.SMALL, "cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.05)
        theirs.head.conv3.bias.fill_(3.0)
    theirs.save_pretrained(tmp_path, safe_serialization=True)
    ours = PUBLISHED["depth-anything-v2-small"].load(tmp_path / "model.safetensors")
    x = torch.rand(1, 3, 42, 56)
    with torch.no_grad():
        wanted = theirs(pixel_values=ours.normalise(x)).predicted_depth
        got = ours(x)[:, 0]
    assert float(wanted.std()) > 1e-3
    assert torch.allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("size", [Size.BASE, Size.LARGE])
def test_keys_and_shapes_of_the_larger_ones(size: Size) -> None:
    theirs = depth_anything.authors_keys(transformers_model(size, "meta").state_dict())
    with torch.device("meta"):
        ours = depth_anything.depth_anything(size).state_dict()
    assert {n: t.shape for n, t in theirs.items()} == {n: t.shape for n, t in ours.items()}


def old_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the published files name the attention's tensors."""
    names = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value"}
    names["o_proj"] = "output.dense"
    out = {}
    for name, tensor in state.items():
        for new, old in names.items():
            name = name.replace(f".attention.{new}.", f".attention.{old}.")
        out[name] = tensor
    return out


def test_both_spellings_of_attention() -> None:
    state = transformers_model(Size.SMALL, "meta").state_dict()
    assert set(depth_anything.authors_keys(old_names(state))) == set(depth_anything.authors_keys(state))
    assert any("attention.attention.query" in name for name in old_names(state))


def test_midas_small_has_the_backbone_of_timm() -> None:
    """EfficientNet-Lite3 cut into four: keys, shapes, maps."""
    install()
    timm = pytest.importorskip("timm", reason="pip install 'triptych[census]'")
    theirs = timm.create_model("tf_efficientnet_lite3", pretrained=False).eval()
    theirs.load_state_dict(random_weights(theirs))
    parts = [nn.Sequential(theirs.conv_stem, theirs.bn1, nn.Identity(), *theirs.blocks[:2])]
    parts += [nn.Sequential(*theirs.blocks[a:b]) for a, b in ((2, 3), (3, 5), (5, 9))]
    ours = midas.Backbone().eval()
    ours.load_state_dict({f"layer{n}.{k}": v for n, p in enumerate(parts, 1) for k, v in p.state_dict().items()})
    x = torch.rand(1, 3, 65, 96)
    with torch.no_grad():
        y, wanted = theirs.bn1(theirs.conv_stem(x)), []
        for number, block in enumerate(theirs.blocks):
            y = block(y)
            wanted += [y] if number in (1, 2, 4, 6) else []
        assert all(torch.equal(a, b) for a, b in zip(wanted, ours(x), strict=True))


def test_midas_small_decoders_keys() -> None:
    shapes = {n: tuple(t.shape) for n, t in midas.MidasSmall().state_dict().items() if n.startswith("scratch.")}
    wanted: dict[str, tuple[int, ...]] = {}
    for level, channels in enumerate((32, 48, 136, 384), 1):
        wide = 64 << (level - 1)
        wanted[f"scratch.layer{level}_rn.weight"] = (wide, channels, 3, 3)
        fusion = f"scratch.refinenet{level}"
        out = wide if level == 1 else wide // 2
        wanted |= {f"{fusion}.out_conv.weight": (out, wide, 1, 1), f"{fusion}.out_conv.bias": (out,)}
        for unit in ("resConfUnit1.conv1", "resConfUnit1.conv2", "resConfUnit2.conv1", "resConfUnit2.conv2"):
            wanted |= {f"{fusion}.{unit}.weight": (wide, wide, 3, 3), f"{fusion}.{unit}.bias": (wide,)}
    for place, shape in ((0, (32, 64, 3, 3)), (2, (32, 32, 3, 3)), (4, (1, 32, 1, 1))):
        wanted |= {f"scratch.output_conv.{place}.weight": shape, f"scratch.output_conv.{place}.bias": shape[:1]}
    assert shapes == wanted


def test_monodepth2s_two_files(tmp_path: Path) -> None:
    """encoder.pth with its three further entries, depth.pth with 14 convolutions in the authors' order."""
    model = monodepth2.Monodepth2()
    encoder, decoder = (random_weights(m) for m in (model.encoder, model.depth_decoder))
    widths = [(512, 256), (512, 256), (256, 128), (256, 128), (128, 64), (128, 64), (64, 32), (96, 32), (32, 16),
              (16, 16), (16, 1), (32, 1), (64, 1), (128, 1)]  # fmt: skip
    keys = [f"decoder.{n}.conv.conv" if n < 10 else f"decoder.{n}.conv" for n in range(14)]
    wanted = {f"{k}.weight": (o, i, 3, 3) for k, (i, o) in zip(keys, widths, strict=True)}
    wanted |= {f"{k}.bias": (o,) for k, (_, o) in zip(keys, widths, strict=True)}
    assert {n: tuple(t.shape) for n, t in decoder.items()} == wanted
    torch.save({**encoder, "height": 192, "width": 640, "use_stereo": False}, tmp_path / "encoder.pth")
    torch.save(decoder, tmp_path / "depth.pth")
    loaded = PUBLISHED["monodepth2"].load(tmp_path)
    assert torch.equal(loaded.depth_decoder.decoder[13].conv.weight, decoder["decoder.13.conv.weight"])
    with torch.no_grad():
        disparity = loaded(torch.rand(1, 3, 64, 96))
    assert disparity.shape == (1, 1, 64, 96)
    depth = monodepth2.Monodepth2.depth(torch.tensor([0.0, 1.0]))
    assert torch.allclose(depth, torch.tensor([100.0, 0.1]))


def test_monodepth2s_encoder_is_a_resnet18() -> None:
    install()
    timm = pytest.importorskip("timm", reason="pip install 'triptych[census]'")
    theirs = timm.create_model("resnet18", pretrained=False).eval()
    ours = monodepth2.ResNet18().eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(ours(x)[-1], theirs.forward_features(x), atol=1e-6)


@pytest.mark.parametrize("damage", ["missing", "unknown", "shape", "garbage", "absent", "list", "safetensors"])
def test_other_files_are_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    state = {name: torch.zeros(shape) for name, shape in _published_shapes().items()}
    said = {
        "missing": "1 missing: pretrained.norm.bias", "unknown": "1 unexpected: more",
        "shape": "pretrained.norm.bias is [3], not [384]", "garbage": "holds no weights",
        "absent": "no weight file", "list": "it is a list, no state dict", "safetensors": "holds no weights",
    }  # fmt: skip
    if damage == "missing":
        del state["pretrained.norm.bias"]
    if damage == "unknown":
        state["more"] = torch.zeros(1)
    if damage == "shape":
        state["pretrained.norm.bias"] = torch.zeros(3)
    file = tmp_path / ("w.safetensors" if damage == "safetensors" else "w.pth")
    if damage in ("garbage", "safetensors"):
        file.write_bytes(b"no checkpoint")
    elif damage != "absent":
        torch.save([1] if damage == "list" else state, file)
    with pytest.raises(CheckpointError) as caught:
        PUBLISHED["depth-anything-v2-small"].load(file)
    assert said[damage] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    torch.save({"model": Trap()}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_state(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()
