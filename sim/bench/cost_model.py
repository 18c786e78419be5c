"""`triptych results cost-model`: the compiler's clock against RTL, on random layers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format, Trap
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.estimate import Memory, estimate
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.vectors import single
from triptych.sim.bench.ledger import Label, table
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import MemoryTiming, run_program
from triptych.sim.view.plot import save_figure

CHIPS = ("paper", "small")
LATENCIES = (40, 100, 200)
LAYERS, OTHERS = 112, 64
"""Random layers of seed 1, which the clock's constants were set on, and of seed 2, which they were not."""
BOUND = 0.03
"""Error that a layer may have."""
MACS = {"paper": 40e6, "small": 5e6}
"""Of a layer at most, so that it is simulated in a second or so."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Layer:
    """A random layer on a chip, behind a memory."""

    kind: str
    chip: str
    latency: int
    network: Network


@dataclass(frozen=True)
class Seen:
    """Its cycles."""

    kind: str
    chip: str
    latency: int
    rtl: int
    estimated: int

    @property
    def error(self) -> float:
        """Of the estimate."""
        return self.estimated / self.rtl - 1


def layers(count: int, seed: int) -> Iterator[Layer]:
    """Random layers of every kind in turn, on each chip, at each latency; always the same for a seed."""
    rng = np.random.default_rng(seed)
    for n in range(count):
        chip, kind = CHIPS[n % 2], list(_KINDS)[n // 2 % len(_KINDS)]
        latency = int(rng.choice(LATENCIES))
        while True:
            network = _KINDS[kind](rng, 1 if chip == "small" else 2, int(rng.integers(1 << 30)))
            try:
                if network.macs <= MACS[chip]:
                    compile_network(network, chip_config(chip))
                    break
            except CompileError:
                pass
        yield Layer(kind, chip, latency, network)


def measure(layer: Layer) -> Seen:
    """Its cycles on RTL and by the clock. Raises TriptychError when it traps, or leaves anything but what the integer
    network says."""
    config = chip_config(layer.chip)
    compiled = compile_network(layer.network, config)
    codes = single.random_codes(layer.network, 1)
    image = np.frombuffer(compiled.memory(codes), np.uint8)
    timing = MemoryTiming(layer.latency)
    run = run_program(config, image, compiled.prog_base, len(compiled.instructions), timing=timing)
    if run.trap is not Trap.NONE:
        raise TriptychError(f"a {layer.kind} trapped: {run.trap.name} at instruction {run.trap_pc}")
    if not np.array_equal(compiled.read_output(run.memory), layer.network.run_integer(codes)):
        raise TriptychError(f"the chip's result of a {layer.kind} is wrong; its cycles say nothing")
    clock = estimate(compiled.listing, config, Memory(layer.latency, timing.bytes_per_cycle))
    return Seen(layer.kind, layer.chip, layer.latency, run.cycles, clock.cycles)


def _form(rng: np.random.Generator) -> tuple[Format, Format]:
    forms = (Format.INT8, Format.UINT4)
    return forms[rng.integers(2)], forms[rng.integers(2)]


def _size(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def _linear(rng: np.random.Generator, wide: int, seed: int) -> Network:
    sizes = _size(rng, 17, 300), _size(rng, 16, 256 * wide), _size(rng, 8, 192 * wide)
    return single.matmul(*sizes, *_form(rng), seed=seed)


def _gelu(rng: np.random.Generator, wide: int, seed: int) -> Network:
    sizes = _size(rng, 17, 260), _size(rng, 16, 128 * wide), _size(rng, 8, 192 * wide)
    return single.gelu_linear(*sizes, *_form(rng), seed=seed)


def _attention(rng: np.random.Generator, wide: int, seed: int) -> Network:
    heads, dim = _size(rng, 1, 3), int(rng.choice([8, 16, 24, 32])) * wide
    return single.attention(_size(rng, 33, 270), heads, dim, bool(rng.integers(2)), seed=seed, inner=32 * wide)


def _norm(rng: np.random.Generator, wide: int, seed: int) -> Network:
    return single.layer_norm(_size(rng, 33, 260), _size(rng, 16, 200 * wide), _form(rng)[0], seed=seed)


def _conv(rng: np.random.Generator, wide: int, seed: int) -> Network:
    shape = (_size(rng, 8, 30), _size(rng, 8, 40), _size(rng, 8, 64 * wide))
    kernel, stride = int(rng.choice([1, 3, 3, 5])), int(rng.choice([1, 1, 2]))
    pad, (source, output) = kernel // 2, _form(rng)
    beside = bool(stride == 1 and rng.integers(2))
    return single.conv2d(
        shape, _size(rng, 8, 64 * wide), (kernel, kernel), (stride, stride), (pad, pad), source, output, beside, seed
    )


def _depthwise(rng: np.random.Generator, wide: int, seed: int) -> Network:
    shape, stride = (_size(rng, 8, 30), _size(rng, 8, 40), _size(rng, 8, 96 * wide)), int(rng.choice([1, 1, 2]))
    return single.depthwise(shape, (stride, stride), (1, 1), *_form(rng), seed=seed)


def _transposed(rng: np.random.Generator, wide: int, seed: int) -> Network:
    shape, (source, output) = (_size(rng, 6, 20), _size(rng, 6, 24), _size(rng, 8, 48 * wide)), _form(rng)
    return single.conv_transpose(
        shape, _size(rng, 8, 48 * wide), (2, 2), (2, 2), (0, 0), (0, 0), source, output, seed=seed
    )


def _doubled(rng: np.random.Generator, wide: int, seed: int) -> Network:
    shape = (_size(rng, 8, 30), _size(rng, 8, 40), _size(rng, 8, 64 * wide))
    return single.doubled(shape, _size(rng, 0, 1), *_form(rng), seed=seed)


_KINDS: dict[str, Callable[[np.random.Generator, int, int], Network]] = {
    "linear": _linear,
    "linear and GELU": _gelu,
    "attention": _attention,
    "LayerNorm": _norm,
    "convolution": _conv,
    "depthwise": _depthwise,
    "transposed 2x2": _transposed,
    "doubling": _doubled,
}


def plot(seen: list[Seen], path: Path) -> None:
    """Estimated over measured cycles, and the errors."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind in _KINDS:
        mine = [s for s in seen if s.kind == kind]
        left.loglog([s.rtl for s in mine], [s.estimated for s in mine], ".", label=kind)
        right.semilogx([s.rtl for s in mine], [100 * s.error for s in mine], ".")
    ends = [min(s.rtl for s in seen), max(s.rtl for s in seen)]
    left.loglog(ends, ends, "-", color="0.7", linewidth=0.8, zorder=0)
    left.set(xlabel="cycles on RTL", ylabel="cycles by the compiler's clock")
    left.legend(fontsize=6)
    for bound in (-100 * BOUND, 100 * BOUND):
        right.axhline(bound, color="0.7", linewidth=0.8)
    right.set(xlabel="cycles on RTL", ylabel="error, %")
    save_figure(figure, path)


