"""A network as a command's user names it: a zoo name, a file, or code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.export import ExportedProgram

from triptych.golden.quartdepth.network.doors import Fed, InputSpec, Source, opened, photo_size
from triptych.golden.quartdepth.zoo.meter import load_weights
from triptych.golden.quartdepth.zoo.published import PUBLISHED
from triptych.sim.errors import TriptychError

METER_SIZE = (192, 256)


@dataclass(frozen=True)
class Terms:
    """How a network is fed: size of its photos (None: its own), normalisation, layout; which of several outputs;
    weights of a published one."""

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float = 1.0
    layout: str = "NCHW"
    output: str | None = None
    weights: Path | None = None


@dataclass(frozen=True)
class Named:
    """A network that takes photos [1,3,h,w] in 0..1 of a size."""

    source: Source
    size: tuple[int, int]

    @property
    def example(self) -> Tensor | None:
        """As `capture` wants it."""
        return None if isinstance(self.source, ExportedProgram) else InputSpec(self.size).example()


def named(net: str, terms: Terms) -> Named:
    """The network of a name, `.pt2`, `.onnx` or `module.py:function`. Raises TriptychError, GraphError or
    CheckpointError in one line."""
    if net == "meter":
        return _fed(load_weights(terms.weights), terms, METER_SIZE)
    if net in PUBLISHED:
        known = PUBLISHED[net]
        if terms.weights is None:
            print(f"{net}: random weights, since --weights names no file ({known.files})", file=sys.stderr)
        module = known.build() if terms.weights is None else known.load(terms.weights)
        if terms.size is not None and any(n % known.step for n in terms.size):
            raise TriptychError(f"{net} takes sides that are multiples of {known.step}, not {_text(terms.size)}")
        return _fed(module, terms, known.size)
    if terms.weights is not None:
        raise TriptychError(f"--weights is for published networks: {', '.join(['meter', *PUBLISHED])}")
    if "." not in net and not Path(net).exists():
        raise TriptychError(
            f"no network '{net}': name a .pt2, an .onnx, module.py:function, or {', '.join(['meter', *PUBLISHED])}"
        )
    if ".py:" in net:
        print(f"running the code of {net.rpartition(':')[0]}", file=sys.stderr)
    return _fed(opened(net), terms, None)


def _fed(source: Source, terms: Terms, usual: tuple[int, int] | None) -> Named:
    own = photo_size(source) or usual
    size = terms.size or own
    if size is None:
        raise TriptychError("the network does not say its input's size: give --size HEIGHTxWIDTH")
    fixed = photo_size(source)
    if fixed is not None and size != fixed:
        raise TriptychError(f"the network takes {_text(fixed)} alone: leave --size away")
    spec = InputSpec(size, terms.mean, terms.std, terms.scale, terms.layout)
    if isinstance(source, nn.Module) and not (spec.plain and terms.output is None):
        return Named(Fed(source, spec, terms.output).eval(), size)
    if not isinstance(source, nn.Module) and not (spec.plain and terms.output is None):
        raise TriptychError("a .pt2 is fixed: normalise and choose the output in the module that you export")
    return Named(source, size)


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
