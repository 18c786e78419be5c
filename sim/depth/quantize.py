"""`triptych quantize`: a float network goes in, a file with the integer network comes out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from triptych.golden.files import FileError, check_writable
from triptych.golden.photo import Fit, fit_photo
from triptych.golden.provenance import code_digest, digest, sources
from triptych.golden.quartdepth.network.errors import tensor_errors
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq import recipe as ptq_recipe
from triptych.golden.quartdepth.ptq.model_file import MAGIC, ModelFile, save
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, Result, run
from triptych.golden.quartdepth.ptq.work import Work
from triptych.sim.depth.calibration import rooms
from triptych.sim.depth.models import MODELS, FloatNetwork, Frames, calibration_frames, float_network, has_sequences


@dataclass(frozen=True)
class QuantizeOptions:
    """What `triptych quantize` was asked for. size: (height, width) of the input; None for the model's own."""

    model: str
    widths: Widths
    method: Method
    out: Path
    weights: Path | None = None
    backbone: Path | None = None
    size: tuple[int, int] | None = None
    calibration: tuple[Path, ...] = ()
    seed: int = Recipe.seed
    device: str = "cpu"


def quantize_model(options: QuantizeOptions, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Quantises, writes the file and says what came out. A run that was cut off goes on where it stopped.

    Raises TriptychError, CheckpointError, BackboneError, PhotoError or QuantizeError, then without a file.
    """
    repeatable(options.device)
    net = float_network(options.model, options.weights, options.backbone, options.size, options.device)
    if options.out.is_dir():
        raise FileError(f"cannot write {options.out}: it is a folder: name a file in it")
    if options.out.exists() and not options.out.read_bytes().startswith(MAGIC):
        raise FileError(f"cannot write {options.out}: it is there and is no model file: name another --out")
    check_writable(options.out.parent)
    if options.calibration or not has_sequences():
        # cropped: ranges are those of what photos show, not of filling
        photos = [fit_photo(p, net.size, Fit.CROP).rgb for p in options.calibration] or list(rooms(net.size))
        source = "named photos" if options.calibration else "rendered rooms"
        frames = Frames(np.stack(photos), digest(*(photo.tobytes() for photo in photos)))
    else:
        frames, source = calibration_frames(options.model), "train frames"
        source += " and rendered ones" if MODELS[options.model].rendered else ""
    images = net.pictures(frames.rgb)
    recipe = Recipe(options.widths, options.method, options.seed, teaching=MODELS[options.model].teaching)
    work = Work(options.out.with_name(f".{options.out.name}.work"))
    result = run(net.graph, images, recipe, progress, work, net.device)
    about = describe(options.model, net, frames, recipe, result) | {"calibration": source}
    about["tensor_errors"] = tensor_errors(net.graph, result.network, images[0])
    size = save(ModelFile(result.network, net.metres, about), options.out)
    if work.file is not None:
        work.file.unlink(missing_ok=True)
    told = {name: value for name, value in about.items() if name not in ("key", "weights", "tensor_errors")}
    return {"file": str(options.out), "bytes": size, "smaller": round(net.bytes / size, 2)} | told


def repeatable(device: str) -> None:
    """Makes this process sum in one order: on a CPU by one thread, whatever it has, on a GPU by deterministic
    algorithms in whole FP32. Two runs on machines of one kind then end with the same bytes."""
    torch.set_num_threads(1)
    if device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it, before its first product
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def describe(model: str, net: FloatNetwork, frames: Frames, recipe: Recipe, result: Result) -> dict[str, Any]:
    """What the file says of its making."""
    recipe_fields = asdict(recipe) | {"widths": recipe.widths.value, "method": recipe.method.value}
    recipe_fields["objective"] = recipe.objective.value
    tables = sum(p.qparams.table is not None for p in result.network.maps.values())
    return {
        "model": model,
        "recipe": recipe_fields,
        "calibration_images": len(frames.rgb),
        "pictures_with_tables": tables,
        "macs": result.network.macs,
        "weights": net.weights,
        "key": recipe_key(net, frames, recipe),
    }


def recipe_key(net: FloatNetwork, frames: Frames, recipe: Recipe) -> str:
    """What a quantised network depends on: the float network, the calibration frames, the recipe, the code."""
    code = code_digest(sources(ptq_recipe))
    return digest(net_key(net).encode(), frames.name.encode(), repr(recipe).encode(), code.encode())


def net_key(net: FloatNetwork) -> str:
    """What a float network's output depends on."""
    state = net.module.state_dict()
    return digest(
        *(name.encode() + value.numpy().tobytes() for name, value in state.items()), repr(net.size).encode(),
        code_digest(sources(*net.kind.sources)).encode(),
    )  # fmt: skip
