"""Cell libraries in the Liberty format: read and checked before anything that takes minutes is begun."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from triptych.sim.errors import TriptychError

_OUTSIDE = re.compile(rb'/\*.*?\*/|"(?:[^"\\]|\\.)*"', re.DOTALL)  # braces in comments and strings count for nothing


def read_liberty(path: Path) -> bytes:
    """The library's text, unpacked. Raises TriptychError when it is missing, damaged, cut off, or no library of cells
    with flip-flops."""
    try:
        content = path.read_bytes()
        text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError:
        raise TriptychError(f"no liberty file {path}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TriptychError(f"cannot read the liberty file {path}: {error}") from error
    bare = _OUTSIDE.sub(b"", text)
    if not re.search(rb"\blibrary\s*\(", bare) or not re.search(rb"\bcell\s*\(", bare):
        raise TriptychError(f"{path} is no cell library in the Liberty format")
    if bare.count(b"{") != bare.count(b"}"):
        raise TriptychError(f"{path} is cut off or damaged: its braces do not match")
    if not re.search(rb"\bff\s*\(", bare):
        raise TriptychError(f"{path} holds no flip-flops: name a library of standard cells")
    return text
