"""Quantisation as a library: a module and images go in, integers that the chip computes come out.

from triptych.golden.quartdepth.ptq import quantize

result = quantize(net, images, "w4a4", "fisher", "kl")
logits = result.simulate()(batch)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.errors import tensor_errors
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import QuantizeError
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.layerwise import LayerRecord
from triptych.golden.quartdepth.ptq.model_file import ModelFile, save
from triptych.golden.quartdepth.ptq.objective import Objective
from triptych.golden.quartdepth.ptq.polish import Choice
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, run
from triptych.golden.quartdepth.ptq.work import Work

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Quantized:
    """A network in integers. choices: of the code tables, by map; records: of the layers' rounding, by layer (both
    empty for plain min-max). example: the first image, as the graph takes it."""

    graph: FloatGraph
    network: Network
    recipe: Recipe
    choices: list[Choice]
    records: list[LayerRecord]
    example: Tensor

    def simulate(self) -> Simulated:
        """The integer network as a module: images [B,C,H,W] float32 in 0..1 to what the float module returns."""
        return Simulated(self.graph, self.network)

    def run_integer(self, image: Tensor) -> NDArray[np.int64]:
        """Output codes [h,w,c], as the chip stores them, of an image [1,C,H,W] or [C,H,W]. Raises ValueError for
        another size."""
        return self.network.run_integer(_codes(self.graph, self.network, image.reshape(1, *image.shape[-3:])))

    def compile(self, chip: str = "paper") -> Compiled:
        """The program for a chip of chip/config.py. Raises CompileError for what does not fit, KeyError for no such
        chip."""
        return compile_network(self.network, chip_config(chip))

    def save(self, file: Path | str, metres_per_unit: float | None = None) -> int:
        """Writes the file that `triptych depth --model` runs; its size in bytes. Raises FileError."""
        about: dict[str, Any] = {
            "recipe": {"widths": self.recipe.widths.value, "method": self.recipe.method.value}
            | {"objective": self.recipe.objective.value, "seed": self.recipe.seed},
            "tensor_errors": tensor_errors(self.graph, self.network, self.example),
        }
        return save(ModelFile(self.network, metres_per_unit, about), Path(file))


class Simulated(nn.Module):
    """The integer network behind float images and a float result, bit for bit what the chip computes; no gradients."""

    def __init__(self, graph: FloatGraph, network: Network) -> None:
        super().__init__()
        self.graph, self.network = graph, network

    def forward(self, images: Tensor) -> Tensor:
        """[B,C,H,W] float32 in 0..1 to the module's first result for each of them, joined along the first axis."""
        qparams = self.network.maps[self.network.output].qparams
        results = []
        for image in images.split(1):
            out = qparams.decode(self.network.run_integer(_codes(self.graph, self.network, image)))
            value = torch.from_numpy(out).float().permute(2, 0, 1)[None]
            shape = self.graph.returned[0] if self.graph.returned else None
            results.append(value if shape is None else value.permute(0, 2, 3, 1).reshape(shape))
        return torch.cat(results).to(images.device)


def _codes(graph: FloatGraph, network: Network, image: Tensor) -> NDArray[np.int64]:
    arranged = image if graph.patches is None else graph.patches.arrange(image, 0.0)
    values = arranged[0].detach().cpu().permute(1, 2, 0).double().numpy()
    return network.maps[network.input].qparams.encode(values)


def quantize(
    module: nn.Module | FloatGraph, images: Sequence[Tensor] | Tensor, widths: Widths | str = Widths.W4A4,
    method: Method | str = Method.FISHER, objective: Objective | str = Objective.LOG_DEPTH, *,
    seed: int = Recipe.seed, teaching: int = Recipe.teaching, work: Path | str | None = None,
    progress: Progress = lambda text, done, total: None, device: str = "cpu",
) -> Quantized:  # fmt: skip
    """Quantises a module by the method of the paper (docs/method.md) or a first part of it.

    images: for calibration, each [1,C,H,W] or [C,H,W] float32 in 0..1, or all as [N,C,H,W]. widths: "w4a4", "mixed",
    "w4a8", "w8a8". method: "minmax", "lognp", "compensate", "fisher" or "full", each with those before it. objective:
    how the output is judged (`Objective`). teaching: steps of reconstruction ("full"). work: a file that keeps what is
    done, so that a run that was cut off goes on. progress(text, done, total): called on the way.

    Raises GraphError for what has no layer on the chip, QuantizeError for images or weights that do not fit,
    ValueError for names that there are not, WorkError for a file that cannot be used.
    """
    recipe = Recipe(Widths(widths), Method(method), seed, teaching=teaching, objective=Objective(objective))
    each = [image.reshape(1, *image.shape[-3:]) for image in images]
    if not each:
        raise QuantizeError("calibration needs at least one image")
    graph = module if isinstance(module, FloatGraph) else capture(module, each[0])
    if graph.patches is not None:
        each = [graph.patches.arrange(image, 0.0) for image in each]
    kept = Work(None if work is None else Path(work))
    result = run(graph, each, recipe, progress, kept, device)
    return Quantized(graph, result.network, recipe, result.choices, result.layers, each[0])
