"""`triptych results vit-layers`: where the cycles of a vision transformer go, layer by layer, on RTL."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from triptych.golden.photo import fit_photo, shipped_photo
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.compiler.estimate import Memory, estimate
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import image_codes
from triptych.golden.quartdepth.ptq.model_file import load
from triptych.golden.quartdepth.zoo.shipped import VIT
from triptych.sim.bench.ledger import Label, table
from triptych.sim.errors import TriptychError
from triptych.sim.rtl.run import MemoryTiming, RtlRun, run_program
from triptych.sim.view.chip_record import layer_runs

SIZE = (196, 252)
LATENCIES = (40, 100, 200)
KINDS = {
    "queries, keys, values, projection": r"blocks\.\d+\.attn\.(qkv|proj)",
    "attention": r"attn\.scaled_dot_product_attention",
    "MLP": r"blocks\.\d+\.mlp",
    "convolutions of the head": r"depth_head\.scratch\.(layer|refinenet|output_conv[12]\b(?!\.2))",
    "1x1 and transposed convolutions of the head": r"depth_head\.(projects|resize_layers)|output_conv2\.2",
    "patches": r"patch_embed",
}


HISTORY = """\
How it came here, on RTL at latency 40, measured on the same network with uniform codes (min-max), random weights and
its means (4,257,276 cycles today, 1,798 MAC/cycle; attention 51.7 % of the peak, queries, keys, values and projection
96.7, MLP 98.1, convolutions of the head 85.4): 5,063,910 cycles with blocks of 64 pixels whatever was left,
keys and values of eight bits, and elementwise work in the order of the layers; 5,062,370 with blocks of one size (253
tokens leave no tail; 257 take 19,236 cycles of the array instead of 20,935 for 384 channels into 384); 4,485,710 with
keys and values of four bits; 4,458,606 without a depthwise convolution for each tap's gain; 4,250,714 with elementwise
work by urgency in pieces of 384 cycles, two taps a step for maps of 32 channels, and as many pixels a cell of the
result as fit; 4,091,792 with queries in four bits as well, by table, and keys two a byte (attention 468,533 cycles
instead of 603,743: 61.5 % of the peak instead of 47.7 %). Pieces of 512 and of 256 cycles cost .9 % and .8 % more by
the compiler's clock: the array cannot bridge the ones, the VPU has more turns with the others. So far all 32 lanes
were full; with 16 full ones, as the table has it, the VPU is the bound of attention: a block of 64 queries and 253 keys
takes it 1,856 elements (1,216 with 32), for powers and mixed values go by halves, and the array 1,536 steps. Pieces are
smaller there: by the compiler's clock, for the shipped network, 4,368,822 cycles with pieces of 224 cycles that the
array can bridge to three quarters, 4,391,235 to nine tenths, 4,405,869 and 4,388,298 with pieces of 192 and 256.

Attention had 46.7 % of the peak (616,243 cycles; 50 % were wanted) while the scratchpad's reads had fixed priorities,
the array's before the VPU's: it waits for the VPU's powers and mixed values, and these waited for words that the array
did not need yet. Now the VPU's reads go first once the array had to wait for an accumulator row, until four groups of
rows have gone without another wait: 51.7 %, and the frame 4,257,276 cycles instead of 4,319,147. With the VPU's reads
always first it takes 4,327,766: attention 51.7 % as well, but linear layers 94.5 and 96.4 %, the head's convolutions
83.7 %. The network shipped then (4,348,887 cycles by fixed priority; 4,342,823 with the VPU always first) takes
4,332,586 cycles with one group, 4,305,694 with two, 4,280,265 with three, 4,282,958 with four, 4,285,002 with six,
4,285,239 with eight.

The network in the box has no means behind its LayerNorms, but a zero point for each channel. Linear layers have
94.4 % of the peak so (95 were wanted; 97.0 with the means, 1,787 MAC/cycle): the VPU reads the parameters of 32
channels for every four pixels, waits for parameters 2.7 % of the frame instead of 1.3, and the array for LayerNorm's
codes. Tried on RTL: pieces of 320 cycles instead of 224, 4,355,946 (94.5 %); of 448, 4,376,766 (94.1); of 600,
4,353,707 (94.6; MLP 96.7, queries, keys, values and projection 90.7); of 600 in front of attention alone 4,355,306
(94.8), in front of the MLP alone 4,360,890 (94.3). Convolutions of the head have 84.4 % with these codes, with the
means and without (85 were wanted): they wait for an instruction, 3.2 %, and for the VPU's doublings, 2.7 %. All this
is of a network whose last layer reads four bits (4,357,131 cycles); with eight, which are less grain in the picture,
its six depths a cell take 8,079 cycles more among the 1x1 convolutions, all others 644.

