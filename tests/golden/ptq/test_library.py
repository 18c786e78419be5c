"""Quantisation as a library: any objective, a classifier and a segmentation network, results that are the chip's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from method_kit import images as pictures
from method_kit import small_graph
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.qparams import QuantizeError
from triptych.golden.quartdepth.ptq import Objective, Quantized, quantize
from triptych.golden.quartdepth.ptq.model_file import load
from triptych.golden.quartdepth.ptq.objective import Judge
from triptych.sim.build.sources import ROOT

SIDE, CLASSES = 12, 4


class Classifier(nn.Module):
    """Which of four directions a grating has: logits [B,4]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Conv2d(16, CLASSES, SIDE // 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)).flatten(1)


class Segmenter(nn.Module):
    """Which of four directions the grating around each pixel has: logits [B,4,H,W]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 12, 5, padding=2), nn.ReLU(), nn.Conv2d(12, 12, 5, padding=2), nn.ReLU(), nn.Conv2d(12, 4, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def gratings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images [N,3,S,S] in 0..1 with noise, and their classes."""
    g = torch.Generator().manual_seed(seed)
    classes = torch.randint(CLASSES, (count,), generator=g)
    angle = (classes * torch.pi / CLASSES)[:, None, None]
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    phase = torch.rand(count, 1, 1, generator=g) * 6.28
    wave = torch.sin((x * angle.cos() + y * angle.sin()) * 1.6 + phase)[:, None]
    noisy = 0.5 + 0.25 * wave + 0.15 * torch.randn(count, 3, SIDE, SIDE, generator=g)
    return ((noisy.clamp(0, 1) * 255).round() / 255), classes


def trained(module: nn.Module) -> nn.Module:
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    for step in range(60):
        x, wanted = gratings(32, 100 + step)
        logits = module(x)
        if logits.ndim == 4:
            wanted = wanted[:, None, None].expand(-1, SIDE, SIDE)
        optimiser.zero_grad()
        F.cross_entropy(logits, wanted).backward()
        optimiser.step()
    return module.eval()


@pytest.fixture(scope="module", params=[Classifier, Segmenter])
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return trained(request.param())


def divergence(module: nn.Module, result: Quantized, seed: int = 9) -> float:
    x, _ = gratings(12, seed)
    with torch.no_grad():
        wanted = module(x)
    got = result.simulate()(x)
    assert got.shape == wanted.shape
    return float(F.kl_div(got.log_softmax(1), wanted.log_softmax(1), log_target=True, reduction="none").sum(1).mean())


def test_logits_by_their_divergence(network: nn.Module) -> None:
    """The method by KL divergence is nearer to the float network than min-max, and classifies as it does."""
    calibration, _ = gratings(16, 1)
    plain = quantize(network, calibration, "w4a4", "minmax")
    fisher = quantize(network, calibration, "w4a4", "fisher", "kl")
    assert divergence(network, fisher) < 0.7 * divergence(network, plain)
    x, _ = gratings(24, 7)
    same = (fisher.simulate()(x).argmax(1) == network(x).argmax(1)).float().mean()
    assert same > 0.9


def test_what_is_simulated_is_what_the_machine_computes(network: nn.Module) -> None:
    calibration, _ = gratings(8, 1)
    result = quantize(network, list(calibration), "w4a8", "compensate", Objective.MSE)
    image = gratings(1, 5)[0]
    codes = result.run_integer(image)
    compiled = result.compile("tiny")
    qparams = result.network.maps[result.network.output].qparams
    inputs = result.network.maps[result.network.input].qparams.encode(image[0].permute(1, 2, 0).double().numpy())
    assert np.array_equal(run_on_machine(compiled, inputs, noise=1), codes)
    wanted = torch.from_numpy(qparams.decode(codes)).float().permute(2, 0, 1)
    assert torch.equal(result.simulate()(image).reshape(wanted.shape), wanted)


def test_a_saved_network_is_the_same(network: nn.Module, tmp_path: Path) -> None:
    result = quantize(network, gratings(4, 1)[0], "w4a4", "lognp", "kl")
    size = result.save(tmp_path / "net.quant", metres_per_unit=2.0)
    assert (tmp_path / "net.quant").stat().st_size == size
    read = load(tmp_path / "net.quant")
    assert read.metres_per_unit == 2.0
    assert read.about["recipe"]["objective"] == "kl"
    image = gratings(1, 5)[0]
    codes = read.network.maps[read.network.input].qparams.encode(image[0].permute(1, 2, 0).double().numpy())
    assert np.array_equal(read.network.run_integer(codes), result.run_integer(image))


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    calls: list[str] = []

    def note(text: str, done: int, total: int) -> None:
        calls.append(text.split()[0])

    graph, calibration = small_graph(), pictures(8)
    whole = quantize(graph, calibration, method="full", teaching=4)
    first = quantize(graph, calibration, method="fisher", teaching=4, work=tmp_path / "w", progress=note)
    assert {"statistics", "Fisher", "layer"} <= set(calls)
    calls.clear()
    second = quantize(graph, calibration, method="full", teaching=4, work=tmp_path / "w", progress=note)
    assert "statistics" not in calls
    assert "reconstruction," in calls
    image = pictures(1, seed=9)[0]
    assert np.array_equal(second.run_integer(image), whole.run_integer(image))
    assert first.recipe.method != second.recipe.method


def test_noise_has_the_covariance_of_probabilities() -> None:
    judge = Judge(Objective.KL, 1.0)
    logits = torch.tensor([2.0, -1.0, 0.5, 0.0]).reshape(1, 4, 1, 1).expand(1, 4, 200, 400)
    drawn = judge.noise(logits, torch.Generator().manual_seed(0)).reshape(4, -1)
    p = logits[0, :, 0, 0].softmax(0)
    assert torch.allclose(drawn @ drawn.T / drawn.shape[1], p.diag() - p[:, None] * p, atol=0.005)
    assert float(drawn.sum(0).abs().max()) < 1e-5  # a constant added to all logits changes nothing


@pytest.mark.parametrize("objective", list(Objective))
def test_the_noise_is_the_cost_to_second_order(objective: Objective) -> None:
    """`E (d . e)^2` is twice the cost of a small change d (log depth: of its square, without slopes)."""
    judge = Judge(objective, 0.5)
    g = torch.Generator().manual_seed(1)
    output = torch.rand(1, 4, 5, 6, generator=g).double() + 1
    change = 1e-3 * torch.randn(1, 4, 5, 6, generator=g).double()
    space = judge.space(output)
    moved = judge.space(output + change) - space
    draws = [float((moved * judge.noise(space, g)).sum()) ** 2 for _ in range(4000)]
    pixels = 30
    if objective is Objective.KL:
        wanted = 2 * pixels * float(judge.distance(output + change, space))
    else:
        wanted = float(moved.square().sum())
    assert np.mean(draws) == pytest.approx(wanted, rel=0.1)
    assert float(judge.distance(output, space)) == 0


def test_the_pages_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "method.md").read_text(), re.DOTALL)
    exec(compile(example, "docs/method.md", "exec"), {})
    agree, instructions, size = capsys.readouterr().out.removeprefix("tensor(").replace(")", "").split()
    assert float(agree) > 0.5
    assert int(instructions) > 3
    assert int(size) == (tmp_path / "net.triptych").stat().st_size


@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        ({"objective": "depth"}, ValueError, "no objective 'depth': choose one of log_depth, mse, kl"),
        ({"method": "best"}, ValueError, "no method 'best'"),
        ({"widths": "w2a2"}, ValueError, "no widths 'w2a2'"),
        ({"images": []}, QuantizeError, "at least one image"),
        ({"images": [torch.rand(3, 5, 5), torch.rand(3, 6, 5)]}, QuantizeError, "calibration images must be"),
    ],
)
def test_what_does_not_fit_is_said(bad: dict[str, object], error: type[Exception], text: str) -> None:
    wanted: dict[str, object] = {"images": [torch.rand(3, 8, 8)], **bad}
    with pytest.raises(error, match=text):
        quantize(nn.Conv2d(3, 4, 3), **wanted)  # type: ignore[arg-type]
