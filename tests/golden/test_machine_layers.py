"""Whole layers on the machine against PyTorch integers: odd shapes, strides, padding, tails, every format."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_kit import Bench, depthwise_tiles, parameters, pixels_bytes, steps_of, up, weight_tiles

from tests.kit import integer_ops
from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig
from triptych.golden.quartdepth.chip.isa import (
    ActFormat,
    Addend,
    Destination,
    Function,
    Kind,
    Multiply,
    Opcode,
    Reduce,
    Side,
    SourceA,
    WeightFormat,
)

# Two words of columns a word of depth, and as many columns as depth: both ratios that the chip can have.
CONFIGS = [
    ChipConfig("narrow", depth=16, cols=8, rows=16, spad_words=4096, prog_words=32),
    ChipConfig("square", depth=16, cols=16, rows=8, spad_words=4096, prog_words=32),
]
SIZES = [1, 2, 3, 5, 7, 11, 13]
CHANNELS = [1, 3, 8, 13, 16, 17, 31, 33]
configs = st.sampled_from(CONFIGS)
Draw = Any


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x).astype(np.int64))


def random_codes(rng: np.random.Generator, fmt: ActFormat, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(-128, 128, shape) if fmt == ActFormat.INT8 else rng.integers(0, 16, shape)


def random_table(rng: np.random.Generator) -> CodeTable:
    thresholds = np.sort(rng.integers(-3000, 3000, 15))
    return CodeTable(tuple(rng.integers(-16, 16, 16).tolist()), tuple(thresholds.tolist()))


def meaning(x: np.ndarray, fmt: ActFormat, table: CodeTable) -> torch.Tensor:
    return tensor(table.decode(x) if fmt == ActFormat.TABLE4 else x)


def place_picture(bench: Bench, x: np.ndarray, fmt: ActFormat) -> dict[str, int]:
    """The picture's fields of a MATMUL."""
    data = pixels_bytes(x, fmt, bench.config.depth)
    pix = data.shape[2]
    where = {"act": bench.put(data), "act_row": x.shape[1] * pix, "act_pix": pix}
    return {**where, "act_format": fmt, "in_h": x.shape[0], "in_w": x.shape[1], "code_table": 3}


def place_weights(bench: Bench, w: np.ndarray, fmt: ActFormat, weight_format: WeightFormat) -> dict[str, int]:
    """(n, cin, kh, kw) weights; the fields of a MATMUL that tell about them."""
    n, cin, kh, kw = w.shape
    tiles = weight_tiles(w.reshape(n, cin, -1).swapaxes(1, 2), fmt, weight_format, bench.config)
    chunks, last = steps_of(cin, fmt, bench.config.depth)
    d, c = bench.config.depth, bench.config.cols
    place = {"wgt": bench.put(tiles), "wgt_n": tiles.shape[1] * c * d, "wgt_t": c * d, "wgt_c": d}
    shape = {"n": n, "kernel_h": kh, "kernel_w": kw, "chunks": chunks, "last_elems": last}
    return {**place, **shape, "weight_format": weight_format}


def window(out: tuple[int, int], block: int, stride: tuple[int, int], pad: tuple[int, int]) -> dict[str, int]:
    return {
        "out_h": out[0],
        "out_w": out[1],
        "block": block,
        "stride_y": stride[0],
        "stride_x": stride[1],
        "pad_top": pad[0],
        "pad_left": pad[1],
    }


def requantiser(bench: Bench, rng: np.random.Generator, n: int, spread: int) -> tuple[int, list[torch.Tensor]]:
    """Random parameters of n channels, the accumulators being of size `spread`; their address and themselves."""
    bias = rng.integers(-spread, spread + 1, n)
    multiplier = rng.integers(-32768, 32768, n)
    shift = np.clip(rng.integers(-2, 4, n) + int(np.log2(spread)) + 8, 0, 47)
    zero = rng.integers(-128, 128, n)
    data = parameters(bias, multiplier, shift, zero)
    at = bench.put(np.pad(data, (0, -data.size % (8 * bench.config.cols))))
    return at, [tensor(v) for v in (bias, multiplier, shift, zero)]


