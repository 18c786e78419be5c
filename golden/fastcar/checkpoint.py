"""The trained decoder's file: int4 codes two a byte with a scale an output, everything else float16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from triptych.golden.fastcar.config import ModelConfig
from triptych.golden.fastcar.decoder import Decoder, Int4Linear
from triptych.golden.quartdepth.arithmetic.numerics import pack_nibbles, unpack_nibbles


def pack_decoder(model: Decoder) -> dict[str, Any]:
    """The arrays of a checkpoint."""
    out: dict[str, Any] = {}
    for name, module in model.named_modules():
        if isinstance(module, Int4Linear):
            out[f"{name}.codes"] = pack_nibbles(module.codes().cpu().numpy())
            out[f"{name}.scale"] = module.scale().float().cpu().numpy()[:, 0]
    for name, parameter in model.named_parameters():
        if not name.endswith(".weight"):
            out[name] = parameter.detach().half().cpu().numpy()
    return out


def load_checkpoint(path: Path, config: ModelConfig) -> Decoder:
    """The decoder of a file, its weights exactly the int4 codes times their scales. Raises ValueError for another."""
    model = Decoder(config)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    state: dict[str, torch.Tensor] = {}
    try:
        for name, _ in model.named_parameters():
            if name.endswith(".weight"):
                stem = name.removesuffix(".weight")
                codes = unpack_nibbles(arrays[f"{stem}.codes"], signed=True).astype(np.float32)
                state[name] = torch.from_numpy(codes * arrays[f"{stem}.scale"][:, None])
            else:
                state[name] = torch.from_numpy(arrays[name]).float()
        model.load_state_dict(state, strict=False)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is no checkpoint of this decoder ({error})") from error
    model.blend_int4(1.0)
    return model.eval()
