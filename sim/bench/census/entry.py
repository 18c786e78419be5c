"""One network of the census."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Entry:
    """name: in the list. family: of the table. source: class or function that makes it. size: of its photo. depth: a
    depth network as it was published, not a backbone with our own decoder. build: it, with random weights."""

    name: str
    family: str
    source: str
    size: tuple[int, int]
    depth: bool
    build: Callable[[], nn.Module]
