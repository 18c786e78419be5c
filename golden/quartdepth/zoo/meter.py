"""METER-XXS: the default depth network, in PyTorch.

Architecture: Papa, Russo, Amerini, "METER: a mobile vision transformer architecture for monocular depth
estimation" (IEEE TCSVT 2023): a MobileViT encoder and a light transposed-convolution decoder. The module names
give the state-dict keys of the published weights (261 keys, 713,464 parameters), so those load with strict=True.

A reader follows the data from `METER.forward` down. What the network calls `depthwise` inside a `SepConv` is a
*dense* 3x3 convolution; the key is kept because the published files carry it.
"""

import copy
import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.zoo.checkpoint import CheckpointError, load_state, read_state

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "meter_xxs.npz"
METADATA_KEY = "metadata"  # entry of an .npz weight file: a JSON object as a 0-d string array

# Published weight files that carry no unit of their own: sha256 -> metres per unit of output.
# METER-XXS-KITTI of github.com/lorenzopapa5/METER (commit 0f9a49a) predicts decimetres.
_PUBLISHED_UNITS = {"e55544ae36f9ad74237017fd5f8e761db4b258dbed44623c71ce305d44488bea": 0.1}


@dataclass(frozen=True)
class MViTConfig:
    """One MobileViT block: `channels` outside, tokens of `dim`, feed-forward of `hidden`."""

    channels: int
    dim: int
    hidden: int


@dataclass(frozen=True)
class MeterConfig:
    """Sizes of METER; the defaults are METER-XXS.

    `mv2` lists (input channels, output channels, stride) of the seven inverted residuals. Input height and width
    must be multiples of 64: the encoder's stride is 32 and attention works on 2x2 patches.
    """

    stem: int = 16
    mv2: tuple[tuple[int, int, int], ...] = (
        (16, 16, 1),
        (16, 24, 2),
        (24, 24, 1),
        (24, 24, 1),
        (24, 48, 2),
        (48, 64, 2),
        (64, 80, 2),
    )
    mvit: tuple[MViTConfig, ...] = (MViTConfig(48, 64, 128), MViTConfig(64, 80, 320), MViTConfig(80, 96, 384))
    heads: int = 4
    head_dim: int = 8
    encoded: int = 160
    decoder: tuple[int, int, int, int] = (64, 32, 16, 8)
    input_size: tuple[int, int] = (192, 256)  # height, width that a photo is fitted to
    output_stride: int = 4


METER_XXS = MeterConfig()


class Tap(nn.Identity):
    """Names a tensor between two products that no other module outputs; a quantiser hooks in here."""


