"""Prints what tests have recorded as `coverage`, also from the processes of pytest-xdist."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "coverage" and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid}: {str(text).rstrip()}")
