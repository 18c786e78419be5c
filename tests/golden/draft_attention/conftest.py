"""Kernels of these tests run in Triton's interpreter; it is chosen when Triton is first imported."""

import os

os.environ["TRITON_INTERPRET"] = "1"

import pytest
import torch

from triptych.sim.bench.census.torchvision_stub import install

install()  # diffusers imports transformers, which imports what does not load beside CPU builds of PyTorch


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(20250514)
    torch.set_num_threads(1)  # the tensors are tiny: a second thread only waits
