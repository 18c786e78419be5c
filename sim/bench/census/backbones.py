"""A backbone of each family of `timm`, random weights, under one U-Net decoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from triptych.sim.bench.census.decoders import UNet, encoder
from triptych.sim.bench.census.entry import Entry

FAMILY = "backbones of `timm`"
SMALL = dict(channels=(16, 32, 64, 64), stem_width=16)
VIT = dict(embed_dim=32, depth=3, num_heads=2, img_size=64)
SWIN = dict(img_size=64, window_size=4, embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 1, 2, 2))
STAGES: dict[str, Any] = dict(depths=(1, 1, 1, 1), dims=(16, 24, 32, 48))

# module of timm.models, model, terms, (size of the photo, maps with channels last)
BACKBONES: tuple[tuple[str, str, dict[str, Any], int, bool], ...] = (
    ("resnet", "resnet18", SMALL, 64, False),
    ("resnet", "resnet50d", SMALL, 64, False),
    ("resnet", "resnext50_32x4d", dict(SMALL, base_width=4), 64, False),
    ("resnet", "seresnet18", SMALL, 64, False),
    ("resnet", "ecaresnet50d", SMALL, 64, False),
    ("resnet", "resnetblur18", SMALL, 64, False),
    ("resnetv2", "resnetv2_50", dict(channels=(32, 64, 64, 64), stem_chs=32), 64, False),
    ("res2net", "res2net50_26w_4s", SMALL, 64, False),
    ("resnest", "resnest14d", {}, 64, False),
    ("sknet", "skresnet18", SMALL, 64, False),
    ("senet", "legacy_seresnet18", {}, 64, False),
    ("vgg", "vgg11", {}, 32, False),
    ("vgg", "vgg11_bn", {}, 32, False),
    ("densenet", "densenet121", dict(growth_rate=8, block_config=(2, 2, 2, 2)), 64, False),
    ("dla", "dla34", dict(channels=(8, 8, 16, 16, 32, 32)), 64, False),
    ("dpn", "dpn48b", {}, 64, False),
    ("hrnet", "hrnet_w18_small", {}, 64, False),
    ("regnet", "regnetx_002", {}, 64, False),
    ("regnet", "regnety_002", {}, 64, False),
    ("efficientnet", "mobilenetv2_035", {}, 64, False),
    ("efficientnet", "mnasnet_small", {}, 64, False),
    ("efficientnet", "efficientnet_b0", {}, 64, False),
    ("efficientnet", "efficientnet_lite0", {}, 64, False),
    ("efficientnet", "tf_efficientnetv2_b0", {}, 64, False),
    ("efficientnet", "mixnet_s", {}, 64, False),
    ("efficientnet", "tinynet_e", {}, 64, False),
    ("efficientnet", "fbnetc_100", {}, 64, False),
    ("efficientnet", "spnasnet_100", {}, 64, False),
    ("mobilenetv3", "mobilenetv3_small_050", {}, 64, False),
    ("mobilenetv3", "mobilenetv3_large_075", {}, 64, False),
    ("mobilenetv3", "mobilenetv4_conv_small_035", {}, 64, False),
    ("mobilenetv3", "lcnet_035", {}, 64, False),
    ("hardcorenas", "hardcorenas_a", {}, 64, False),
    ("ghostnet", "ghostnet_050", {}, 64, False),
    ("repghost", "repghostnet_050", {}, 64, False),
    ("rexnet", "rexnet_100", {}, 64, False),
    ("byobnet", "mobileone_s0", {}, 64, False),
    ("byobnet", "repvgg_a0", {}, 64, False),
    ("cspnet", "cspdarknet53", {}, 64, False),
    ("vovnet", "ese_vovnet19b_slim", {}, 64, False),
    ("selecsls", "selecsls42b", {}, 64, False),
    ("hgnet", "hgnetv2_b0", {}, 64, False),
    ("rdnet", "rdnet_tiny", {}, 64, False),
    ("starnet", "starnet_s050", {}, 64, False),
    ("fasternet", "fasternet_t0", {}, 64, False),
    ("xception", "legacy_xception", {}, 64, False),
    ("inception_next", "inception_next_atto", STAGES, 64, False),
    ("nfnet", "nfnet_l0", {}, 64, False),
    ("convnext", "convnext_atto", STAGES, 64, False),
    ("convnext", "convnextv2_atto", STAGES, 64, False),
    ("edgenext", "edgenext_xx_small", {}, 64, False),
    ("mambaout", "mambaout_femto", {}, 64, True),
    ("metaformer", "poolformer_s12", {}, 64, False),
    ("metaformer", "caformer_s18", {}, 64, False),
    ("repvit", "repvit_m0_9", {}, 64, False),
    ("fastvit", "fastvit_t8", {}, 64, False),
    ("mobilevit", "mobilevit_xxs", {}, 64, False),
    ("mobilevit", "mobilevitv2_050", {}, 64, False),
    ("efficientformer", "efficientformer_l1", {}, 224, False),
    ("efficientvit_mit", "efficientvit_b0", {}, 64, False),
    ("efficientvit_msra", "efficientvit_m0", {}, 64, False),
    ("swiftformer", "swiftformer_xs", {}, 64, False),
    ("nextvit", "nextvit_small", {}, 64, False),
    ("pvt_v2", "pvt_v2_b0", {}, 64, False),
    ("vision_transformer", "vit_tiny_patch16_224", VIT, 64, False),
    ("vision_transformer", "vit_small_patch14_dinov2", dict(VIT, img_size=56), 56, False),
    ("vision_transformer", "vit_small_patch14_reg4_dinov2", dict(VIT, img_size=56), 56, False),
    ("vision_transformer_relpos", "vit_relpos_small_patch16_224", VIT, 64, False),
    ("deit", "deit3_small_patch16_224", VIT, 64, False),
    ("beit", "beit_base_patch16_224", VIT, 64, False),
    ("eva", "eva02_tiny_patch14_224", dict(VIT, img_size=56), 56, False),
    ("cait", "cait_xxs24_224", VIT, 64, False),
    ("xcit", "xcit_nano_12_p16_224", dict(VIT), 64, False),
    ("swin_transformer", "swin_tiny_patch4_window7_224", SWIN, 64, True),
    ("swin_transformer_v2", "swinv2_tiny_window8_256", SWIN, 64, True),
    ("maxxvit", "maxvit_pico_rw_256", dict(img_size=64), 64, False),
    ("maxxvit", "coatnet_pico_rw_224", dict(img_size=64), 64, False),
    ("davit", "davit_tiny", dict(depths=(1, 1, 1, 1), embed_dims=(16, 16, 32, 32), num_heads=(1, 1, 2, 2)), 224, False),
    ("focalnet", "focalnet_tiny_srf", {}, 64, False),
    ("twins", "twins_svt_small", dict(img_size=64), 64, False),
    ("tiny_vit", "tiny_vit_5m_224", {}, 224, False),
    ("levit", "levit_128s", {}, 224, False),
    ("hiera", "hiera_tiny_224", dict(img_size=64, embed_dim=16), 64, False),
    ("coat", "coat_lite_tiny", dict(img_size=64), 64, False),
    ("mvitv2", "mvitv2_tiny", dict(img_size=64), 64, False),
    ("mlp_mixer", "mixer_s32_224", dict(img_size=64), 64, False),
    ("sequencer", "sequencer2d_s", {}, 64, True),
)  # fmt: skip


def _build(model: str, terms: dict[str, Any], last: bool) -> nn.Module:
    return UNet(encoder(model, **terms), channels_last=last).eval()


def entries() -> Iterator[Entry]:
    """All of them."""
    for module, model, terms, size, last in BACKBONES:
        yield Entry(
            model, FAMILY, f"timm.models.{module}", (size, size), False,
            lambda model=model, terms=terms, last=last: _build(model, terms, last),
        )  # fmt: skip
