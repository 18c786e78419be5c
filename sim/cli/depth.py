"""`triptych depth`: a photo goes in, the chip runs, a depth map comes out, and every integer is compared."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from numpy.typing import NDArray

from triptych.golden.photo import fit_photo
from triptych.golden.quartdepth.chip.codec import disassemble
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import Engine, Trap
from triptych.golden.quartdepth.chip.machine import Machine, Result
from triptych.golden.quartdepth.chip.memory import Fault, Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.network.graph import capture
from triptych.golden.quartdepth.network.quantize import image_codes, image_shape, quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.model_file import load
from triptych.golden.quartdepth.zoo.meter import DEFAULT_WEIGHTS, fuse, load_weights
from triptych.sim.bench.ledger import write_text
from triptych.sim.build.verilate import build_root, fingerprint
from triptych.sim.cli.models import load_model
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import CLASSES, MemoryTiming, RtlRun, run_program
from triptych.sim.rtl.sources import ROOT
from triptych.sim.view.pictures import depth_png, save_image, triptych
from triptych.sim.view.runfile import LayerRun, RunFile

CALIBRATION = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
"""Photos that scikit-image ships, on which ranges are measured unless others are named."""

ARRAY_MODES = ("w4a4", "w4a8", "w8a8")
"""Modes of layers whose products fill the array: the fastest that a network has is its roofline."""

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how far it is and how far it goes (0: unknown)."""


def shipped_photo(name: str) -> Path:
    """A photo that scikit-image ships."""
    return Path(skimage.__file__).parent / "data" / name


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

    def __post_init__(self) -> None:
        if self.model is None and any(n % 64 or n <= 0 for n in self.size):
            raise TriptychError(f"the input's size must be multiples of 64, not {self.size[0]}x{self.size[1]}")


@dataclass(frozen=True)
class Prepared:
    """The network in floating point and as a program for the chip; metres: what one unit of its output is worth."""

    model: torch.nn.Module
    compiled: Compiled
    metres: float


@dataclass(frozen=True)
class DepthResult:
    """One photo's outcome. bit_exact: every byte of memory and every instruction's signature equal the machine's
    (golden only: the machine's output equals the integer network's). mismatches: how many do not."""

    photo: str
    bit_exact: bool
    mismatches: int
    macs: int
    output: str
    cycles: int | None = None
    mxu_utilization: float | None = None
    sim_seconds: float | None = None
    sim_cycles_per_second: float | None = None


def to_tensor(rgb: NDArray[np.uint8]) -> torch.Tensor:
    """RGB [H,W,3] as the network's input [1,3,H,W], 0..1."""
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255


def prepare(options: Options, progress: Progress) -> Prepared:
    """Loads, captures, quantises and compiles the network; the program is cached by the content of all that makes it.

    Raises ValueError (WeightsError, QuantizeError, CompileError, PhotoError) in one line.
    """
    if options.model is not None:
        return _prepare_file(options, options.model, progress)
    model = load_weights(options.weights)
    metres = model.metres_per_unit or 1.0
    photos = options.calibration or tuple(shipped_photo(n) for n in CALIBRATION)
    golden = sorted((ROOT / "golden" / "quartdepth").rglob("*.py"))
    key = fingerprint(
        [*golden, options.weights or DEFAULT_WEIGHTS, *photos], options.widths, options.size, options.config
    )
    cache = build_root() / "networks" / f"{key}.pickle"
    if cache.exists():
        return Prepared(model, pickle.loads(cache.read_bytes()), metres)
    progress("quantising", 0, 0)
    images = [to_tensor(fit_photo(p, options.size).rgb) for p in photos]
    network = quantize(capture(fuse(model), images[0]), images, options.widths)
    progress("compiling", 0, 0)
    compiled = compile_network(network, options.config)
    cache.parent.mkdir(parents=True, exist_ok=True)
    temporary = cache.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(pickle.dumps(compiled))
    temporary.replace(cache)
    return Prepared(model, compiled, metres)


def _prepare_file(options: Options, file: Path, progress: Progress) -> Prepared:
    """The network of a model file. Raises ModelFileError, or what loading its float twin raises."""
    stored = load(file)
    progress("compiling", 0, 0)
    model = load_model(stored.about["model"], options.weights)
    return Prepared(model, compile_network(stored.network, options.config), stored.metres_per_unit or 1.0)


def file_terms(file: Path) -> tuple[Widths, tuple[int, int]]:
    """Widths of a model file and size of its photos. Raises ModelFileError."""
    stored = load(file)
    height, width, _ = image_shape(stored.network)
    return Widths(stored.about["recipe"]["widths"]), (height, width)


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


def explain_trap(compiled: Compiled, trap: Trap, pc: int, engine: int) -> str:
    """One line for a person."""
    text = disassemble(compiled.instructions[pc]) if pc < len(compiled.instructions) else "past the program's end"
    where = Engine(engine).name if engine < len(Engine) else "fetch and decode"
    return f"the chip trapped: {trap.name} in {where} at instruction {pc} ({text[:100]})"


