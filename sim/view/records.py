"""Dataclasses as JSON and back. Files may have been edited, cut or made by another version: what is read is checked
field by field, and the first that is wrong is named by its place."""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar, get_args, get_origin

LARGEST = 2**63  # of numbers: what arrays and figures hold


class FieldError(ValueError):
    """A field that is missing or wrong; the message is one line that names its place."""


@dataclass(frozen=True)
class Least:
    """The smallest number that a field takes."""

    value: float


@dataclass(frozen=True)
class Above:
    """A number that a field must be above."""

    value: float


Count = Annotated[int, Least(0)]
Positive = Annotated[int, Least(1)]
Amount = Annotated[float, Least(0)]
Rate = Annotated[float, Above(0)]
Name = Annotated[str, Least(1)]  # of characters

Record = TypeVar("Record")


def to_json(value: Any) -> Any:
    """What JSON holds of a record: its fields but those that are None, enums by value."""
    if is_dataclass(value) and not isinstance(value, type):
        held = {f.name: getattr(value, f.name) for f in fields(value)}
        return {name: to_json(v) for name, v in held.items() if v is not None}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(to_json(k)): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    return value


def from_json(kind: type[Record], value: Any, place: str = "") -> Record:
    """A record of what `to_json` gave. Raises FieldError, also for fields that the record does not have."""
    found: Record = _read(kind, value, place)
    return found


def parts_from_json(kind: type[Record], value: dict[str, Any]) -> tuple[Record, list[str]]:
    """A record whose fields with a default may be wrong: they keep it, and a line says of each what is wrong with it.
    Raises FieldError for fields without a default."""
    problems, held = [], {}
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in value:
        if name not in hints:
            problems.append(f"{name} is no field that is known")
    for f in fields(kind):  # type: ignore[arg-type]
        try:
            if f.name in value:
                held[f.name] = _read(hints[f.name], value[f.name], f.name)
            elif not _optional(f):
                raise FieldError(f"{f.name} is missing")
        except FieldError as error:
            if not _optional(f):
                raise
            problems.append(str(error))
    return kind(**held), problems


def _optional(field: Any) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _read(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        found = _read(arguments[0], value, place)
        for limit in arguments[1:]:
            _limit(found, limit, value, place)
        return found
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _read(next(a for a in arguments if a is not type(None)), value, place)
    if origin in (list, tuple):
        return _sequence(origin, arguments, value, place)
    if origin is dict:
        if not isinstance(value, dict):
            raise FieldError(f"{_where(place)} must be an object, not {_shown(value)}")
        return {_read(arguments[0], k, place): _read(arguments[1], v, f"{place}.{k}") for k, v in value.items()}
    if is_dataclass(kind):
        return _record(kind, value, place)
    return _plain(kind, value, place)


def _record(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise FieldError(f"{_where(place)} must be an object, not {_shown(value)}")
    hints = typing.get_type_hints(kind, include_extras=True)
    held = {}
    for f in fields(kind):
        inner = f"{place}.{f.name}" if place else f.name
        if f.name in value:
            held[f.name] = _read(hints[f.name], value[f.name], inner)
        elif not _optional(f):
            raise FieldError(f"{inner} is missing")
    if unknown := sorted(set(value) - set(hints)):
        raise FieldError(f"{f'{place}.' if place else ''}{unknown[0]} is no field that is known")
    return kind(**held)


def _sequence(origin: Any, arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    if not isinstance(value, list):
        raise FieldError(f"{_where(place)} must be a list, not {_shown(value)}")
    if origin is list or arguments[-1] is Ellipsis:
        return origin(_read(arguments[0], v, f"{place}[{n}]") for n, v in enumerate(value))
    if len(value) != len(arguments):
        raise FieldError(f"{_where(place)} must have {len(arguments)} values, not {len(value)}")
    return tuple(_read(a, v, f"{place}[{n}]") for n, (a, v) in enumerate(zip(arguments, value, strict=True)))


def _plain(kind: Any, value: Any, place: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            choices = ", ".join(str(member.value) for member in kind)
            raise FieldError(f"{_where(place)} must be one of {choices}, not {_shown(value)}") from None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number and abs(value) < LARGEST:
        return float(value)
    if kind is int and number and isinstance(value, int) and abs(value) < LARGEST:
        return value
    if kind in (str, bool) and isinstance(value, kind):
        return value
    words = {float: "a number below 2^63", int: "a whole number below 2^63", str: "a text", bool: "true or false"}
    raise FieldError(f"{_where(place)} must be {words[kind]}, not {_shown(value)}")


def _limit(found: Any, limit: Least | Above, value: Any, place: str) -> None:
    if isinstance(found, str):
        if not found:
            raise FieldError(f"{_where(place)} must be a text that is not empty")
    elif isinstance(limit, Least) and not found >= limit.value:
        raise FieldError(f"{_where(place)} must be {limit.value:g} or more, not {_shown(value)}")
    elif isinstance(limit, Above) and not found > limit.value:
        raise FieldError(f"{_where(place)} must be above {limit.value:g}, not {_shown(value)}")


def _where(place: str) -> str:
    return place or "the whole"


def _shown(value: Any) -> str:
    """A value in a few characters, as JSON writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int):
        return str(value) if abs(value) < LARGEST else "a number of too many digits"
    return repr(value)[:40]
