"""docs/numerics.md read aloud: MATMUL and VECTOR as loops over single Python integers, to check the vectorised machine.

Slow on purpose: one line of the page is one line here, nothing is gathered, cached or done for several elements.
"""

from collections.abc import Iterator
from types import SimpleNamespace

from triptych.golden.quartdepth.arithmetic.functions import exp2n, gelu, recip, rsqrt
from triptych.golden.quartdepth.chip.config import ChipConfig


def rs(v: int, s: int) -> int:
    s = min(max(s, 0), 47)
    return (v + (1 << (s - 1))) >> s if s else v


def signed(v: int, bits: int) -> int:
    v &= (1 << bits) - 1
    return v - (1 << bits) if v >> (bits - 1) else v


def sat(v: int, bits: int) -> int:
    return min(max(v, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


def rotated(word: int, index: int) -> int:
    mixed, count = (word ^ index) & 0xFFFFFFFF, index & 31
    return (mixed << count | mixed >> (32 - count)) & 0xFFFFFFFF


def table_decode(tables: bytes, table: int, code: int) -> int:
    return signed(tables[64 * table + code], 5)


def table_encode(tables: bytes, table: int, v: int) -> int:
    at = 64 * table + 16
    return sum(v >= int.from_bytes(tables[at + 2 * i : at + 2 * i + 2], "little", signed=True) for i in range(15))


def blocks(height: int, width: int, block: int) -> Iterator[list[tuple[int, int]]]:
    pixels = [(y, x) for y in range(height) for x in range(width)]
    for first in range(0, len(pixels), block):
        yield pixels[first : first + block]


def matmul(config: ChipConfig, spad: bytes, tables: bytes, i: SimpleNamespace) -> list[list[int]]:
    """Accumulator rows in the order in which they leave."""
    d, c = config.depth, config.cols
    rows = []
    for pixels in blocks(i.out_h, i.out_w, i.block):
        for j in range(-(-i.n // c)):
            for oy, ox in pixels:
                row = []
                for col in range(c):
                    acc = 0
                    if j * c + col < i.n:
                        acc = (
                            _depthwise(d, c, spad, tables, i, oy, ox, j, col)
                            if i.depthwise
                            else _cell_sum(d, spad, tables, i, oy, ox, j, col)
                        )
                    row.append(signed(acc, 32))
                rows.append(row)
    return rows


def _place(i: SimpleNamespace, oy: int, ox: int, ky: int, kx: int) -> int | None:
    iy = oy * i.stride_y + ky - i.pad_top
    ix = ox * i.stride_x + kx - i.pad_left
    return i.act + iy * i.act_row + ix * i.act_pix if 0 <= iy < i.in_h and 0 <= ix < i.in_w else None


def _code(spad: bytes, at: int | None, kk: int, pad: int) -> int:
    return pad & 15 if at is None else spad[at + kk // 2] >> 4 * (kk % 2) & 15


def _cell_sum(d: int, spad: bytes, tables: bytes, i: SimpleNamespace, oy: int, ox: int, j: int, col: int) -> int:
    total = 0
    for ky in range(i.kernel_h):
        for kx in range(i.kernel_w):
            for chunk in range(i.chunks):
                s = (ky * i.kernel_w + kx) * i.chunks + chunk
                pixel = _place(i, oy, ox, ky, kx)
                for kk in range(i.last_elems if chunk == i.chunks - 1 else d):
                    paired = i.weight_format == 0 and i.act_format == 0
                    t = s >> 1 if paired else s
                    tile = i.wgt + j * i.wgt_n + t * i.wgt_t
                    byte = spad[tile + kk * i.wgt_c + col] if i.transpose else spad[tile + col * i.wgt_c + kk]
                    if i.act_format:
                        for high in range(2):
                            at = None if pixel is None else pixel + chunk * d
                            code = _code(spad, at, 2 * kk + high, i.pad_value)
                            a = code if i.act_format == 2 else table_decode(tables, i.code_table, code)
                            total += a * signed(byte >> 4 * high, 4)
                        continue
                    w = [signed(byte >> 4 * (s & 1), 4), signed(byte, 8), signed(byte, 4)][i.weight_format]
                    total += w * signed(i.pad_value if pixel is None else spad[pixel + chunk * d + kk], 8)
    return total


def _depthwise(
    d: int, c: int, spad: bytes, tables: bytes, i: SimpleNamespace, oy: int, ox: int, j: int, col: int
) -> int:
    q, u = divmod(j, d // c)
    lane = u * c + col
    total = 0
    for ky in range(3):
        for kx in range(3):
            pixel = _place(i, oy, ox, ky, kx)
            if i.act_format == 0:
                a = signed(i.pad_value if pixel is None else spad[pixel + q * d + lane], 8)
            else:
                code = _code(spad, None if pixel is None else pixel + q * d // 2, lane, i.pad_value)
                a = code if i.act_format == 2 else table_decode(tables, i.code_table, code)
            byte = spad[i.wgt + q * i.wgt_t + col * i.wgt_c + 3 * ky + kx]
            total += a * signed(byte >> 4 * u, 4)
    return total


def vector(
    config: ChipConfig,
    spad: bytearray,
    tables: bytes,
    row_scalars: list[list[int]],
    i: SimpleNamespace,
    words: list[SimpleNamespace],
    rows: Iterator[list[int]],
) -> int:
    """Execute on `spad` and `row_scalars` in place; `rows` gives accumulator rows. Returns the signature."""
    sig = 0
    for pixels in blocks(i.h, i.w, i.block):
        for w in words:
            if w.kind:
                for p in range(len(pixels)):
                    row_scalars[w.rs_d][p] = _scalar(w, row_scalars[w.rs_a][p])
                continue
            done = []
            for g in range(-(-i.n // config.cols)):
                for p, (y, x) in enumerate(pixels):
                    row = next(rows) if w.src_a == 0 else None
                    lanes = range(min(config.cols, i.n - g * config.cols))
                    values = [_lane(config, spad, tables, row_scalars, i, w, row, g, p, y, x, c) for c in lanes]
                    done.append((g, p, y, x, values))
            for g, p, y, x, values in done:
                pixel = i.d + y * i.d_row + x * i.d_pix
                sig += _write(spad, pixel, config.cols, w.dst, g, values)
                if w.reduce:
                    meanings = [table_decode(tables, w.table_e, v) if w.encode else v for v in values]
                    for at, meaning in enumerate(meanings):
                        old = row_scalars[w.rs_d][p]
                        first = g == 0 and at == 0
                        new = meaning if first else old + meaning if w.reduce == 1 else max(old, meaning)
                        row_scalars[w.rs_d][p] = signed(new, 32)
    return sig & 0xFFFFFFFF


def _element(config: ChipConfig, spad: bytes, tables: bytes, fmt: int, table: int, at: int, g: int, c: int) -> int:
    if fmt == 0:
        return signed(spad[at + g * config.cols + c], 8)
    code = spad[at + g * config.cols // 2 + c // 2] >> 4 * (c % 2) & 15
    return code if fmt == 1 else table_decode(tables, table, code)


def _lane(
    config: ChipConfig,
    spad: bytes,
    tables: bytes,
    row_scalars: list[list[int]],
    i: SimpleNamespace,
    w: SimpleNamespace,
    row: list[int] | None,
    g: int,
    p: int,
    y: int,
    x: int,
    c: int,
) -> int:
    at = i.param + 8 * (g * config.cols + c)
    bias = int.from_bytes(spad[at : at + 4], "little", signed=True)
    mult = int.from_bytes(spad[at + 4 : at + 6], "little", signed=True)
    shift, zero = int.from_bytes(spad[at + 6 : at + 7]), int.from_bytes(spad[at + 7 : at + 8], signed=True)
    if row is not None:
        a = row[c]
    else:
        a = _element(config, spad, tables, w.fmt_a, w.table_a, i.a + y * i.a_row + x * i.a_pix, g, c)
    addend = [lambda: 0, lambda: bias, lambda: -row_scalars[w.rs_a][p], lambda: w.imm_add][w.addend]()
    xx = signed((a << w.a_shl) + addend, 32)
    pair = row_scalars[w.rs_m][p]
    yy = [
        lambda: xx,
        lambda: sat(rs(xx * mult, shift), 32),
        lambda: sat(rs(xx * w.imm_m, w.imm_s), 32),
        lambda: sat(rs(xx * signed(pair, 16), (pair >> 16 & 255) + w.imm_s), 32),
        lambda: sat(rs(sat(xx, 16) ** 2, w.imm_s), 32),
    ][w.mul]()
    if w.side == 1:
        b = _element(config, spad, tables, w.fmt_b, w.table_b, i.b + y * i.b_row + x * i.b_pix, g, c)
        z = sat(yy + sat(rs((b + w.b_add) * w.b_m, w.b_s), 32), 32)
    elif w.side == 2:
        f = [lambda v: v, exp2n, gelu][w.fn](sat(yy, 16))
        z = sat(rs(int(f) * w.b_m, w.b_s), 32)
    else:
        z = yy
    v = min(max(rs(z, w.z_s) + (zero if w.zp_param else w.out_add), w.lo), w.hi)
    return table_encode(tables, w.table_e, v) if w.encode else v


def _write(spad: bytearray, pixel: int, lanes: int, dst: int, g: int, values: list[int]) -> int:
    """Write one granule and return what it adds to the signature."""
    if not dst:
        return 0
    bits = {1: 8, 2: 4, 3: 16}[dst]
    at = pixel + g * lanes * bits // 8
    number = sum((v & ((1 << bits) - 1)) << bits * c for c, v in enumerate(values))
    data = number.to_bytes(-(-len(values) * bits // 8), "little")
    spad[at : at + len(data)] = data
    words = [data[k : k + 4].ljust(4, b"\0") for k in range(0, len(data), 4)]
    return sum(rotated(int.from_bytes(word, "little"), at // 4 + k) for k, word in enumerate(words))


def _scalar(w: SimpleNamespace, value: int) -> int:
    x = signed(value + (w.imm_add if w.addend == 3 else 0), 32)
    y = sat(rs(x * w.imm_m, w.imm_s), 32) if w.mul == 2 else x
    return {3: lambda: int(recip(y)), 4: lambda: int(rsqrt(y))}.get(w.fn, lambda: y)()
