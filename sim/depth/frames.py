"""Frames of a folder of photos or of a video, one after the other, upright RGB.

Photos come in the order of their names, numbers by value (2.jpg before 10.jpg). Videos are decoded by PyAV, which
carries its own FFmpeg and reads frames without a temporary file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from triptych.golden.files import protect
from triptych.golden.photo import PhotoError, read_photo

VIDEOS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"}
RATE = 2.0
"""Frames a second at which a folder is shown."""


@dataclass(frozen=True)
class Frames:
    """A folder or a video. names: of its frames, where they have some; count: 0 where only reading to the end tells;
    rate: frames a second."""

    path: Path
    names: tuple[str, ...]
    count: int
    rate: float

    def __iter__(self) -> Iterator[tuple[str, Image.Image]]:
        """Each frame's name and RGB. Raises PhotoError in one line."""
        if self.names:
            return ((name, read_photo(self.path / name)) for name in self.names)
        return _video(self.path)


def is_clip(path: Path) -> bool:
    """Whether it is taken frame by frame."""
    return path.is_dir() or path.suffix.lower() in VIDEOS


def open_frames(path: Path) -> Frames:
    """A folder or a video by its path. Raises PhotoError in one line: nothing in it, or no video, or PyAV missing."""
    if path.is_dir():
        Image.init()
        names = [p.name for p in path.iterdir() if p.suffix.lower() in Image.EXTENSION and p.is_file()]
        if not names:
            raise PhotoError(f"{path} holds no photos (*.jpg, *.png, ...)")
        return Frames(path, tuple(sorted(names, key=_by_number)), len(names), RATE)
    if not path.exists():
        raise PhotoError(f"no video {path}: No such file or directory")
    with _opened(path) as container:
        stream = container.streams.video[0]
        return Frames(path, (), stream.frames, float(stream.average_rate or 25))


def _by_number(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (0, part.lower()) for part in parts] + [(0, name)]


def _opened(path: Path) -> Any:
    try:
        import av
    except ImportError:
        raise PhotoError(f"{path} is a video, which PyAV reads: pip install av, or name a folder of frames") from None
    protect(path)
    try:
        container = av.open(str(path))
    except (OSError, av.FFmpegError) as error:
        raise PhotoError(f"cannot read video {path}: {_reason(error)}") from None
    if not container.streams.video:
        container.close()
        raise PhotoError(f"{path} holds no pictures, only sound")
    return container


def _video(path: Path) -> Iterator[tuple[str, Image.Image]]:
    import av

    with _opened(path) as container:
        try:
            for number, frame in enumerate(container.decode(video=0)):
                turned = Image.fromarray(frame.to_ndarray(format="rgb24")).rotate(frame.rotation, expand=True)
                yield f"frame {number}", turned
        except av.FFmpegError as error:
            raise PhotoError(f"cannot read video {path} to its end: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]
