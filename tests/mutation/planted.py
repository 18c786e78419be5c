"""Bugs planted by hand: what stands where, what stands there instead, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """name: what goes wrong, in a line. kind: of slip. place: file of the repository, of `rtl/` or of Python code that
    tests import. right: text that stands in it once; wrong: what is planted. tests: pytest's names of those that must
    notice; empty: those of the module, then the whole chip's (tests.mutation.suites)."""

    name: str
    kind: str
    place: str
    right: str
    wrong: str
    tests: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The file's name without its ending."""
        return self.place.rpartition("/")[2].partition(".")[0]

    def applied(self, text: str) -> str:
        """The file's text with the bug in it. Raises AssertionError when what it replaces does not stand there once."""
        count = text.count(self.right)
        assert count == 1, f"{self.place} holds `{self.right}` {count} times: bring '{self.name}' up to date"
        return text.replace(self.right, self.wrong)
