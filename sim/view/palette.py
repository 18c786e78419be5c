"""Colours that people with any kind of colour vision tell apart, after Okabe and Ito, on light and on dark paper."""

from __future__ import annotations

LIGHT = {
    "blue": "#0072b2",
    "sky": "#56b4e9",
    "orange": "#e69f00",
    "red": "#d55e00",
    "green": "#009e73",
    "pink": "#cc79a7",
    "yellow": "#e0d000",
    "grey": "#c0c4c9",
    "ink": "#1f2328",
}
"""By name, as figures name them."""

DARK = LIGHT | {"blue": "#1f7fc0", "yellow": "#f0e442", "grey": "#5a616b", "ink": "#e6e8eb"}

ORDER = ("blue", "orange", "green", "pink", "sky", "red", "yellow", "grey")
"""For things that have no colour of their own."""


def nth(number: int) -> str:
    """A colour for the thing of that number."""
    return ORDER[number % len(ORDER)]
