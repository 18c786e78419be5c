"""`triptych depth`: a photo goes in, the chip runs, a depth map comes out, and every integer is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from triptych.golden import provenance
from triptych.golden.photo import Fit, Photo, fit_photo
from triptych.golden.quartdepth.chip.codec import disassemble
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Engine, Trap
from triptych.golden.quartdepth.chip.machine import Machine, Result
from triptych.golden.quartdepth.chip.memory import Fault, Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.compiler import compile as compile_module
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.network import capture as capture_module
from triptych.golden.quartdepth.network import errors as errors_module
from triptych.golden.quartdepth.network import quantize as quantize_module
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.errors import tensor_errors
from triptych.golden.quartdepth.network.quantize import image_codes, image_shape, quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq import model_file
from triptych.golden.quartdepth.zoo import meter, shipped
from triptych.sim.build import cache
from triptych.sim.depth import calibration
from triptych.sim.depth.models import MODELS, BackboneMissing, load_model, weights_digest
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import MemoryTiming, RtlRun, run_program
from triptych.sim.view.chip_record import chip_run
from triptych.sim.view.outputs import DEPTH, FULL, IDENTITY, PANELS, RUN, claimed
from triptych.sim.view.pictures import depth_png, over_photo, save_image, triptych
from triptych.sim.view.runfile import save
from triptych.sim.view.runs import Picture

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how far it is and how far it goes (0: unknown)."""


@dataclass(frozen=True)
class Options:
    """What `triptych depth` was asked for. size: (height, width) of the photos that the network takes. model: a file of
    `triptych quantize`, which holds the network whole (widths and size too, see `file_terms`)."""

    config: ChipConfig
    widths: Widths = Widths.W4A8
    weights: Path | None = None
    size: tuple[int, int] = (192, 256)
    calibration: tuple[Path, ...] = ()
    timing: MemoryTiming = field(default_factory=MemoryTiming)
    golden_only: bool = False
    out: Path = Path("out")
    model: Path | None = None
    tuned: bool = False  # profile-guided build of the chip
    fit: Fit = Fit.LETTERBOX

    def __post_init__(self) -> None:
        if self.model is None and any(n % 64 or n <= 0 for n in self.size):
            raise TriptychError(f"the input's size must be multiples of 64, not {self.size[0]}x{self.size[1]}")


@dataclass(frozen=True)
class Prepared:
    """The network in floating point (None: what it was made of is not here) and as a program for the chip; metres: what
    one unit of its output is worth. name: of the network. errors: of its tensors, where known (`tensor_errors`). key:
    what it was made from, all of it."""

    model: torch.nn.Module | None
    compiled: Compiled
    metres: float
    name: str
    errors: dict[str, float]
    key: str


@dataclass(frozen=True)
class DepthResult:
    """One photo's outcome.

    bit_exact: RTL, golden machine and integer network agree: every instruction's signature and every byte of memory
    between the first two, every element of the output between the last two (golden only: these alone). compared: the
    judges that were asked. mismatches: how many do not agree; difference: between which, and where first.
    """

    photo: str
    bit_exact: bool
    mismatches: int
    macs: int
    output: str
    compared: list[str]
    difference: str | None = None
    run: str | None = None  # the file of `triptych report`
    cycles: int | None = None
    mxu_utilization: float | None = None
    sim_seconds: float | None = None
    sim_cycles_per_second: float | None = None


def to_tensor(rgb: NDArray[np.uint8]) -> torch.Tensor:
    """RGB [H,W,3] as the network's input [1,3,H,W], 0..1."""
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255


