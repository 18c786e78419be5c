"""A compiled file on RTL, golden machine and integers: one input in, every code of its outputs compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.files import replacing
from triptych.golden.photo import Fit, fit_photo
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Trap
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.compiler.run import outputs_on_machine
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import image_codes, image_shape
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq import model_file
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import MemoryTiming, RtlRun, run_program
from triptych.sim.rtl.waves import Window, layer_window, write_waves
from triptych.sim.view.chip_record import chip_run
from triptych.sim.view.pictures import save_image, spread
from triptych.sim.view.runfile import ENDING
from triptych.sim.view.runfile import save as save_run
from triptych.sim.view.runs import Picture

Progress = Callable[[str, int, int], None]


class On(StrEnum):
    """What a network runs on; each with those after it."""

    RTL = "rtl"
    MACHINE = "machine"
    INTEGERS = "integers"


@dataclass(frozen=True)
class Ran:
    """bit_exact: RTL == machine == integers (of those that ran). mismatches: codes that differ. cycles: the RTL's.
    output: what was written; further: the module's other outputs, by key or number."""

    input: str
    on: str
    bit_exact: bool
    mismatches: int
    cycles: int | None
    macs: int
    mxu_utilization: float | None
    output: str
    further: dict[str, str]
    values: NDArray[np.float64]
    run: str | None = None  # the file of `triptych report`
    waves: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {name: value for name, value in vars(self).items() if name != "values"}


def read_input(network: Network, file: Path, fit: Fit) -> NDArray[np.int64]:
    """Codes of a photo, or of an .npy: uint8 [h,w,3], or float [h,w,3] or [3,h,w] in 0..1. Raises TriptychError."""
    height, width, channels = image_shape(network)
    if file.suffix != ".npy":
        if channels != 3:
            raise TriptychError(f"the network takes {channels} channels: give an .npy of {height}x{width}x{channels}")
        return image_codes(network, fit_photo(file, (height, width), fit).rgb)
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise TriptychError(f"{file} is no .npy file of numbers: {str(error).splitlines()[0]}") from None
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.shape == (channels, height, width) and values.shape != (height, width, channels):
        values = values.transpose(1, 2, 0)
    if values.shape != (height, width, channels):
        shape = "x".join(map(str, values.shape))
        raise TriptychError(f"{file} holds {shape}, the network takes {height}x{width}x{channels}")
    if values.dtype == np.uint8:
        return image_codes(network, values)
    if not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
        raise TriptychError(f"{file} holds {values.dtype}: give uint8, or finite floats in 0..1")
    if values.min() < 0.0 or values.max() > 1.0:
        raise TriptychError(f"{file} holds {values.min():.4g}..{values.max():.4g}: give values in 0..1, bytes / 255")
    return image_codes(network, np.round(values * 255).astype(np.uint8))


@dataclass(frozen=True)
class Loaded:
    """A file's network, and its program for a chip. name: of the file. widths: None where the file does not say.
    errors: of its tensors against floating point, where known."""

    network: Network
    compiled: Compiled
    name: str
    widths: Widths | None
    errors: dict[str, float]


@dataclass(frozen=True)
class Trace:
    """What waves are asked for: a layer by name, or cycles."""

    layer: str | None = None
    window: Window | None = None


def load(file: Path, config: ChipConfig) -> Loaded:
    """Raises ModelFileError, CompileError."""
    stored = model_file.load(file)
    recipe = stored.about.get("recipe", {})
    widths = Widths(recipe["widths"]) if "widths" in recipe else None
    compiled = compile_network(stored.network, config)
    return Loaded(stored.network, compiled, file.stem, widths, stored.about.get("tensor_errors", {}))


def run_input(
    loaded: Loaded, file: Path, on: On, fit: Fit, out: Path, progress: Progress, trace: Trace | None = None
) -> Ran:
    """Runs one input and writes its outputs, pictures of those of one channel and .npy, and of an RTL run its record.
    trace: waves too. Raises TriptychError."""
    network, compiled = loaded.network, loaded.compiled
    codes = read_input(network, file, fit)
    progress(f"{file.name}: integers", 0, 0)
    wanted = network.run_outputs(codes)
    wrong, rtl = 0, None
    if on is not On.INTEGERS:
        progress(f"{file.name}: machine", 0, 0)
        wrong += _different(outputs_on_machine(compiled, codes, noise=0), wanted)
    if on is On.RTL:
        rtl = _on_rtl(compiled, codes, file, progress)
        wrong += _different(compiled.read_outputs(rtl.memory), wanted)
    values = {name: network.maps[name].qparams.decode(codes) for name, codes in wanted.items()}
    stem = f"{file.stem}.{compiled.config.name}"
    first = _written(values[network.output], out / stem)
    more = {
        key: _written(values[name], out / f"{stem}.{number}-{re.sub('[^A-Za-z0-9]+', '_', key).strip('_')}")
        for number, (key, name) in enumerate(network.further.items(), 1)
    }
    ran = Ran(str(file), on.value, wrong == 0, wrong, None, network.macs, None, first, more, values[network.output])
    if rtl is None:
        return ran
    pictures = [Picture(Path(name).name, key) for key, name in {"output": first, **more}.items() if name[-4:] == ".png"]
    run = chip_run(
        f"{stem}.{loaded.name}", loaded.name, loaded.widths, compiled, rtl, MemoryTiming(), not wrong, loaded.errors,
        pictures,
    )  # fmt: skip
    record = out / f"{stem}{ENDING}"
    save_run(run, record)
    waves = [] if trace is None else _waves(compiled, codes, rtl, trace, out / stem, progress)
    return replace(ran, cycles=rtl.cycles, mxu_utilization=round(run.utilization, 4), run=str(record), waves=waves)


def _waves(
    compiled: Compiled, codes: NDArray[np.int64], rtl: RtlRun, trace: Trace, stem: Path, progress: Progress
) -> list[str]:
    window = trace.window or layer_window(compiled, rtl, trace.layer or "")
    progress(f"waves of cycles {window.begin:,} to {window.end:,}", 0, 0)
    image = np.frombuffer(compiled.memory(codes), np.uint8)
    return [str(path) for path in write_waves(compiled, image, MemoryTiming(), window, stem)]


def _different(found: Mapping[str, NDArray[np.int64]], wanted: Mapping[str, NDArray[np.int64]]) -> int:
    return sum(int((found[name] != codes).sum()) for name, codes in wanted.items())


def _written(values: NDArray[np.float64], stem: Path) -> str:
    """The file of an output: .npy, and a picture, which is then named, if it is a map of one channel."""
    written = stem.with_name(stem.name + ".npy")
    with replacing(written) as part, part.open("wb") as stream:
        np.save(stream, values.astype(np.float32))
    if values.shape[2] == 1 and min(values.shape[:2]) > 1:
        from PIL import Image

        written = stem.with_name(stem.name + ".png")
        save_image(Image.fromarray(spread(values[:, :, 0], float(values.min()), float(values.max()))), written)
    return str(written)


def _on_rtl(compiled: Compiled, codes: NDArray[np.int64], file: Path, progress: Progress) -> RtlRun:
    image = np.frombuffer(compiled.memory(codes), np.uint8)
    done = run_program(
        compiled.config, image, compiled.prog_base, len(compiled.instructions),
        progress=lambda cycle, _: progress(f"{file.name}: {compiled.config.name}, cycle {cycle:,}", 0, 0),
    )  # fmt: skip
    if done.trap is not Trap.NONE:
        raise TriptychError(f"{file}: the chip trapped: {done.trap.name} at instruction {done.trap_pc}")
    return done