def finish(
    bench: Bench, rng: np.random.Generator, acc: torch.Tensor, kind: Destination, encode: bool, matmul: Instruction
) -> None:
    """Run a MATMUL with a requantising VECTOR behind it and compare the picture with `acc` (h, w, n) requantised."""
    h, w, n = acc.shape
    param, values = requantiser(bench, rng, n, spread=max(1, int(acc.abs().max())))
    lo, hi = {Destination.INT8: (-128, 127), Destination.NIBBLE: (0, 15), Destination.INT16: (-32768, 32767)}[kind]
    table = random_table(rng)
    if encode:
        lo, hi = -32768, 32767
        bench.table(5, table)
    word = Microword(
        {"addend": Addend.BIAS, "mul": Multiply.PARAM, "zp_param": 1, "lo": lo, "hi": hi, "dst": kind}
        | {"encode": int(encode), "table_e": 5}
    )
    bench.program(word)
    pix = up(2 * n, 2 * bench.config.cols)
    d = bench.room(h * w * pix)
    shape = {"h": h, "w": w, "n": n, "block": matmul["block"], "prog_len": 1, "param": param}
    vector = Instruction(Opcode.VECTOR, {**shape, "d": d, "d_row": w * pix, "d_pix": pix})
    bench.run(matmul, vector)
    expected = integer_ops.requantise(acc, *values).clamp(lo, hi).numpy()
    if encode:
        expected = table.encode(expected).astype(np.int64)
    got = bench.read(d, (h, w, n), (w * pix, pix), kind)
    assert np.array_equal(got, expected), f"first wrong element (y, x, channel): {np.argwhere(got != expected)[0]}"


