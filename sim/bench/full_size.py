"""Networks of full size, from PyTorch to the golden machine: time, memory, how busy the array is.

`python -m triptych.sim.bench.full_size` runs all of them, each in a process of its own, and writes their section of
`docs/results.md`; with a name it runs that one and prints a JSON object, an `Outcome`.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
import torch
from torch import nn

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.machine import Machine
from triptych.golden.quartdepth.chip.memory import Memory
from triptych.golden.quartdepth.chip.program import StoredProgram
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.zoo.published import PUBLISHED
from triptych.golden.quartdepth.zoo.random_weights import random_weights
from triptych.sim.bench.ledger import Label, replace_section, table
from triptych.sim.bench.resnet_unet import ResNetUNet
from triptych.sim.build.sources import ROOT
from triptych.sim.depth.run import compare
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import run_program
from triptych.sim.view.chip_record import layer_runs

Rows = list[tuple[str, str, int, float, int]]
"""Layers of one name but for their block's number: name, mode, how many, ideal cycles, cycles of the MXU."""


@dataclass(frozen=True)
class Case:
    """A network, its photo's size and its chip. on_rtl: it runs there too, and its layers' cycles are kept."""

    build: Callable[[], nn.Module]
    size: tuple[int, int]
    chip: str
    on_rtl: bool = False


def _random(name: str) -> nn.Module:
    return random_weights(PUBLISHED[name].build())


CASES = {
    "Depth Anything V2-S, 252x252": Case(partial(_random, "depth-anything-v2-small"), (252, 252), "paper", True),
    "Depth Anything V2-S, 518x518": Case(partial(_random, "depth-anything-v2-small"), (518, 518), "paper"),
    "Depth Anything V2-B, 252x252": Case(partial(_random, "depth-anything-v2-base"), (252, 252), "paper"),
    "MiDaS v2.1 small, 256x256": Case(partial(_random, "midas-small"), (256, 256), "paper", True),
    "ResNet-18 U-Net, 480x640": Case(lambda: ResNetUNet().eval(), (480, 640), "small"),
}