class SepConv(nn.Module):
    """Dense 3x3 convolution, then 1x1, nothing between. [B,i,H,W] -> [B,o,H/stride,W/stride]."""

    def __init__(self, inp: int, out: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inp, out, 3, stride, 1, bias=False)
        self.pointwise = nn.Conv2d(out, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


def sep_bn_relu(inp: int, out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(SepConv(inp, out, stride), nn.BatchNorm2d(out), nn.ReLU())


def conv1_bn_relu(inp: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inp, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


class MV2(nn.Module):
    """MobileNetV2's inverted residual, expansion 2; the sum only where shapes agree and stride is 1."""

    def __init__(self, inp: int, out: int, stride: int) -> None:
        super().__init__()
        hidden = 2 * inp
        self.conv = nn.Sequential(
            nn.Conv2d(inp, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.residual = stride == 1 and inp == out

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return x + y if self.residual else y


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of each sequence. [B,S,T,d] -> [B,S,T,d]."""

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_dim**-0.5
        self.to_qkv = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * head_dim, dim), nn.Identity())
        self.q, self.k, self.v, self.p = Tap(), Tap(), Tap(), Tap()

    def forward(self, x: Tensor) -> Tensor:
        b, s, t, _ = x.shape
        qkv = self.to_qkv(x).reshape(b, s, t, 3, self.heads, -1)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)  # each [B,S,heads,T,head_dim]
        p = (self.q(q) @ self.k(k).transpose(-1, -2) * self.scale).softmax(-1)
        out = self.p(p) @ self.v(v)
        return self.to_out(out.transpose(2, 3).reshape(b, s, t, -1))


class FeedForward(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, hidden), nn.ReLU(), nn.Identity(), nn.Linear(hidden, dim), nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class PreNorm(nn.Module):
    """Residual around `fn` of the normalised tokens: x + fn(LN(x))."""

    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fn(self.norm(x))


class Transformer(nn.Module):
    """One pre-norm encoder layer (attention, feed-forward), no norm behind it."""

    def __init__(self, cfg: MeterConfig, block: MViTConfig) -> None:
        super().__init__()
        attention = PreNorm(block.dim, Attention(block.dim, cfg.heads, cfg.head_dim))
        feed_forward = PreNorm(block.dim, FeedForward(block.dim, block.hidden))
        self.layers = nn.ModuleList([nn.ModuleList([attention, feed_forward])])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            attention, feed_forward = layer.children()
            x = feed_forward(attention(x))
        return x


def unfold_patches(x: Tensor) -> Tensor:
    """[B,d,H,W] -> [B,4,(H/2)(W/2),d]: pixel (2a+p, 2b+q) becomes token (a,b) of sequence 2p+q."""
    b, d, h, w = x.shape
    x = x.reshape(b, d, h // 2, 2, w // 2, 2)
    return x.permute(0, 3, 5, 2, 4, 1).reshape(b, 4, h * w // 4, d)


def fold_patches(x: Tensor, h: int, w: int) -> Tensor:
    """Inverse of `unfold_patches`: [B,4,(H/2)(W/2),d] -> [B,d,H,W]."""
    b, _, _, d = x.shape
    x = x.reshape(b, 2, 2, h // 2, w // 2, d)
    return x.permute(0, 5, 3, 1, 4, 2).reshape(b, d, h, w)


class MViT(nn.Module):
    """MobileViT block: local convolution, global attention per patch position, fusion with the input."""

    def __init__(self, cfg: MeterConfig, block: MViTConfig) -> None:
        super().__init__()
        c, d = block.channels, block.dim
        self.conv1 = sep_bn_relu(c, c, 1)
        self.conv2 = conv1_bn_relu(c, d)
        self.transformer = Transformer(cfg, block)
        self.conv3 = conv1_bn_relu(d, c)
        self.conv4 = sep_bn_relu(2 * c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        h, w = y.shape[-2:]
        y = fold_patches(self.transformer(unfold_patches(y)), h, w)
        return self.conv4(torch.cat([self.conv3(y), x], 1))


class Up(nn.Module):
    """Doubles height and width, joins the skip, mixes. ([B,i,H,W], [B,k-i',2H,2W]) -> [B,o,2H,2W]."""

    def __init__(self, inp: int, out: int, joined: int) -> None:
        super().__init__()
        self.conv2d_transpose = nn.ConvTranspose2d(inp, out, 3, 2, 1, output_padding=1, bias=False)
        self.end_up_layer = nn.Sequential(SepConv(joined, out, 1), nn.ReLU())

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.end_up_layer(torch.cat([self.conv2d_transpose(x), skip], 1))


class Encoder(nn.Module):
    def __init__(self, cfg: MeterConfig) -> None:
        super().__init__()
        self.conv1 = sep_bn_relu(3, cfg.stem, 2)
        self.mv2 = nn.ModuleList([MV2(*shape) for shape in cfg.mv2])
        self.mvit = nn.ModuleList([MViT(cfg, block) for block in cfg.mvit])
        self.conv2 = conv1_bn_relu(cfg.mvit[-1].channels, cfg.encoded)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """-> encoded [B,160,H/32,W/32] and the skips A, B, C at strides 4, 8, 16."""
        mv2, mvit = self.mv2, self.mvit
        skip_a = mv2[1](mv2[0](self.conv1(x)))
        skip_b = mv2[4](mv2[3](mv2[2](skip_a)))
        skip_c = mv2[5](mvit[0](skip_b))
        x = mvit[2](mv2[6](mvit[1](skip_c)))
        return self.conv2(x), skip_a, skip_b, skip_c


class Decoder(nn.Module):
    def __init__(self, cfg: MeterConfig) -> None:
        super().__init__()
        d0, d1, d2, d3 = cfg.decoder
        a, b, c = cfg.mv2[1][1], cfg.mv2[4][1], cfg.mv2[5][1]
        self.conv2d_in = nn.Conv2d(cfg.encoded, d0, 1, bias=False)
        self.ups_block_1 = Up(d0, d1, d1 + c)
        self.ups_block_2 = Up(d1, d2, d2 + b)
        self.ups_block_3 = Up(d2, d3, d3 + a)
        self.conv2d_out = nn.Conv2d(d3, 1, 3, 1, 1, bias=False)

    def forward(self, x: Tensor, skip_a: Tensor, skip_b: Tensor, skip_c: Tensor) -> Tensor:
        x = self.ups_block_1(self.conv2d_in(x), skip_c)
        x = self.ups_block_2(x, skip_b)
        x = self.ups_block_3(x, skip_a)
        return self.conv2d_out(x)


class METER(nn.Module):
    """RGB [B,3,H,W], float32 value/255, H and W multiples of 64 -> depth [B,1,H/4,W/4] in the weights' unit.

    `metres_per_unit` turns the output into metres; None where the weight file does not say. There is no final
    activation: outputs at or below 0 mean "as near as can be" and are clipped by whoever reads them.
    """

    def __init__(self, cfg: MeterConfig = METER_XXS, metres_per_unit: float | None = None) -> None:
        super().__init__()
        self.cfg = cfg
        self.metres_per_unit = metres_per_unit
        self.encoder = Encoder(cfg)
        self.decoder = Decoder(cfg)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        if x.ndim != 4 or x.shape[1] != 3 or h % 64 or w % 64 or not h * w:
            raise ValueError(f"METER takes [B,3,H,W] with H and W multiples of 64, not {list(x.shape)}")
        return self.decoder(*self.encoder(x))


# ---------------------------------------------------------------------------------------------------------------
# Fusion: the same network with fewer, plain convolutions


def fused_state(model: METER) -> dict[str, Tensor]:
    """Weights of `fuse(model)`, differentiable with respect to `model`'s parameters.

    BatchNorm (running statistics) folds into the convolution before it, and `depthwise` (3x3 dense) times
    `pointwise` (1x1) into one 3x3 convolution: W[o,i] = sum_m P[o,m] D[m,i]. Both are exact in real numbers: nothing
    stands between those two convolutions, and neither has a bias, so zero padding stays zero. The sum is taken in
    float64 and rounded once, so that it does not show in which order a processor's matrix product adds.
    """
    state: dict[str, Tensor] = {}
    for name, seq in model.named_modules():
        if not isinstance(seq, nn.Sequential):
            continue
        for index, module in enumerate(seq):
            if isinstance(module, SepConv):
                point, depth = module.pointwise.weight[..., 0, 0].double(), module.depthwise.weight.double()
                weight = torch.einsum("om,mihw->oihw", point, depth).float()
            elif isinstance(module, nn.Conv2d):
                weight = module.weight
            else:
                continue
            key = f"{name}.{index}"
            norm = seq[index + 1] if index + 1 < len(seq) else None
            if isinstance(norm, nn.BatchNorm2d):
                assert norm.running_mean is not None
                assert norm.running_var is not None
                gain = norm.weight / (norm.running_var + norm.eps).sqrt()
                weight = weight * gain[:, None, None, None]
                state[f"{key}.bias"] = norm.bias - norm.running_mean * gain
            state[f"{key}.weight"] = weight
    for name, module in model.named_modules():
        inside_sequential = name.rpartition(".")[0] and isinstance(
            model.get_submodule(name.rpartition(".")[0]), nn.Sequential | SepConv
        )
        if isinstance(module, nn.Linear | nn.LayerNorm | nn.ConvTranspose2d) or (
            isinstance(module, nn.Conv2d) and not inside_sequential
        ):
            state.update({f"{name}.{key}": value for key, value in module.named_parameters()})
    return state


def fuse(model: METER) -> METER:
    """A copy for inference: each SepConv and Conv+BatchNorm becomes one convolution with bias, BatchNorm Identity.

    Module paths stay (`encoder.conv1.0` is now the fused convolution). This is the network that is quantised.
    """
    fused = copy.deepcopy(model).eval()
    state = fused_state(fused)
    for name, seq in list(fused.named_modules()):
        if not isinstance(seq, nn.Sequential):
            continue
        for index, module in enumerate(seq):
            conv = module.depthwise if isinstance(module, SepConv) else module
            if isinstance(module, nn.BatchNorm2d):
                seq[index] = nn.Identity()
            elif isinstance(conv, nn.Conv2d):
                k, stride, pad = conv.kernel_size[0], conv.stride[0], conv.kernel_size[0] // 2
                bias = f"{name}.{index}.bias" in state
                seq[index] = nn.Conv2d(
                    conv.in_channels, conv.out_channels, k, stride, pad, groups=conv.groups, bias=bias
                )
    fused.load_state_dict({key: value.detach() for key, value in state.items()}, strict=True)
    return fused.eval()


# ---------------------------------------------------------------------------------------------------------------
# Weight files


def load_weights(path: str | Path | None = None, cfg: MeterConfig = METER_XXS) -> METER:
    """The network with the weights of `path`, in eval mode, float32; None takes our own, shipped ones.

    `.npz` files are ours (arrays and a JSON `metadata` with `metres_per_unit`); anything else is read as a PyTorch
    state dict, tensors only. Raises CheckpointError, in one line, if the file cannot be read or does not fit.
    """
    file = DEFAULT_WEIGHTS if path is None else Path(path)
    if not file.is_file():
        raise CheckpointError(f"no weight file {file}: name a METER-XXS state dict or leave --weights out")
    state, metadata = _read_npz(file) if file.suffix == ".npz" else _read_torch(file)
    model = METER(cfg)
    load_state(model, {key: torch.as_tensor(value) for key, value in state.items()}, f"METER-XXS ({file})")
    unit = metadata.get("metres_per_unit")
    model.metres_per_unit = None if unit is None else float(unit)
    return model.eval()


def weights_metadata(path: str | Path | None = None) -> dict[str, Any]:
    """What an .npz weight file says of itself: unit, training data, seed, steps, ... ({} for other files)."""
    file = DEFAULT_WEIGHTS if path is None else Path(path)
    return _read_npz(file)[1] if file.suffix == ".npz" else {}


def _read_npz(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            state: dict[str, Any] = {key: arrays[key] for key in arrays.files}
        metadata = json.loads(str(state.pop(METADATA_KEY, "{}")))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"cannot read weights {file}: {error}") from error
    return state, metadata


def _read_torch(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    state: dict[str, Any] = dict(read_state(file))
    unit = _PUBLISHED_UNITS.get(hashlib.sha256(file.read_bytes()).hexdigest())
    return state, {} if unit is None else {"metres_per_unit": unit}
