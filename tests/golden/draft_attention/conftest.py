"""Kernels of these tests run in Triton's interpreter; it is chosen when Triton is first imported."""

import os

os.environ["TRITON_INTERPRET"] = "1"

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import triton.language as tl
from triton.runtime import interpreter

from triptych.sim.bench.census.torchvision_stub import install

install()  # diffusers imports transformers, which imports what does not load beside CPU builds of PyTorch

_patch: Callable[[Any], Any] = interpreter._patch_lang


def _patch_once(fn: Any) -> Any:
    """A device function that a kernel calls finds the language as the kernel left it: looking through all of it again
    would be half of what these tests take."""
    seen = [v for v in fn.__globals__.values() if inspect.ismodule(v) and v in (tl, tl.core)]
    if seen and not any(tl.core.is_builtin(language.load) for language in seen):
        return interpreter._LangPatchScope()
    return _patch(fn)


interpreter._patch_lang = _patch_once


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(20250514)
    torch.set_num_threads(1)  # the tensors are tiny: a second thread only waits