@dataclass
class Outcome:
    """seconds: of a core, by stage. capture_bytes: resident at most while it captures, over what the module holds once
    it is built. peak: bytes resident at most, all stages. different: output codes of the machine that are not
    `run_integer`'s; values: different codes among these. rtl: mismatches on RTL, its cycles; layers: as `Rows`."""

    macs: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    capture_bytes: int = 0
    peak: int = 0
    instructions: int = 0
    ideal: float = 0.0
    cycles: int = 0
    different: int = 0
    values: int = 0
    rtl: tuple[int, int] | None = None
    layers: Rows = field(default_factory=list)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def judge(case: Case) -> Outcome:
    """One network, random weights, one random photo, W4A8."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    out, begin = Outcome(), 0.0

    def done(stage: str) -> None:
        nonlocal begin
        out.seconds[stage] = round(time.process_time() - begin, 1)
        begin = time.process_time()

    model = case.build()
    pixels = torch.randint(0, 256, (1, 3, *case.size))
    photo, before, begin = pixels.float() / 255, _peak(), time.process_time()
    graph = capture(model, photo)
    out.capture_bytes = _peak() - before
    done("capture")
    network = quantize(graph, [photo if graph.patches is None else graph.patches.arrange(photo)], Widths.W4A8)
    done("quantise")
    compiled = compile_network(network, chip_config(case.chip))
    done("compile")
    codes = image_codes(network, pixels[0].permute(1, 2, 0).to(torch.uint8).numpy())
    expected = network.run_integer(codes)
    done("integers")
    out.different = int(np.count_nonzero(run_on_machine(compiled, codes, noise=1) != expected))
    done("machine")
    out.values, out.macs, out.peak = len(np.unique(expected)), network.macs, _peak()
    out.instructions, out.cycles = len(compiled.instructions), compiled.cycles
    out.ideal = sum(row.ideal_cycles for row in compiled.layers)
    if case.on_rtl:
        _on_rtl(out, compiled, codes)
    return out


def _on_rtl(out: Outcome, compiled: Compiled, codes: np.ndarray) -> None:
    image, count = np.frombuffer(compiled.memory(codes), np.uint8), len(compiled.instructions)
    rtl = run_program(compiled.config, image, compiled.prog_base, count)
    memory = Memory(compiled.memory_size)
    memory.place(0, image)
    golden = Machine(compiled.config).run(StoredProgram(memory, compiled.prog_base, count), memory)
    out.rtl = (compare(rtl, golden, memory.data)[0], rtl.cycles)
    sums: dict[tuple[str, str], tuple[int, float, int]] = {}
    for layer in layer_runs(compiled, rtl):
        key = (re.sub(r"blocks\.\d+\.", "blocks.*.", re.sub(r"attention(_\d+)?$", "attention", layer.name)), layer.mode)
        n, ideal, cycles = sums.get(key, (0, 0.0, 0))
        sums[key] = (n + 1, ideal + layer.ideal_cycles, cycles + layer.cycles)
    out.layers = [(*key, *value) for key, value in sums.items()]


def child(name: str) -> Outcome:
    """One network in a process of its own. Raises TriptychError where it does not end well."""
    command = [sys.executable, "-m", "triptych.sim.bench.full_size", name]
    process = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise TriptychError(f"'{name}' did not run: exit status {process.returncode} (above)")
    found = json.loads(process.stdout.strip().splitlines()[-1])
    return Outcome(**{**found, "rtl": found["rtl"] and tuple(found["rtl"])})


def section(found: dict[str, Outcome]) -> str:
    """The part of docs/results.md."""
    rows = []
    for name, o in found.items():
        clock, label = (o.cycles, Label.ESTIMATED) if o.rtl is None else (o.rtl[1], Label.RTL_SIMULATED)
        exact = o.different == 0 and (o.rtl is None or o.rtl[0] == 0)
        seconds = [f"{o.seconds[s]:.0f}" for s in ("capture", "quantise", "compile", "integers", "machine")]
        rows.append([
            name, CASES[name].chip, f"{o.macs / 1e9:.1f}", *seconds, f"{o.capture_bytes / 1e6:.0f}",
            f"{o.peak / 1e9:.1f}", f"{o.instructions:,}", f"{clock:,}", f"{o.ideal / clock:.1%}", str(exact).lower(),
            label.value,
        ])  # fmt: skip
    header = ["network", "chip", "GMAC", "capture, s", "quantise, s", "compile, s", "integers, s", "machine, s"]
    header += ["capture, MB", "peak, GB", "instructions", "cycles", "MXU utilization", "bit-exact", "label"]
    parts = [
        "## Networks of full size",
        "W4A8, random weights, one random photo; machine against `run_integer`, some on RTL as well. Seconds "
        "are of a core of a shared machine; the capture's MB come on top of the built module. By "
        "`python -m triptych.sim.bench.full_size`.",
        "",
        table(header, rows),
    ]
    for name, o in found.items():
        if o.layers:
            total = sum(cycles for *_, cycles in o.layers)
            shown = [row for row in o.layers if row[4] >= total / 100]
            body = [
                [f"`{layer}`", mode, str(n), f"{cycles:,}", f"{cycles / total:.1%}",
                 f"{ideal / cycles:.1%}" if ideal else ""]
                for layer, mode, n, ideal, cycles in shown
            ]  # fmt: skip
            rest = total - sum(cycles for *_, cycles in shown)
            if rest:
                body.append(["less than 1 % each", "", "", f"{rest:,}", f"{rest / total:.1%}", ""])
            parts += ["", f"### {name}, layer by layer", "Cycles of the MXU, busy or not, until the layer's last "
                      "product; ideal over these. Layers of the VPU alone have those that the MXU waits for them. "
                      f"Label: {Label.RTL_SIMULATED.value}.", ""]  # fmt: skip
            parts.append(table(["layers", "mode", "number", "cycles", "share", "MXU utilization"], body))
    return "\n".join(parts)


def main() -> None:
    """All networks, or one by its name. Exit status 1 where something differs."""
    if len(sys.argv) > 1:
        if sys.argv[1] not in CASES:
            sys.exit(f"no network '{sys.argv[1]}': {', '.join(CASES)}")
        print(json.dumps(asdict(judge(CASES[sys.argv[1]]))))
        return
    found = {}
    for name in CASES:
        found[name] = child(name)
        print(f"{name}: {found[name].different} differ", flush=True)
    replace_section("full-size", section(found))
    sys.exit(1 if any(o.different or (o.rtl and o.rtl[0]) for o in found.values()) else 0)


if __name__ == "__main__":
    main()
