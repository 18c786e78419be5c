"""Mish, the worked example of docs/ops.md: its terms are the function, and nothing else in the product names it."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.ops import mish
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths


def test_terms_are_mish() -> None:
    x = torch.linspace(-10, 10, 20001)
    terms = torch.stack([term.of(x) for term in mish.TERMS]).sum(0)
    assert float((terms - nn.functional.mish(x)).abs().max()) < 0.008


def test_integers_follow_mish() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Mish(), nn.Conv2d(8, 8, 1)).eval()
    with torch.no_grad():
        module[0].weight.mul_(4)
        module[2].weight.copy_(torch.eye(8)[:, :, None, None])
        module[2].bias.zero_()
    x = torch.randint(0, 256, (1, 3, 16, 16)).float() / 255
    network = quantize(capture(module, x), [x], Widths.W8A8)
    codes = network.maps[network.input].qparams.encode(x[0].permute(1, 2, 0).double().numpy())
    got = network.maps[network.output].qparams.decode(network.run_integer(codes))
    with torch.no_grad():
        wanted = module(x)[0].permute(1, 2, 0).numpy()
    # five roundings to eight bits of what is at most three times the output's range, and the terms' own error
    assert np.abs(got - wanted).max() < 0.008 + 3 * np.ptp(wanted) / 255


def test_nothing_else_names_it() -> None:
    root = Path(mish.__file__).parents[4]
    files = [p for folder in ("golden", "sim") for p in (root / folder).rglob("*.py")]
    assert len(files) > 100
    named = {p.name for p in files if "mish" in p.read_text().lower()}
    # generate.py prints the file as docs/ops.md's example, onnx_reader.py knows every ONNX operator by PyTorch's name
    assert named == {"mish.py", "generate.py", "onnx_reader.py"}
