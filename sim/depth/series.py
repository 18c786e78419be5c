"""`triptych depth FOLDER|VIDEO`: one compiled network, every frame on the golden machine, chosen ones on the RTL too.

A frame's result is a depth map that carries its own verdict, so that an interrupted series goes on where it stopped:
what is there and of these very pixels, network and options is not computed again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.golden import provenance
from triptych.golden.files import check_writable, write
from triptych.golden.photo import Photo, fit_image
from triptych.golden.quartdepth.network.quantize import image_codes
from triptych.sim.depth.frames import Frames, open_frames
from triptych.sim.depth.run import Options, Prepared, Progress, run_frame
from triptych.sim.view.outputs import IDENTITY, identity_of
from triptych.sim.view.pictures import colour, depth_png, save_image, upsample

VERDICT = "triptych-verdict"
"""Key of the PNG text that holds a frame's outcome."""
SERIES = "series.txt"
"""In the folder of frames: which series they are of."""
CLIPS = (".gif", ".mp4")
GAP = 6  # white pixels between photo and depth


@dataclass(frozen=True)
class Verdict:
    """A frame's outcome. cycles: on the RTL, None where the golden machine ran alone."""

    frame: str
    bit_exact: bool
    compared: list[str]
    mismatches: int
    difference: str | None
    cycles: int | None


@dataclass(frozen=True)
class SeriesResult:
    """What became of a folder or video. output: the clip, photo and depth side by side; frames: one depth map each."""

    source: str
    frames: int
    on_rtl: int
    kept: int
    bit_exact: bool
    mismatches: int
    difference: str | None
    cycles: int | None
    folder: str
    output: str


def run_series(path: Path, prepared: Prepared, options: Options, every: int, progress: Progress) -> SeriesResult:
    """All frames, of which the first and then every so many-th run on the RTL (none if 0 or `golden_only`).

    Raises PhotoError for what cannot be read, FileError for what cannot be written, TriptychError for a trap.
    """
    frames = open_frames(path)
    folder = _claimed(path, prepared, options)
    verdicts, kept = [], 0
    for number, (name, image) in enumerate(frames):
        fitted = fit_image(image, options.size, options.fit)
        on_rtl = bool(every) and not options.golden_only and number % every == 0
        file = folder / f"{number:05}.depth.png"
        terms = repr((options.timing if on_rtl else None, fitted.size, fitted.box))
        codes = image_codes(prepared.compiled.network, fitted.rgb)
        identity = provenance.digest(prepared.key.encode(), codes.tobytes(), terms.encode())
        progress(f"{path.name}: {name}{' on RTL' if on_rtl else ''}", number, frames.count)
        if identity_of(file) == identity:
            verdicts.append(_verdict(file))
            kept += 1
            continue
        asked = replace(options, golden_only=not on_rtl)
        found = run_frame(name, codes, prepared, asked, lambda *_: None)
        cycles = None if found.rtl is None else found.rtl.cycles
        verdict = Verdict(name, not found.mismatches, found.compared, found.mismatches, found.difference, cycles)
        save_image(
            depth_png(found.depth, prepared.metres), file, {IDENTITY: identity, VERDICT: json.dumps(asdict(verdict))}
        )
        verdicts.append(verdict)
    progress(f"{path.name}: clip", 0, 0)
    clip = write_clip(frames, folder, len(verdicts), options)
    wrong = [v for v in verdicts if not v.bit_exact]
    measured = [v.cycles for v in verdicts if v.cycles is not None]
    return SeriesResult(
        path.name, len(verdicts), len(measured), kept, not wrong, sum(v.mismatches for v in verdicts),
        f"{wrong[0].frame}: {wrong[0].difference}" if wrong else None,
        round(sum(measured) / len(measured)) if measured else None, str(folder), str(clip),
    )  # fmt: skip


def _claimed(path: Path, prepared: Prepared, options: Options) -> Path:
    """Folder of this series' frames: the one that it began earlier, or a new one; never another's."""
    terms = repr((str(path.resolve()), options.timing, options.size, options.fit))
    identity = provenance.digest(prepared.key.encode(), terms.encode())
    check_writable(options.out)
    for number in count(1):
        more = "" if number == 1 else f"-{number}"
        folder = options.out / f"{path.stem}.{options.widths.value}-{options.config.name}{more}.frames"
        told = folder / SERIES
        if told.is_file() and told.read_text() == identity:
            return folder
        if not folder.exists() and not any(folder.with_suffix(s).exists() for s in CLIPS):
            check_writable(folder)
            write(told, identity)
            return folder
    raise AssertionError("unreachable")


def _verdict(file: Path) -> Verdict:
    with Image.open(file) as image:
        return Verdict(**json.loads(str(image.info[VERDICT])))


def _depth(folder: Path, number: int) -> NDArray[np.float64]:
    with Image.open(folder / f"{number:05}.depth.png") as image:
        return np.asarray(image, np.float64)


def panels(fitted: Photo, depth: NDArray[np.float64], low: float, high: float) -> Image.Image:
    """Photo and depth, `low` the brightest and `high` the darkest, as large as the network's input, filling white."""
    left, top, right, bottom = fitted.inside
    rows, columns = fitted.rgb.shape[:2]
    canvas = np.full((rows, 2 * columns + GAP, 3), 255, np.uint8)
    shade = colour(upsample(depth, (rows, columns)), low, high)
    for start, panel in ((0, fitted.rgb), (columns + GAP, shade)):
        canvas[top:bottom, start + left : start + right] = panel[top:bottom, left:right]
    return Image.fromarray(canvas)


def write_clip(frames: Frames, folder: Path, total: int, options: Options) -> Path:
    """Photo and depth side by side: an MP4 of a video, on one scale, a GIF of a folder, whose photos show places of
    their own and have a scale each. Returns its path."""
    spans = [np.percentile(_depth(folder, n), (2, 98)) for n in range(total)]
    if not frames.names:
        spans = [np.median(spans, axis=0)] * total

    def pictures() -> Iterator[Image.Image]:
        for number, ((_, image), (low, high)) in enumerate(zip(frames, spans, strict=True)):
            yield panels(fit_image(image, options.size, options.fit), _depth(folder, number), float(low), float(high))

    to = folder.with_suffix(CLIPS[0] if frames.names else CLIPS[1])
    write(to, _gif(pictures(), frames.rate) if frames.names else _mp4(pictures(), frames.rate))
    return to


def _gif(pictures: Iterator[Image.Image], rate: float) -> bytes:
    first = next(pictures)
    held = io.BytesIO()
    first.save(held, "GIF", save_all=True, append_images=pictures, duration=round(1000 / rate), loop=0)
    return held.getvalue()


def _mp4(pictures: Iterator[Image.Image], rate: float) -> bytes:
    import av  # an extra, which the frames came through

    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=round(rate))
                stream.width, stream.height = (n // 2 * 2 for n in picture.size)
                stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.asarray(picture.crop((0, 0, stream.width, stream.height))))
            container.mux(stream.encode(frame))
        assert stream is not None, "a video has a frame"
        container.mux(stream.encode())
    return held.getvalue()
