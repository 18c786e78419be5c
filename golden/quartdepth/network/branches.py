"""Modules that choose one of several ways by the largest value of a tensor, as mixtures of heads do: all ways, and the
choice between their results as an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

_ARGMAX = (torch.argmax, torch.Tensor.argmax)


class _Watching(TorchFunctionMode):
    """How many values the last argmax chose among when a number was taken from a tensor; 0: never."""

    def __init__(self) -> None:
        super().__init__()
        self.among, self.ways = 0, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in _ARGMAX:
            dim = (kwargs or {}).get("dim", args[1] if len(args) > 1 else None)
            self.among = args[0].numel() if dim is None else args[0].shape[dim]
        elif func is torch.Tensor.item and not args[0].is_floating_point():
            self.ways = self.among
        return made


class _Taking(TorchFunctionMode):
    """One way: whole numbers taken from tensors are `way`. chosen: the tensors."""

    def __init__(self, way: int) -> None:
        super().__init__()
        self.way = way
        self.chosen: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.Tensor.item and not args[0].is_floating_point():
            self.chosen.append(args[0])
            return self.way
        return func(*args, **(kwargs or {}))


class EveryWay(nn.Module):
    """A module's results by every way, and of these the one that it would have taken."""

    def __init__(self, module: nn.Module, ways: int) -> None:
        super().__init__()
        self.module, self.ways = module, ways

    def forward(self, x: Tensor) -> Any:
        """As the module's."""
        made: list[list[Any]] = []
        choices: list[Tensor] = []
        spec: Any = None
        for way in range(self.ways):
            with _Taking(way) as taking:
                leaves, spec = pytree.tree_flatten(self.module(x.clone()))
            if len(taking.chosen) != 1:
                raise ValueError(f"the module makes {len(taking.chosen)} choices; one can be followed")
            made.append(leaves)
            choices += taking.chosen
        out = made[0]
        for way, leaves in enumerate(made[1:], 1):
            out = [torch.where(choices[0] == way, new, old) for new, old in zip(leaves, out, strict=True)]
        return pytree.tree_unflatten(out, spec)


def every_way(module: nn.Module, example: Tensor) -> nn.Module | None:
    """The module with all its ways, if what it chooses by is the largest of a few values; None if it is not."""
    with torch.no_grad(), _Watching() as watching:
        module(example.clone())  # it may change its operand
    return EveryWay(module, watching.ways).eval() if watching.ways > 1 else None
