"""Builds, checks and times the Hopper block-sparse attention kernels on the GPU of this machine.

    python tests/gpu/hopper_kernel.py [check] [error] [time]

`check` compares every variant with a float64 reference on fresh random inputs, the output poisoned beforehand.
`error` compares the 8-bit kernel with the 16-bit one on white noise and on a smooth video-like field.
`time` measures the HunyuanVideo shape against cuDNN's dense attention in the same run. All three by default.
The environment narrows a run: PRECISIONS=bf16,fp8, CASES=0,3 (of `check`), SPARSITIES=0,0.9.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from triptych.golden.draft_attention.hopper import block_sparse_attention
from triptych.golden.draft_attention.terms.block_sets import BlockSets, sets_from_mask
from triptych.golden.draft_attention.terms.geometry import Geometry
from triptych.golden.draft_attention.terms.tail import Tail, factorised, log_counts, padded_dim

DEVICE = torch.device("cuda")
BOUNDS = {"bf16": 4e-3, "f16": 6e-4, "fp8": 6e-2}  # relative L2 on white noise


@dataclass(frozen=True)
class Case:
    """One shape to check."""

    geometry: Geometry
    batch: int
    heads: int
    kv_heads: int
    dim: int
    dtype: torch.dtype
    tokens_first: bool  # memory order [batch, length, heads, dim]
    density: float
    gain: float = 1.0  # of q: large logits make the running maximum jump, and the output be rescaled
    key_pool: tuple[int, ...] | None = None  # of the keys' blocks where it is not the queries'
    paired: bool = False  # neighbouring query blocks have one set
    outlier: float = 1.0  # factor on the values of one token, which no sample of tokens holds

    @property
    def keys(self) -> Geometry:
        """How the keys lie in blocks."""
        g = self.geometry
        return Geometry(g.grid, self.key_pool or g.pool, g.text_length, g.text_first)


CASES = (
    Case(Geometry((3, 24, 32), (8, 16), 100), 2, 4, 2, 128, torch.bfloat16, True, 0.4),
    Case(Geometry((2, 13, 21), (8, 16), 300, text_first=True), 1, 3, 3, 64, torch.float16, False, 0.5),
    Case(Geometry((5, 19, 27), (2, 8, 8), 0), 1, 4, 1, 128, torch.float16, True, 0.3),
    Case(Geometry((3, 5, 9), (8, 16), 7), 2, 2, 2, 128, torch.bfloat16, False, 0.6),
    Case(Geometry((9, 16, 16), (1, 1, 128), 129), 1, 2, 1, 64, torch.bfloat16, False, 0.5),
    Case(Geometry((5, 45, 80), (8, 16), 77, text_first=True), 1, 2, 2, 128, torch.bfloat16, True, 0.2),
    Case(Geometry((6, 45, 80), (8, 16), 512), 1, 2, 1, 128, torch.float16, False, 1.0),
    Case(Geometry((7, 20, 70), (8, 16), 40), 1, 6, 3, 128, torch.bfloat16, False, 0.5, gain=12.0),
    Case(Geometry((7, 20, 70), (8, 16), 40, text_first=True), 1, 6, 3, 128, torch.bfloat16, True, 0.5, gain=3.0),
    Case(Geometry((1100, 1, 3), (8, 16), 300), 1, 4, 2, 128, torch.bfloat16, True, 0.3),  # 1,103 blocks: 36 words
    Case(Geometry((3, 24, 32), (8, 16), 100), 2, 4, 2, 128, torch.bfloat16, True, 0.4, key_pool=(8, 8)),
    Case(Geometry((5, 19, 27), (2, 8, 8), 130), 1, 4, 1, 64, torch.float16, False, 0.3, key_pool=(4, 4, 4)),
    Case(Geometry((7, 20, 70), (8, 16), 40, text_first=True), 1, 6, 3, 128, torch.bfloat16, True, 0.5, 3.0, (1, 4, 16)),
    Case(Geometry((3, 24, 32), (8, 8), 100), 2, 4, 2, 128, torch.bfloat16, True, 0.4),
    Case(Geometry((3, 20, 36), (8, 8), 70), 1, 3, 3, 128, torch.bfloat16, True, 0.05),  # mostly private blocks
    Case(Geometry((5, 19, 27), (4, 4, 4), 130, text_first=True), 1, 4, 1, 64, torch.float16, False, 0.3),
    Case(Geometry((9, 16, 16), (1, 1, 64), 65), 1, 2, 1, 64, torch.bfloat16, False, 0.5),
    Case(Geometry((7, 20, 70), (8, 8), 40), 1, 6, 3, 128, torch.bfloat16, False, 0.5, gain=12.0),
    Case(Geometry((550, 1, 3), (8, 8), 300), 1, 4, 2, 128, torch.bfloat16, True, 0.3),
    Case(Geometry((1100, 1, 3), (8, 8), 0), 1, 2, 2, 64, torch.float16, True, 0.2),
    Case(Geometry((3, 20, 36), (8, 8), 70), 1, 3, 3, 128, torch.float16, True, 1.0),
    Case(Geometry((3, 24, 32), (8, 8), 100), 2, 4, 2, 128, torch.bfloat16, True, 0.4, paired=True),
    Case(Geometry((5, 19, 27), (4, 4, 4), 130, text_first=True), 1, 4, 1, 64, torch.float16, False, 0.3, paired=True),
    Case(Geometry((550, 1, 3), (8, 8), 300), 1, 4, 2, 128, torch.bfloat16, True, 0.3, paired=True),
    # head dims that the copy engine fills up
    Case(Geometry((3, 24, 32), (8, 16), 100), 2, 4, 2, 72, torch.bfloat16, True, 0.4),
    Case(Geometry((3, 20, 36), (8, 8), 70, text_first=True), 1, 3, 3, 40, torch.float16, False, 0.3),
    Case(Geometry((7, 20, 48), (8, 16), 40), 1, 4, 2, 96, torch.bfloat16, True, 0.4),
    # ragged blocks of full runs of 16 tokens: 4 of 8 rows, 1 of 2 frames, half rows, 60 rows of blocks
    Case(Geometry((7, 20, 48), (8, 16), 40, text_first=True), 1, 4, 2, 64, torch.bfloat16, True, 0.4),
    Case(Geometry((5, 16, 32), (2, 4, 16), 30), 2, 2, 1, 128, torch.float16, False, 0.5),
    Case(Geometry((3, 30, 64), (4, 32), 0), 1, 3, 3, 128, torch.bfloat16, True, 0.1),
    Case(Geometry((60, 9, 32), (8, 16), 200), 1, 2, 2, 128, torch.bfloat16, False, 0.6, gain=3.0),
    Case(Geometry((5, 45, 80), (8, 16), 77, text_first=True), 1, 2, 2, 128, torch.bfloat16, True, 0.2, outlier=500.0),
)


def random_tensor(case: Case, heads: int, generator: torch.Generator) -> torch.Tensor:
    """White noise `[batch, heads, length, dim]` with an offset per channel, in the memory order of the case."""
    shape = (case.batch, case.geometry.length, heads, case.dim)
    noise = torch.randn(shape, generator=generator, device=DEVICE)
    noise += 0.3 * torch.randn((1, 1, heads, case.dim), generator=generator, device=DEVICE)
    tensor = noise.to(case.dtype).transpose(1, 2)
    return tensor if case.tokens_first else tensor.contiguous()


def random_mask(case: Case, generator: torch.Generator) -> torch.Tensor:
    """bool `[batch, heads, rows, columns]` in blocks; some rows are empty, some full, neighbours partly alike."""
    rows, columns = case.geometry.n_blocks, case.keys.n_blocks
    shape = (case.batch, case.heads, rows, columns)
    allowed = torch.rand(shape, generator=generator, device=DEVICE) < case.density
    alike = torch.rand(shape, generator=generator, device=DEVICE) < 0.5
    allowed[:, :, 1::2] = torch.where(alike[:, :, 1::2], allowed[:, :, : rows // 2 * 2 : 2], allowed[:, :, 1::2])
    if case.density < 1:
        allowed[:, 0, 0] = False
        allowed[:, -1, -1] = True
    if case.paired:
        video = case.geometry.n_video_blocks
        for first, end in ((0, video), (video, rows)):
            odd = torch.arange(first + 1, end, 2, device=DEVICE)
            allowed[:, :, odd] = allowed[:, :, odd - 1]
    return allowed


def pooled_tail(k: torch.Tensor, v: torch.Tensor, geometry: Geometry) -> Tail:
    """Block statistics in float64, rounded to the tensors' type."""
    block = geometry.token_blocks.to(DEVICE)
    n, video = geometry.n_video_blocks, geometry.token_blocks.to(DEVICE) < geometry.n_video_blocks
    size = geometry.block_counts[:n].to(DEVICE).double()[:, None]

    def mean(x: torch.Tensor) -> torch.Tensor:
        sums = torch.zeros((*x.shape[:2], n, x.shape[3]), dtype=torch.float64, device=DEVICE)
        return sums.index_add_(2, block[video], x[:, :, video].double()) / size

    k_mean = mean(k)
    centred = k.double() - k_mean[:, :, block.clamp(max=n - 1)]
    spread, profile = factorised(mean(centred.square()))
    more = padded_dim(k.shape[3]) - k.shape[3]
    means = [torch.nn.functional.pad(x.to(k.dtype), (0, more)) for x in (k_mean, mean(v))]
    profile = torch.nn.functional.pad(profile.float(), (0, more))
    return Tail(*means, spread.float(), profile, log_counts(geometry, DEVICE))


