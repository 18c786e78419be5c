"""The command as a user types it, in the process of the tests: PyTorch is loaded once."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
from pathlib import Path

from triptych.sim.cli.main import main


def triptych(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`triptych ARGUMENTS` in a folder: status, output and errors."""
    words = [str(a) for a in arguments]
    out, errors, status = io.StringIO(), io.StringIO(), 0
    before, handlers = sys.argv, {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    sys.argv = ["triptych", *words]
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess(words, status, out.getvalue(), errors.getvalue())
