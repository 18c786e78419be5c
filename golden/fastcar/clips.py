"""Clips of eight pictures to learn from: real video of rooms, pans and zooms over photos.

`python -m triptych.golden.fastcar.clips --out .data/fastcar` puts two sequences whose licences allow it (TUM RGB-D,
CC BY 4.0; aims, MIT) and photos of scikit-image into one small folder, their test splits apart: no photo or frame is in
both. `Clips` samples from it; `scenes` has our own.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from triptych.golden.fastcar.tokenizer import SIDE
from triptych.golden.files import replacing, write
from triptych.golden.paths import shared_dir
from triptych.golden.photo import read_photo, shipped_photo

FRAMES = 8
VIDEO_SIZE = (171, SIDE)  # width, height
PHOTO_SIDE = 256
PHOTOS = ("astronaut", "coffee", "motorcycle_left", "rocket", "hubble_deep_field", "retina")
TEXTURES = ("brick", "grass", "gravel", "ihc")
TEST_PHOTOS = ("chelsea", "camera")
SEQUENCES = ("tum_fr1_rpy", "aims")
SQUARES_EVERY = {"train": 8, "test": 6}  # frames of a sequence between two whose squares are kept
GAP_SECONDS = 0.15  # a longer pause between frames starts a new segment


class Condition(IntEnum):
    """The kind of motion that a clip has; ANY says nothing and is the row without guidance."""

    ANY = 0
    HANDHELD = 1
    ROBOT = 2
    PAN_LEFT = 3
    PAN_RIGHT = 4
    PAN_DOWN = 5
    ZOOM_IN = 6
    ZOOM_OUT = 7
    STILL = 8
    DRIFT = 9


def _sequence(name: str) -> Path:
    shared = shared_dir()
    if shared is None or not (folder := shared / "data" / "indoor" / name).is_dir():
        raise ValueError(f"shared/data/indoor/{name} is not here: TRIPTYCH_SHARED names the research data")
    return folder


def video_frames(sequence: str, split: str) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """(n, 128, 171, 3) frames of a sequence of shared/data/indoor, and its (begin, end) runs without a gap.

    Raises ValueError when the data is not there.
    """
    folder = _sequence(sequence)
    meta = json.loads((folder / "meta.json").read_text())
    names = meta["split"][split]
    frames = [Image.open(folder / "rgb" / f"{name}.jpg").resize(VIDEO_SIZE, Image.Resampling.LANCZOS) for name in names]
    first = 0 if split == "train" else meta["count"] - len(names)
    times = meta.get("timestamps_s")
    breaks = [0, len(names)]
    if times:
        taken = times[first : first + len(names)]
        breaks[1:1] = [i for i in range(1, len(taken)) if taken[i] - taken[i - 1] > GAP_SECONDS]
    return np.stack([np.asarray(f) for f in frames]), list(pairwise(breaks))


def photo(name: str) -> NDArray[np.uint8]:
    """(256, 256, 3): the middle square of a photo that scikit-image's package holds."""
    picture = read_photo(next(p for p in sorted(shipped_photo("").glob(f"{name}.*")) if p.suffix != ".npz"))
    return np.asarray(middle_square(picture, PHOTO_SIDE))


def middle_square(picture: Image.Image, side: int) -> Image.Image:
    """The largest square in the middle, resized to `side`."""
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    return picture.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.LANCZOS)


def photo_squares(name: str) -> list[NDArray[np.uint8]]:
    """(256, 256, 3) each: both ends of the longer side, and two details of a large photo."""
    picture = read_photo(next(p for p in sorted(shipped_photo("").glob(f"{name}.*")) if p.suffix != ".npz"))
    scale = PHOTO_SIDE / min(picture.size)
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    span = max(small.size) - PHOTO_SIDE
    corners = [(at, 0) if small.width > small.height else (0, at) for at in ((0, span) if span else (0,))]
    out = [np.asarray(small.crop((x, y, x + PHOTO_SIDE, y + PHOTO_SIDE))) for x, y in corners]
    if min(picture.size) > 1.5 * PHOTO_SIDE or name in TEST_PHOTOS:
        for across, down in ((0.2, 0.3), (0.8, 0.7)):
            x, y = int((picture.width - PHOTO_SIDE) * across), int((picture.height - PHOTO_SIDE) * down)
            out.append(np.asarray(picture.crop((x, y, x + PHOTO_SIDE, y + PHOTO_SIDE))))
    return out


