"""What a person sees while the command works: a bar on a terminal, a line every few seconds elsewhere.

Progress goes to stderr, so that stdout holds results alone.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

SECONDS = 5.0  # between two lines where there is no terminal

Show = Callable[[str, int, int], None]
"""Called with what is going on, how far it is and how far it goes (0: unknown)."""

console = Console(stderr=True, highlight=False)


class _Lines:
    """Prints what is going on when it changes, and again every SECONDS while it lasts."""

    def __init__(self) -> None:
        self.state = ("", 0, 0)
        self.since = self.printed = time.monotonic()
        self.told = ""
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def show(self, text: str, done: int, total: int) -> None:
        head = text.partition(",")[0]  # "photo: chip, cycle 50,000" changes all the time
        if head != self.state[0].partition(",")[0]:
            self.since = time.monotonic()
        self.state = (text, done, total)

    def _watch(self) -> None:
        while not self.ended.wait(0.2):
            now, (text, done, total) = time.monotonic(), self.state
            fresh = text.partition(",")[0] != self.told
            if text and now - self.printed >= (1.0 if fresh else SECONDS):
                share = f" {done / total:.0%}" if total else ""
                print(f"{text}{share} [{now - self.since:.0f} s]", file=sys.stderr, flush=True)
                self.printed, self.told = now, text.partition(",")[0]

    def close(self) -> None:
        self.ended.set()
        self.thread.join()


@contextmanager
def shown() -> Iterator[Show]:
    """How far the work is, shown while the block runs."""
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("loading", total=None)

            def show(text: str, done: int, total: int) -> None:
                progress.update(task, description=escape(text), completed=done, total=total or None)

            yield show
        return
    lines = _Lines()
    try:
        yield lines.show
    finally:
        lines.close()
