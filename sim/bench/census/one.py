"""One network of the census, from PyTorch to the golden machine: what a process of its own runs.

`python -m triptych.sim.bench.census.one NAME CHIP` prints one JSON object, an `Outcome`.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.quantize import image_codes, integer_output, quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.sim.bench.census.entry import Entry
from triptych.sim.bench.census.networks import networks

FLOAT_BOUND = 1e-3  # of the captured graph from the module, over the largest value
PHOTOS = 2


class Stage(StrEnum):
    """How far a network came."""

    REFUSED = "refused"  # by capture
    DIFFERS = "differs"  # the captured graph from the module
    CAPTURED = "captured"  # and refused by the quantiser
    QUANTISED = "quantised"  # and refused by the compiler
    COMPILED = "compiled"  # and not what the integers are
    EXACT = "exact"
    CRASHED = "crashed"
    TIMEOUT = "timeout"


@dataclass
class Outcome:
    """operators: those without a layer, and how often. reasons: by operator, the first. error: the one line of a later
    stage. error_w8a8: relative L2 of eight-bit integers from float. seconds: by stage. utilization: ideal over the
    compiler's estimated cycles."""

    name: str
    chip: str
    stage: Stage = Stage.CRASHED
    operators: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    error: str = ""
    macs: int = 0
    cycles: int = 0
    utilization: float = 0.0
    instructions: int = 0
    error_w8a8: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def photos(size: tuple[int, int]) -> list[Tensor]:
    """Smooth random pictures of whole bytes, [1,3,h,w]."""
    out = []
    for _ in range(PHOTOS):
        coarse = torch.nn.functional.interpolate(torch.rand(1, 3, 7, 7), size=size, mode="bicubic")
        noisy = coarse + 0.1 * torch.randn_like(coarse)
        out.append((noisy.clamp(0, 1) * 255).round() / 255)
    return out


def judge(entry: Entry, chip: str) -> Outcome:
    """Captures, quantises, compiles and runs one network."""
    out = Outcome(entry.name, chip)
    torch.manual_seed(0)
    module = entry.build()
    images = photos(entry.size)
    with torch.no_grad():
        wanted = module(images[0])
    begun = time.monotonic()

    def lap(what: str) -> None:
        nonlocal begun
        out.seconds[what] = round(time.monotonic() - begun, 2)
        begun = time.monotonic()

    try:
        graph = capture(module, images[0])
        lap("capture")
        inputs = [x if graph.patches is None else graph.patches.arrange(x) for x in images]
        if not _same(graph, inputs[0], wanted, out):
            return out
        out.stage = Stage.CAPTURED
        begun = time.monotonic()
        network = quantize(graph, inputs, Widths.W4A8)
        eight = quantize(graph, inputs, Widths.W8A8)
        lap("quantise")
        pixels = (images[0][0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        codes = image_codes(network, pixels)
        exact = graph.run(inputs[0])[0].permute(1, 2, 0).numpy()
        got = integer_output(eight, pixels)
        out.error_w8a8 = round(float(np.linalg.norm(got - exact)) / max(float(np.linalg.norm(exact)), 1e-9), 4)
        integers = network.run_integer(codes)
        out.stage, out.macs = Stage.QUANTISED, network.macs
        lap("integers")
        compiled = compile_network(network, chip_config(chip))
        lap("compile")
        out.stage, out.cycles, out.instructions = Stage.COMPILED, compiled.cycles, len(compiled.instructions)
        out.utilization = round(sum(row.ideal_cycles for row in compiled.layers) / compiled.cycles, 4)
        result = run_on_machine(compiled, codes, noise=1)
        lap("machine")
        if np.array_equal(result, integers):
            out.stage = Stage.EXACT
        else:
            out.error = f"{int((result != integers).sum())} of {integers.size} codes differ"
    except GraphError as error:
        out.stage = Stage.REFUSED
        out.error = str(error)
        for finding in error.findings:
            out.operators[finding.operator] = out.operators.get(finding.operator, 0) + 1
            out.reasons.setdefault(finding.operator, finding.reason)
        lap("capture")
    except ValueError as error:  # QuantizeError, CompileError: the stage says which
        out.error = f"{type(error).__name__}: {error}"
    return out


def _same(graph: FloatGraph, image: Tensor, wanted: Tensor, out: Outcome) -> bool:
    got = graph.run(image).reshape(wanted.shape)
    far = float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))
    if far > FLOAT_BOUND:
        out.stage, out.error = Stage.DIFFERS, f"the captured graph is {far:.3g} off the module"
    return far <= FLOAT_BOUND


def main(arguments: list[str]) -> int:
    """Prints the outcome of one network."""
    name, chip = arguments
    warnings.simplefilter("ignore")
    try:
        out = judge(networks()[name], chip)
    except Exception as error:  # a traceback where a line was due is an outcome too
        out = Outcome(name, chip, Stage.CRASHED)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        out.error = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}: {error}"[:400]
    print("\n" + json.dumps(asdict(out)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