def frame_squares(sequence: str, split: str) -> list[NDArray[np.uint8]]:
    """(256, 256, 3) each: the left and the right of some frames."""
    folder = _sequence(sequence)
    names = json.loads((folder / "meta.json").read_text())["split"][split][:: SQUARES_EVERY[split]]
    out = []
    for name in names:
        frame = Image.open(folder / "rgb" / f"{name}.jpg").resize((341, PHOTO_SIDE), Image.Resampling.BICUBIC)
        out += [np.asarray(frame.crop((x, 0, x + PHOTO_SIDE, PHOTO_SIDE))) for x in (0, 341 - PHOTO_SIDE)]
    return out


def prepare(folder: Path) -> None:
    """Writes segments.json and video, photos and squares of both splits. Raises ValueError without the data."""
    segments: dict[str, list[tuple[int, int, int]]] = {}
    for split, photos in (("train", PHOTOS), ("test", TEST_PHOTOS)):
        videos, base = [], 0
        segments[split] = []
        for sequence, condition in zip(SEQUENCES, (Condition.HANDHELD, Condition.ROBOT), strict=True):
            frames, runs = video_frames(sequence, split)
            segments[split] += [(base + a, base + b, int(condition)) for a, b in runs if b - a >= FRAMES]
            videos.append(frames)
            base += len(frames)
        stills = [s for name in (*photos, *(TEXTURES if split == "train" else ())) for s in photo_squares(name)]
        frames_too = [s for sequence in SEQUENCES for s in frame_squares(sequence, split)]
        with replacing(folder / f"squares_{split}.npz") as part, part.open("wb") as file:
            np.savez_compressed(file, photos=np.stack(stills), frames=np.stack(frames_too))
        for name, pictures in (("video", np.concatenate(videos)), ("photos", np.stack([photo(n) for n in photos]))):
            with replacing(folder / f"{name}_{split}.npy") as part, part.open("wb") as file:
                np.save(file, pictures)
    write(folder / "segments.json", json.dumps(segments))


