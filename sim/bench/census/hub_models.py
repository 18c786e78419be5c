"""Every depth model class of `transformers`, in tiny configurations with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from triptych.sim.bench.census.entry import Entry

FAMILY = "depth models of `transformers`"


class DepthAlone(nn.Module):
    """A model's depth alone, of pixel values."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Any) -> Any:
        return self.model(pixel_values=pixel_values).predicted_depth


def _made(name: str, config: Any) -> nn.Module:
    from triptych.sim.bench.census.torchvision_stub import install

    install()
    import transformers

    model: nn.Module = getattr(transformers, name)(config).eval()
    return DepthAlone(model)


def _dinov2(size: int = 56) -> Any:
    from transformers import Dinov2Config

    return Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=size, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip


def _beit(size: int) -> Any:
    from transformers import BeitConfig

    return BeitConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=size,
        patch_size=16, use_relative_position_bias=True, reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


def dpt() -> nn.Module:
    """DPT with its own vision transformer."""
    from transformers import DPTConfig

    config = DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 24, 32], fusion_hidden_size=16, is_hybrid=False,
    )  # fmt: skip
    return _made("DPTForDepthEstimation", config)


def dpt_hybrid() -> nn.Module:
    """DPT whose patches are those of a ResNet (BiT)."""
    from transformers import BitConfig, DPTConfig

    backbone = BitConfig(
        embedding_size=8, hidden_sizes=[16, 24, 32], depths=[1, 1, 1], layer_type="bottleneck", global_padding="same",
        embedding_dynamic_padding=True, out_features=["stage1", "stage2", "stage3"], num_groups=4,
    )  # fmt: skip
    config = DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[16, 24, 32, 32], fusion_hidden_size=16, is_hybrid=True,
        backbone_config=backbone, backbone_featmap_shape=[1, 32, 4, 4], neck_ignore_stages=[0, 1],
    )  # fmt: skip
    return _made("DPTForDepthEstimation", config)


def dpt_of(backbone: Any) -> nn.Module:
    """DPT behind a backbone of its own stages."""
    from transformers import DPTConfig

    config = DPTConfig(
        backbone_config=backbone, use_pretrained_backbone=False, neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16, add_projection=False, reassemble_factors=[4, 2, 1, 0.5],
    )  # fmt: skip
    return _made("DPTForDepthEstimation", config)


def dpt_dinov2() -> nn.Module:
    """DPT behind DINOv2."""
    return dpt_of(_dinov2())


def dpt_beit() -> nn.Module:
    """DPT behind BEiT, as MiDaS 3.1 has it."""
    return dpt_of(_beit(64))


def dpt_swinv2() -> nn.Module:
    """DPT behind Swin V2, as MiDaS 3.1 has it."""
    from transformers import Swinv2Config

    backbone = Swinv2Config(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, image_size=64, patch_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    from transformers import DPTConfig

    config = DPTConfig(
        backbone_config=backbone, neck_hidden_sizes=[16, 32, 64, 128], fusion_hidden_size=16, add_projection=False
    )
    return _made("DPTForDepthEstimation", config)


def depth_anything(metric: bool = False) -> nn.Module:
    """Depth Anything (V1 and V2 have one class)."""
    from transformers import DepthAnythingConfig

    config = DepthAnythingConfig(
        backbone_config=_dinov2(), patch_size=14, reassemble_hidden_size=32, neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16, head_hidden_size=8, depth_estimation_type="metric" if metric else "relative",
        max_depth=20 if metric else 1,
    )  # fmt: skip
    return _made("DepthAnythingForDepthEstimation", config)


def depth_anything_metric() -> nn.Module:
    """Depth Anything V2 in metres."""
    return depth_anything(True)


def prompt_depth_anything() -> nn.Module:
    """Prompt Depth Anything without its prompt."""
    from transformers import PromptDepthAnythingConfig

    config = PromptDepthAnythingConfig(
        backbone_config=_dinov2(), patch_size=14, reassemble_hidden_size=32, neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16, head_hidden_size=8,
    )  # fmt: skip
    return _made("PromptDepthAnythingForDepthEstimation", config)


def glpn() -> nn.Module:
    """GLPN: a SegFormer encoder and selective fusion."""
    from transformers import GLPNConfig

    config = GLPNConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32], num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=8
    )
    return _made("GLPNForDepthEstimation", config)


