"""`triptych check`, `compile` and `run` on networks of all doors; what cannot be is one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.kit.command import triptych
from triptych.golden.photo import shipped_photo
from triptych.sim.view.report import read
from triptych.sim.view.runfile import load_chip
from triptych.sim.view.runs import ChipRun

CODE = """
import torch
from torch import nn

class Gate(nn.Module):
    def forward(self, x):
        return x * x.sinh()  # gate line

def good():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3, padding=1),
        nn.GELU(), nn.Upsample(scale_factor=4, mode="bilinear"), nn.Conv2d(4, 1, 1))

def bad():
    return nn.Sequential(nn.Conv2d(3, 8, 3), Gate(), nn.Softshrink(), nn.Conv2d(8, 1, 1))

def broken():
    raise RuntimeError("no such thing")

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 1, 1), nn.Conv2d(3, 2, 1)

    def forward(self, x):
        return {"depth": self.a(x), "other": self.b(x)}
"""
SIZE = (16, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("networks")
    (place / "net.py").write_text(CODE)
    scope: dict[str, object] = {}
    exec(compile(CODE, "net.py", "exec"), scope)
    module: nn.Module = scope["good"]().eval()  # type: ignore[operator]
    image = torch.rand(1, 3, *SIZE)
    torch.export.save(torch.export.export(module, (image,)), str(place / "good.pt2"))
    np.save(place / "ones.npy", np.ones((*SIZE, 3), np.float32))
    np.save(place / "small.npy", np.ones((8, 8, 3), np.float32))
    np.save(place / "large.npy", np.full((*SIZE, 3), 255.0, np.float32))
    (place / "text.onnx").write_text("no protobuf")
    (place / "text.pt2").write_text("no zip")
    (place / "weights.pth").write_text("no weights")
    return place


def test_a_file_of_torch_export_goes_through(folder: Path) -> None:
    assert "all of it has layers" in triptych(folder, "check", "good.pt2").stdout
    done = triptych(folder, "compile", "good.pt2", "--out", "good.triptych", "--config", "tiny", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["macs"] > 0
    assert told["estimated_cycles"] > 0
    ran = triptych(folder, "run", "good.triptych", "ones.npy", "--config", "tiny", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["bit_exact"] is True
    assert found["mismatches"] == 0
    assert found["cycles"] > 0
    assert 0 < found["mxu_utilization"] < 1
    assert (folder / found["output"]).exists()
    run = read(folder / found["run"])  # its page, with all its parts
    assert run.page.problems == []
    parts = {f.name for f in run.page.figures}
    assert parts == {"layers", "engines", "gantt", "roofline", "traffic", "dram", "scratchpad", "errors"}
    assert isinstance(run.run, ChipRun)
    assert run.run.cycles == found["cycles"]
    assert run.run.network.widths == "w4a8"
    assert run.run.dram is not None
    assert sum(run.run.dram.values) == run.run.bytes_read + run.run.bytes_written
    assert run.run.scratchpad is not None
    assert 0 < max(run.run.scratchpad.values) <= run.run.chip.spad_bytes
    photo = str(shipped_photo("coffee.png"))
    both = triptych(folder, "run", "good.triptych", photo, "ones.npy", "--on", "machine", "--config", "small")
    assert both.stdout.count("bit-exact on machine") == 2


@pytest.mark.slow
def test_waves_name_every_instruction_of_a_layer(folder: Path) -> None:
    """The transactions in the FST are the run's: instruction, start, layer; and the save files name signals in it."""
    pywellen = pytest.importorskip("pywellen", reason="pip install 'triptych[test]'")
    if not Path("/usr/include/lz4.h").exists():
        pytest.skip("waves need liblz4-dev zlib1g-dev")
    done = triptych(folder, "compile", "good.pt2", "--out", "waves.triptych", "--config", "tiny", "--bits", "w8a8")
    assert done.returncode == 0, done.stderr
    words = ("run", "waves.triptych", "ones.npy", "--config", "tiny", "--out", "waves", "--json")
    ran = triptych(folder, *words, "--trace", "4")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    fst, gtkwave, surfer = (folder / name for name in found["waves"])
    run = load_chip(folder / found["run"])
    assert run.program is not None
    wanted = next(n for n, layer in enumerate(run.layers) if layer.name == "4")
    mine = [s for spans in run.program.spans.values() for s in spans if run.program.layer_of[s[0]] == wanted]
    first, last = min(s[1] for s in mine) - 32, max(s[2] for s in mine) + 32
    held = {v.full_name: v for v in pywellen.Waveform(str(fst)).all_vars()}
    times = [t for v in held.values() for t, _ in v.tv[-1:]]
    assert 2 * max(first, 0) <= max(times) <= 2 * last + 1
    layers: set[str] = set()
    for number, spans in enumerate(run.program.spans.values()):
        scope = f"TOP.quartdepth_board.u_transactions.gen_engine[{number}]"
        shown = [(pc, (t - 3) // 2) for t, pc in held[f"{scope}.pc_q"].tv if t > 2 * first + 1]
        assert shown == [(pc, begin) for pc, begin, _ in spans if first <= begin < last], number
        texts = [v.to_bytes(32, "big").strip(b"\0").decode() for t, v in held[f"{scope}.now_q.layer"].tv]
        layers |= set(texts)
    assert "4" in layers
    assert layers <= {layer.name[-32:] for layer in run.layers} | {""}
    for file in (gtkwave, surfer):
        named = re.findall(r"^(?:variable_add )?(TOP\.[^\s]+?)(?:\[\d+:0\])?$", file.read_text(), re.MULTILINE)
        assert len(named) == 1 + 4 * 6
        assert set(named) <= set(held)
    for options, said in ((("--trace", "nothing"), "no layer has 'nothing' in its name: take one of 0, "),
                          (("--trace-cycles", "9:3"), "takes A:B with A below B"),
                          (("--trace", "4", "--trace-cycles", "1:2"), "of one thing"),
                          (("--trace-cycles", "90000000:90000001"), "none is in 90000000:90000001")):  # fmt: skip
        refused = triptych(folder, *words, *options)
        assert refused.returncode == 1
        assert said in refused.stderr


def test_all_outputs_are_compared_and_written(folder: Path) -> None:
    done = triptych(folder, "compile", "net.py:Two", "--size", "16x24", "--out", "two.triptych", "--config", "tiny")
    assert done.returncode == 0, done.stderr
    ran = triptych(folder, "run", "two.triptych", "ones.npy", "--config", "tiny", "--json")
    found = json.loads(ran.stdout)
    assert (found["bit_exact"], found["mismatches"]) == (True, 0)
    assert found["output"] == "out/ones.tiny.png"
    assert found["further"] == {"other": "out/ones.tiny.1-other.npy"}
    assert np.load(folder / found["further"]["other"]).shape == (*SIZE, 2)
    one = triptych(folder, "compile", "net.py:Two", "--size", "8x8", "--output", "other", "--out", "one.triptych")
    assert one.returncode == 0, one.stderr


def test_code_goes_through_and_is_said_to_run(folder: Path) -> None:
    photos = folder / "photos"
    photos.mkdir()
    (photos / "one.png").write_bytes(shipped_photo("coffee.png").read_bytes())
    done = triptych(
        folder, "compile", "net.py:good", "--size", "16x24", "--mean", "0.485,0.456,0.406", "--std", "0.2",
        "--calibrate", "photos", "--bits", "w8a8", "--out", "code.triptych", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "running the code of net.py" in done.stderr
    assert json.loads(done.stdout)["calibration_images"] == 1
    ran = triptych(folder, "run", "code.triptych", "ones.npy", "--on", "integers", "--json")
    assert json.loads(ran.stdout)["on"] == "integers"


def test_onnx_goes_through(folder: Path) -> None:
    pytest.importorskip("onnx", reason="pip install 'triptych[onnx]'")
    script = (
        "import net, torch; torch.onnx.export(net.good().eval(), torch.rand(1, 3, 16, 24), 'good.onnx', "
        "opset_version=17, dynamo=False)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=folder, check=True, capture_output=True)
    for door in ("good.onnx", "net.py:good"):
        size = [] if door.endswith("onnx") else ["--size", "16x24"]
        done = triptych(folder, "compile", door, *size, "--out", "onnx.triptych", "--bits", "w8a8")
        assert done.returncode == 0, done.stderr
        assert triptych(folder, "run", "onnx.triptych", "ones.npy", "--on", "machine").returncode == 0
        made = np.load(folder / "out" / "ones.small.npy")
        wanted = made if door.endswith("onnx") else wanted  # noqa: F821
        assert np.allclose(made, wanted, atol=1e-6)  # the same network through both


def test_everything_unsupported_is_named(folder: Path) -> None:
    done = triptych(folder, "check", "net.py:bad", "--size", "9x9")
    assert done.returncode == 1
    line = next(n for n, text in enumerate(CODE.splitlines(), 1) if text.endswith("# gate line"))
    assert f"aten.sinh.default (1, net.py:{line})" in done.stdout
    assert "aten.softshrink.default (2)" in done.stdout
    assert "instead: " in done.stdout
    assert "2 operators without a layer" in done.stdout
    report = json.loads(triptych(folder, "check", "net.py:bad", "--size", "9x9", "--json").stdout)
    assert report["supported"] is False
    assert [f["operator"] for f in report["findings"]] == ["aten.sinh.default", "aten.softshrink.default"]
    assert "all of it" in triptych(folder, "check", "net.py:Two", "--size", "8x8", "--output", "depth").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "nowhere.onnx"), "there is no file nowhere.onnx"),
        (("check", "text.onnx"), "is no valid ONNX file"),
        (("check", "text.pt2"), "is no program of torch.export.save"),
        (("check", "weights.pth"), "holds weights and no network"),
        (("check", "net.py"), "say which function"),
        (("check", "net.py:nothing"), "has no 'nothing'"),
        (("check", "net.py:broken"), "RuntimeError: no such thing"),
        (("check", "net.py:good"), "give --size"),
        (("check", "resnet"), "no network 'resnet'"),
        (("check", "good.pt2", "--size", "8x8"), "takes 16x24 alone"),
        (("compile", "net.py:good", "--size", "16x24", "--mean", "a", "--out", "x.t"), "--mean takes one number"),
        (("compile", "good.pt2", "--calibrate", "nowhere.png", "--out", "x.t"), "nowhere.png"),
        (("run", "net.py", "ones.npy", "--on", "integers"), "is no model of"),
    ],
)
def test_what_cannot_be_is_one_line(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = triptych(folder, *arguments)
    assert done.returncode != 0
    text = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if "running the code" not in line)
    errors = [line for line in text.splitlines() if line and not line.startswith(("loading", "capturing"))]
    assert len(errors) == 1, text
    assert said in errors[0]
    assert "Traceback" not in text
    assert not (folder / "x.t").exists()


def test_inputs_that_do_not_fit(folder: Path) -> None:
    done = triptych(folder, "compile", "good.pt2", "--out", "fits.triptych")
    assert done.returncode == 0, done.stderr
    for name, said in (("small.npy", "holds 8x8x3, the network takes 16x24x3"), ("large.npy", "give values in 0..1")):
        ran = triptych(folder, "run", "fits.triptych", name, "--on", "integers")
        assert ran.returncode == 1
        assert said in ran.stderr