def run_file(title: str, compiled: Compiled, rtl: RtlRun, options: Options) -> RunFile:
    """Where the run's cycles went."""
    names = CLASSES[Engine.MXU]
    classes = np.zeros((len(compiled.layers) + 1, len(names)), np.int64)
    mxu_pcs = [int(pc) for _, e, pc, _ in rtl.retirements.tolist() if e == Engine.MXU]
    for pc, row in zip(mxu_pcs, rtl.mxu_classes, strict=True):
        classes[compiled.layer_of[pc]] += row
    # What no instruction of the matrix engine ended: before the first one and after the last.
    classes[-1] = [rtl.counters["MXU"][c] for c in names] - classes.sum(axis=0)
    traffic = np.zeros(len(compiled.layers), np.int64)
    for pc, instruction in enumerate(compiled.instructions):
        traffic[compiled.layer_of[pc]] += instruction["rows"] * instruction["row_bytes"]
    layers = [
        LayerRun(
            row.name, row.mode, row.mode, row.macs, row.ideal_cycles, int(classes[i].sum()),
            dict(zip(names, classes[i].tolist(), strict=True)), int(traffic[i]),
        )
        for i, row in enumerate(compiled.layers)
    ]  # fmt: skip
    rest = dict(zip(names, classes[-1].tolist(), strict=True))
    layers.append(LayerRun("(start and end)", "vector", "vector", 0, 0.0, int(classes[-1].sum()), rest, 0))
    retired = {(e, pc): cycle for cycle, e, pc, _ in rtl.retirements.tolist()}
    spans: dict[str, list[tuple[int, int, int]]] = {e.name: [] for e in Engine}
    for cycle, e, pc, _ in rtl.issues.tolist():
        spans[Engine(e).name].append((cycle, retired.get((e, pc), cycle), compiled.layer_of[pc]))
    rates = [row.macs / row.ideal_cycles for row in compiled.layers if row.mode in ARRAY_MODES]
    return RunFile(
        title, options.config.name, options.widths.value, options.config.clock_mhz, options.timing.bytes_per_cycle,
        round(max(rates, default=options.config.macs_w4a8)), rtl.cycles, rtl.counters, layers, spans,
    )  # fmt: skip


def run_photo(photo: Path, prepared: Prepared, options: Options, progress: Progress) -> DepthResult:
    """One photo through FP32, golden machine and chip; writes NAME.depth.png, NAME.png and NAME.run.json into `out`.

    Raises TriptychError when the chip traps, ValueError for a photo that cannot be read.
    """
    model, compiled = prepared.model, prepared.compiled
    fitted = fit_photo(photo, options.size)
    codes = image_codes(compiled.network, fitted.rgb)
    image = np.frombuffer(compiled.memory(codes), np.uint8)
    total = len(compiled.instructions)
    with ThreadPoolExecutor(1) as pool:
        chip = None
        if not options.golden_only:
            progress(f"{photo.name}: chip", 0, total)
            chip = pool.submit(
                run_program, options.config, image, compiled.prog_base, total, timing=options.timing,
                tuned=options.tuned,
                progress=lambda cycles, retired: progress(f"{photo.name}: chip, cycle {cycles:,}", retired, total),
            )  # fmt: skip
        memory = _memory(compiled, image, options.timing)
        golden = Machine(options.config).run(StoredProgram(memory, compiled.prog_base, total), memory)
        with torch.no_grad():
            float_depth = model(to_tensor(fitted.rgb))[0, 0].numpy().astype(np.float64)
        rtl = chip.result() if chip is not None else None
    if rtl is not None and rtl.trap is not Trap.NONE:
        same = "the golden machine too" if rtl.trap is golden.trap else f"the golden machine: {golden.trap.name}"
        raise TriptychError(f"{explain_trap(compiled, rtl.trap, rtl.trap_pc, rtl.trap_engine)}; {same}")
    if golden.trap is not Trap.NONE:
        raise TriptychError(f"{explain_trap(compiled, golden.trap, golden.pc, golden.engine)}: {golden.detail}")
    output = compiled.read_output(memory.data if rtl is None else rtl.memory)
    network = compiled.network
    chip_depth = network.pictures[network.output].code.decode(output)[..., 0]
    unit = prepared.metres
    stem = options.out / photo.stem
    save_image(depth_png(chip_depth, unit), Path(f"{stem}.depth.png"))
    save_image(triptych(fitted.rgb, float_depth, chip_depth), Path(f"{stem}.png"))
    if rtl is None:
        different = int(np.count_nonzero(output != network.run_integer(codes)))
        return DepthResult(photo.name, different == 0, different, network.macs, f"{stem}.png")
    mismatches, first = compare(rtl, golden, memory.data)
    run = run_file(photo.stem, compiled, rtl, options)
    run.save(Path(f"{stem}.run.json"))
    if mismatches:
        progress(f"{photo.name}: {first}", 0, 0)
    return DepthResult(
        photo.name, mismatches == 0, mismatches, network.macs, f"{stem}.png",
        rtl.cycles, round(run.utilization, 4), round(rtl.seconds, 3), round(rtl.cycles / max(rtl.seconds, 1e-9)),
    )  # fmt: skip


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


def check_writable(folder: Path) -> None:
    """Raises TriptychError when results could not be written there, before any work is done."""
    probe = folder / ".writable"
    write_text(probe, "")
    probe.unlink()
