"""The layers that the quantiser reads are the ViT, and its integer network behaves as its parts promise."""

import numpy as np
import pytest
import torch

from tests.kit.vit import SMALL, captured, photo, tiny_vit
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.ops.channel_scale import ChannelScale
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.upsample import Upsample
from triptych.golden.quartdepth.network.qparams import QuantizeError
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.shapes import Patches, Shape
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.zoo.vit import DepthVit, DptConfig


def test_graph_is_the_network() -> None:
    model, x = tiny_vit(), photo()
    graph = captured(model)
    assert graph.patches is not None
    with torch.no_grad():
        wanted = model(x)
    assert wanted.std() > 0.05
    # sums of some hundred products in another order: a few units of float32's last place
    torch.testing.assert_close(graph.run(graph.patches.arrange(x)), wanted, rtol=1e-4, atol=1e-5)


def test_the_published_head_is_captured_too() -> None:
    """Resizes of any ratio, corners that stay, a map of the photo's size."""
    head = DptConfig(16, (8, 8, 16, 16), align_corners=True, full_size=True)
    torch.manual_seed(3)
    model, x = DepthVit(SMALL, head).eval(), photo()
    with torch.no_grad():
        model.depth_head.scratch.output_conv2[2].bias.fill_(2.0)
        wanted = model(x)
    graph = captured(model)
    assert graph.patches is not None
    assert wanted.shape[2:] == x.shape[2:]
    torch.testing.assert_close(graph.run(graph.patches.arrange(x)), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("widths", "bound"), [(Widths.W8A8, 0.08), (Widths.W4A4, 1.5)])
def test_integers_follow_the_float_network(widths: Widths, bound: float) -> None:
    graph = captured(tiny_vit())
    assert graph.patches is not None
    pixels = (photo()[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
    x = graph.patches.arrange(pixels.permute(2, 0, 1)[None].float() / 255)
    network = quantize(graph, [x], widths)
    qparams = network.maps[network.output].qparams
    got = qparams.decode(network.run_integer(image_codes(network, pixels.numpy())))[:, :, 0]
    wanted = graph.run(x)[0, 0].numpy()
    # eight bits leave a few per cent of the output's spread; four, only its order of size
    assert np.abs(got - wanted).mean() < bound * wanted.std()


@pytest.mark.parametrize("axis", [2, 3])
def test_doubling_is_bilinear_in_float_and_integers(axis: int) -> None:
    x = torch.rand(1, 4, 5, 7, generator=torch.Generator().manual_seed(5))
    eye = torch.eye(4)[:, :, None, None]
    wide = Upsample("twice", "first", axis).output_shape(Shape(5, 7, 4))
    graph = FloatGraph(
        "in", "last", {"in": Shape(5, 7, 4), "first": Shape(5, 7, 4), "twice": wide, "last": wide},
        [Conv2d("first", "in", eye, torch.zeros(4)), Upsample("twice", "first", axis),
         Conv2d("last", "twice", eye, torch.zeros(4))],
    )  # fmt: skip
    factor = [2.0 if a == axis else 1.0 for a in (2, 3)]
    wanted = torch.nn.functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(graph.run(x), wanted)
    network = quantize(graph, [x], Widths.W8A8)
    got = network.maps["last"].qparams.decode(network.run_integer(network.maps["in"].qparams.encode(
        x[0].permute(1, 2, 0).double().numpy()
    )))  # fmt: skip
    # three roundings to 8 bits and one weight step of 1/127
    assert np.abs(got - wanted[0].permute(1, 2, 0).numpy()).max() < 4 / 255


def test_gain_by_channel() -> None:
    x = torch.rand(1, 3, 2, 4, generator=torch.Generator().manual_seed(6))
    eye, gain = torch.eye(3)[:, :, None, None], torch.tensor([0.1, 1.0, 4.0])
    shape = Shape(2, 4, 3)
    graph = FloatGraph(
        "in", "last", dict.fromkeys(("in", "first", "polished", "last"), shape),
        [Conv2d("first", "in", eye, torch.zeros(3)), ChannelScale("polished", "first", gain),
         Conv2d("last", "polished", eye / gain[:, None, None, None], torch.zeros(3))],
    )  # fmt: skip
    network = quantize(graph, [x], Widths.W8A8)
    codes = network.maps["in"].qparams.encode(x[0].permute(1, 2, 0).double().numpy())
    got = network.maps["last"].qparams.decode(network.run_integer(codes))
    # the gain's code has 255 steps over 0..4: a channel divided by 0.1 has a step of 4 / 255 / 0.1
    error = np.abs(got - x[0].permute(1, 2, 0).numpy()).max((0, 1))
    assert (error < 0.75 * 4 / 255 / gain.numpy() + 2 / 255).all()


def test_patches_of_a_photo() -> None:
    patches = Patches(2, 2, 3)
    x = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6).float()
    out = patches.arrange(x, -1.0)
    assert out.shape == (1, 8, 1, 7)
    assert (out[0, :, 0, 0] == -1).all()
    assert out[0, :, 0, 6].tolist() == [16, 17, 22, 23, 40, 41, 46, 47]
    with pytest.raises(ValueError, match="must be 4 x 6"):
        patches.arrange(x[:, :, :3])


def test_photo_of_another_size_is_refused() -> None:
    graph = captured(tiny_vit())
    assert graph.patches is not None
    network = quantize(graph, [graph.patches.arrange(photo())])
    with pytest.raises(QuantizeError, match="56 x 84 x 3"):
        image_codes(network, np.zeros((56, 83, 3), np.uint8))
