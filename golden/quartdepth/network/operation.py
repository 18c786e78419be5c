"""What one file of `ops/` declares: everything that the rest of the project may know of an operation."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from torch import nn

from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.layer import FloatLayer, QLayer

Handler = Callable[[Any, Any], Any]  # (Capture, torch.fx.Node) -> the node's value
Rewrite = Callable[[FloatGraph], FloatGraph]


class Declined(GraphError):
    """The operator with these operands is none of this operation; the message says what it takes."""


class Stage(IntEnum):
    """When a rewrite of captured layers runs; those of one stage go by their files' names."""

    AFFINE = 1  # factors by channel into the layers around them; then the photo's patches
    SPLIT = 2  # one layer into several, or two into one that is no layer of its own
    MERGE = 3  # what a layer takes over from those behind it: `FloatLayer.into`, not a rewrite
    FOLD = 4  # gains of normalisation into the layers behind it
    JOIN = 5  # concatenations of concatenations


@dataclass(frozen=True)
class Example:
    """A module in which the operation stands, and the shape [C,H,W] of its input."""

    module: nn.Module
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Operation:
    """An operation. title, forms, widths, mapping, limits, cost: its part of docs/ops.md. aten: what its operators
    become. floats, integers: its layers. rewrites: of captured graphs. example: a random module, for tests. photo: it
    has to read the photo itself. shows: makes the map [1,C,H,W] that a view shows of another one; None if it cannot."""

    title: str
    forms: str
    widths: str
    mapping: str
    limits: str
    cost: str
    example: Callable[[random.Random], Example]
    aten: Mapping[Any, Handler] = field(default_factory=dict)
    floats: tuple[type[FloatLayer], ...] = ()
    integers: tuple[type[QLayer], ...] = ()
    rewrites: tuple[tuple[Stage, Rewrite], ...] = ()
    photo: bool = False
    shows: Callable[[Any, Any], str | None] | None = None  # (Capture, View) -> the name of a map
