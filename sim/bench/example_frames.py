"""Frames for `triptych depth` to run on: `python -m triptych.sim.bench.example_frames OUT`.

OUT.mp4 becomes a clip of one sequence, any other OUT a folder of photos, evenly from the sequences whose licences allow
it. Frames of test splits alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from triptych.golden.files import check_writable
from triptych.golden.quartdepth.data.sequences import OTHER_PLACES, TRAINED_PLACES, DataError, Sequence, read_sequence
from triptych.sim.depth.models import shared_folder
from triptych.sim.errors import TriptychError

RATE, BITS = 4, 2_000_000  # frames and bits a second


def sequences(folder: Path, names: tuple[str, ...]) -> list[Sequence]:
    """The test splits there are. Raises DataError if there is none."""
    found, missing = [], []
    for name in names:
        try:
            found.append(read_sequence(folder / name, "test"))
        except DataError as error:
            missing.append(str(error))
    if not found:
        raise DataError(missing[0])
    return found


def photos(found: list[Sequence], count: int, out: Path) -> int:
    """Writes `count` frames, evenly from all there are, as PNG; how many."""
    every = [(s.name, i, rgb) for s in found for i, rgb in zip(s.ids, s.rgb, strict=True)]
    picked = np.unique(np.linspace(0, len(every) - 1, count).round().astype(int))
    out.mkdir(parents=True, exist_ok=True)
    for number, k in enumerate(picked):
        name, frame, rgb = every[k]
        Image.fromarray(rgb).save(out / f"{number:02d}_{name}_{frame}.png")
    return len(picked)


def clip(found: Sequence, count: int, out: Path) -> int:
    """Writes the first `count` frames as a video; how many. Raises TriptychError without PyAV."""
    try:
        import av
    except ImportError:
        raise TriptychError("a clip needs PyAV: pip install 'triptych[video]'") from None
    check_writable(out.parent)
    height, width = found.rgb.shape[1:3]
    with av.open(str(out), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", BITS
        frames = [av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24") for rgb in found.rgb[:count]]
        for frame in (*frames, None):  # None: what the encoder still holds
            for packet in stream.encode(frame):
                container.mux(packet)
    return len(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="OUT.mp4 or a folder")
    parser.add_argument("--count", type=int, default=20, help="of frames (default: 20)")
    parser.add_argument("--sequence", default=TRAINED_PLACES[0], help="of the clip")
    args = parser.parse_args()
    try:
        folder = shared_folder() / "data" / "indoor"
        if args.out.suffix == ".mp4":
            made = clip(read_sequence(folder / args.sequence, "test"), args.count, args.out)
        else:
            made = photos(sequences(folder, (*TRAINED_PLACES, *OTHER_PLACES)), args.count, args.out)
    except (OSError, ValueError, TriptychError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{args.out}: {made} frames")


if __name__ == "__main__":
    main()
