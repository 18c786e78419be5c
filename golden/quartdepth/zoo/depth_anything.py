"""Depth Anything V2 (Yang et al. 2024), relative depth, ViT-S, -B and -L: sizes, and keys of its two publications.

The authors' checkpoints have `DepthVit`'s own keys. `transformers` names the same tensors otherwise and splits the
attention's projections.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

import torch
from torch import Tensor

from triptych.golden.quartdepth.zoo.checkpoint import load_state
from triptych.golden.quartdepth.zoo.vit import DepthVit, DptConfig, VitConfig


class Size(Enum):
    """Of the backbone: width, blocks, heads, tapped blocks; and of the head."""

    SMALL = "small"
    BASE = "base"
    LARGE = "large"

    @property
    def backbone(self) -> VitConfig:
        """DINOv2's."""
        match self:
            case Size.SMALL:
                return VitConfig()
            case Size.BASE:
                return VitConfig(dim=768, depth=12, heads=12)
        return VitConfig(dim=1024, depth=24, heads=16, taps=(4, 11, 17, 23))

    @property
    def head(self) -> DptConfig:
        """DPT's, with corners that stay in every resize and a map of the photo's size."""
        features, channels = {
            Size.SMALL: (64, (48, 96, 192, 384)),
            Size.BASE: (128, (96, 192, 384, 768)),
            Size.LARGE: (256, (256, 512, 1024, 1024)),
        }[self]
        return DptConfig(features, channels, align_corners=True, full_size=True)


def depth_anything(size: Size) -> DepthVit:
    """The network with random weights, in eval mode: photos [B,3,H,W] in 0..1, sides multiples of 14, to inverse depth
    [B,1,H,W] of no unit."""
    return DepthVit(size.backbone, size.head).eval()


def load_depth_anything(size: Size, state: Mapping[str, Tensor]) -> DepthVit:
    """The network with published weights, of either publication. Raises CheckpointError."""
    model = depth_anything(size)
    if any(name.startswith("backbone.") for name in state):
        state = authors_keys(state)
    load_state(model, state, f"Depth Anything V2 {size.value}")
    return model


# the names of the published files, and those of transformers 5 in memory
_ATTENTION = re.compile(
    r"backbone\.encoder\.layer\.(\d+)\.attention\.(?:attention\.)?([qkv])(?:uery|ey|alue|_proj)\.(weight|bias)"
)
# in order, each applied once where it fits
_RENAMED = (
    (r"backbone\.embeddings\.patch_embeddings\.projection\.", r"pretrained.patch_embed.proj."),
    (r"backbone\.embeddings\.position_embeddings", r"pretrained.pos_embed"),
    (r"backbone\.embeddings\.(cls_token|mask_token)", r"pretrained.\1"),
    (r"backbone\.layernorm\.", r"pretrained.norm."),
    (r"backbone\.encoder\.layer\.(\d+)\.attention\.(?:output\.dense|o_proj)\.", r"pretrained.blocks.\1.attn.proj."),
    (r"backbone\.encoder\.layer\.(\d+)\.layer_scale(\d)\.lambda1", r"pretrained.blocks.\1.ls\2.gamma"),
    (r"backbone\.encoder\.layer\.(\d+)\.", r"pretrained.blocks.\1."),
    (r"neck\.reassemble_stage\.layers\.(\d)\.projection\.", r"depth_head.projects.\1."),
    (r"neck\.reassemble_stage\.layers\.(\d)\.resize\.", r"depth_head.resize_layers.\1."),
    (r"head\.conv1\.", r"depth_head.scratch.output_conv1."),
    (r"head\.conv2\.", r"depth_head.scratch.output_conv2.0."),
    (r"head\.conv3\.", r"depth_head.scratch.output_conv2.2."),
)
_FUSED = (
    (r"\.projection\.", ".out_conv."),
    (r"\.residual_layer(\d)\.convolution(\d)\.", r".resConfUnit\1.conv\2."),
)


def authors_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of `transformers`' DepthAnythingForDepthEstimation under the authors' keys."""
    out: dict[str, Tensor] = {}
    projections: dict[tuple[str, str], dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if found := _ATTENTION.fullmatch(name):
            projections.setdefault((found[1], found[3]), {})[found[2]] = tensor
        elif found := re.fullmatch(r"neck\.convs\.(\d)\.weight", name):
            out[f"depth_head.scratch.layer{int(found[1]) + 1}_rn.weight"] = tensor
        elif found := re.match(r"neck\.fusion_stage\.layers\.(\d)(\..*)", name):
            rest = found[2]
            for old, new in _FUSED:
                rest = re.sub(old, new, rest)
            out[f"depth_head.scratch.refinenet{4 - int(found[1])}{rest}"] = tensor
        else:
            for old, new in _RENAMED:
                renamed, count = re.subn(f"^{old}", new, name)
                if count:
                    name = renamed
                    break
            out[name] = tensor
    for (block, kind), parts in projections.items():
        if len(parts) == 3:
            out[f"pretrained.blocks.{block}.attn.qkv.{kind}"] = torch.cat([parts[which] for which in "qkv"])
    return out
