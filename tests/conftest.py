"""What holds for all tests; prints what they have recorded as `coverage`, also from the processes of pytest-xdist."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

settings.register_profile("triptych", deadline=None)  # how long an example takes says something of the machine alone
settings.load_profile("triptych")
gc.set_threshold(50_000, 20, 50)  # tests make many small objects and few cycles: a twentieth of their time otherwise


def pytest_collection_finish() -> None:
    """What was imported stays, and is not looked through again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "coverage" and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid}: {str(text).rstrip()}")
