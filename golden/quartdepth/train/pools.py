"""What networks train on: frames of real places whose licences allow it, and rendered ones."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.golden.files import replacing
from triptych.golden.quartdepth.data.render.dataset import Place, draw, usable
from triptych.golden.quartdepth.data.render.materials import Look, Pictures, pictures
from triptych.golden.quartdepth.data.render.near import defocused
from triptych.golden.quartdepth.data.render.solids import Quality, batch, render
from triptych.golden.quartdepth.data.sequences import OTHER_PLACES, TRAINED_PLACES, DataError, read_sequence
from triptych.golden.quartdepth.train.losses import FARTHEST

CANONICAL_FOCAL = 225 / 256  # focal length / width of the training cameras, between the two real ones
STREET_UNIT = 8.0
"""A street's depth counts in units of 8 m: a network of one output keeps to the same range indoors and out."""


@dataclass(frozen=True)
class Rendered:
    """count frames of a place, (height, width) each."""

    place: Place
    count: int
    size: tuple[int, int]


RENDERED = (
    Rendered(Place.ROOM, 6000, (196, 252)),
    Rendered(Place.STREET, 1800, (196, 252)),
    Rendered(Place.STREET, 2000, (140, 462)),
)


@dataclass
class Pool:
    """Images of one source on the device: rgb uint8 [N,3,H,W], depth float16 [N,h,w], 0 unknown, in metres as a camera
    of CANONICAL_FOCAL would see them. exact, metric: as `losses.depth_loss` takes them. share: of a batch's frames of
    this kind, beside others."""

    rgb: Tensor
    depth: Tensor
    exact: float = 0.0
    metric: float = 1.0
    share: float = 1.0
    name: str = ""

    def to(self, device: torch.device) -> Pool:
        return replace(self, rgb=self.rgb.to(device), depth=self.depth.to(device))

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.rgb), (count,), generator=generator, device=self.rgb.device)
        return self.rgb[index], self.depth[index]


@dataclass(frozen=True)
class Sources:
    """Where frames come from. data: the folder of the sequences. every: so many-th frames of TRAINED_PLACES. kept: a
    file of rendered frames (`frames.py`), which are rendered anew if there is none."""

    data: Path
    seed: int = 20
    every: int = 1
    also: tuple[str, ...] = ()
    rendered: tuple[Rendered, ...] = field(default=RENDERED)
    quality: Quality = field(default_factory=Quality)
    workers: int = 0
    photos: Path | None = None
    kept: Path | None = None


def real_pools(sources: Sources) -> list[Pool]:
    """The train splits of the trained places, and the few frames of others, on the CPU."""
    groups: list[tuple[tuple[str, ...], int, float]] = [
        ((*TRAINED_PLACES, *sources.also), sources.every, 0.7), (OTHER_PLACES, 1, 0.3),
    ]  # fmt: skip
    out = []
    for places, every, share in groups:
        parts = [read_sequence(sources.data / name, "train", every) for name in places]
        rgb = torch.from_numpy(np.concatenate([p.rgb for p in parts])).permute(0, 3, 1, 2).contiguous()
        out.append(
            Pool(rgb, torch.from_numpy(np.concatenate([p.depth for p in parts])).half(), 0.0, 1.0, share, "real")
        )
    return out


def keep(file: Path, pools: Sequence[Pool], held_out: Sequence[Pool]) -> None:
    """Writes rendered frames, those of training and those of validation."""
    parts = {"pools": pools, "held_out": held_out}
    with replacing(file) as held:
        torch.save({name: [vars(p.to(torch.device("cpu"))) for p in part] for name, part in parts.items()}, held)


def kept(file: Path, part: str, device: torch.device) -> list[Pool]:
    """`pools` or `held_out` of such a file. Raises ValueError for a file that is none."""
    try:
        return [Pool(**fields).to(device) for fields in torch.load(file, map_location="cpu", mmap=True)[part]]
    except (OSError, RuntimeError, KeyError, TypeError, UnpicklingError) as error:
        raise ValueError(f"{file} holds no rendered frames: {error}") from error


