"""The 8-bit operands: q, k, v rewritten in block order, int8 for the scores, e4m3 for the values.

q has a scale for each token, k for each block, v for each head (e4m3 has a range of its own). k is taken relative to a
mean over a sample of its tokens, which the softmax cannot see; v relative to such a mean, which is added to the
output again (the weights of a row sum to one). Both hold for any offset, so a sample is as right as the full mean.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import torch

from golden.draft_attention.geometry import Geometry
from golden.draft_attention.hopper.driver import TensorMap, encode_tensor_map, load_kernel
from golden.draft_attention.hopper.problem import BLOCK, ELEMENTS, Heads

_THREADS = 256
_SAMPLED_TOKENS = 2048


class Source(ctypes.Structure):
    """Mirrors `struct Source` of kernels/quantise.cu."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("token_stride", "head_stride")),
        ("mean", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("n_blocks", "n_video_blocks", "frames", "height", "width")),
        *((name, ctypes.c_int32) for name in ("text_length", "video_offset", "text_offset")),
        *((name, ctypes.c_int32) for name in ("blocks_high", "blocks_wide", "log_pt", "log_ph", "log_pw")),
        ("factor", ctypes.c_float),
    )


class Operands8(ctypes.Structure):
    """Mirrors `struct Operands` of kernels/attention8.cu."""

    _fields_ = (
        *((name, TensorMap) for name in ("q", "k", "v")),
        *((name, ctypes.c_void_p) for name in ("q_scale", "k_scale", "v_largest", "v_mean")),
        ("padding", ctypes.c_ubyte * 32),
    )


@dataclass(frozen=True)
class Quantised:
    """The operands of one call; `tensors` must outlive the launch that reads them."""

    operands: Operands8
    tensors: tuple[torch.Tensor, ...]


def _sample_mean(x: torch.Tensor) -> torch.Tensor:
    """float32 `[batch, heads, dim]`: the mean of evenly spaced tokens."""
    return x[:, :, :: max(1, x.shape[2] // _SAMPLED_TOKENS)].mean(dim=2, dtype=torch.float32)


def _source(x: torch.Tensor, mean: torch.Tensor | None, geometry: Geometry, factor: float = 1.0) -> Source:
    (frames, height, width), (_, high, wide) = geometry.grid, geometry.blocks_per_axis
    log_pt, log_ph, log_pw = (size.bit_length() - 1 for size in geometry.pool)
    return Source(
        data=x.data_ptr(),
        token_stride=x.stride(2),
        head_stride=Heads(x).stride,
        mean=None if mean is None else mean.data_ptr(),
        n_blocks=geometry.n_blocks,
        n_video_blocks=geometry.n_video_blocks,
        frames=frames,
        height=height,
        width=width,
        text_length=geometry.text_length,
        video_offset=geometry.video_offset,
        text_offset=geometry.text_offset,
        blocks_high=high,
        blocks_wide=wide,
        log_pt=log_pt,
        log_ph=log_ph,
        log_pw=log_pw,
        factor=factor,
    )


def quantise(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, geometry: Geometry, scale: float) -> Quantised:
    """q, k, v `[batch, heads, length, dim]` (batch and heads in one stride) as 8-bit operands."""
    device, dim, n = q.device, q.shape[3], geometry.n_blocks
    heads, kv_heads = Heads(q).count, Heads(k).count
    q8 = torch.empty(heads * n * BLOCK, dim, dtype=torch.int8, device=device)
    k8 = torch.empty(kv_heads * n * BLOCK, dim, dtype=torch.int8, device=device)
    v8 = torch.empty(kv_heads * n * dim, BLOCK, dtype=torch.float8_e4m3fn, device=device)
    q_scale = torch.empty(heads, n, BLOCK, device=device)
    k_scale = torch.empty(kv_heads, n, device=device)
    v_largest = torch.zeros(kv_heads, device=device)
    k_mean, v_mean = _sample_mean(k), _sample_mean(v)

    def run(name: str, rows: int, source: Source, *tensors: torch.Tensor) -> None:
        defines = (f"HEAD_DIM={dim}", f'ELEMENT="{ELEMENTS[q.dtype]}"')
        kernel = load_kernel(device.index, "quantise.cu", name, defines, 0)
        kernel.launch(rows * n, _THREADS, (source, *(ctypes.c_void_p(x.data_ptr()) for x in tensors)))

    values = _source(v, v_mean, geometry)
    run("quantise_queries", heads, _source(q, None, geometry, scale * math.log2(math.e)), q8, q_scale)
    run("quantise_keys", kv_heads, _source(k, k_mean, geometry), k8, k_scale)
    run("largest_values", kv_heads, values, v_largest)
    run("quantise_values", kv_heads, values, v8, v_largest)

    def rows(x: torch.Tensor, per_block: int) -> TensorMap:
        length, width = x.shape
        return encode_tensor_map(
            x.data_ptr(), x.dtype, (width, length, 1), (width, width * length), (width, per_block, 1)
        )

    operands = Operands8(
        q=rows(q8, BLOCK),
        k=rows(k8, BLOCK),
        v=rows(v8, dim),
        q_scale=q_scale.data_ptr(),
        k_scale=k_scale.data_ptr(),
        v_largest=v_largest.data_ptr(),
        v_mean=v_mean.data_ptr(),
    )
    return Quantised(operands, (q8, k8, v8, q_scale, k_scale, v_largest, k_mean, v_mean))
