"""Networks of several outputs: each is the module's, machine and integers agree on all of them, files keep them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import outputs_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import GraphError
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq import model_file

IMAGE = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(1))


class Returns(nn.Module):
    """What a function makes of three maps: of all pixels, of a quarter of them, and a vector."""

    def __init__(self, function: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.second, self.function = nn.Conv2d(8, 16, 3, 2, 1), function
        self.depth, self.head = nn.Conv2d(8, 1, 3, padding=1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Any:
        wide = self.first(x)
        small = self.second(wide)
        return self.function(self.depth(wide), small, self.head(small.relu().mean((2, 3))))


MODULES: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "tuple": lambda depth, small, classes: (depth, small, classes),
    "dictionary": lambda depth, small, classes: {"classes": classes, "depth": depth, ("scale", 1): small.relu()},
    "an output read again": lambda depth, small, classes: OrderedDict(
        small=small, half=0.5 * small, both=torch.cat([small, small.relu()], 1)
    ),
    "parts of a map": lambda depth, small, classes: [small[:, :8], small[:, 8:], small, None, classes[:, None]],
    "one twice": lambda depth, small, classes: (depth, depth.squeeze(1)),
}


def flat(result: Any) -> dict[str, Tensor]:
    """What a module returns, by key."""
    named = dict(result.items()) if isinstance(result, dict) else {str(n): r for n, r in enumerate(result)}
    return {str(key): value for key, value in named.items() if value is not None}


def maps_of(network: Network, keys: list[str]) -> dict[str, str]:
    """Output maps by key."""
    first, *others = keys
    assert list(network.further) == others
    return {first: network.output, **network.further}


@pytest.mark.parametrize("chip", ["tiny", "small", "paper"])
@pytest.mark.parametrize("name", MODULES)
def test_every_output_is_the_modules(name: str, chip: str, tmp_path: Path) -> None:
    module = Returns(MODULES[name]).eval()
    with torch.no_grad():
        wanted = flat(module(IMAGE))
    graph = capture(module, IMAGE)
    assert len(set(graph.outputs)) == len(wanted)
    seen: dict[str, Tensor] = {}
    graph.run(IMAGE, seen.__setitem__)
    widths = {"tiny": Widths.W8A8, "small": Widths.W4A8, "paper": Widths.W4A4}[chip]
    network = quantize(graph, [IMAGE], widths)
    maps = maps_of(network, list(wanted))
    codes = network.maps[network.input].qparams.encode(IMAGE[0].permute(1, 2, 0).double().numpy())
    integers = network.run_outputs(codes)
    for (key, exact), shape in zip(wanted.items(), graph.returned, strict=True):
        made = seen[maps[key]]
        shown = made if shape is None else made.permute(0, 2, 3, 1).reshape(shape)
        assert shown.shape == exact.shape
        torch.testing.assert_close(shown, exact, rtol=1e-4, atol=1e-5)
        if widths is Widths.W8A8:
            got = network.maps[maps[key]].qparams.decode(integers[maps[key]])
            error = np.linalg.norm(got - made[0].permute(1, 2, 0).numpy())
            assert error < 0.03 * np.linalg.norm(made.numpy())
    model_file.save(model_file.ModelFile(network, None, {}), tmp_path / "net.triptych")
    kept = model_file.load(tmp_path / "net.triptych").network
    found = outputs_on_machine(compile_network(kept, chip_config(chip)), codes, noise=3)
    assert set(found) == set(maps.values())
    assert all(np.array_equal(found[m], integers[m]) for m in found)


def test_what_does_not_depend_on_the_photo_is_no_output() -> None:
    with pytest.raises(GraphError, match="the output '1': "):
        capture(Returns(lambda depth, small, classes: (depth, torch.ones(3))), IMAGE)
