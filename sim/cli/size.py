"""Sizes of photos as commands take them."""

from __future__ import annotations

from triptych.sim.errors import TriptychError

LARGEST_SIDE = 4096  # pixels of a photo's side as the network reads it: the golden machine holds every map in memory


def parse_size(text: str) -> tuple[int, int]:
    """HEIGHTxWIDTH. Raises TriptychError."""
    height, cross, width = text.partition("x")
    if not (cross and height.isdigit() and width.isdigit()):
        raise TriptychError(f"--size takes HEIGHTxWIDTH, for example 192x256, not '{text}'")
    if max(int(height), int(width)) > LARGEST_SIDE:
        raise TriptychError(f"--size takes sides of at most {LARGEST_SIDE} pixels, not {text}")
    return int(height), int(width)
