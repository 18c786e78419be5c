"""Stages of a run that are done, kept so that one that was cut off goes on where it stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from triptych.golden import store
from triptych.golden.files import check_writable


class WorkError(ValueError):
    """A work file that cannot be used; the message is one line that says what to do."""


class Work:
    """Stages that are done, each under a key of all that it depends on, in one SQLite file; without a file nothing
    outlasts the object. Runs that share stages (methods that build on each other) may share it.

    A stage that was damaged on disk is made anew. Raises WorkError for a file that is no such store, and where another
    run holds the file: hours of work are never deleted here.
    """

    WAIT = 60.0  # seconds for another run to finish its write

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.held: dict[str, Any] = {}
        if file is not None:
            check_writable(file.parent)
            with self._opened():
                pass

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        assert self.file is not None
        try:
            with closing(sqlite3.connect(self.file, timeout=self.WAIT)) as connection:
                connection.execute("create table if not exists stages (key text primary key, value blob)")
                with connection:
                    yield connection
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise WorkError(f"{self.file} is held by another run: wait for it, or name another --out") from error
            raise WorkError(f"{self.file} cannot be used ({error}): free some space or name another --out") from error
        except sqlite3.DatabaseError as error:
            raise WorkError(
                f"{self.file} is damaged or no work file of this command: delete it to begin anew"
            ) from error

    def get(self, key: str, default: Any = None) -> Any:
        """A stage's value, `default` if it is not there or damaged."""
        if self.file is None:
            return self.held.get(key, default)
        with self._opened() as connection:
            row = connection.execute("select value from stages where key = ?", (key,)).fetchone()
        try:
            return default if row is None else store.unpack(row[0])
        except (store.StoreError, TypeError):
            return default

    def keep(self, key: str, value: Any) -> None:
        """Stores a stage, whole or not at all."""
        if self.file is None:
            self.held[key] = value
            return
        with self._opened() as connection:
            connection.execute("insert or replace into stages values (?, ?)", (key, store.pack(value)))

    def stage(self, key: str, compute: Callable[[], Any]) -> Any:
        """The stage's value, computed if it is not there."""
        value = self.get(key)
        if value is None:
            value = compute()
            self.keep(key, value)
        return value