def reference(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    allowed: torch.Tensor,
    case: Case,
    scale: float,
    tail: Tail | None,
) -> torch.Tensor:
    """The same function in float64, one head at a time."""
    geometry, block = case.keys, case.keys.token_blocks.to(DEVICE)
    query_block = case.geometry.token_blocks.to(DEVICE)
    group = q.shape[1] // k.shape[1]
    out = torch.zeros(q.shape, dtype=torch.float64, device=DEVICE)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            rows = allowed[b, h][query_block]
            query, key, value = q[b, h].double(), k[b, h // group].double(), v[b, h // group].double()
            scores = (query @ key.T * scale).masked_fill(~rows[:, block], -torch.inf)
            if tail is not None:
                k_mean, v_mean, profile = (
                    x[b, h // group, ..., : case.dim].double() for x in (tail.k_mean, tail.v_mean, tail.k_profile)
                )
                pooled = query @ k_mean.T * scale + tail.log_count.double()
                gain = 0.5 * scale**2 * query.square() @ profile
                pooled += gain[:, None] * tail.k_spread[b, h // group].double()
                pooled = pooled.masked_fill(rows[:, : geometry.n_video_blocks], -torch.inf)
                scores = torch.cat([scores, pooled], dim=1)
                value = torch.cat([value, v_mean])
            out[b, h] = torch.softmax(scores, dim=1).nan_to_num(0) @ value
    return out


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got.double() - want).norm() / want.norm())


def check(precisions: tuple[str, ...], cases: tuple[Case, ...]) -> bool:
    """Every case, with and without tail, each precision. True when all are within bounds."""
    print(f"{'case':66s} {'variant':10s} {'rel. L2':>9s}  bound")
    good = True
    generator = torch.Generator(DEVICE)
    generator.manual_seed(time.time_ns() & 0xFFFFFFFF)
    for case in cases:
        q = random_tensor(case, case.heads, generator) * case.gain
        k, v = (random_tensor(case, case.kv_heads, generator) for _ in range(2))
        v[:, :, 1] *= case.outlier
        allowed = random_mask(case, generator)
        sets = replace(sets_from_mask(allowed), paired=case.paired)
        scale = case.dim**-0.5
        g = case.geometry
        label = f"{g.grid} pool {g.pool}{case.key_pool or ''} text {g.text_length}{' first' if g.text_first else ''} "
        label += "paired " if case.paired else ""
        label += f"gain {case.gain:.0f} " if case.gain != 1 else ""
        label += f"outlier {case.outlier:.0f} " if case.outlier != 1 else ""
        label += f"b{case.batch} h{case.heads}/{case.kv_heads} d{case.dim} {str(case.dtype)[6:]}"
        for use_tail in (False, True):
            tail = pooled_tail(k, v, case.keys) if use_tail else None
            want = reference(q, k, v, allowed, case, scale, tail)
            for precision in precisions:
                # int8 scores cannot resolve large logits
                unfit = case.keys.block_size != 128 or case.dim not in (64, 128)
                if precision == "fp8" and (case.gain > 4 or unfit):
                    continue
                name = precision if precision != "bf16" or case.dtype == torch.bfloat16 else "f16"
                out = torch.full_like(q, torch.nan)
                block_sparse_attention(q, k, v, sets, g, scale, out, tail, precision, case.keys)
                error = relative_error(out, want)
                empty = use_tail or case.density == 1 or bool((out[:, 0, g.token_blocks.to(DEVICE) == 0] == 0).all())
                fine = error <= BOUNDS[name] and empty
                good &= fine
                variant = name + (" tail" if use_tail else "")
                verdict = "" if fine else "WRONG"
                print(f"{label:66s} {variant:10s} {error:9.2e}  {BOUNDS[name]:.0e} {verdict}", flush=True)
    return good


def check_modes(precisions: tuple[str, ...]) -> bool:
    """Equal calls give equal bits; a captured CUDA graph follows its inputs."""
    case = Case(Geometry((6, 45, 80), (8, 16), 77), 1, 4, 2, 128, torch.bfloat16, False, 0.3)
    generator = torch.Generator(DEVICE)
    generator.manual_seed(time.time_ns() & 0xFFFFFFFF)
    q = random_tensor(case, case.heads, generator)
    k, v = (random_tensor(case, case.kv_heads, generator) for _ in range(2))
    sets = sets_from_mask(random_mask(case, generator))
    good = True
    for precision in precisions:
        call = partial(block_sparse_attention, q, k, v, sets, case.geometry, case.dim**-0.5, precision=precision)
        same = all(torch.equal(call(), call()) for _ in range(5))
        graph, fixed = torch.cuda.CUDAGraph(), q.clone()
        with torch.cuda.graph(graph):
            out = call()
        q.copy_(q.flip(2))
        graph.replay()
        replayed = out.clone()
        follows = relative_error(replayed, call().double()) < BOUNDS["bf16"]
        q.copy_(fixed)
        print(f"{precision}: equal calls give equal bits {same}, graph replay follows its inputs {follows}")
        good &= same and follows
    return good


# ---- the error of 8 bits ---------------------------------------------------------------------------------------


def smooth_field(geometry: Geometry, heads: int, dim: int, detail: float, generator: torch.Generator) -> torch.Tensor:
    """`[heads, length, dim]` float32: coarse noise interpolated over time and space, plus `detail` white noise."""
    t, h, w = geometry.grid
    coarse = torch.randn((heads, dim, max(2, t // 4), h // 8, w // 8), generator=generator, device=DEVICE)
    fine = torch.nn.functional.interpolate(coarse, size=(t, h, w), mode="trilinear")
    fine = fine.flatten(2).transpose(1, 2)
    fine = fine / fine.std()
    text = torch.randn((heads, geometry.text_length, dim), generator=generator, device=DEVICE)
    field = torch.cat([fine, text], dim=1)
    return field + detail * torch.randn(field.shape, generator=generator, device=DEVICE)


def draft_choice(q: torch.Tensor, k: torch.Tensor, geometry: Geometry, keep: float) -> torch.Tensor:
    """Mask of the draft map's best `keep` video blocks in each row, text everywhere."""
    n, n_video = geometry.n_blocks, geometry.n_video_blocks
    means = [pooled_tail(x, x, geometry).k_mean.float() for x in (q, k)]
    top = (means[0] @ means[1].transpose(-1, -2)).topk(max(1, round(keep * n_video)), dim=-1).indices
    allowed = torch.zeros((*q.shape[:2], n, n), dtype=torch.bool, device=DEVICE)
    allowed[:, :, :n_video, :n_video].scatter_(3, top, True)
    allowed[..., n_video:] = True
    allowed[:, :, n_video:] = True
    return allowed


def eight_bit_error() -> None:
    """Relative L2 of the 8-bit output against the 16-bit one, 90 % sparse."""
    geometry, heads, dim = Geometry((9, 48, 80), (8, 16), 256), 8, 128
    generator = torch.Generator(DEVICE)
    generator.manual_seed(1)
    shape = (heads, geometry.length, dim)
    fields = {"white noise": [torch.randn(shape, generator=generator, device=DEVICE) for _ in range(3)]}
    for gain in (1.0, 2.0):
        base = smooth_field(geometry, heads, dim, 0.0, generator)
        noisy = [base + 0.5 * torch.randn(shape, generator=generator, device=DEVICE) for _ in range(2)]
        values = smooth_field(geometry, heads, dim, 0.3, generator)
        fields[f"smooth video-like, logits x{gain:.0f}"] = [noisy[0] * 0.5 * gain, noisy[1] * 0.5, values]
    print("\n8-bit against 16-bit, 90 % sparse, relative L2 of the whole output and of the worst head")
    for name, (q, k, v) in fields.items():
        q, k, v = (x.to(torch.bfloat16)[None] for x in (q, k, v))
        sets = sets_from_mask(draft_choice(q, k, geometry, 0.1))
        outs = [
            block_sparse_attention(q, k, v, sets, geometry, dim**-0.5, None, None, precision).double()
            for precision in ("bf16", "fp8")
        ]
        heads_error = (outs[1] - outs[0]).flatten(2).norm(dim=2) / outs[0].flatten(2).norm(dim=2)
        print(f"{name:34s} {relative_error(outs[1], outs[0]):9.2e} {float(heads_error.max()):9.2e}")


# ---- timing ----------------------------------------------------------------------------------------------------

HUNYUAN = Geometry((33, 48, 80), (8, 16), 256)


def budget_sets(
    geometry: Geometry, heads: int, sparsity: float, keys: Geometry | None = None, alike: float = 0.0
) -> BlockSets:
    """Random video blocks at this sparsity in each video row, text attended and attending everywhere.

    `alike`: share of the ranking that two neighbouring query blocks have in common, 0 for none.
    """
    keys = keys or geometry
    rows, columns = geometry.n_video_blocks, keys.n_video_blocks
    keep = columns - round(sparsity * columns)
    parts = []
    for _ in range(heads):
        common = torch.rand(((rows + 1) // 2, columns), device=DEVICE).repeat_interleave(2, 0)[:rows]
        score = alike * common + (1 - alike) * torch.rand((rows, columns), device=DEVICE)
        allowed = torch.zeros((1, 1, geometry.n_blocks, keys.n_blocks), dtype=torch.bool, device=DEVICE)
        allowed[0, 0, :rows].scatter_(1, score.topk(keep, dim=1).indices, True)
        allowed[..., columns:] = True
        allowed[:, :, rows:] = True
        parts.append(sets_from_mask(allowed))
    return BlockSets(torch.cat([p.bits for p in parts], dim=1), torch.cat([p.counts for p in parts], dim=1))


def milliseconds(run: Callable[[], object], repeats: int) -> float:
    """Median of event-timed runs after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def measure(precisions: tuple[str, ...], sparsities: tuple[float, ...]) -> None:
    """The HunyuanVideo shape: H=24, L=126,976, d=128, bf16."""
    heads, dim, geometry = 24, 128, HUNYUAN
    q, k, v = (torch.randn((1, heads, geometry.length, dim), device=DEVICE, dtype=torch.bfloat16) for _ in range(3))
    out = torch.empty_like(q)
    scale = dim**-0.5
    tail = pooled_tail(k, v, geometry)
    rows: list[tuple[str, float, float]] = []
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        dense = milliseconds(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v), 3)
    rows.append(("cuDNN dense", dense, 1.0))
    flops = 4 * heads * dim * geometry.length**2
    for sparsity in sparsities:
        sets = budget_sets(geometry, heads, sparsity)
        share = float(sets.counts.double().mean()) / geometry.n_blocks
        for precision in precisions:
            for used in (None, tail) if sparsity == 0.9 and precision == "bf16" else (None,):
                call = partial(block_sparse_attention, q, k, v, sets, geometry, scale, out, used, precision)
                spent = milliseconds(call, 3 if sparsity == 0 else 9)
                label = f"{precision}{' tail' if used else ''} {sparsity:.0%} sparse ({share:.1%} computed)"
                rows.append((label, spent, share))
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        rows.append(
            ("cuDNN dense again", milliseconds(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v), 2), 1)
        )
    print(f"\n{torch.cuda.get_device_name()}: H={heads}, L={geometry.length}, d={dim}, bf16 inputs, median")
    print(f"{'variant':44s} {'ms':>8s} {'TFLOP/s':>8s} {'x cuDNN':>8s}")
    for label, spent, share in rows:
        print(f"{label:44s} {spent:8.2f} {flops * share / spent / 1e9:8.0f} {dense / spent:8.2f}")


def measure_blocks(sparsities: tuple[float, ...]) -> None:
    """The HunyuanVideo shape with blocks of 128 and 64 tokens, masks of neighbours unlike and alike, with the tail."""
    heads, dim = 24, 128
    coarse, fine = HUNYUAN, Geometry(HUNYUAN.grid, (8, 8), HUNYUAN.text_length)
    q, k, v = (torch.randn((1, heads, coarse.length, dim), device=DEVICE, dtype=torch.bfloat16) for _ in range(3))
    out = torch.empty_like(q)
    flops = 4 * heads * dim * coarse.length**2
    print(f"{'blocks':10s} {'sparse':>7s} {'alike':>6s} {'tail':>5s} {'ms':>8s} {'TFLOP/s':>8s}")
    blockings = (("128 x 128", coarse, coarse), ("128 x 64", coarse, fine), ("64 x 64", fine, fine))
    for name, queries, keys in blockings:
        tail = pooled_tail(k, v, keys)
        for sparsity in sparsities:
            for alike in (0.0, 0.5, 1.0) if name == "64 x 64" else (0.0,):
                sets = budget_sets(queries, heads, sparsity, keys, alike)
                sets = replace(sets, paired=alike == 1.0)
                share = float(sets.counts.double().mean()) / keys.n_blocks
                for used in (None, tail):
                    call = partial(block_sparse_attention, q, k, v, sets, queries, dim**-0.5, out, used, "bf16", keys)
                    spent = milliseconds(call, 7)
                    print(
                        f"{name:10s} {sparsity:7.0%} {alike:6.1f} {used is not None!s:>5s} {spent:8.2f} "
                        f"{flops * share / spent / 1e9:8.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["check", "error", "time"]
    chosen = tuple(os.environ.get("PRECISIONS", "bf16,fp8").split(","))
    subset = tuple(int(i) for i in os.environ.get("CASES", ",".join(map(str, range(len(CASES))))).split(","))
    print("device", torch.cuda.get_device_name(), "torch", torch.__version__)
    correct = check(chosen, tuple(CASES[i] for i in subset)) if "check" in wanted else True
    correct &= check_modes(chosen) if "check" in wanted else True
    if "error" in wanted:
        eight_bit_error()
    if "time" in wanted:
        measure(chosen, tuple(float(s) for s in os.environ.get("SPARSITIES", "0,0.5,0.75,0.9").split(",")))
    if "blocks" in wanted:
        measure_blocks((0.9,))
    sys.exit(0 if correct else "some variant is out of bounds")