def zoedepth(heads: int = 1) -> nn.Module:
    """ZoeDepth behind BEiT, with one metric head or two."""
    from transformers import ZoeDepthConfig

    one = [{"n_bins": 8, "min_depth": 1e-3, "max_depth": 10.0, "name": "nyu"}]
    two = [*one, {"n_bins": 8, "min_depth": 1e-3, "max_depth": 80.0, "name": "kitti"}]
    config = ZoeDepthConfig(
        backbone_config=_beit(64), neck_hidden_sizes=[8, 16, 24, 32], fusion_hidden_size=16,
        reassemble_factors=[4, 2, 1, 0.5],
        bottleneck_features=16, num_relative_features=8, bin_embedding_dim=16, num_attractors=[4, 2, 2, 1],
        bin_configurations=one if heads == 1 else two, patch_transformer_hidden_size=128,
        patch_transformer_intermediate_size=32, num_patch_transformer_layers=4,
        patch_transformer_num_attention_heads=2,
    )  # fmt: skip
    return _made("ZoeDepthForDepthEstimation", config)


def zoedepth_two() -> nn.Module:
    """ZoeDepth that routes between two metric heads."""
    return zoedepth(2)


def depth_pro() -> nn.Module:
    """Depth Pro: one DINOv2 over patches at three scales, one over the whole photo."""
    from transformers import DepthProConfig

    vit = dict(
        model_type="dinov2", hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8, num_labels=0, use_mask_token=False, mlp_ratio=2,
    )  # fmt: skip
    config = DepthProConfig(
        fusion_hidden_size=16, patch_size=32, intermediate_hook_ids=[3, 1], intermediate_feature_dims=[16, 16],
        scaled_images_ratios=[0.25, 0.5, 1], scaled_images_overlap_ratios=[0.0, 0.5, 0.25],
        scaled_images_feature_dims=[16, 16, 16], image_model_config=vit, patch_model_config=vit, fov_model_config=vit,
        use_fov_model=False,
    )  # fmt: skip
    return _made("DepthProForDepthEstimation", config)


def chmv2() -> nn.Module:
    """CHMv2: canopy heights behind DINOv3."""
    from transformers import CHMv2Config, DINOv3ViTConfig

    backbone = DINOv3ViTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=True, apply_layernorm=True,
        return_class_token=True,
    )  # fmt: skip
    config = CHMv2Config(
        backbone_config=backbone, post_process_channels=[8, 16, 24, 32], fusion_hidden_size=16, head_hidden_size=8,
        number_output_channels=16,
    )  # fmt: skip
    return _made("CHMv2ForDepthEstimation", config)


def tipsv2() -> nn.Module:
    """TIPS v2 with a DPT head."""
    from transformers import Tipsv2DptConfig

    config = Tipsv2DptConfig(
        backbone_config=dict(
            model_type="tipsv2_vision_model", hidden_size=32, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2,
            image_size=56, patch_size=14, out_indices=[1, 2, 3, 4], apply_layernorm=True,
            reshape_hidden_states=False,
        ),
        neck_hidden_sizes=[8, 16, 24, 32], fusion_hidden_size=16,
    )  # fmt: skip
    return _made("Tipsv2DptForDepthEstimation", config)


def entries() -> Iterator[Entry]:
    """All classes of the auto mapping for depth, some behind several backbones."""
    made = (
        ("dpt", "DPTForDepthEstimation", 64, dpt),
        ("dpt-hybrid", "DPTForDepthEstimation", 64, dpt_hybrid),
        ("dpt-dinov2", "DPTForDepthEstimation", 56, dpt_dinov2),
        ("dpt-beit", "DPTForDepthEstimation", 64, dpt_beit),
        ("dpt-swinv2", "DPTForDepthEstimation", 64, dpt_swinv2),
        ("depth-anything", "DepthAnythingForDepthEstimation", 56, depth_anything),
        ("depth-anything-metric", "DepthAnythingForDepthEstimation", 56, depth_anything_metric),
        ("prompt-depth-anything", "PromptDepthAnythingForDepthEstimation", 56, prompt_depth_anything),
        ("glpn", "GLPNForDepthEstimation", 64, glpn),
        ("zoedepth", "ZoeDepthForDepthEstimation", 64, zoedepth),
        ("zoedepth-two-heads", "ZoeDepthForDepthEstimation", 64, zoedepth_two),
        ("depth-pro", "DepthProForDepthEstimation", 128, depth_pro),
        ("chmv2", "CHMv2ForDepthEstimation", 64, chmv2),
        ("tipsv2-dpt", "Tipsv2DptForDepthEstimation", 56, tipsv2),
    )
    for name, source, size, build in made:
        yield Entry(name, FAMILY, f"transformers.{source}", (size, size), True, build)
