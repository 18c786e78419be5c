"""Tiny random configurations of the transformers that draft attention knows, with inputs for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Tiny:
    """A model, inputs of one forward pass, and its number of self-attention layers."""

    model: Any
    inputs: dict[str, Any]
    layers: int


def _latent(channels: int, batch: int = 2) -> torch.Tensor:
    """Three frames of 14 x 18: with patches of 2 x 2 the grid is 3 x 7 x 9, ragged in blocks of 4 x 4."""
    return torch.randn(batch, channels, 3, 14, 18)


def _padding(lengths: list[int], longest: int) -> torch.Tensor:
    return (torch.arange(longest)[None] < torch.tensor(lengths)[:, None]).long()


def _time(batch: int = 2) -> torch.Tensor:
    return torch.full((batch,), 500.0)


def hunyuan_video(diffusers: Any, lengths: tuple[int, ...] = (9, 4)) -> Tiny:
    model = diffusers.HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=2,
        num_single_layers=2, num_refiner_layers=1, text_embed_dim=12, pooled_projection_dim=8, rope_axes_dim=(4, 6, 6),
    )  # fmt: skip
    batch = len(lengths)
    inputs = {
        "hidden_states": _latent(4, batch),
        "timestep": _time(batch),
        "encoder_hidden_states": torch.randn(batch, 9, 12),
        "encoder_attention_mask": _padding(list(lengths), 9),
        "pooled_projections": torch.randn(batch, 8),
        "guidance": torch.full((batch,), 6000.0),
    }
    return Tiny(model, inputs, 4)


def hunyuan_video_15(diffusers: Any, with_image: bool = False) -> Tiny:
    model = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=2, num_refiner_layers=1,
        patch_size=2, patch_size_t=1, text_embed_dim=12, text_embed_2_dim=10, image_embed_dim=8,
        rope_axes_dim=(4, 6, 6), target_size=64, task_type="i2v" if with_image else "t2v",
    )  # fmt: skip
    inputs = {
        "hidden_states": _latent(4),
        "timestep": _time(),
        "encoder_hidden_states": torch.randn(2, 7, 12),
        "encoder_attention_mask": _padding([7, 3], 7),
        "encoder_hidden_states_2": torch.randn(2, 5, 10),
        "encoder_attention_mask_2": _padding([2, 5], 5),
        "image_embeds": torch.randn(2, 6, 8) if with_image else torch.zeros(2, 6, 8),
    }
    return Tiny(model, inputs, 2)


_WAN = {
    "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 4, "out_channels": 4, "text_dim": 12,
    "freq_dim": 16, "ffn_dim": 32, "num_layers": 3, "rope_max_seq_len": 32,
}  # fmt: skip


def wan(diffusers: Any, timestep: torch.Tensor | None = None) -> Tiny:
    inputs = {
        "hidden_states": _latent(4),
        "timestep": _time() if timestep is None else timestep,
        "encoder_hidden_states": torch.randn(2, 7, 12),
    }
    return Tiny(diffusers.WanTransformer3DModel(**_WAN), inputs, 3)


def wan_per_token(diffusers: Any) -> Tiny:
    """Wan 2.2 TI2V: a timestep for every token, those of the given first frame at zero."""
    timestep = torch.full((2, 3 * 7 * 9), 500.0)
    timestep[:, : 7 * 9] = 0.0
    return wan(diffusers, timestep)


def wan_image_to_video(diffusers: Any) -> Tiny:
    """Wan 2.1 I2V: the image enters through cross attention, which stays as it is."""
    model = diffusers.WanTransformer3DModel(
        **{**_WAN, "in_channels": 8}, image_dim=10, added_kv_proj_dim=24, pos_embed_seq_len=None
    )
    inputs = {
        "hidden_states": _latent(8),
        "timestep": _time(),
        "encoder_hidden_states": torch.randn(2, 512, 12),  # the processor counts 512 text tokens
        "encoder_hidden_states_image": torch.randn(2, 5, 10),
    }
    return Tiny(model, inputs, 3)


def wan_vace(diffusers: Any) -> Tiny:
    model = diffusers.WanVACETransformer3DModel(**_WAN, vace_layers=[0, 2], vace_in_channels=6)
    inputs = {
        "hidden_states": _latent(4),
        "timestep": _time(),
        "encoder_hidden_states": torch.randn(2, 7, 12),
        "control_hidden_states": _latent(6),
    }
    return Tiny(model, inputs, 5)


def sky_reels(diffusers: Any, frames_per_block: int = 1) -> Tiny:
    model = diffusers.SkyReelsV2Transformer3DModel(**_WAN, num_frame_per_block=frames_per_block)
    inputs = {
        "hidden_states": _latent(4),
        "timestep": _time(),
        "encoder_hidden_states": torch.randn(2, 7, 12),
    }
    return Tiny(model, inputs, 3)


def ltx(diffusers: Any) -> Tiny:
    model = diffusers.LTXVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32,
        num_layers=2, caption_channels=12,
    )  # fmt: skip
    inputs = {
        "hidden_states": torch.randn(2, 3 * 7 * 9, 4),
        "encoder_hidden_states": torch.randn(2, 6, 12),
        "timestep": _time(),
        "encoder_attention_mask": _padding([6, 2], 6),
        "num_frames": 3,
        "height": 7,
        "width": 9,
    }
    return Tiny(model, inputs, 2)


def cog_video(diffusers: Any) -> Tiny:
    model = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=8,
        text_embed_dim=12, num_layers=2, sample_width=18, sample_height=14, sample_frames=9, patch_size=2,
        temporal_compression_ratio=4, max_text_seq_length=6, use_rotary_positional_embeddings=True,
    )  # fmt: skip
    angles = torch.randn(3 * 7 * 9, 16)
    inputs = {
        "hidden_states": _latent(4).transpose(1, 2),
        "encoder_hidden_states": torch.randn(2, 6, 12),
        "timestep": _time(),
        "image_rotary_emb": (angles.cos(), angles.sin()),
    }
    return Tiny(model, inputs, 2)


def mochi(diffusers: Any) -> Tiny:
    model = diffusers.MochiTransformer3DModel(
        patch_size=2, num_attention_heads=2, attention_head_dim=16, num_layers=2, pooled_projection_dim=8,
        in_channels=4, text_embed_dim=16, time_embed_dim=8, max_sequence_length=16,
    )  # fmt: skip
    inputs = {
        "hidden_states": _latent(4),
        "encoder_hidden_states": torch.randn(2, 16, 16),
        "timestep": _time(),
        "encoder_attention_mask": _padding([16, 5], 16).bool(),
    }
    return Tiny(model, inputs, 4)  # two layers, each called once a sample


def cosmos(diffusers: Any) -> Tiny:
    model = diffusers.CosmosTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=2, mlp_ratio=2,
        text_embed_dim=12, adaln_lora_dim=4, max_size=(4, 32, 32), patch_size=(1, 2, 2), concat_padding_mask=False,
        extra_pos_embed_type="learnable",
    )  # fmt: skip
    inputs = {
        "hidden_states": _latent(4),
        "timestep": _time(),
        "encoder_hidden_states": torch.randn(2, 6, 12),
        "fps": 24,
    }
    return Tiny(model, inputs, 2)


def flux(diffusers: Any) -> Tiny:
    model = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=4, num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=12, pooled_projection_dim=8, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    rows, columns = torch.meshgrid(torch.arange(11), torch.arange(13), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3).float()
    inputs = {
        "hidden_states": torch.randn(2, 11 * 13, 4),
        "encoder_hidden_states": torch.randn(2, 6, 12),
        "pooled_projections": torch.randn(2, 8),
        "timestep": torch.full((2,), 0.5),
        "img_ids": ids,
        "txt_ids": torch.zeros(6, 3),
    }
    return Tiny(model, inputs, 4)


def qwen_image(diffusers: Any) -> Tiny:
    model = diffusers.QwenImageTransformer2DModel(
        patch_size=2, in_channels=8, out_channels=2, num_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=12, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    inputs = {
        "hidden_states": torch.randn(2, 11 * 13, 8),
        "encoder_hidden_states": torch.randn(2, 6, 12),
        "encoder_hidden_states_mask": _padding([6, 2], 6),
        "timestep": torch.full((2,), 0.5),
        "img_shapes": [[(1, 11, 13)]] * 2,
    }
    return Tiny(model, inputs, 2)


MODELS = {
    "HunyuanVideo": hunyuan_video,
    "HunyuanVideo-1.5": hunyuan_video_15,
    "HunyuanVideo-1.5 I2V": lambda diffusers: hunyuan_video_15(diffusers, with_image=True),
    "Wan 2.1": wan,
    "Wan 2.1 I2V": wan_image_to_video,
    "Wan 2.2 TI2V": wan_per_token,
    "Wan VACE": wan_vace,
    "SkyReels-V2": sky_reels,
    "LTX-Video": ltx,
    "CogVideoX": cog_video,
    "Mochi": mochi,
    "Cosmos": cosmos,
    "Flux": flux,
    "Qwen-Image": qwen_image,
}
