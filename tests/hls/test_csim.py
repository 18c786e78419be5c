"""C simulation of the HLS kernels against golden, bit by bit."""

from __future__ import annotations

from golden.fastcar.config import LayerConfig

ODD = LayerConfig(width=90, ffn=131, heads=6, kv_heads=1, head_dim=10, frame_tokens=5, context=40)
