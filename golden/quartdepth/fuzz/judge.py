"""Three judges of a random network: the module in float, `run_integer`, which knows no layout, and the machine.

module == captured graph, to rounding            what the capture gets wrong
module ~ run_integer at w8a8, within a bound     what the quantiser gets wrong
run_integer == machine, bit by bit               what the compiler gets wrong
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from triptych.golden.quartdepth.arithmetic.codetable import CodeTable, lognp_grid
from triptych.golden.quartdepth.arithmetic.numerics import Ints
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.fuzz.cases import Case
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import QParams, QuantizeError
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.simulate import simulate

CLOSE = 1e-4  # of the largest value: what another order of sums may change
NEAR, CODES = 0.1, 2.0  # relative error at w8a8, and times what the codes alone lose
EXTREMES = 0.1  # of random codes that are the lowest or the highest one

OnProgram = Callable[[Compiled, Ints, Ints], None]


@dataclass
class Judged:
    """What came of a case. right: chips whose machine made run_integer's codes. refused: by stage, the line. wrong:
    by stage, what was wrong; a stage is "capture", "quantise" or a chip's name. error: relative L2 of the integer
    network's output at w8a8 from the module's; None where there is no such network."""

    right: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    error: float | None = None


def judge(case: Case, chips: Sequence[str], on_program: OnProgram | None = None) -> Judged:
    """Takes a case through capture, quantiser, compiler and machine. on_program: shown every program that was right,
    with its input and output codes; an AssertionError that it raises counts as wrong."""
    out = Judged()
    network = _network(case, out)
    if network is None:
        return out
    codes = random_codes(network, case.seed)
    wanted = network.run_integer(codes)
    for chip in chips:
        try:
            compiled = compile_network(network, chip_config(chip))
            got = run_on_machine(compiled, codes, noise=case.seed)
            different = int((got != wanted).sum())
            if different:
                out.wrong[chip] = f"{different} of {wanted.size} codes differ from run_integer's"
                continue
            if on_program is not None:
                on_program(compiled, codes, wanted)
            out.right.append(chip)
        except CompileError as error:
            out.refused[chip] = str(error)
        except Exception as error:  # a trap, a traceback, hardware that differs: all are findings
            out.wrong[chip] = f"{type(error).__name__}: {error}"
    return out


def _network(case: Case, out: Judged) -> Network | None:
    stage = "capture"
    try:
        module, image = case.module(), case.image()
        with torch.no_grad():
            wanted = module(image.clone())
        graph = capture(module, image)
        error = float((graph.run(image) - wanted).abs().max())
        if not error <= CLOSE * max(float(wanted.abs().max()), 1.0):
            out.wrong[stage] = f"the captured graph is {error:g} off the module"
            return None
        stage = "quantise"
        near = prepared(graph, image, Widths.W8A8, case.seed, False)
        out.error = float_error(near, image, wanted)
        if not out.error <= NEAR and not out.error <= NEAR + CODES * codes_error(near, graph, image, wanted):
            out.wrong[stage] = f"the integer network at w8a8 is {out.error:.3g} of its size off the module"
            return None
        return prepared(graph, image, case.widths, case.seed, case.tables)
    except (GraphError, QuantizeError) as error:
        out.refused[stage] = str(error)
    except Exception as error:  # a traceback is a finding
        out.wrong[stage] = f"{type(error).__name__}: {error}"
    return None


def prepared(graph: FloatGraph, image: Tensor, widths: Widths | str, seed: int, tables: bool) -> Network:
    """The integer network; with tables, every second map of 4-bit codes has one."""
    network = quantize(graph, [image], Widths(widths))
    if not tables:
        return network
    rng = np.random.default_rng(seed)
    narrow = [n for n, p in network.maps.items() if p.qparams.format is Format.UINT4 and n in graph.shapes]
    codes = {name: table_code(network.maps[name].qparams, rng) for name in narrow[::2]}
    return quantize(graph, [image], Widths(widths), codes)


def table_code(uniform: QParams, rng: np.random.Generator) -> QParams:
    """A LogNP code of about the range of a uniform one."""
    reach = uniform.scale * max(uniform.zero, 15 - uniform.zero)
    step, zero_point = float(rng.uniform(0.2, 0.6)), int(rng.integers(0, 16))
    table, (_, zero) = CodeTable.lognp(step, zero_point, unit=0.02), lognp_grid(step, zero_point)
    return QParams(Format.TABLE4, reach / 31, zero, table, unit=reach / 1000 * float(rng.uniform(0.2, 2)))


def float_error(network: Network, image: Tensor, wanted: Tensor) -> float:
    """Of the integer network's output on an image, relative to the module's."""
    codes = network.maps[network.input].qparams.encode(image[0].permute(1, 2, 0).double().numpy())
    got = network.maps[network.output].qparams.decode(network.run_integer(codes))
    exact = wanted[0].permute(1, 2, 0).double().numpy()
    return float(np.linalg.norm(got - exact)) / max(float(np.linalg.norm(exact)), 1e-9)


def codes_error(network: Network, graph: FloatGraph, image: Tensor, wanted: Tensor) -> float:
    """Of the float network whose maps have the integer network's codes, relative to the module: LayerNorm makes much of
    what is less than a step, which no arithmetic can mend."""
    codes = {name: network.maps[name].qparams for name in (*graph.constants, *(layer.name for layer in graph.layers))}
    made = simulate(graph, image, codes)
    return float((made - wanted).norm()) / max(float(wanted.norm()), 1e-9)


def random_codes(network: Network, seed: int) -> Ints:
    """Random input codes [h, w, c] over all that the input has, its lowest and highest ones often."""
    rng = np.random.default_rng(seed)
    fmap = network.maps[network.input]
    lo, hi = fmap.qparams.limits
    shape = (fmap.shape.height, fmap.shape.width, fmap.shape.channels)
    codes = rng.integers(lo, hi + 1, shape)
    extreme = rng.random(shape) < EXTREMES
    return np.where(extreme, rng.choice([lo, hi], shape), codes)