def frames_of(pools: Sequence[Pool]) -> NDArray[np.uint8]:
    """All their frames [N,H,W,3], whose crops hang on rendered walls."""
    return np.concatenate([p.rgb.permute(0, 2, 3, 1).numpy() for p in pools])


def rendered_pools(sources: Sources, art: Pictures, device: torch.device, chunk: int = 16) -> list[Pool]:
    """The rendered frames. Scenes are drawn on all cores before the device is asked for anything."""
    scenes: list[list[dict[str, NDArray[np.generic]]]] = []
    first = 0
    for kind in sources.rendered:
        part = min(chunk, kind.count)
        numbers = [list(range(i, i + part)) for i in range(first, first + kind.count, part)]
        first = numbers[-1][-1] + 1
        work = partial(draw, kind.place, seed=sources.seed, looks=art.looks)
        if sources.workers:
            with ProcessPoolExecutor(sources.workers, get_context("fork")) as executor:
                scenes.append(list(chain.from_iterable(executor.map(work, numbers, chunksize=4))))
        else:
            scenes.append(list(chain.from_iterable(map(work, numbers))))
    out, levels = [], art.levels.to(device)
    generator = torch.Generator(device).manual_seed(sources.seed)
    for kind, drawn in zip(sources.rendered, scenes, strict=True):
        rgb, depth = [], []
        for i in range(0, len(drawn), chunk):
            scene = batch(drawn[i : i + chunk], kind.place.solids).to(device)
            picture = render(scene, levels, kind.size, generator, sources.quality)
            keep = usable(picture.depth, kind.place)
            metres = picture.depth * (CANONICAL_FOCAL / scene.focal)[:, None, None]
            if kind.place is Place.STREET:
                metres = metres / STREET_UNIT
            seen = picture.rgb
            if kind.place is Place.NEAR:
                seen = defocused(seen, picture.depth, generator)
            rgb.append(seen[keep])
            depth.append(metres.clamp(max=FARTHEST - 0.5)[keep].half())
        metric = 1.0 if kind.place is Place.ROOM else 0.3
        out.append(Pool(torch.cat(rgb), torch.cat(depth), 1.0, metric, kind.count, kind.place.value))
    return out


def all_pools(sources: Sources, device: torch.device) -> tuple[list[Pool], list[Pool]]:
    """(real, rendered) on the device. Raises DataError where real frames have one depth everywhere, as stand-ins have
    that were copied for their pictures alone: a network learns from them that such a place is flat."""
    real = real_pools(sources)
    flat = sum(int((p.depth.flatten(1).amax(1) == p.depth.flatten(1).amin(1)).sum()) for p in real)
    if flat:
        raise DataError(
            f"{flat} of {sum(len(p.rgb) for p in real)} real frames in {sources.data} have one depth everywhere:"
            " copy their depth, too, or name the folder that holds it with --data"
        )
    return [p.to(device) for p in real], made_pools(sources, real, device)


def made_pools(sources: Sources, real: Sequence[Pool], device: torch.device) -> list[Pool]:
    """The rendered frames, surfaces of which carry crops of the real ones; from a file if there is one."""
    if sources.kept is not None:
        return kept(sources.kept, "pools", device)
    return rendered_pools(sources, pictures(sources.seed, frames_of(real)[::3], sources.photos), device)


def photo_pool(sources: Sources, device: torch.device) -> Pool:
    """The photos on rendered surfaces, as pictures of which no depth is known: a teacher says what it sees in them."""
    art = pictures(sources.seed, None, sources.photos)
    rgb = art.levels[0][list(art.looks[Look.PHOTO])].permute(0, 3, 1, 2)
    rgb = torch.nn.functional.interpolate(rgb.float(), size=(192, 256), mode="bilinear").round().to(torch.uint8)
    return Pool(
        rgb.to(device), torch.zeros((len(rgb), 192, 256), dtype=torch.float16, device=device), share=0.1, name="photos"
    )