@settings(max_examples=60)
@given(st.data(), configs, st.integers(0, 2**32 - 1))
def test_convolution(data: Draw, config: ChipConfig, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pick = data.draw
    fmt = pick(st.sampled_from(ActFormat))
    weight_format = pick(st.sampled_from(WeightFormat)) if fmt == ActFormat.INT8 else WeightFormat.INT4
    kernel = pick(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = pick(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = pick(st.tuples(*[st.integers(0, 3)] * 4))
    cin, n = pick(st.sampled_from(CHANNELS)), pick(st.sampled_from(CHANNELS))
    h, w = pick(st.sampled_from(SIZES)), pick(st.sampled_from(SIZES))
    h, w = max(h, kernel[0] - pads[0] - pads[1]), max(w, kernel[1] - pads[2] - pads[3])
    bench, table = Bench(config), random_table(rng)
    bench.table(3, table)
    x = random_codes(rng, fmt, (h, w, cin))
    limit = 128 if weight_format == WeightFormat.INT8 else 8
    weight = rng.integers(-limit, limit, (n, cin, *kernel))
    code = int(random_codes(rng, fmt, ()))
    pad_value = code & 255 if fmt == ActFormat.INT8 else code | int(rng.integers(16)) << 4
    fill = int(table.decode(code)) if fmt == ActFormat.TABLE4 else code
    acc = integer_ops.conv2d(meaning(x, fmt, table), tensor(weight), stride, pads, fill)
    matmul = Instruction(
        Opcode.MATMUL,
        {**place_picture(bench, x, fmt), **place_weights(bench, weight, fmt, weight_format), "pad_value": pad_value}
        | window((acc.shape[0], acc.shape[1]), pick(st.integers(1, config.rows)), stride, (pads[0], pads[2])),
    )
    kind = pick(st.sampled_from([Destination.INT8, Destination.NIBBLE, Destination.INT16]))
    finish(bench, rng, acc, kind, encode=kind == Destination.NIBBLE and pick(st.booleans()), matmul=matmul)


@settings(max_examples=40)
@given(st.data(), configs, st.integers(0, 2**32 - 1))
def test_depthwise(data: Draw, config: ChipConfig, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pick = data.draw
    fmt = pick(st.sampled_from(ActFormat))
    stride = pick(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    pads = pick(st.tuples(*[st.integers(0, 2)] * 4))
    n = pick(st.sampled_from(CHANNELS))
    h, w = pick(st.sampled_from(SIZES)), pick(st.sampled_from(SIZES))
    h, w = max(h, 3 - pads[0] - pads[1]), max(w, 3 - pads[2] - pads[3])
    bench, table = Bench(config), random_table(rng)
    bench.table(3, table)
    x = random_codes(rng, fmt, (h, w, n))
    weight = rng.integers(-8, 8, (n, 3, 3))
    code = int(random_codes(rng, fmt, ()))
    fill = int(table.decode(code)) if fmt == ActFormat.TABLE4 else code
    acc = integer_ops.depthwise(meaning(x, fmt, table), tensor(weight), stride, pads, fill)
    d, c = config.depth, config.cols
    place = {"wgt": bench.put(depthwise_tiles(weight.reshape(n, 9), config)), "wgt_t": c * d, "wgt_c": d}
    shape = {"n": n, "kernel_h": 3, "kernel_w": 3, "chunks": -(-n // d), "last_elems": 1, "depthwise": 1}
    block = pick(st.integers(1, config.rows * c // d))
    matmul = Instruction(
        Opcode.MATMUL,
        {**place_picture(bench, x, fmt), **place, **shape, "pad_value": code & 255}
        | window((acc.shape[0], acc.shape[1]), block, stride, (pads[0], pads[2])),
    )
    finish(bench, rng, acc, Destination.INT8, encode=False, matmul=matmul)


@pytest.mark.parametrize(("kernel", "padding", "extra"), [(2, 0, 0), (3, 1, 1), (3, 1, 0), (4, 1, 0)])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 17, 9), (4, 3, 16, 8)], ids=str)
def test_transposed_convolution(
    config: ChipConfig, kernel: int, padding: int, extra: int, shape: tuple[int, int, int, int]
) -> None:
    """Each phase of the output is a plain convolution whose results are written two pixels apart."""
    h, w, cin, n = shape
    rng = np.random.default_rng([kernel, padding, extra, *shape])
    bench = Bench(config)
    x = rng.integers(-128, 128, (h, w, cin))
    weight = tensor(rng.integers(-7, 8, (cin, n, kernel, kernel)))
    expected = integer_ops.transposed_conv2d(tensor(x), weight, 2, padding, extra)
    oh, ow = expected.shape[:2]
    picture = place_picture(bench, x, ActFormat.INT8)
    pix = up(2 * n, 2 * config.cols)
    d = bench.room(oh * ow * pix)
    bench.chip.state.spad[d : d + oh * ow * pix] = 0  # a phase without taps leaves zeros
    bench.program(Microword({"lo": -32768, "hi": 32767, "dst": Destination.INT16}))
    program = []
    for y in range(2):
        for x0 in range(2):
            part, (first_y, first_x) = integer_ops.transposed_phase(weight, 2, padding, y, x0)
            ph, pw = -(-(oh - y) // 2), -(-(ow - x0) // 2)
            if not part.shape[2] or not part.shape[3] or not ph or not pw:
                continue
            wide = place_weights(bench, part.numpy(), ActFormat.INT8, WeightFormat.INT4)
            # A first tap to the right of or below the pixel is a picture that starts there.
            skip_y, skip_x = max(first_y, 0), max(first_x, 0)
            if skip_y >= h or skip_x >= w:
                continue
            moved = {
                "act": picture["act"] + skip_y * picture["act_row"] + skip_x * picture["act_pix"],
                "in_h": h - skip_y,
                "in_w": w - skip_x,
            }
            place = window((ph, pw), config.rows, (1, 1), (max(-first_y, 0), max(-first_x, 0)))
            program.append(Instruction(Opcode.MATMUL, {**picture, **wide, **moved, **place}))
            shape_fields = {"h": ph, "w": pw, "n": n, "block": config.rows, "prog_len": 1}
            where = {"d": d + (y * ow + x0) * pix, "d_row": 2 * ow * pix, "d_pix": 2 * pix}
            program.append(Instruction(Opcode.VECTOR, {**shape_fields, **where}))
    bench.run(*program)
    got = bench.read(d, (oh, ow, n), (ow * pix, pix), Destination.INT16)
    assert np.array_equal(got, expected.numpy())


@settings(max_examples=40)
@given(
    configs,
    st.sampled_from(SIZES),
    st.sampled_from(CHANNELS),
    st.sampled_from(CHANNELS),
    st.booleans(),
    st.sampled_from([WeightFormat.INT8, WeightFormat.LOW4]),
    st.integers(0, 99),
)
def test_product_of_activations(
    config: ChipConfig, m: int, k: int, n: int, transpose: bool, weights: WeightFormat, seed: int
) -> None:
    """Q K' (keys as rows: the stationary layout as it is) and P V (values transposed by the weight loader)."""
    rng = np.random.default_rng(seed)
    bench = Bench(config)
    a, b = rng.integers(-128, 128, (1, m, k)), rng.integers(-128, 128, (k, n))
    d, c = config.depth, config.cols
    picture = place_picture(bench, a, ActFormat.INT8)
    chunks, last = steps_of(k, ActFormat.INT8, d)
    if transpose:  # (k, n) as it stands, a row a whole number of words
        rows = np.pad(b.astype(np.int8), ((0, 0), (0, -n % d)))
        place = {"wgt": bench.put(rows.view(np.uint8)), "wgt_n": c, "wgt_t": d * rows.shape[1], "wgt_c": rows.shape[1]}
    else:  # (n, k): column by column, chunks side by side
        columns = np.pad(b.T.astype(np.int8), ((0, 0), (0, -k % d)))
        place = {"wgt": bench.put(columns.view(np.uint8)), "wgt_t": d, "wgt_c": columns.shape[1]}
        place["wgt_n"] = c * columns.shape[1]
    shape = {"n": n, "kernel_h": 1, "kernel_w": 1, "chunks": chunks, "last_elems": last}
    how = {"weight_format": weights, "transpose": int(transpose)}
    block = int(rng.integers(1, config.rows + 1))
    matmul = Instruction(Opcode.MATMUL, {**picture, **place, **shape, **how, **window((1, m), block, (1, 1), (0, 0))})
    b = b if weights is WeightFormat.INT8 else (b & 15 ^ 8) - 8
    acc = integer_ops.matmul(tensor(a[0]), tensor(b))[None]
    finish(bench, rng, acc, Destination.INT8, encode=False, matmul=matmul)


ROWS = st.integers(1, 20)
FROM_SPAD = {"src_a": SourceA.SPAD, "lo": -32768, "hi": 32767}


def over_rows(bench: Bench, x: np.ndarray, words: list[Microword], kind: Destination) -> np.ndarray:
    """Run microwords over int8 rows (rows, n) and read the destination."""
    n = x.shape[1]
    bench.program(*words)
    wide = up(n, bench.config.cols)
    a = bench.put(np.pad(x.astype(np.int8), ((0, 0), (0, wide - n))).view(np.uint8))
    pix = 2 * wide
    d = bench.room(len(x) * pix)
    shape = {"h": 1, "w": len(x), "n": n, "block": bench.config.rows, "prog_len": len(words)}
    place = {"a": a, "a_pix": wide, "d": d, "d_pix": pix}
    bench.run(Instruction(Opcode.VECTOR, {**shape, **place}))
    return bench.read(d, x.shape, (pix,), kind)


@settings(max_examples=25)
@given(configs, ROWS, st.sampled_from([65, 72, 97]), st.integers(0, 99))
def test_layer_norm(config: ChipConfig, rows: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (rows, n)) >> rng.integers(0, 8, (rows, 1))
    mean, square_shift, eps, fraction = ((64 << 15) // n, 15), 13, int(rng.integers(0, 50)), int(rng.integers(-8, -4))
    centred = {**FROM_SPAD, "a_shl": 6, "addend": Addend.ROW, "rs_a": 0}
    words = [
        Microword({**FROM_SPAD, "reduce": Reduce.SUM, "rs_d": 0}),
        Microword({"kind": Kind.SCALAR, "rs_a": 0, "mul": Multiply.IMM, "imm_m": mean[0], "imm_s": mean[1], "rs_d": 0}),
        Microword({**centred, "mul": Multiply.SQUARE, "imm_s": square_shift, "reduce": Reduce.SUM, "rs_d": 1}),
        Microword(
            {"kind": Kind.SCALAR, "rs_a": 1, "addend": Addend.IMM, "imm_add": eps, "fn": Function.RSQRT, "rs_d": 1}
        ),
        Microword({**centred, "mul": Multiply.ROW, "rs_m": 1, "imm_s": fraction, "dst": Destination.INT16}),
    ]
    got = over_rows(Bench(config), x, words, Destination.INT16)
    expected = integer_ops.layer_norm(tensor(x), mean, square_shift, eps, fraction).clamp(-32768, 32767)
    assert np.array_equal(got, expected.numpy())


@settings(max_examples=25)
@given(configs, ROWS, st.sampled_from(CHANNELS), st.integers(0, 99))
def test_softmax(config: ChipConfig, rows: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (rows, n)) >> rng.integers(0, 8, (rows, 1))
    exponent, weight = (int(rng.integers(1, 32768)), int(rng.integers(5, 12))), (127, 15)
    words = [
        Microword({**FROM_SPAD, "reduce": Reduce.MAX, "rs_d": 2}),
        Microword(
            {**FROM_SPAD, "addend": Addend.ROW, "rs_a": 2, "mul": Multiply.IMM, "imm_m": exponent[0]}
            | {"imm_s": exponent[1], "fn": Function.EXP2N, "side": Side.SCALE_F, "b_m": weight[0], "b_s": weight[1]}
            | {"lo": 0, "hi": 127, "dst": Destination.INT8, "reduce": Reduce.SUM, "rs_d": 3}
        ),
        Microword({"kind": Kind.SCALAR, "rs_a": 3, "fn": Function.RECIP, "rs_d": 0}),
    ]
    bench = Bench(config)
    got = over_rows(bench, x, words, Destination.INT8)
    numerators, total = integer_ops.softmax_numerators(tensor(x), exponent, weight)
    assert np.array_equal(got, numerators.numpy())
    # The reciprocals of the last block are still there, and divide what they belong to.
    last = slice((rows - 1) // config.rows * config.rows, rows)
    words = [
        Microword({**FROM_SPAD, "mul": Multiply.ROW, "rs_m": 0, "imm_s": -14, "dst": Destination.INT16}),
    ]
    divided = over_rows(bench, got[last], words, Destination.INT16)
    expected = integer_ops.divide_rows(numerators[last], total[last], -14)
    assert np.array_equal(divided, expected.numpy())
    assert np.all(np.abs(divided.sum(axis=1) - 16384) <= 0.01 * 16384)


@settings(max_examples=15)
@given(configs, st.sampled_from(SIZES[:4]), st.sampled_from(SIZES[:4]), st.sampled_from([1, 8, 17]), st.integers(0, 99))
def test_resize(config: ChipConfig, h: int, w: int, n: int, seed: int) -> None:
    """A pass is a depthwise convolution (3 of the near pixel, 1 of the far one) for each of the two phases."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (h, w, n))
    bench = Bench(config)
    d, c = config.depth, config.cols
    bench.program(
        Microword({"mul": Multiply.IMM, "imm_m": 1, "imm_s": 2, "lo": -128, "hi": 127, "dst": Destination.INT8})
    )
    picture = x
    for axis in (1, 0):
        edged = np.pad(picture, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        place = place_picture(bench, edged, ActFormat.INT8)
        size = [picture.shape[0], picture.shape[1]]
        doubled = [s * 2 if a == axis else s for a, s in enumerate(size)]
        pix = up(n, c)
        out = bench.room(doubled[0] * doubled[1] * pix)
        for phase in range(2):
            kernel = np.zeros((3, 3), dtype=np.int64)
            kernel[(1, 2 * phase) if axis == 1 else (2 * phase, 1)] = 1
            kernel[1, 1] = 3
            tiles = depthwise_tiles(np.broadcast_to(kernel.reshape(9), (n, 9)), config)
            weights = {"wgt": bench.put(tiles), "wgt_t": c * d, "wgt_c": d, "n": n, "chunks": -(-n // d)}
            shape = {"kernel_h": 3, "kernel_w": 3, "last_elems": 1, "depthwise": 1}
            pad = (1, 0) if axis == 1 else (0, 1)
            block = config.rows * c // d
            step = pix if axis == 1 else pix * doubled[1]
            bench.run(
                Instruction(
                    Opcode.MATMUL, {**place, **weights, **shape, **window((size[0], size[1]), block, (1, 1), pad)}
                ),
                Instruction(
                    Opcode.VECTOR,
                    {"h": size[0], "w": size[1], "n": n, "block": block, "prog_len": 1, "d": out + phase * step}
                    | {"d_row": doubled[1] * pix * (2 if axis == 0 else 1)}
                    | {"d_pix": pix * (2 if axis == 1 else 1)},
                ),
            )
        picture = bench.read(out, (doubled[0], doubled[1], n), (doubled[1] * pix, pix), Destination.INT8)
    assert np.array_equal(picture, integer_ops.resize2(tensor(x)).numpy())