The head's convolutions took 849,147 cycles (84.1 %) while they waited for an instruction, 5.0 %, as four wait in front
of each engine and pieces of elementwise work fill the VPU's: 1x1 convolutions, whose results the VPU takes longer for
than the array makes them, stand between the 3x3 ones before them now, so that a map's doubling begins earlier.

Tried for attention before, on RTL with eight instructions in the queues: its products between those of queries, keys
and values, a head's first. It then showed 55 %, as its waits fell to the others (88.5 %), and the frame took .4 % less:
two accumulator banks bridge 768 to 1,024 cycles, the powers of 64 queries took 1,300; with blocks of 43 queries they
took 930, and the frame 1.5 % more. Blocks of all heads one after the other instead of a head's, so that the projection
and the MLP could fill in, cost 1.1 to 1.6 %: loads and copies come too late.

Tried for the whole, by the compiler's clock, 4,344,027 cycles before: eight instructions in the queues 4,326,225, for
as much memory again as the queues have (not taken; sixteen to sixty-four no better); 128 elementwise ones that wait
instead of 64 4,350,246; ones that move 1,200 instructions instead of 600 4,341,775; pieces that the array can
bridge to six tenths 4,355,414."""


def network_and_codes() -> tuple[Network, np.ndarray]:
    """ViT-S/14 + DPT as it is in the box, and a photo."""
    network = load(VIT).network
    return network, image_codes(network, fit_photo(shipped_photo("motorcycle_left.png"), SIZE).rgb)


def vit_layers_rows(progress: Callable[[str, int, int], None]) -> str:
    """The section of docs/results.md. Raises TriptychError where the chip's result is wrong."""
    network, codes = network_and_codes()
    compiled = compile_network(network, chip_config("paper"))
    image, wanted = np.frombuffer(compiled.memory(codes), np.uint8), network.run_integer(codes)
    frames, first = [], None
    for latency in LATENCIES:
        progress(f"ViT-S + DPT on paper, latency {latency}", 0, 0)
        timing = MemoryTiming(latency)
        run = run_program(compiled.config, image, compiled.prog_base, len(compiled.instructions), timing=timing)
        if not np.array_equal(compiled.read_output(run.memory), wanted):
            raise TriptychError("the chip's result is wrong; its cycles say nothing")
        first = first or run
        clock = estimate(compiled.listing, compiled.config, Memory(latency)).cycles
        rate = network.macs / run.cycles
        frames.append([
            str(latency), f"{run.cycles:,}", f"{rate:,.0f}", f"{rate / compiled.config.macs_w4a4:.1%}",
            f"{clock / run.cycles - 1:+.2%}", Label.RTL_SIMULATED.value,
        ])  # fmt: skip
    assert first is not None
    header = ["latency", "cycles", "MAC/cycle", "of the W4A4 peak", "error of the compiler's clock", "label"]
    text = (
        f"ViT-S/14 + DPT as it is in the box, {SIZE[0]}x{SIZE[1]}, {network.macs / 1e9:.2f} GMAC, W4A4. Memory of 19.2 "
        "bytes a cycle. By `triptych results vit-layers`."
    )
    parts = [
        f"## Where a vision transformer's cycles go\n{text}",
        table(header, frames),
        _layers(compiled, first),
        HISTORY,
    ]
    return "\n\n".join(parts)


def _layers(compiled: Compiled, run: RtlRun) -> str:
    """Cycles of the MXU by kind of layer."""
    sums: dict[str, list[float]] = {}
    classes: dict[str, dict[str, int]] = {}
    for layer in layer_runs(compiled, run):
        kind = next((k for k, pattern in KINDS.items() if re.search(pattern, layer.name)), "the rest")
        row = sums.setdefault(kind, [0.0, 0.0])
        row[0] += layer.cycles
        row[1] += layer.macs / compiled.config.macs_w4a4
        for name, cycles in layer.classes.items():
            held = classes.setdefault(kind, {})
            held[name] = held.get(name, 0) + cycles
    names = ("weights", "acc", "spad", "token", "empty", "fill")
    body = [
        [kind, f"{cycles:,.0f}", f"{cycles / run.cycles:.1%}", f"{ideal / cycles:.1%}" if ideal else "",
         *(f"{classes[kind][n] / cycles:.1%}" for n in names)]
        for kind, (cycles, ideal) in sums.items() if cycles
    ]  # fmt: skip
    header = ["layers", "cycles", "share", "of the W4A4 peak", *(f"waits: {n}" for n in names)]
    note = f"Latency {LATENCIES[0]}; cycles of the MXU, busy or not, until a layer's last product."
    return f"{note}\n\n{table(header, body)}"