def prepare(options: Options, progress: Progress) -> Prepared:
    """Loads, captures, quantises and compiles the network; the program is cached by the content of all that makes it.

    Raises ValueError (CheckpointError, QuantizeError, CompileError, PhotoError) in one line.
    """
    code = provenance.code_digest(
        provenance.sources(
            compile_module, capture_module, quantize_module, errors_module, meter, model_file, calibration
        )
    )
    versions = (torch.__version__, np.__version__)
    if options.model is not None:
        stored = model_file.load(options.model)
        twin = float_twin(options.model, options.weights)
        key = cache.fingerprint([options.model], options.config, code, versions)

        def compiled_file() -> Compiled:
            progress("compiling", 0, 0)
            return compile_network(stored.network, options.config)

        compiled = cache.value("networks", key, compiled_file)
        name, errors = _made_of(stored, options.model)[0], stored.about.get("tensor_errors", {})
        return Prepared(twin, compiled, stored.metres_per_unit or 1.0, name, errors, key)
    model = meter.load_weights(options.weights)
    # cropped: ranges are those of what photos show, not of filling
    photos = [fit_photo(p, options.size, Fit.CROP).rgb for p in options.calibration]
    pixels = provenance.digest(*(photo.tobytes() for photo in photos)) if photos else "rooms"
    weights = options.weights or meter.DEFAULT_WEIGHTS
    key = cache.fingerprint([weights], pixels, options.widths, options.size, options.config, code, versions)

    def compiled_network() -> tuple[Compiled, dict[str, float]]:
        progress("capturing", 0, 0)
        images = [to_tensor(photo) for photo in photos or calibration.rooms(options.size)]
        graph = capture(meter.fuse(model), images[0])
        progress("quantising", 0, 0)
        network = quantize(graph, images, options.widths)
        progress("compiling", 0, 0)
        return compile_network(network, options.config), tensor_errors(graph, network, images[0])

    compiled, errors = cache.value("networks", key, compiled_network)
    return Prepared(model, compiled, model.metres_per_unit or 1.0, "meter", errors, key)


def float_twin(file: Path, weights: Path | None = None) -> torch.nn.Module | None:
    """The network that a model file was made of, None if its weights are not here. Raises TriptychError for weights
    that it was not made of, or what loading them raises."""
    stored = model_file.load(file)
    try:
        twin = load_model(_made_of(stored, file)[0], weights)
    except BackboneMissing:
        if weights is not None:
            raise
        return None
    if weights_digest(twin) == stored.about.get("weights"):
        return twin
    if weights is not None:
        raise TriptychError(
            f"{file} was not made of {weights}: name the weights it was made of, or leave --weights out"
        )
    return None


def _made_of(stored: model_file.ModelFile, file: Path) -> tuple[str, Widths]:
    """Name and widths of a model file's network. Raises ModelFileError."""
    try:
        name, widths = stored.about["model"], Widths(stored.about["recipe"]["widths"])
    except (KeyError, TypeError, ValueError):
        raise model_file.ModelFileError(f"{file} does not say what it was made of: quantize the model again") from None
    if name not in MODELS:
        raise model_file.ModelFileError(f"{file} holds a network '{name}'; known here are {', '.join(MODELS)}")
    return name, widths


@dataclass(frozen=True)
class Terms:
    """What a model file asks for: widths, (height, width) of its photos, and the chip that its network is for."""

    widths: Widths
    size: tuple[int, int]
    chip: str


def file_terms(file: Path) -> Terms:
    """The terms of a model file. Raises ModelFileError."""
    stored = model_file.load(file)
    name, widths = _made_of(stored, file)
    height, width, _ = image_shape(stored.network)
    return Terms(widths, (height, width), MODELS[name].chip)


def _memory(compiled: Compiled, image: NDArray[np.uint8], timing: MemoryTiming) -> Memory:
    memory = Memory(compiled.memory_size)
    memory.place(0, image)
    for span, fault in ((timing.error, Fault.ERROR), (timing.hang, Fault.HANG)):
        if span is not None:
            memory.faults.append((*span, fault))
    return memory


