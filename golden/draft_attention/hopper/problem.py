"""What the attention kernels are told about one call: `struct Problem` of kernels/pipeline.cuh and its tensor maps."""

from __future__ import annotations

import ctypes
import functools
import math
from dataclasses import dataclass

import torch

from triptych.golden.draft_attention.hopper.driver import TensorMap, encode_tensor_map, load_kernel
from triptych.golden.draft_attention.hopper.errors import HopperError
from triptych.golden.draft_attention.terms.block_sets import BlockSets, row_words, sets_from_mask
from triptych.golden.draft_attention.terms.geometry import Geometry

BLOCK = 128
BLOCK_SIZES = ((128, 128), (128, 64), (64, 64))
MOST_BLOCKS = 1 << 16  # the kernels' division of block numbers is exact below
ELEMENTS = {torch.float16: "f16", torch.bfloat16: "bf16"}  # names in PTX
_COLUMNS = 64  # of a tensor-map box over 16-bit elements: 128 bytes, the width of the swizzle


def _inverse(divisor: int) -> int:
    """2^32 / divisor rounded up, by which the kernels divide block numbers; 0 stands for 1."""
    return 0 if divisor == 1 else -(-(1 << 32) // divisor)


class Blocks(ctypes.Structure):
    """Mirrors `struct Blocks`: how one side's tokens lie in blocks."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("n_video", "n_text", "frames", "height", "width", "text_length")),
        *((name, ctypes.c_int32) for name in ("blocks_high", "blocks_wide", "log_pt", "log_ph", "log_pw")),
        *((name, ctypes.c_uint32) for name in ("per_row", "per_frame")),
        ("unused", ctypes.c_int32),
    )

    @classmethod
    def of(cls, geometry: Geometry) -> Blocks:
        (frames, height, width), (_, high, wide) = geometry.grid, geometry.blocks_per_axis
        log_pt, log_ph, log_pw = (size.bit_length() - 1 for size in geometry.pool)
        return cls(
            geometry.n_video_blocks, geometry.n_text_blocks, frames, height, width, geometry.text_length,
            high, wide, log_pt, log_ph, log_pw, _inverse(wide), _inverse(high * wide), 0,
        )  # fmt: skip


class Problem(ctypes.Structure):
    """Mirrors `struct Problem`; the C++ side asserts the size."""

    _fields_ = (
        ("out_video", TensorMap),
        ("out_text", TensorMap),
        *((name, ctypes.c_void_p) for name in ("bits", "counts", "next_tile", "pooled", "profile")),
        *((name, ctypes.c_void_p) for name in ("order", "ragged")),
        ("queries", Blocks),
        ("keys", Blocks),
        *((name, ctypes.c_int32) for name in ("query_heads", "group", "tail_tiles", "words")),
        *((name, ctypes.c_float) for name in ("scale", "scale_log2")),
    )


@dataclass(frozen=True)
class Heads:
    """A `[batch, heads, length, dim]` tensor seen as `[batch * heads, length, dim]` in place."""

    tensor: torch.Tensor

    @property
    def count(self) -> int:
        return self.tensor.shape[0] * self.tensor.shape[1]

    @property
    def stride(self) -> int:
        """Elements between heads."""
        return self.tensor.stride(1) if self.tensor.shape[1] > 1 else self.tensor.stride(0)


def folds(tensor: torch.Tensor) -> bool:
    """Whether batch and heads of `[batch, heads, length, dim]` can be walked with one stride."""
    batch, heads = tensor.shape[:2]
    return batch == 1 or heads == 1 or tensor.stride(0) == heads * tensor.stride(1)


@dataclass(frozen=True)
class Blocking:
    """How queries and keys lie in blocks."""

    queries: Geometry
    keys: Geometry

    @property
    def sizes(self) -> tuple[int, int]:
        """Tokens of a query block and of a key block."""
        return self.queries.block_size, self.keys.block_size


def unfit_blocks(blocking: Blocking, eight_bit: bool) -> str | None:
    """Why the kernels do not take these blocks; None when they do."""
    if blocking.sizes not in (BLOCK_SIZES[:1] if eight_bit else BLOCK_SIZES):
        known = "128 x 128" if eight_bit else "128 x 128, 128 x 64 or 64 x 64"
        return f"the Hopper kernels take blocks of {known} tokens; got {blocking.sizes[0]} x {blocking.sizes[1]}"
    if max(blocking.queries.n_blocks, blocking.keys.n_blocks) >= MOST_BLOCKS:
        return f"the Hopper kernels take fewer than {MOST_BLOCKS} blocks; got {blocking.keys.n_blocks}"
    if any(size & (size - 1) for geometry in (blocking.queries, blocking.keys) for size in geometry.pool):
        return f"the Hopper kernels take pools whose sides are powers of two; got {blocking.keys.pool}"
    return None


def unfit_dim(dim: int, eight_bit: bool) -> str | None:
    """Why the kernels do not take this head dim; None when they do."""
    if eight_bit and dim not in (64, 128):
        return f"the 8-bit Hopper kernels take head dim 64 or 128; got {dim}"
    if dim % 8 or dim > 128:
        return f"the Hopper kernels take head dims that are multiples of 8 up to 128; got {dim}"
    return None


def half_block(geometry: Geometry) -> tuple[int, int, int]:
    """`(pt, ph, pw)` of the first 64 tokens of a block of 128; a block of 64 itself."""
    pt, ph, pw = geometry.pool
    if geometry.block_size == 64:
        return pt, ph, pw
    if pt > 1:
        return pt // 2, ph, pw
    return (pt, ph // 2, pw) if ph > 1 else (pt, ph, pw // 2)


RUN = 16
"""Tokens of a run (kernels/runs16.cuh)."""


def ragged_runs(geometry: Geometry) -> int:
    """Full runs of 16 tokens that every ragged video block consists of, all in front; 0 where it is not so."""
    (frames, height, width), (pt, ph, pw) = geometry.grid, geometry.pool
    if geometry.block_size != BLOCK or width % pw:
        return 0
    if pt == 1:
        tokens, smallest = height % ph * pw, pw
    elif height % ph == 0:
        tokens, smallest = frames % pt * ph * pw, min(pw, RUN) * ph
    else:
        return 0
    return 0 if pw < RUN or smallest % RUN or tokens % RUN else tokens // RUN


@functools.lru_cache(maxsize=64)
def ragged_bits(geometry: Geometry, device: torch.device) -> torch.Tensor:
    """int32 `[words]`: a bit for each ragged video block, kept so that repeated calls copy nothing from the host."""
    ragged = geometry.block_counts < geometry.block_size
    ragged[geometry.n_video_blocks :] = False
    return sets_from_mask(ragged[None, None, None]).bits[0, 0, 0].to(device)


def run_map(tensor: torch.Tensor, geometry: Geometry) -> TensorMap:
    """Tensor map of runs of 16 tokens of the video."""
    return token_maps(tensor, geometry, (1, 1, RUN))[0]


def token_maps(
    tensor: torch.Tensor, geometry: Geometry, box: tuple[int, int, int] | None = None
) -> tuple[TensorMap, TensorMap]:
    """Tensor maps of the video boxes and the text runs of `[batch, heads, length, dim]`, 64 columns wide.

    Video: axes (dim, width, height, frame, head). Text: (dim, token, head); all zeros without text.
    """
    heads, dim = Heads(tensor), tensor.shape[3]
    (frames, height, width), (pt, ph, pw) = geometry.grid, box or geometry.pool
    token = tensor.stride(2)
    bytes_each = tensor.element_size()
    video = encode_tensor_map(
        tensor.data_ptr() + geometry.video_offset * token * bytes_each,
        tensor.dtype,
        (dim, width, height, frames, heads.count),
        (token, token * width, token * width * height, heads.stride),
        (_COLUMNS, pw, ph, pt, 1),
    )
    if geometry.text_length == 0:
        return video, TensorMap()
    text = encode_tensor_map(
        tensor.data_ptr() + geometry.text_offset * token * bytes_each,
        tensor.dtype,
        (dim, geometry.text_length, heads.count),
        (token, heads.stride),
        (_COLUMNS, pt * ph * pw, 1),
    )
    return video, text


def pooled_map(tensor: torch.Tensor) -> TensorMap:
    """Tensor map of 128 pooled tokens of `[batch, heads, n_video_blocks, dim]`: axes (dim, block, head)."""
    heads = Heads(tensor)
    return encode_tensor_map(
        tensor.data_ptr(),
        tensor.dtype,
        (tensor.shape[3], tensor.shape[2], heads.count),
        (tensor.stride(2), heads.stride),
        (_COLUMNS, BLOCK, 1),
    )


def make_problem(
    out: torch.Tensor,
    sets: BlockSets,
    progress: torch.Tensor,
    blocking: Blocking,
    scale: float,
    kv_heads: int,
) -> Problem:
    """The problem without a tail. The tensors must outlive the launch.

    `progress`: int32 `[1]`: the tile counter.
    """
    out_video, out_text = token_maps(out, blocking.queries, half_block(blocking.queries))
    return Problem(
        out_video=out_video,
        out_text=out_text,
        bits=sets.bits.data_ptr(),
        counts=sets.counts.data_ptr(),
        next_tile=progress.data_ptr(),
        queries=Blocks.of(blocking.queries),
        keys=Blocks.of(blocking.keys),
        query_heads=Heads(out).count,
        group=out.shape[1] // kv_heads,
        words=sets.bits.shape[-1],
        scale=scale,
        scale_log2=scale * math.log2(math.e),
    )


_ORDER_THREADS = 256
_COUNTED_TILES = 8192


def tile_order(sets: BlockSets, blocking: Blocking, progress: torch.Tensor) -> torch.Tensor:
    """int32 `[batch, heads, tiles]`: the video tiles of each head, those of most blocks first.

    Tiles that are worked on at one time then take equally long and sweep the keys side by side, so that what one has
    fetched is still in L2 for the others. Equal ones keep their order: results must not depend on the sort.
    `progress`, the tile counter, becomes zero.
    """
    parts, video = BLOCK // blocking.queries.block_size, blocking.queries.n_video_blocks
    heads, blocks, tiles = sets.counts.shape[0] * sets.counts.shape[1], sets.counts.shape[2], -(-video // parts)
    if tiles <= _COUNTED_TILES:
        order = torch.empty(*sets.counts.shape[:2], tiles, dtype=torch.int32, device=progress.device)
        numbers = (ctypes.c_int32(number) for number in (blocks, video, tiles, parts))
        pointers = (ctypes.c_void_p(x.data_ptr()) for x in (sets.counts, order, progress))
        kernel = load_kernel(progress.get_device(), "order.cu", "order_tiles", (), 0)
        kernel.launch(heads * -(-tiles // _ORDER_THREADS), _ORDER_THREADS, (*pointers, *numbers))
        return order
    progress.zero_()
    work = sets.counts[..., :video]
    if parts == 2:
        work = torch.nn.functional.pad(work, (0, work.shape[-1] % 2)).unflatten(-1, (-1, 2)).sum(-1)
    return torch.argsort(work, dim=-1, descending=True, stable=True).to(torch.int32)


def check_inputs(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sets: BlockSets,
    blocking: Blocking,
    scale: float,
) -> None:
    """Raises HopperError, saying what to change, when the kernels do not take these inputs."""
    if not q.is_cuda or torch.cuda.get_device_capability(q.device) != (9, 0):
        raise HopperError("the Hopper kernels need tensors on a Hopper GPU (compute capability 9.0)")
    batch, heads, length, dim = q.shape
    if q.dtype not in (torch.float16, torch.bfloat16) or not (q.dtype == k.dtype == v.dtype):
        raise HopperError(f"q, k and v must all be float16 or all bfloat16; got {q.dtype}, {k.dtype}, {v.dtype}")
    if k.shape != v.shape or (k.shape[0], k.shape[3]) != (batch, dim) or heads % k.shape[1]:
        raise HopperError(
            f"k and v must be [batch, kv heads, length, dim] with heads a multiple of kv heads, as q; "
            f"got q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
        )
    if (blocking.queries.length, blocking.keys.length) != (length, k.shape[2]):
        raise HopperError(
            f"the geometry holds {blocking.queries.length} queries and {blocking.keys.length} keys, "
            f"the tensors {length} and {k.shape[2]}"
        )
    if reason := unfit_blocks(blocking, eight_bit=False):
        raise HopperError(reason)
    rows, columns = blocking.queries.n_blocks, blocking.keys.n_blocks
    bit_rows, count_rows = (batch, heads, rows, row_words(columns)), (batch, heads, rows)
    for name, tensor, shape in (("bits", sets.bits, bit_rows), ("counts", sets.counts, count_rows)):
        if tensor.dtype != torch.int32 or tuple(tensor.shape) != shape or not tensor.is_contiguous():
            raise HopperError(f"{name} must be contiguous int32 {list(shape)}; got {tensor.dtype} {list(tensor.shape)}")
    if not scale > 0:
        raise HopperError(f"scale must be positive; got {scale}")


def check_strides(**tensors: torch.Tensor) -> None:
    """Raises HopperError unless the copy engine can address each tensor in place."""
    for name, tensor in tensors.items():
        strides = [s for s, size in zip(tensor.stride()[:-1], tensor.shape[:-1], strict=True) if size > 1]
        if tensor.stride(-1) != 1 or tensor.data_ptr() % 16 or any(s % 8 or s <= 0 for s in strides):
            raise HopperError(
                f"{name} must be dense along dim and 16-byte aligned along every other axis; "
                f"got strides {tensor.stride()}: call .contiguous() on it"
            )
