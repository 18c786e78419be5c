"""C simulation of the HLS kernels against golden, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from golden.fastcar.config import NEVER_REPLAY, TINY, Controls, LayerConfig, Policy, TasVariant
from sim.fastcar.csim import CSim, simulator
from tests.hls.reference import Case, differences

ODD = LayerConfig(width=90, ffn=131, heads=6, kv_heads=1, head_dim=10, frame_tokens=5, context=40)