HISTORY = """\
Before, six short transposed convolutions of seed 1 were 3.4 to 11.6 % off, and seed 2 had a mean of 1.18 % and a worst
of -11.93 %. Three causes, found by fetch's addresses and data beside the clock's: an instruction that is asked for
while LOAD waits for one copy and has asked for another was thought to pass the first one's data (11.6 %); the program's
bytes were a flat 1.5 % of the bus, and are 9 % of it where instructions are short (4.2 %); a VECTOR waits for its first
parameters (3.4 %). Tried, of no use: words of the scratchpad that STORE waits for; more cycles for a word of weights,
with which other layers are too slow.

Since the VPU's reads of the scratchpad go first while it is behind, the clock knows when the array waits for it: most
words of weights count for nothing then. Without that a layer of attention was 6.90 % too slow, ViT-S + DPT 1.8 %; one
smaller mean for all words (.6 to 1.1 cycles instead of 1.2) left one to three layers of 112 beyond 3 %. A wait must be
seen where there is less than a cycle to spare: both engines go at one rate there, and the array meets full banks again
and again (not seen, that layer stays 6.7 % too slow)."""


def cost_model_rows(out: Path, pictures: Path, progress: Progress, count: int = LAYERS, others: int = OTHERS) -> str:
    """The section of docs/results.md. The plot goes to `out`, and from there to `pictures`."""
    found: list[list[Seen]] = []
    for seed, many in ((1, count), (2, others)):
        found.append([])
        for n, layer in enumerate(layers(many, seed)):
            progress(f"seed {seed}, {layer.chip}: {layer.kind}", n, many)
            found[-1].append(measure(layer))
    seen, unseen = found
    plot(seen, out / "cost-model")
    pictures.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(out / "cost-model.png", pictures / "cost-model.png")
    rows = []
    lists = {kind: [s for s in seen if s.kind == kind] for kind in _KINDS} | {"all": seen, "all of seed 2": unseen}
    for kind, mine in lists.items():
        if not mine:
            continue
        errors = sorted(abs(s.error) for s in mine)
        worst = max(mine, key=lambda s: abs(s.error))
        within = sum(e <= BOUND for e in errors)
        rows.append([
            kind, str(len(mine)), f"{np.mean(errors):.2%}", f"{errors[len(errors) // 2]:.2%}",
            f"{worst.error:+.2%} ({worst.chip}, latency {worst.latency}, {worst.rtl:,} cycles)",
            f"{within} of {len(mine)}", Label.RTL_SIMULATED.value,
        ])  # fmt: skip
    header = ["layers", "number", "mean error", "median", "worst", f"within {BOUND:.0%}", "label"]
    text = (
        f"{count} random layers (seed 1; `sim/bench/cost_model.py`) on `paper` and `small`, memories of 19.2 bytes a "
        "cycle and latencies of 40, 100 and 200: cycles from start to halt by `compiler/estimate.py`, against RTL. "
        f"Constants were set on these; {others} of seed 2 were measured after. By `triptych results cost-model`."
    )
    shown = "![clock against RTL](img/cost-model.png)"
    return f"## The compiler's clock\n{text}\n\n{table(header, rows)}\n\n{HISTORY}\n\n{shown}"
