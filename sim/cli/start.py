"""Where the `triptych` command starts: its packages are an extra, and missing ones get one line."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command; exit status 1 with one line when the extra `chips` is not installed."""
    try:
        from triptych.sim.cli.main import main as command
    except ModuleNotFoundError as error:
        if (error.name or "triptych").partition(".")[0] == "triptych":
            raise
        print(f"triptych: {error.name} is missing: pip install 'triptych[chips]'", file=sys.stderr)
        sys.exit(1)
    command()
