"""Squarified treemaps (Bruls, Huizing and van Wijk, 2000)."""

from __future__ import annotations

from collections.abc import Sequence

Place = tuple[float, float, float, float]  # x, y, width, height


def treemap(sizes: Sequence[float], place: Place) -> list[Place]:
    """Rectangles whose areas are in proportion to `sizes` (above 0), in their order, that fill `place`; nearly square
    where `sizes` fall."""
    total = sum(sizes)
    if not total:
        return []
    x, y, width, height = place
    scale = width * height / total
    areas = [size * scale for size in sizes]
    found: list[Place] = []
    first = 0
    while first < len(areas):
        side = min(width, height)
        last = first + 1
        while last < len(areas) and _worst(areas[first : last + 1], side) <= _worst(areas[first:last], side):
            last += 1
        row = areas[first:last]
        thick = sum(row) / side
        along = 0.0
        for area in row:
            length = area / thick
            tall = width >= height  # the row is a column at the left edge
            found.append((x, y + along, thick, length) if tall else (x + along, y, length, thick))
            along += length
        if width >= height:
            x, width = x + thick, width - thick
        else:
            y, height = y + thick, height - thick
        first = last
    return found


def _worst(row: Sequence[float], side: float) -> float:
    """The largest ratio of sides in a row of areas along `side`."""
    total = sum(row)
    return max(side**2 * max(row) / total**2, total**2 / (side**2 * min(row)))
