"""pytest plugin: the tests that TRIPTYCH_FIRST names, those that noticed most mutants so far, come first."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In its order; all others as they are."""
    first = os.environ.get("TRIPTYCH_FIRST", "").splitlines()
    items.sort(key=lambda item: first.index(item.nodeid) if item.nodeid in first else len(first))
