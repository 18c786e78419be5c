"""Post-training quantisation by Brevitas on the same networks, for comparison: `pip install brevitas==0.13.4`.

Simulated in float by Brevitas itself (layerwise backend): weights symmetric by output channel, the input of every
convolution and linear layer by tensor, asymmetric. What it leaves in float: `accuracy_table.PEERS`. Tuned by choice
among `SETTINGS` on all calibration images: the one whose output, before weights are learned, is nearest to the float
network's. GPTQ and Qronos then learn from every `LEARN_EVERY`-th image, as each layer costs them a pass over all.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from triptych.sim.errors import TriptychError

VERSION = "0.13.4"


class Peer(Enum):
    """What Brevitas does after calibration."""

    GPTQ = "Brevitas GPTQ"
    QRONOS = "Brevitas Qronos"


@dataclass(frozen=True)
class Setting:
    """Range of an activation: a percentile of |x|, or the one with least square error. every: image that it is taken
    from; the least square error is a search in every layer, seconds an image."""

    percentile: float
    least_error: bool = False
    every: int = 1


SETTINGS = (Setting(99.9), Setting(99.99), Setting(99.999), Setting(99.99, True, 8))
LEARN_EVERY = 4


class Flat(nn.Module):
    """A linear layer that sees rows: Brevitas' methods take no tokens with four axes."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x.reshape(-1, x.shape[-1]))
        return out.reshape(*x.shape[:-1], -1)


def _flattened(module: nn.Module) -> nn.Module:
    copied = copy.deepcopy(module)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and not isinstance(parent, Flat):
                setattr(parent, name, Flat(child))
    return copied


def quantised(module: nn.Module, images: list[Tensor], peer: Peer, bits: tuple[int, int]) -> tuple[nn.Module, str]:
    """The network quantised by Brevitas to `bits` (weights, activations), and the setting that was best.

    The images [1,3,H,W] lie where the module does.
    """
    try:
        from brevitas_examples.imagenet_classification.ptq import ptq_common as ptq
    except ImportError as error:
        raise TriptychError(f"the peers need Brevitas: pip install brevitas=={VERSION} ({error})") from error
    logging.getLogger("torch").setLevel(logging.ERROR)
    ptq.tqdm = lambda x: x  # the caller shows progress
    loader = [(image, None) for image in images]
    few = loader[::LEARN_EVERY]
    with torch.no_grad():
        wanted = torch.cat([module(image) for image in images])
    best: tuple[float, nn.Module, str] | None = None
    for setting in SETTINGS:
        net = ptq.quantize_model(
            _flattened(module), "layerwise", weight_bit_width=bits[0], act_bit_width=bits[1],
            bias_bit_width=None, weight_quant_granularity="per_channel", act_quant_percentile=setting.percentile,
            act_quant_type="asym", scale_factor_type="float_scale", quant_format="int", weight_param_method="mse",
            act_param_method="mse" if setting.least_error else "stats",
            device=images[0].device,
        ).eval()  # fmt: skip
        ptq.calibrate(loader[:: setting.every], net)
        with torch.no_grad():  # the first pass also fixes the weight scales, which GPTQ reads
            distance = float((torch.cat([net(image) for image in images]) - wanted).abs().mean())
        text = "least square error" if setting.least_error else f"percentile {setting.percentile:g}"
        if best is None or distance < best[0]:
            best = distance, net, text
    assert best is not None
    _, net, text = best
    if peer is Peer.GPTQ:
        ptq.apply_gptq(few, net, act_order=True, use_quant_activations=True)
    else:
        ptq.apply_qronos(net, few)
    ptq.apply_bias_correction(loader, net)
    return net, text
