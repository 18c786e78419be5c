"""What training changed in a backbone, as products of two thin matrices (LoRA, Hu et al. 2022).

A file of a few megabytes then carries a whole tuned backbone: its linear layers' weights are W + up @ down.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

PREFIX = "low_rank."
_DOWN, _UP = ".down", ".up"


class LowRank(nn.Module):
    """The change of every linear layer of a backbone, zero at first. `attach` makes it act while it is trained."""

    def __init__(self, backbone: nn.Module, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.layers = [(n, m) for n, m in backbone.named_modules() if isinstance(m, nn.Linear)]
        for name, layer in self.layers:
            down = torch.randn(rank, layer.in_features) / layer.in_features**0.5
            self.register_parameter(self._key(name) + "_down", nn.Parameter(down))
            self.register_parameter(self._key(name) + "_up", nn.Parameter(torch.zeros(layer.out_features, rank)))

    @staticmethod
    def _key(name: str) -> str:
        return name.replace(".", "_")

    def pair(self, name: str) -> tuple[Tensor, Tensor]:
        """Down [r,in] and up [out,r] of a layer."""
        return self.get_parameter(self._key(name) + "_down"), self.get_parameter(self._key(name) + "_up")

    def attach(self) -> list[RemovableHandle]:
        """From now on the backbone's layers add their change."""
        out = []
        for name, layer in self.layers:
            down, up = self.pair(name)

            def hook(
                _: nn.Module, inputs: tuple[Tensor, ...], y: Tensor, down: Tensor = down, up: Tensor = up
            ) -> Tensor:
                return y + F.linear(F.linear(inputs[0], down), up)

            out.append(layer.register_forward_hook(hook))
        return out

    def arrays(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of this module under the names that a file carries."""
        out = {}
        for name, _ in self.layers:
            out[f"{PREFIX}{name}{_DOWN}"] = state[self._key(name) + "_down"]
            out[f"{PREFIX}{name}{_UP}"] = state[self._key(name) + "_up"]
        return out

    def load(self, file: Mapping[str, Tensor]) -> None:
        """Takes over what `arrays` gave. Raises KeyError, RuntimeError for another rank."""
        with torch.no_grad():
            for name, _ in self.layers:
                down, up = self.pair(name)
                down.copy_(file[f"{PREFIX}{name}{_DOWN}"])
                up.copy_(file[f"{PREFIX}{name}{_UP}"])


def merged(backbone: Mapping[str, Tensor], file: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's state dict with the changes that a file carries; what it does not change is as it was.

    Raises KeyError for a change of a layer that is not there, or of which half is missing.
    """
    out = dict(backbone)
    for key, down in file.items():
        if key.startswith(PREFIX) and key.endswith(_DOWN):
            name = key[len(PREFIX) : -len(_DOWN)]
            weight = out[f"{name}.weight"]
            out[f"{name}.weight"] = weight + (file[f"{PREFIX}{name}{_UP}"].float() @ down.float())
    return out


def split(file: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(changes of the backbone, the rest)."""
    changes = {k: v for k, v in file.items() if k.startswith(PREFIX)}
    return changes, {k: v for k, v in file.items() if k not in changes}
