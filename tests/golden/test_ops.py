"""Every operation of the registry, drawn from its example: float, integers, machine agree; the page is the code's."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden.planted_ops import ELSEWHERE
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network import generate, registry
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.layer import FloatLayer, QLayer
from triptych.golden.quartdepth.network.quantize import image_codes, quantize
from triptych.golden.quartdepth.network.widths import Widths

OPS = Path(generate.__file__).parent / "ops"
CHIPS = ("tiny", "small", "paper")
WIDTHS = (Widths.W8A8, Widths.W4A8, Widths.W4A4)
NEAR = 0.12  # of the output's spread: what eight bits may leave, on the mean


def judge(name: str, seed: int) -> set[type]:
    """Three judges: the module, the integers, the machine. Returns what the networks are made of."""
    rng = random.Random(f"{name} {seed}")
    torch.manual_seed(rng.randrange(1 << 30))
    example = registry.operations()[name].example(rng)
    photos = [torch.randint(0, 256, (1, *example.shape)).float() / 255 for _ in range(3)]
    graph = capture(example.module, photos[0])
    inputs = [x if graph.patches is None else graph.patches.arrange(x) for x in photos]
    with torch.no_grad():
        wanted = example.module.eval()(photos[0])
    torch.testing.assert_close(graph.run(inputs[0]), wanted, rtol=1e-3, atol=1e-4)
    pixels = (photos[0][0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    made = {type(layer) for layer in graph.layers}
    for place, widths in enumerate(WIDTHS):
        network = quantize(graph, inputs, widths)
        made |= {type(layer) for layer in network.layers}
        codes = image_codes(network, pixels)
        integers = network.run_integer(codes)
        if widths is Widths.W8A8:
            got = network.maps[network.output].qparams.decode(integers)
            exact = wanted[0].permute(1, 2, 0).numpy()
            assert np.abs(got - exact).mean() <= NEAR * max(float(exact.std()), 0.1 * float(np.abs(exact).max()), 1e-3)
        chip = chip_config(CHIPS[(place + seed) % len(CHIPS)])
        assert np.array_equal(run_on_machine(compile_network(network, chip), codes, noise=seed), integers)
    return made


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", registry.operations())
def test_operation(name: str, seed: int) -> None:
    judge(name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.operations())
def test_operation_many_times(name: str) -> None:
    """And its own layers are among those of the examples."""
    made = set[type]().union(*(judge(name, seed) for seed in range(2, 40)))
    assert name in ELSEWHERE or made >= set(registry.operations()[name].integers)


def test_every_file_is_an_operation_and_every_layer_is_declared_once() -> None:
    operations = registry.operations()
    assert set(operations) == {p.stem for p in OPS.glob("*.py") if not p.stem.startswith("_")}
    for kinds, base in (("floats", FloatLayer), ("integers", QLayer)):
        declared = [kind for operation in operations.values() for kind in getattr(operation, kinds)]
        assert len(declared) == len(set(declared))
        assert all(issubclass(kind, base) for kind in declared)
        concrete = {kind for kind in _all_below(base) if kind.__module__.startswith(registry.PACKAGE)}
        assert {kind for kind in concrete if not kind.__abstractmethods__} == set(declared)


def _all_below(kind: type) -> set[type]:
    return {kind}.union(*(_all_below(sub) for sub in kind.__subclasses__())) if kind.__subclasses__() else {kind}


def test_page_is_what_the_registry_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert generate.main(["--check"]) == 0
    drifted = tmp_path / "ops.md"
    drifted.write_text(generate.page().replace("## ReLU", "## Relu"))
    monkeypatch.setattr(generate, "PAGE", drifted)
    assert generate.main(["--check"]) == 1