def compare(rtl: RtlRun, machine: Result, memory: NDArray[np.uint8]) -> tuple[int, str]:
    """Differences between chip and machine (bytes of memory, signatures, trap), and the first of them in words."""
    signatures = {(int(r.engine), r.pc): r.signature for r in machine.retired}
    wrong = [(pc, e) for _, e, pc, s in rtl.retirements.tolist() if signatures.pop((e, pc), None) != s]
    unequal = int(np.count_nonzero(rtl.memory != memory))
    mismatches = len(wrong) + len(signatures) + unequal + int(rtl.trap != machine.trap)
    if wrong:
        return mismatches, f"instruction {wrong[0][0]} on {Engine(wrong[0][1]).name} left another signature"
    if signatures:
        return mismatches, f"{len(signatures)} instructions did not retire"
    if unequal:
        return mismatches, f"memory differs from byte {int(np.argmax(rtl.memory != memory)):#x} on"
    return (
        mismatches,
        f"the chip ended with {rtl.trap.name}, the machine with {machine.trap.name}" if mismatches else "",
    )


def explain_trap(who: str, compiled: Compiled, trap: Trap, pc: int, engine: int) -> str:
    """One line for a person. who: chip or golden machine."""
    text = disassemble(compiled.instructions[pc]) if pc < len(compiled.instructions) else "past the program's end"
    where = Engine(engine).name if engine < len(Engine) else "fetch and decode"
    return f"the {who} trapped: {trap.name} in {where} at instruction {pc} ({text[:100]})"


def notice(photo: Path, fitted: Photo) -> str | None:
    """What a person should know of how a photo was fitted."""
    if fitted.shown < 0.995:
        return f"{photo}: {1 - fitted.shown:.0%} of it is cut off and has no depth (--fit letterbox keeps it)"
    if fitted.filled < 0.25:
        return f"{photo} fills {fitted.filled:.0%} of the network's input: its depth is coarse, parts of it give more"
    return None


@dataclass(frozen=True)
class Frame:
    """What the chip made of one picture, and what the judges say: depth [h,w] in the network's unit; rtl: None where
    the golden machine ran alone."""

    depth: NDArray[np.float64]
    mismatches: int
    difference: str | None
    rtl: RtlRun | None

    @property
    def compared(self) -> list[str]:
        """The judges that were asked."""
        return ["RTL"] * (self.rtl is not None) + ["golden machine", "integer network"]


def run_frame(name: str, codes: NDArray[np.int64], prepared: Prepared, options: Options, progress: Progress) -> Frame:
    """One picture's codes through integer network, golden machine and, unless `golden_only`, the chip.

    Raises TriptychError when the chip or the machine traps.
    """
    compiled, network = prepared.compiled, prepared.compiled.network
    image = np.frombuffer(compiled.memory(codes), np.uint8)
    total = len(compiled.instructions)
    memory = _memory(compiled, image, options.timing)
    with ThreadPoolExecutor(1) as pool:
        chip = None
        if not options.golden_only:
            progress(f"{name}: chip", 0, total)
            chip = pool.submit(
                run_program, options.config, image, compiled.prog_base, total, timing=options.timing,
                tuned=options.tuned,
                progress=lambda cycles, retired: progress(f"{name}: chip, cycle {cycles:,}", retired, total),
            )  # fmt: skip
        else:
            progress(f"{name}: golden machine", 0, 0)
        golden = Machine(options.config).run(StoredProgram(memory, compiled.prog_base, total), memory)
        integers = network.run_integer(codes)
        rtl = chip.result() if chip is not None else None
    if rtl is not None and rtl.trap is not Trap.NONE:
        same = "the golden machine too" if rtl.trap is golden.trap else f"the golden machine: {golden.trap.name}"
        raise TriptychError(f"{explain_trap('chip', compiled, rtl.trap, rtl.trap_pc, rtl.trap_engine)}; {same}")
    if golden.trap is not Trap.NONE:
        raise TriptychError(
            f"{explain_trap('golden machine', compiled, golden.trap, golden.pc, golden.engine)}: {golden.detail}"
        )
    mismatches, difference = judge(compiled, golden, memory.data, integers, rtl)
    output = compiled.read_output(memory.data if rtl is None else rtl.memory)
    return Frame(network.maps[network.output].qparams.decode(output)[..., 0], mismatches, difference, rtl)


