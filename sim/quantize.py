"""`triptych quantize`: a float network goes in, a file with the integer network comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from golden.quartdepth.meter.model import METER
from golden.quartdepth.method.model_file import ModelFile, save
from golden.quartdepth.method.recipe import Method, Recipe, Result, Widths, Work, run
from sim.errors import TriptychError
from sim.ledger import write_text
from sim.models import calibration_images, float_graph, load_model


@dataclass(frozen=True)
class QuantizeOptions:
    """What `triptych quantize` was asked for. size: (height, width) of the input, multiples of 64."""

    model: str
    widths: Widths
    method: Method
    out: Path
    weights: Path | None = None
    size: tuple[int, int] | None = None
    calibration: tuple[Path, ...] = ()
    seed: int = Recipe.seed


SIZES = {"meter": (192, 256), "meter-kitti": (192, 640)}


def quantize_model(options: QuantizeOptions, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Quantises, writes the file and says what came out. A run that was cut off goes on where it stopped.

    Raises TriptychError, WeightsError, PhotoError, QuantizeError in one line; then no file is written.
    """
    size = options.size or SIZES[options.model]
    if any(n % 64 or n <= 0 for n in size):
        raise TriptychError(f"the input's size must be multiples of 64, not {size[0]}x{size[1]}")
    probe = options.out.with_name(f".{options.out.name}.writable")
    write_text(probe, "")
    probe.unlink()
    model = load_model(options.model, options.weights)
    images = calibration_images(options.model, options.calibration, size)
    if tuple(images[0].shape[2:]) != size:
        raise TriptychError(f"the calibration frames are not {size[0]}x{size[1]}: name photos with --calibrate")
    recipe = Recipe(options.widths, options.method, options.seed)
    work = Work(options.out.with_name(f".{options.out.name}.work"))
    result = run(float_graph(model, images[0]), images, recipe, progress, work)
    about = describe(options.model, recipe, len(images), result)
    size_bytes = save(ModelFile(result.network, model.metres_per_unit, about), options.out)
    if work.file is not None:
        work.file.unlink(missing_ok=True)
    return {"file": str(options.out), "bytes": size_bytes, "smaller": round(float_bytes(model) / size_bytes, 2)} | about


def describe(model: str, recipe: Recipe, images: int, result: Result) -> dict[str, Any]:
    """What the file says of its making."""
    recipe_fields = asdict(recipe) | {"widths": recipe.widths.value, "method": recipe.method.value}
    tables = sum(p.code.table is not None for p in result.network.pictures.values())
    return {
        "model": model,
        "recipe": recipe_fields,
        "calibration_images": images,
        "pictures_with_tables": tables,
        "macs": result.network.macs,
    }


def float_bytes(model: METER) -> int:
    """Size of the FP32 parameters."""
    return 4 * sum(p.numel() for p in model.parameters())
