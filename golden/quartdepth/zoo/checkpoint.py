"""Reading weights of others: tensors alone, never code."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn


class CheckpointError(ValueError):
    """A weight file that is missing, damaged or of another network; the message is one line that says what to do."""


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth`, `.pt`, `.bin` or `.safetensors` file, by name; a state dict within it (`model`,
    `state_dict`, `model_state_dict`) is found. Raises CheckpointError."""
    if not file.is_file():
        raise CheckpointError(f"no weight file {file}: name one that is there")
    try:
        if file.suffix == ".safetensors":
            return _safetensors(file)
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{file} holds no weights: {_reason(error)}") from error
    for name in ("model", "state_dict", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{file} holds no weights: it is a {type(loaded).__name__}, no state dict")
    return {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}


def _safetensors(file: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise CheckpointError(f"{file} needs safetensors: pip install safetensors") from None
    try:
        return load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"{file} holds no weights: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def load_state(module: nn.Module, state: Mapping[str, Tensor], what: str, named: int = 3) -> None:
    """Fills a module, all of it but for BatchNorm's counters, which a file may leave out. what: the network, as the
    message names it. named: keys of each kind of misfit that it names. Raises CheckpointError."""
    wanted = module.state_dict()
    misfits = {
        "missing": [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")],
        "unexpected": [k for k in state if k not in wanted],
        "of another shape": [
            f"{k} is {list(state[k].shape)}, not {list(tensor.shape)}"
            for k, tensor in wanted.items()
            if k in state and state[k].shape != tensor.shape
        ],
    }
    parts = [
        f"{len(keys)} {kind}: {', '.join(keys[:named])}{', ...' if len(keys) > named else ''}"
        for kind, keys in misfits.items()
        if keys
    ]
    if parts:
        raise CheckpointError(f"the weights do not fit {what}: {'; '.join(parts)}")
    module.load_state_dict({k: tensor.to(wanted[k].dtype) for k, tensor in state.items()}, strict=False)
