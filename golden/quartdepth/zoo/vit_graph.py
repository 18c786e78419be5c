"""ViT-S/14 + DPT as layers over maps: what the quantiser and the compiler read.

Tokens are the pixels of a map one row high, the class token first. A photo enters as its patches, so that the
patch embedding is a linear layer; its normalisation, the class token and the learned positions are folded into weights,
bias and one constant map. LayerScale goes into the linear layer before it. The 1x1 convolution after a resize is
moved in front of it: weights of a resize sum to one, so both orders are the same map.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.fusion import fuse
from triptych.golden.quartdepth.network.layer import Activation, FloatLayer
from triptych.golden.quartdepth.network.ops.add import Add
from triptych.golden.quartdepth.network.ops.attention import Attention
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.conv_transpose2d import ConvTranspose2d
from triptych.golden.quartdepth.network.ops.layer_norm import LayerNorm
from triptych.golden.quartdepth.network.ops.relu import ReLU
from triptych.golden.quartdepth.network.ops.upsample import Upsample
from triptych.golden.quartdepth.network.shapes import Patches, Regrid, Shape
from triptych.golden.quartdepth.zoo.vit import Block, DepthVit, Fusion, ResidualUnit

INPUT = "patches"
POSITIONS = "positions"


def build_graph(model: DepthVit, rows: int = 14, cols: int = 18) -> FloatGraph:
    """The layers of `model` for photos of rows x cols patches, output [1,1,8 rows,8 cols] in the model's unit.

    The input is [1,588,1,1 + rows cols]: `graph.patches` arranges a photo so. Raises ValueError for a head that resizes
    otherwise than the chip does.
    """
    head = model.depth_head.cfg
    if head.align_corners or head.full_size:
        raise ValueError("the chip resizes by two between pixel centres: the published head has other resizes")
    with torch.no_grad():
        return _Builder(model, Patches(model.pretrained.cfg.patch, rows, cols)).run()


@dataclass
class _Builder:
    model: DepthVit
    patches: Patches
    layers: list[FloatLayer] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def run(self) -> FloatGraph:
        cfg, size = self.model.pretrained.cfg, self.patches.size
        tokens = 1 + self.patches.rows * self.patches.cols
        self.shapes = {INPUT: Shape(1, tokens, 3 * size**2), POSITIONS: Shape(1, tokens, cfg.dim)}
        x, positions = self._embed()
        taps: list[str] = []
        for i in range(cfg.depth):
            x = self._block(f"blocks.{i}", x)
            if i in cfg.taps:
                taps.append(self._norm(f"taps.{len(taps)}", x, self.model.pretrained.norm))
        output = self._head(taps)
        graph = FloatGraph(INPUT, output, self.shapes, self.layers, {POSITIONS: positions}, self.patches)
        return fuse(graph)

    def _add(self, layer: FloatLayer) -> str:
        self.layers.append(layer)
        self.shapes[layer.name] = layer.output_shape(self.shapes[layer.sources[0]])
        return layer.name

    def _embed(self) -> tuple[str, Tensor]:
        backbone = self.model.pretrained
        proj = backbone.patch_embed.proj
        assert proj.bias is not None
        std, mean = self.model.std, self.model.mean
        weight = (proj.weight / std).flatten(1)
        bias = proj.bias - (proj.weight * (mean / std)).flatten(1).sum(1)
        positions = backbone.positions(self.patches.rows, self.patches.cols).clone()
        positions[:, 0] += backbone.cls_token[0, 0] - bias  # the first patch is all zeros: the layer makes its bias
        name = self._add(Conv2d("patch_embed", INPUT, weight[:, :, None, None], bias))
        return self._add(Add("tokens", name, POSITIONS)), positions.transpose(1, 2)[:, :, None]

    def _linear(self, name: str, source: str, layer: nn.Linear, gain: Tensor | None = None, gelu: bool = False) -> str:
        gain = torch.ones(layer.out_features) if gain is None else gain
        weight, bias = layer.weight * gain[:, None], layer.bias * gain
        return self._add(
            Conv2d(
                name, source, weight[:, :, None, None], bias, activation=Activation.GELU if gelu else Activation.NONE
            )
        )

    def _norm(self, name: str, source: str, norm: nn.LayerNorm) -> str:
        return self._add(LayerNorm(name, source, norm.weight.detach(), norm.bias.detach(), norm.eps))

    def _block(self, name: str, x: str) -> str:
        block = cast(Block, self.model.pretrained.get_submodule(name))
        attention, heads = block.attn, self.model.pretrained.cfg.heads
        dim = self.model.pretrained.cfg.dim
        h = self._norm(f"{name}.norm1", x, block.norm1)
        qkv = self._linear(f"{name}.attn.qkv", h, attention.qkv)
        scale = (dim // heads) ** -0.5
        h = self._add(Attention(
            f"{name}.attn", qkv, qkv, qkv, heads, dim // heads, scale, (1, 1), (0, dim, 2 * dim), narrow=False,
        ))  # fmt: skip
        self.shapes[h] = self.shapes[x]
        h = self._linear(f"{name}.attn.proj", h, attention.proj, block.ls1.gamma)
        x = self._add(Add(f"{name}.attn.sum", h, x))
        h = self._norm(f"{name}.norm2", x, block.norm2)
        h = self._linear(f"{name}.mlp.fc1", h, block.mlp.fc1, gelu=True)
        h = self._linear(f"{name}.mlp.fc2", h, block.mlp.fc2, block.ls2.gamma)
        return self._add(Add(f"{name}.mlp.sum", h, x))

    def _conv(self, name: str, source: str, conv: nn.Conv2d, regrid: Regrid | None = None) -> str:
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias
        stride, padding = (conv.stride[0], conv.stride[1]), (int(conv.padding[0]), int(conv.padding[1]))
        return self._add(
            Conv2d(name, source, conv.weight.detach(), bias.detach(), stride=stride, padding=padding, regrid=regrid)
        )

    def _head(self, taps: list[str]) -> str:
        head, scratch = self.model.depth_head, self.model.depth_head.scratch
        regrid = Regrid(1, self.patches.rows, self.patches.cols)
        maps = []
        for i, tap in enumerate(taps):
            x = self._conv(f"head.project{i + 1}", tap, cast(nn.Conv2d, head.projects[i]), regrid)
            resize = head.resize_layers[i]
            if isinstance(resize, nn.ConvTranspose2d):
                assert resize.bias is not None
                stride = (resize.stride[0], resize.stride[1])
                weight, bias = resize.weight.detach(), resize.bias.detach()
                x = self._add(ConvTranspose2d(f"head.resize{i + 1}", x, weight, bias, stride=stride))
            elif isinstance(resize, nn.Conv2d):
                x = self._conv(f"head.resize{i + 1}", x, resize)
            rn = cast(nn.Conv2d, scratch.get_submodule(f"layer{i + 1}_rn"))
            maps.append(self._conv(f"head.layer{i + 1}", x, rn))
        x = self._fusion(4, maps[3], None)
        for i in (3, 2, 1):
            x = self._fusion(i, x, maps[i - 1])
        x = self._conv("head.out1", x, scratch.output_conv1)
        conv, last = (cast(nn.Conv2d, scratch.output_conv2[i]) for i in (0, 2))
        x = self._relu(self._conv("head.out2", x, conv))
        return self._relu(self._conv("head.depth", x, last))

    def _relu(self, source: str) -> str:
        return self._add(ReLU(f"{source}.relu", source))

    def _unit(self, name: str, x: str, unit: ResidualUnit) -> str:
        x_relu = self._add(ReLU(f"{name}.relu", x))
        h = self._relu(self._conv(f"{name}.conv1", x_relu, unit.conv1))
        return self._add(Add(f"{name}.sum", self._conv(f"{name}.conv2", h, unit.conv2), x))

    def _fusion(self, number: int, x: str, finer: str | None) -> str:
        name = f"head.fusion{number}"
        fusion = cast(Fusion, self.model.depth_head.scratch.get_submodule(f"refinenet{number}"))
        if finer is not None:
            x = self._add(Add(f"{name}.sum", self._unit(f"{name}.unit1", finer, fusion.resConfUnit1), x))
        x = self._conv(f"{name}.out", self._unit(f"{name}.unit2", x, fusion.resConfUnit2), fusion.out_conv)
        for axis in (3, 2):
            x = self._add(Upsample(f"{name}.{'rows' if axis == 2 else 'columns'}", x, axis))
        return x
