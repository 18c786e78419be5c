"""A fault in the lowering of each operation, and whether the operation's generated test finds it.

`python -m tests.golden.planted_ops [OPERATION...]` prints an object: by operation "caught" with the seed, or what else
came of it. PyTorch is loaded once; each fault lives in a fork of that process that has not loaded the operation yet.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import torch

OPS = "triptych.golden.quartdepth.network.ops"
SEEDS = 12  # of the generated test, until one finds it

PLANTED: dict[str, tuple[str, str]] = {
    "add": ("q.residual(self.other, self.name, unit)", "q.residual(self.other, self.name, unit / 1.5)"),
    "addcmul": ("gain, by_channel(c, view, offset)), view)", "gain, -by_channel(c, view, offset)), view)"),
    "affine": ("- mean * gain", "+ mean * gain"),
    "attention": ("q.index.shape[-1] ** -0.5", "q.index.shape[-1] ** -0.25"),
    "choice": ("-q.qparams(self.source).zero - 1, scale", "-q.qparams(self.source).zero - 1, STEEP"),
    "clamp": ("round(self.offset / (self.gain * source.scale))", "round(self.offset / source.scale)"),
    "class_token": ("layer.token - linear.bias", "layer.token"),
    "concat": ("parts.append(p * shape.channels + before + ", "parts.append(p * shape.channels + "),
    "conv1d": ("band[rows, rows + tap - padding[0]] =", "band[rows + tap - padding[0], rows] ="),
    "conv2d": ("(self.stride[0] * py, self.stride[1] * px)", "(self.stride[0] * py, self.stride[0] * px)"),
    "conv3d": ("stride[0] - padding[0] + tap", "stride[0] + padding[0] + tap"),
    "conv_transpose2d": ("range(rest, kernel, stride))[::-1]", "range(rest, kernel, stride))"),
    "crop": ("torch.tensor(kept)]", "torch.tensor(kept[::-1])]"),
    "cumsum": (".tril()", ".triu()"),
    "curve": ("torch.from_numpy(x)).numpy()", "torch.from_numpy(x)).numpy() / 2"),
    "elu": ("decay(self.alpha, 1.0, -self.alpha)", "decay(self.alpha, 1.0, 0.0)"),
    "gather": ("int(self.add[part]), self.scale(part), self.lo", "int(self.add[0]), self.scale(part), self.lo"),
    "gelu": ("self.source, GELU_TERMS, q", "self.source, GELU_TERMS * 2, q"),
    "group_norm": ("lambda v: v**-0.5", "lambda v: v**-0.25"),
    "hardswish": ("round(3.0 / source.scale)", "round(2.5 / source.scale)"),
    "layer_norm": ('"a_shl": 6', '"a_shl": 5'),
    "leaky_relu": ("ramp, 1.0 - self.slope,", "ramp, 1.0,"),
    "linear": ("weight[:, :, None, None], bias)", "weight[:, :, None, None], -bias)"),
    "matmul": ("one.scale * two.scale / out.step", "one.scale * one.scale / out.step"),
    "max_pool2d": ("largest=True)", "largest=n > 1)"),
    "maximum": ("((1.0, 1.0),)", "((1.0, 0.5),)"),
    "mish": ("Term(-0.38327,", "Term(0.38327,"),
    "normalise": ('"rs_m": 1, "imm_s": FRACTION', '"rs_m": 1, "imm_s": FRACTION - 1'),
    "pad": ("range(-before, size + after)", "range(-after, size + before)"),
    "pixel_shuffle": ("reshape(channels, outputs, r, r)", "reshape(channels, outputs, r, r).mT"),
    "pool": ("factor = 0.5 if not last", "factor = 0.4 if not last"),
    "product": ('"b_add": self.other_add', '"b_add": self.other_add + 1'),
    "reduction": ("1.0 / count if mean else 1.0", "1.0 / count"),
    "relu": ("with_activation(Activation.RELU)", "with_activation(Activation.GELU)"),
    "requantise": ('"imm_add": add,', '"imm_add": add + 1,'),
    "resize": ('"b_m": self.far_m[pick]', '"b_m": self.near_m[pick]'),
    "sigmoid": ("decay(-gain * weight, -k * rate, gain * weight)", "decay(-gain * weight, -k * rate, 0.0)"),
    "silu": ("Term(0.73741,", "Term(0.33741,"),
    "softmax": ('"imm_add": self.add,', '"imm_add": self.add + 100,'),
    "softplus": ("-weight / 2)", "weight / 2)"),
    "turn": ('"imm_add": self.add,', '"imm_add": self.add + 1,'),
    "upsample": ("far = Residual(self.source, self.add, self.far)", "far = Residual(self.source, self.add, self.near)"),
    "views": ("    return View(view.fmap, result)", "    return View(view.fmap, result.flip(-1))"),
}
ELSEWHERE = {"channel_scale": "LogNP alone makes it: tests/golden/ptq"}


class _Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module with its text changed."""

    def __init__(self, name: str, right: str, wrong: str) -> None:
        self.name, self.right, self.wrong = name, right, wrong

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        self.found = importlib.machinery.PathFinder.find_spec(name, path)
        assert self.found is not None
        return importlib.util.spec_from_loader(name, self, origin=self.found.origin)

    def exec_module(self, module: types.ModuleType) -> None:
        assert self.found is not None
        assert self.found.origin is not None
        text = Path(self.found.origin).read_text()
        assert self.right in text, f"{self.name} has no '{self.right}'"
        module.__file__ = self.found.origin
        exec(compile(text.replace(self.right, self.wrong), self.found.origin, "exec"), module.__dict__)


def outcome(name: str) -> str:
    """What the generated test says to the fault in an operation."""
    sys.meta_path.insert(0, _Planted(f"{OPS}.{name}", *PLANTED[name]))
    try:
        from tests.golden.test_ops import judge
    except Exception as error:
        return f"not planted: {type(error).__name__}: {error}"
    for seed in range(SEEDS):
        try:
            judge(name, seed)
        except AssertionError:
            return f"caught by seed {seed}"
        except Exception as error:
            return f"stopped by seed {seed}: {type(error).__name__}: {error}"
    return f"not found by {SEEDS} seeds"


def main(names: Sequence[str]) -> None:
    """Prints the outcomes."""
    assert OPS not in sys.modules
    torch.set_num_threads(1)
    said: dict[str, str] = {}
    for name in names or PLANTED:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, outcome(name).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as text:
            said[name] = text.read()
        os.waitpid(child, 0)
        print(name, said[name], file=sys.stderr, flush=True)
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1:])
