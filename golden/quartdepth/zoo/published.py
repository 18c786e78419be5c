"""Published depth networks by name, as their authors' weights fit them. The weights are the user's download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from triptych.golden.quartdepth.zoo.checkpoint import CheckpointError, read_state
from triptych.golden.quartdepth.zoo.depth_anything import Size, depth_anything, load_depth_anything
from triptych.golden.quartdepth.zoo.midas import MidasSmall, load_midas_small
from triptych.golden.quartdepth.zoo.monodepth2 import Monodepth2, load_monodepth2


@dataclass(frozen=True)
class Published:
    """build: with random weights; load: with those of a file (of a folder, for two). Both take photos in 0..1 and
    normalise them. size: (height, width) of its photos, multiples of `step`. files: what the authors call them."""

    title: str
    build: Callable[[], nn.Module]
    load: Callable[[Path], nn.Module]
    size: tuple[int, int]
    step: int
    files: str


def _depth_anything(size: Size, file: Path) -> nn.Module:
    return load_depth_anything(size, read_state(file))


def _midas(file: Path) -> nn.Module:
    return load_midas_small(read_state(file))


def _monodepth2(folder: Path) -> nn.Module:
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder: name the one that holds encoder.pth and depth.pth")
    return load_monodepth2(read_state(folder / "encoder.pth"), read_state(folder / "depth.pth"))


PUBLISHED = {
    **{
        f"depth-anything-v2-{size.value}": Published(
            f"Depth Anything V2 {size.value}, relative depth", partial(depth_anything, size),
            partial(_depth_anything, size), (518, 518), 14,
            f"depth_anything_v2_vit{size.value[0]}.pth, or the model.safetensors of transformers",
        )
        for size in Size
    },
    "midas-small": Published(
        "MiDaS 2.1 small", lambda: MidasSmall().eval(), _midas, (256, 256), 32, "midas_v21_small_256.pt"
    ),
    "monodepth2": Published(
        "Monodepth2", lambda: Monodepth2().eval(), _monodepth2, (192, 640), 32,
        "the folder mono_640x192, with encoder.pth and depth.pth",
    ),
}  # fmt: skip
