"""Fields of JSON that somebody may have edited or cut: each is checked as it is taken, and named when it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LARGEST = 2**63  # of numbers: what arrays and figures hold


class FieldError(ValueError):
    """A field that is missing or wrong; the message is one line that names its place."""


class Fields:
    """One JSON object. where: its place in the file ("" for the whole). Every method raises FieldError."""

    def __init__(self, value: Any, where: str = "") -> None:
        if not isinstance(value, dict):
            raise FieldError(f"{where or 'the whole'} must be an object, not {_shown(value)}")
        self.value, self.where = value, where
        self._taken: set[str] = set()

    def place(self, name: str) -> str:
        """Where in the file a field is."""
        return f"{self.where}.{name}" if self.where else name

    def take(self, name: str) -> Any:
        """Any value that is there."""
        if name not in self.value:
            raise FieldError(f"{self.place(name)} is missing")
        self._taken.add(name)
        return self.value[name]

    def text(self, name: str) -> str:
        """A string that is not empty."""
        value = self.take(name)
        if not isinstance(value, str) or not value:
            raise FieldError(f"{self.place(name)} must be a text, not {_shown(value)}")
        return value

    def whole(self, name: str, least: int = 0) -> int:
        """A whole number of at least `least`."""
        return _whole(self.take(name), self.place(name), least)

    def number(self, name: str, *, positive: bool = False) -> float:
        """A number, neither negative nor infinite (positive: nor zero)."""
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
            raise FieldError(f"{self.place(name)} must be a number below 2^63, not {_shown(value)}")
        if value < 0 or (positive and value == 0):
            raise FieldError(
                f"{self.place(name)} must be {'above 0' if positive else '0 or more'}, not {_shown(value)}"
            )
        return float(value)

    def object(self, name: str) -> Fields:
        """An object."""
        return Fields(self.take(name), self.place(name))

    def objects(self, name: str) -> Iterator[Fields]:
        """A list of at least one object."""
        value = self.take(name)
        if not isinstance(value, list) or not value:
            raise FieldError(f"{self.place(name)} must be a list of objects, not {_shown(value)}")
        for n, item in enumerate(value):
            yield Fields(item, f"{self.place(name)}[{n}]")

    def rows(self, name: str, width: int) -> Iterator[tuple[int, ...]]:
        """A list of rows of `width` whole numbers, none negative."""
        value = self.take(name)
        if not isinstance(value, list):
            raise FieldError(f"{self.place(name)} must be a list, not {_shown(value)}")
        for n, row in enumerate(value):
            place = f"{self.place(name)}[{n}]"
            if not isinstance(row, list) or len(row) != width:
                raise FieldError(f"{place} must be {width} whole numbers, not {_shown(row)}")
            yield tuple(_whole(item, f"{place}[{i}]", 0) for i, item in enumerate(row))

    def end(self) -> None:
        """No other fields are there."""
        if unknown := sorted(set(self.value) - self._taken):
            raise FieldError(f"{self.place(unknown[0])} is no field that is known")


def _whole(value: Any, place: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < LARGEST:
        raise FieldError(f"{place} must be a whole number of {least} or more, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """A value in a few characters, as JSON writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int):
        return str(value) if abs(value) < LARGEST else "a number of too many digits"
    return repr(value)[:40]
