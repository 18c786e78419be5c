"""MATMUL on the golden machine: gather the streamed operand, gather the weights, multiply (docs/numerics.md)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from triptych.golden.quartdepth.arithmetic.numerics import Bytes, Ints, byte_pairs, unpack_nibbles, wrap32
from triptych.golden.quartdepth.chip.isa import ActFormat, Trap, WeightFormat
from triptych.golden.quartdepth.chip.memory import windows
from triptych.golden.quartdepth.chip.program import TrapError
from triptych.golden.quartdepth.chip.state import ChipState, Rows

SLICE = 1 << 20  # elements of the streamed operand that are gathered at once: about what the caches hold
BLAS = ThreadpoolController()


# the products are small: a second thread gains little on an idle processor and waits for its turn on a busy one
@BLAS.wrap(limits=1, user_api="blas")
def matmul(state: ChipState, i: SimpleNamespace) -> Rows:
    """The rows of one MATMUL with fields `i`. Raises TrapError (RANGE)."""
    start, inside = _window_starts(state, i)
    weights = _depthwise_weights(state, i) if i.depthwise else _weights(state, i)
    tiles = -(-i.n // state.config.cols)
    out = np.zeros((len(start), tiles * state.config.cols), dtype=np.int32)
    multiply = _depthwise if i.depthwise else _product(state, i, weights)
    step = max(1, SLICE // (start.shape[1] * i.chunks * state.config.depth))
    for p in range(0, len(start), step):
        stream = _stream(state, i, start[p : p + step], inside[p : p + step])
        out[p : p + step, : i.n] = multiply(stream, weights)
    return Rows(out.reshape(len(start), tiles, state.config.cols), i.block)


def jobs(state: ChipState, i: SimpleNamespace) -> list[int]:
    """Rows of every accumulator bank that a MATMUL fills, in order: a block and column tile (depthwise: group)."""
    pixels, ratio = i.out_h * i.out_w, state.config.depth // state.config.cols
    tiles = -(-i.n // state.config.cols)
    width = ratio if i.depthwise else 1
    banks = [min(width, tiles - t) for t in range(0, tiles, width)]
    return [min(i.block, pixels - p) * bank for p in range(0, pixels, i.block) for bank in banks]


def _window_starts(state: ChipState, i: SimpleNamespace) -> tuple[Ints, NDArray[np.bool_]]:
    """Byte address of every (output pixel, tap), and whether it lies in the picture (elsewhere the address is 0)."""
    iy = np.arange(i.out_h)[:, None] * i.stride_y - i.pad_top + np.arange(i.kernel_h)
    ix = np.arange(i.out_w)[:, None] * i.stride_x - i.pad_left + np.arange(i.kernel_w)
    in_y, in_x = (iy >= 0) & (iy < i.in_h), (ix >= 0) & (ix < i.in_w)
    inside = in_y[:, None, :, None] & in_x[None, :, None, :]
    start = i.act + (iy * i.act_row)[:, None, :, None] + (ix * i.act_pix)[None, :, None, :]
    start = np.where(inside, start, 0)
    _check_range(state, start, i.chunks * _chunk_bytes(state, i), "streamed operand", inside)
    taps = i.kernel_h * i.kernel_w
    return start.reshape(-1, taps), inside.reshape(-1, taps)


def _chunk_bytes(state: ChipState, i: SimpleNamespace) -> int:
    half = i.depthwise and i.act_format != ActFormat.INT8
    return state.config.depth // 2 if half else state.config.depth


def _stream(state: ChipState, i: SimpleNamespace, start: Ints, inside: NDArray[np.bool_]) -> NDArray[np.int8]:
    """The streamed operand, decoded: (pixels, taps, elements); two elements a byte for the 4-bit formats."""
    length = i.chunks * _chunk_bytes(state, i)
    pad = i.pad_value if i.act_format == ActFormat.INT8 else (i.pad_value & 15) * 17  # the same code in both nibbles
    if inside.all():
        data = windows(state.spad, length)[start]
    else:
        data = np.full((*start.shape, length), pad, dtype=np.uint8)
        if inside.any():
            data[inside] = windows(state.spad, length)[start[inside]]
    if i.act_format == ActFormat.INT8:
        return data.view(np.int8)
    if i.act_format == ActFormat.UINT4:
        return unpack_nibbles(data)
    return byte_pairs(state.entries(i.code_table))[data].view(np.int8)


def _weights(state: ChipState, i: SimpleNamespace) -> NDArray[np.int8]:
    """The stationary operand as (n, K), K in the order of the streamed elements; lanes that do not count are 0."""
    depth, cols = state.config.depth, state.config.cols
    steps = i.kernel_h * i.kernel_w * i.chunks
    if i.transpose:
        weights = _transposed_weights(state, i, steps)
    else:
        paired = i.weight_format == WeightFormat.INT4 and i.act_format == ActFormat.INT8
        column, tile = np.arange(i.n), np.arange(-(-steps // 2) if paired else steps)
        first = i.wgt + column // cols * i.wgt_n + column % cols * i.wgt_c
        cells = _gather(state, first[:, None] + tile * i.wgt_t, depth)
        if i.weight_format != WeightFormat.INT4:
            weights = _bytes(i, cells)
        else:
            weights = unpack_nibbles(cells, signed=True)
            if paired:  # low nibbles are the even step, high nibbles the odd one
                weights = weights.reshape(i.n, -1, depth, 2).swapaxes(2, 3).reshape(i.n, -1, depth)[:, :steps]
    lanes = np.ascontiguousarray(weights).reshape(i.n, i.kernel_h * i.kernel_w, i.chunks, -1)
    lanes[:, :, -1, i.last_elems * lanes.shape[-1] // depth :] = 0
    return lanes.reshape(i.n, -1)


def _transposed_weights(state: ChipState, i: SimpleNamespace, steps: int) -> NDArray[np.int8]:
    depth, cols = state.config.depth, state.config.cols
    tile, step, k = np.ogrid[: -(-i.n // cols), :steps, :depth]
    start = i.wgt + tile * i.wgt_n + step * i.wgt_t + k * i.wgt_c
    counts = np.broadcast_to((step % i.chunks < i.chunks - 1) | (k < i.last_elems), start.shape)
    cells = _gather(state, np.where(counts, start, 0), cols, counts)
    return _bytes(i, cells).transpose(0, 3, 1, 2).reshape(-1, steps, depth)[: i.n]


def _bytes(i: SimpleNamespace, cells: Bytes) -> NDArray[np.int8]:
    """What weights mean of which a byte holds one."""
    return (
        cells.view(np.int8) if i.weight_format == WeightFormat.INT8 else ((cells & 15 ^ 8).view(np.int8) - np.int8(8))
    )


def _depthwise_weights(state: ChipState, i: SimpleNamespace) -> NDArray[np.int8]:
    """(9, n) weights of the channels."""
    depth, cols = state.config.depth, state.config.cols
    group, inner = np.divmod(np.arange(i.n), depth)
    half, column = np.divmod(inner, cols)
    cells = _gather(state, i.wgt + group * i.wgt_t + column * i.wgt_c, depth)
    nibbles = unpack_nibbles(cells[:, :9], signed=True).reshape(i.n, 9, 2)
    return nibbles[np.arange(i.n), :, half].T


def _product(state: ChipState, i: SimpleNamespace, weights: NDArray[np.int8]) -> Any:
    """The multiplication in the cheapest float type that holds every partial sum exactly."""
    largest = {ActFormat.INT8: 128, ActFormat.UINT4: 15}.get(i.act_format)
    if largest is None:
        largest = int(np.abs(state.entries(i.code_table).astype(np.int16)).max())
    bound = largest * int(np.abs(weights.astype(np.int16)).sum(axis=1, dtype=np.int64).max())
    real = np.float32 if bound < 1 << 24 else np.float64
    columns: NDArray[Any] = weights.T.astype(real)

    def multiply(stream: NDArray[np.int8], _: NDArray[np.int8]) -> NDArray[Any]:
        product = stream.reshape(len(stream), -1).astype(real) @ columns
        return product if bound < 1 << 31 else wrap32(product)

    return multiply


def _depthwise(stream: NDArray[np.int8], weights: NDArray[np.int8]) -> NDArray[np.int16]:
    acc = np.zeros((len(stream), weights.shape[1]), dtype=np.int16)  # 9 * 128 * 8 fits
    for tap in range(9):
        acc += stream[:, tap, : weights.shape[1]] * weights[tap].astype(np.int16)
    return acc


def _gather(state: ChipState, start: Ints, length: int, used: NDArray[np.bool_] | None = None) -> Bytes:
    _check_range(state, start, length, "stationary operand", used)
    return windows(state.spad, length)[start]


def _check_range(state: ChipState, start: Ints, length: int, what: str, used: NDArray[np.bool_] | None = None) -> None:
    ends = start if used is None else start[used]
    if ends.size and int(ends.max()) + length > state.spad.size:
        raise TrapError(Trap.RANGE, f"{what} at {int(ends.max()):#x} ends beyond the scratchpad ({state.spad.size:#x})")