@dataclass
class Clips:
    """Samples clips on `device` from a split of a folder that `prepare` made; every random draw comes from one seed."""

    video: Tensor  # (n, 3, 128, 171) float16 in 0..1
    photos: Tensor  # (p, 3, 256, 256)
    starts: Tensor  # (m, 3): begin, end, condition of every run
    generator: torch.Generator

    @classmethod
    def load(cls, folder: Path, device: str, seed: int, split: str = "train") -> Clips:
        """Raises ValueError when the folder was not prepared."""
        if not (folder / "segments.json").is_file():
            raise ValueError(
                f"{folder} holds no clips: run `python -m triptych.golden.fastcar.clips --out {folder}` first"
            )

        def pictures(name: str) -> Tensor:
            stored = torch.from_numpy(np.load(folder / name)).to(device)
            return stored.permute(0, 3, 1, 2).contiguous().half() / 255

        segments = torch.tensor(json.loads((folder / "segments.json").read_text())[split], device=device)
        generator = torch.Generator(device).manual_seed(seed)
        return cls(pictures(f"video_{split}.npy"), pictures(f"photos_{split}.npy"), segments, generator)

    def sample(self, count: int) -> tuple[Tensor, Tensor]:
        """(count, 8, 3, 128, 128) pictures in 0..1 and (count,) conditions, int64; two thirds are real video."""
        real = (2 * count + 2) // 3
        parts = [self._video(real)] + ([self._photos(count - real)] if count > real else [])
        clips, kinds = (torch.cat(part) for part in zip(*parts, strict=True))
        gain, offset = self._between(count, 0.85, 1.15), self._between(count, -0.06, 0.06)
        clips = clips * gain.view(-1, 1, 1, 1, 1) + offset.view(-1, 1, 1, 1, 1)
        return clips.clamp(0, 1), kinds

    def _between(self, count: int, low: float, high: float) -> Tensor:
        device = self.generator.device
        return low + (high - low) * torch.rand(count, generator=self.generator, device=device)

    def _video(self, count: int) -> tuple[Tensor, Tensor]:
        lengths = (self.starts[:, 1] - self.starts[:, 0]).float()
        run = torch.multinomial(lengths, count, replacement=True, generator=self.generator)
        begin, end, kind = self.starts[run].unbind(1)
        draw = self._between(count, 0, 1)
        stride = (draw > 0.06).long() + (draw > 0.7).long()  # standing still, every frame, every other frame
        stride = torch.minimum(stride, (end - begin - 1) // (FRAMES - 1))
        room = (end - begin - stride * (FRAMES - 1)).float()
        first = begin + (self._between(count, 0, 1) * room).long().clamp(max=room.long() - 1)
        steps = torch.arange(FRAMES, device=first.device) * stride[:, None]
        backwards = self._between(count, 0, 1) < 0.5
        index = first[:, None] + torch.where(backwards[:, None], steps.flip(1), steps)
        size = SIDE * self._between(count, 0.8, 1.0)
        x = size / 2 + self._between(count, 0, 1) * (VIDEO_SIZE[0] - size)
        y = size / 2 + self._between(count, 0, 1) * (VIDEO_SIZE[1] - size)
        centre = torch.stack([x, y], 1)[:, None].expand(-1, FRAMES, -1)
        return self._cut(self.video[index.flatten()], centre, size[:, None].expand(-1, FRAMES)), kind

    def _photos(self, count: int) -> tuple[Tensor, Tensor]:
        device = self.generator.device
        which = torch.randint(len(self.photos), (count,), generator=self.generator, device=device)
        low, high = int(Condition.PAN_LEFT), int(Condition.ZOOM_OUT)
        kind = torch.randint(low, high + 1, (count,), generator=self.generator, device=device)
        time = torch.arange(FRAMES, device=device).float()
        speed = self._between(count, 0.5, 10.0)
        direction = torch.zeros(high + 1, 2, device=device)
        direction[Condition.PAN_LEFT, 0], direction[Condition.PAN_RIGHT, 0] = -1, 1
        direction[Condition.PAN_DOWN, 1] = 1
        shift = direction[kind][:, None] * (speed[:, None] * time)[..., None]
        grow = (kind == Condition.ZOOM_OUT).float() - (kind == Condition.ZOOM_IN).float()
        size = self._between(count, 110, 170)[:, None] * (1 + grow * speed * 0.004)[:, None] ** (time - 3.5)
        biggest = size.amax(1, keepdim=True)
        low_corner = biggest / 2 - shift.amin(1)
        room = (PHOTO_SIDE - biggest - (shift.amax(1) - shift.amin(1))).clamp(min=0)
        place = torch.rand(count, 2, generator=self.generator, device=device) * room
        centre = (low_corner + place)[:, None] + shift
        return self._cut(self.photos[which.repeat_interleave(FRAMES)], centre, size), kind

    def _cut(self, pictures: Tensor, centre: Tensor, size: Tensor) -> Tensor:
        """Squares of (n, f) `size` pixels around (n, f, 2) `centre` (x, y) of (n * f) pictures, to 128 x 128."""
        height, width = pictures.shape[2:]
        count = len(centre)
        theta = torch.zeros(count * FRAMES, 2, 3, device=pictures.device)
        theta[:, 0, 0], theta[:, 1, 1] = (size / width).flatten(), (size / height).flatten()
        theta[:, 0, 2] = (centre[..., 0] * 2 / width - 1).flatten()
        theta[:, 1, 2] = (centre[..., 1] * 2 / height - 1).flatten()
        grid = F.affine_grid(theta, [count * FRAMES, 3, SIDE, SIDE], align_corners=False)
        cut = F.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)
        return cut.view(count, FRAMES, 3, SIDE, SIDE)


def main(argv: list[str] | None = None) -> int:
    """Command line: `--out FOLDER`."""
    parser = argparse.ArgumentParser(prog="python -m triptych.golden.fastcar.clips", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    try:
        prepare(parser.parse_args(argv).out)
    except ValueError as error:
        print(f"clips: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
