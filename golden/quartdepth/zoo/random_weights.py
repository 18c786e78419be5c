"""Random weights for networks whose trained ones are not at hand: with those of the initialisation nothing is tested.

What it leaves at zero or near it (places, tokens, gains of residual branches) does nothing, and depths below the last
ReLU are all zero.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)
LAST = ("output_conv2.2.bias", "output_conv.4.bias")  # before the last ReLU: of DPT, of MiDaS


def random_weights(model: Module) -> Module:
    """The model in eval mode; its places, tokens and gains are drawn from PyTorch's generator as it stands."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "pos_embed" in name or "cls_token" in name or name.endswith("gamma"):
                p.copy_(torch.randn_like(p) * 0.5)
            if name.endswith(LAST):
                p.fill_(0.5)
    return model.eval()
