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
        raise CheckpointError(f"no weights {file}: name the downloaded file")
    try:
        if file.suffix == ".safetensors":
            return _safetensors(file)
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{file} holds no weights: {str(error).splitlines()[0]}") from error
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
        raise CheckpointError(f"{file} holds no weights: {str(error).splitlines()[0]}") from error


def load_state(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Fills a module, all of it. what: the network, as the message names it. Raises CheckpointError that names the
    first key or shape that does not fit."""
    wanted = module.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    if missing := sorted(set(wanted) - set(state) - counters):
        raise CheckpointError(f"no weights of {what}: '{missing[0]}' is missing ({len(missing)} of {len(wanted)} are)")
    if unknown := sorted(set(state) - set(wanted)):
        raise CheckpointError(f"no weights of {what}: it has no '{unknown[0]}' ({len(unknown)} are unknown)")
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"no weights of {what}: '{name}' is {list(tensor.shape)} there, {list(wanted[name].shape)} here"
            )
    module.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in state.items()}, strict=False)