def run_photo(photo: Path, prepared: Prepared, options: Options, progress: Progress) -> DepthResult:
    """One photo through FP32 and `run_frame`; its results go into `out` (`sim.view.outputs`).

    Raises TriptychError when the chip traps, ValueError for a photo that cannot be read.
    """
    compiled, network = prepared.compiled, prepared.compiled.network
    fitted = fit_photo(photo, options.size, options.fit)
    codes = image_codes(network, fitted.rgb)
    found = run_frame(photo.name, codes, prepared, options, progress)
    if prepared.model is not None:
        with torch.no_grad():
            float_depth = prepared.model(to_tensor(fitted.rgb))[0, 0].numpy().astype(np.float64)
    else:
        float_depth = shipped.float_picture(fitted.rgb) if options.model == shipped.VIT else None
    told = repr((options.timing, found.rtl is None, fitted.size, fitted.box))
    identity = provenance.digest(prepared.key.encode(), codes.tobytes(), told.encode())
    stem = f"{photo.stem}.{options.widths.value}-{options.config.name}"
    with claimed(options.out, stem, identity) as path:
        panels = path(PANELS)
        save_image(triptych(fitted, float_depth, found.depth), panels, {IDENTITY: identity})
        save_image(depth_png(found.depth, prepared.metres), path(DEPTH))
        save_image(depth_png(over_photo(found.depth, fitted), prepared.metres), path(FULL))
        run = None
        if found.rtl is not None:
            shown = Picture(
                panels.name, "photo, network in floating point, chip" if float_depth is not None else "photo, chip"
            )
            run = chip_run(
                panels.name.removesuffix(PANELS), prepared.name, options.widths, compiled, found.rtl, options.timing,
                not found.mismatches, prepared.errors, [shown],
            )  # fmt: skip
            save(run, path(RUN))
    result = DepthResult(
        photo.name, not found.mismatches, found.mismatches, network.macs, str(panels), found.compared, found.difference
    )
    if found.rtl is None or run is None:
        return result
    rtl = found.rtl
    return replace(
        result, run=str(path(RUN)), cycles=rtl.cycles, mxu_utilization=round(run.utilization, 4),
        sim_seconds=round(rtl.seconds, 3), sim_cycles_per_second=round(rtl.cycles / max(rtl.seconds, 1e-9)),
    )  # fmt: skip


def judge(
    compiled: Compiled, golden: Result, memory: NDArray[np.uint8], integers: NDArray[np.int64], rtl: RtlRun | None
) -> tuple[int, str | None]:
    """Differences between RTL and golden machine, and between that and the integer network, and the first in words."""
    mismatches, first = compare(rtl, golden, memory) if rtl is not None else (0, "")
    told = [f"RTL and golden machine: {first}"] if mismatches else []
    output = compiled.read_output(memory)
    if wrong := int(np.count_nonzero(output != integers)):
        y, x, c = (int(i) for i in np.argwhere(output != integers)[0])
        told.append(
            f"golden machine and integer network: {wrong} outputs, the first at row {y}, column {x}, channel {c}: "
            f"{output[y, x, c]}, should be {integers[y, x, c]}"
        )
    return mismatches + wrong, "; ".join(told) or None


def summary(results: Sequence[DepthResult]) -> dict[str, Any]:
    """The object that `--json` prints: one photo's result, or the sums over several and each under `images`."""
    if len(results) == 1:
        return vars(results[0])
    cycles = [r.cycles for r in results if r.cycles is not None]
    seconds = [r.sim_seconds for r in results if r.sim_seconds is not None]
    used = [r.mxu_utilization for r in results if r.mxu_utilization is not None]
    return {
        "bit_exact": all(r.bit_exact for r in results),
        "mismatches": sum(r.mismatches for r in results),
        "cycles": sum(cycles) if cycles else None,
        "macs": sum(r.macs for r in results),
        "mxu_utilization": round(sum(used) / len(used), 4) if used else None,
        "sim_seconds": round(sum(seconds), 3) if seconds else None,
        "sim_cycles_per_second": round(sum(cycles) / max(sum(seconds), 1e-9)) if seconds else None,
        "output": [r.output for r in results],
        "images": [vars(r) for r in results],
    }
