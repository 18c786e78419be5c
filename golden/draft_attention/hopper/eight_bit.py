"""The 8-bit operands: k and v rewritten in block order, int8 for the scores, e4m3 for the values.

The kernel turns q to int8 itself, with a scale for each token; k has one for each block, v for each head (e4m3 has a
range of its own), from a sample of its tokens and with room to spare; a head that goes beyond is found and written
again. k is taken relative to a sample's mean, which the softmax cannot see; v relative to such a mean, which is added
to the output again (the weights of a row sum to one). Both hold for any offset, so a sample is as right as the full
mean. The two copies take half the memory of k and v.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import torch

from triptych.golden.draft_attention.hopper.driver import TensorMap, encode_tensor_map, load_kernel
from triptych.golden.draft_attention.hopper.problem import BLOCK, ELEMENTS, Heads, token_maps
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.tail import Tail

_THREADS = 256
_SAMPLED_TOKENS = 2048
_ROOM = 88.0
"""By which the values' scale exceeds their root mean square: e4m3 keeps its precision down to 1/300 of that. Errors on
white noise depend on the place within an octave (docs/results.md)."""


class Source(ctypes.Structure):
    """Mirrors `struct Source` of kernels/quantise.cu."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("token_stride", "head_stride")),
        ("mean", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("n_blocks", "n_video_blocks", "frames", "height", "width")),
        *((name, ctypes.c_int32) for name in ("text_length", "video_offset", "text_offset")),
        *((name, ctypes.c_int32) for name in ("blocks_high", "blocks_wide", "log_pt", "log_ph", "log_pw")),
        *((name, ctypes.c_int32) for name in ("out_blocks", "out_first")),
    )


class Operands8(ctypes.Structure):
    """Mirrors `struct Operands` of kernels/attention8.cu."""

    _fields_ = (
        *((name, TensorMap) for name in ("q_video", "q_text", "k", "v")),
        *((name, ctypes.c_void_p) for name in ("k_scale", "v_largest", "v_mean")),
        ("padding", ctypes.c_ubyte * 40),
    )


@dataclass(frozen=True)
class Quantised:
    """The operands of one call; `tensors` must outlive the launch that reads them."""

    operands: Operands8
    tensors: tuple[torch.Tensor, ...]


def _sample(x: torch.Tensor) -> torch.Tensor:
    """Evenly spaced tokens of `[batch, heads, length, dim]`."""
    return x[:, :, :: max(1, x.shape[2] // _SAMPLED_TOKENS)]


def _source(x: torch.Tensor, mean: torch.Tensor, geometry: Geometry, out_blocks: int, out_first: int = 0) -> Source:
    """What quantise.cu reads: `x` `[batch, heads, length, dim]`; a head has `out_blocks` blocks in the result."""
    (frames, height, width), (_, high, wide) = geometry.grid, geometry.blocks_per_axis
    log_pt, log_ph, log_pw = (size.bit_length() - 1 for size in geometry.pool)
    return Source(
        data=x.data_ptr(),
        token_stride=x.stride(2),
        head_stride=Heads(x).stride,
        mean=mean.data_ptr(),
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
        out_blocks=out_blocks,
        out_first=out_first,
    )


def quantise(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, geometry: Geometry, tail: Tail | None = None
) -> Quantised:
    """q in place; k, v `[batch, heads, length, dim]` (batch and heads in one stride) in 8 bits, then the tail's tokens.

    A head's pooled tokens follow its blocks, 128 to a block.
    """
    device, dim, n = q.device, q.shape[3], geometry.n_blocks
    row = Geometry((1, 1, geometry.n_video_blocks), (1, 1, BLOCK))  # of pooled tokens
    blocks = n + (0 if tail is None else row.n_blocks)
    kv_heads = Heads(k).count
    k8 = torch.empty(kv_heads * blocks * BLOCK, dim, dtype=torch.int8, device=device)
    v8 = torch.empty(kv_heads * blocks * dim, BLOCK, dtype=torch.float8_e4m3fn, device=device)
    k_scale = torch.empty(kv_heads, blocks, device=device)
    k_mean, v_mean = (_sample(x).mean(dim=2, dtype=torch.float32) for x in (k, v))
    sample = _sample(v)
    room = _ROOM / math.sqrt(sample.shape[2] * dim)
    v_expected = room * torch.linalg.vector_norm(sample, dim=(2, 3), dtype=torch.float32).flatten()
    v_largest = v_expected.clone()

    def run(name: str, source: Source, *tensors: torch.Tensor) -> None:
        defines = (f"HEAD_DIM={dim}", f'ELEMENT="{ELEMENTS[q.dtype]}"')
        kernel = load_kernel(device.index, "quantise.cu", name, defines, 0)
        addresses = (ctypes.c_void_p(x.data_ptr()) for x in tensors)
        kernel.launch(kv_heads * source.n_blocks, _THREADS, (source, *addresses))

    keys, values = (_source(x, mean, geometry, blocks) for x, mean in ((k, k_mean), (v, v_mean)))
    run("quantise_keys", keys, k8, k_scale)
    run("quantise_values", values, v8, v_expected, v_largest)
    run("requantise_values", values, v8, v_expected, v_largest)
    if tail is not None:
        run("quantise_keys", _source(tail.k_mean, k_mean, row, blocks, n), k8, k_scale)
        run("quantise_values", _source(tail.v_mean, v_mean, row, blocks, n), v8, v_largest, v_expected)

    def rows(x: torch.Tensor, per_block: int) -> TensorMap:
        length, width = x.shape
        return encode_tensor_map(
            x.data_ptr(), x.dtype, (width, length, 1), (width, width * length), (width, per_block, 1)
        )

    q_video, q_text = token_maps(q, geometry)
    operands = Operands8(
        q_video=q_video,
        q_text=q_text,
        k=rows(k8, BLOCK),
        v=rows(v8, dim),
        k_scale=k_scale.data_ptr(),
        v_largest=v_largest.data_ptr(),
        v_mean=v_mean.data_ptr(),
    )
    return Quantised(operands, (k8, v8, k_scale, v_expected, v_largest, k_mean, v_mean))
