"""Fold measured rows into docs/results.md and draw the plots.

    python tests/gpu/draft_results.py [FOLDER]

FOLDER holds the JSON files that the benchmark programs wrote (default: tests/gpu/measured). Each file owns one marked
section; a missing file leaves its section alone.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from draft_plots import Rows, aside, draw_crossover, draw_error, draw_speed, mean_errors, refused

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from triptych.sim.bench.draft_record import kernel_name
from triptych.sim.bench.ledger import Label, replace_section, table


def facts(data: dict[str, Any]) -> str:
    """The line under a table: where its numbers come from."""
    f = data["facts"]
    line = f"`{Label.GPU_MEASURED.value}`, {f['device']}, torch {f['torch']}, cuDNN {f['cudnn']}, Triton {f['triton']}."
    return " ".join(filter(None, [line, data.get("note")]))


def price_lines(rows: Rows) -> list[str]:
    """What torch.compile costs."""
    lines: list[str] = []
    traced = [
        f"{r['shape']} {r['ms']:.1f} ms, eager {r['eager_ms']:.1f} ms" for r in rows if r["kernel"] == "torch.compile"
    ]
    if traced:
        lines += [f"Under torch.compile, 90 % with the tail and one addition, back to back: {'; '.join(traced)}.", ""]
    return lines


def masks_section(data: dict[str, Any]) -> str:
    """One's own masks of 64-token blocks, every kernel on the same one."""
    names = {"hopper": "ours (Hopper)", "triton": "ours (Triton)"}
    body = []
    for row in data["rows"]:
        known = "refused" not in row
        body.append(
            [
                row["shape"],
                f"{100 * row['shared']:.0f} %",
                names.get(row["kernel"], row["kernel"]),
                f"{row['ms']:.1f}" if known else "",
                f"{row['tflops']:.0f}" if known else row["refused"],
                f"{row['error']:.1e}" if known else "",
            ]
        )
    header = ["shape", "blocks that neighbours share", "kernel", "ms", "TFLOP/s", "error"]
    return "\n".join(
        [
            "## DraftAttention: own masks of 64 x 64 tokens",
            "",
            table(header, body),
            "",
            "90 % of the pairs left out at random, every kernel on the same mask and inputs; TFLOP/s count the "
            "pairs that are computed. VSA is fastvideo-kernel 0.3.5 from its wheel.",
            "",
            facts(data),
        ]
    )


def crossover_section(data: dict[str, Any]) -> str:
    """Whole calls over lengths and sparsities."""
    rows: Rows = data["rows"]
    sparsities = sorted({r["sparsity"] for r in rows})
    body = []
    for tokens in sorted({r["tokens"] for r in rows}):
        here = {r["sparsity"]: r for r in rows if r["tokens"] == tokens and r["block"] == 128}
        if len(here) == len(sparsities):
            dense = here[sparsities[0]]["dense_ms"]
            body.append([f"{tokens:,}", f"{dense:.2f}", *(f"{dense / here[s]['ms']:.2f}x" for s in sparsities)])
    header = ["tokens", "dense ms", *(f"{100 * s:.0f} %" for s in sparsities)]
    return "\n".join(
        [
            "## DraftAttention: from where on it pays",
            "",
            table(header, body),
            "",
            "Whole call with the tail over the faster of cuDNN's and PyTorch's own dense attention, 24 heads of "
            "128, blocks of 128; the plot has blocks of 64 too. A call alone on the card: what the host spends on "
            "its launches, about 1.5 ms here, counts.",
            "",
            facts(data),
        ]
    )


def kernel_section(data: dict[str, Any]) -> str:
    rows: Rows = data["rows"]
    parts = ["## DraftAttention: attention kernels", ""]
    for shape in dict.fromkeys(r["shape"] for r in rows):
        here = [r for r in rows if r["shape"] == shape and not aside(r)]
        dense = next(r["ms"] for r in here if r["kernel"] == "cuDNN")
        busy = next(r.get("back_to_back_ms", r["ms"]) for r in here if r["kernel"] == "cuDNN")
        body = []
        for row in sorted(here, key=lambda r: (r["sparsity"], r.get("ms", math.inf))):
            if refused(row):
                body.append([f"{100 * row['sparsity']:.0f} %", kernel_name(row), row["refused"], *[""] * 5])
                continue
            attention = row.get("attention_ms", row["ms"])
            whole = row["ms"] + row.get("plan_ms", 0.0) if "attention_ms" in row or "plan_ms" in row else None
            body.append(
                [
                    f"{100 * row['sparsity']:.0f} %",
                    kernel_name(row),
                    f"{attention:.1f}",
                    "" if whole is None else f"{whole:.1f}",
                    f"{dense / attention:.2f}x",
                    "" if whole is None else f"{dense / whole:.2f}x",
                    "" if "back_to_back_ms" not in row else f"{busy / row['back_to_back_ms']:.2f}x",
                    f"{row['error']:.1e}",
                ]
            )
        header = [
            "sparsity",
            "kernel",
            "attention ms",
            "whole call ms",
            "attention",
            "whole call",
            "back to back",
            "error",
        ]
        parts += [f"### {shape}, bf16", "", table(header, body), ""]
    parts += [
        "Factors are over cuDNN's dense attention. Whole call: pooling, draft, sets and attention for ours, plan "
        "and run for FlashInfer; FlexAttention's mask building is not timed, and both peers get tensors already "
        "in block order. Error: relative L2 against float64 on white noise, the worst of the probed heads and "
        "blocks. 'Whole call' waits for each call before the next; 'back to back' is the same call among calls that "
        "follow each other for 0.7 s and more without a pause, cuDNN likewise: the card then is at its power limit "
        "(700 W), and what costs energy costs time.",
        "",
        *price_lines(rows),
        facts(data),
    ]
    return "\n".join(parts)


def ulysses_section(data: dict[str, Any]) -> str:
    """Two GPUs of one host beside one."""
    rows: Rows = data["rows"]
    warned = {r["shape"] for r in rows if r["warned"]}
    body = [
        [
            r["shape"],
            "with tail" if r["tail"] else "without tail",
            f"{r['one_ms']:.1f}",
            f"{r['ms']:.1f}",
            f"{r['one_ms'] / r['ms']:.2f}x",
            "yes" if r["shape"] in warned else "",
            f"{r['error']:.0e}",
        ]
        for r in rows
    ]
    header = ["tokens", "attention", "one GPU, ms", "two, ms", "", "warned: one is expected to be faster", "apart"]
    text = "Ulysses, 90 %, heads of 128, calls back to back; 'apart': relative L2 between the two results."
    parts = ["## DraftAttention: two GPUs", "", table(header, body), "", text, ""]
    if "profile" in data:
        names = {
            "attention": "attention",
            "nccl": "exchange",
            "elementwise": "copies",
            "pool": "pooling",
            "other": "the rest",
            "exchange or nothing": "of it: only the exchange runs, or nothing",
            "no attention": "of it: no attention runs",
            "whole": "a call",
        }
        profiles = [data["profile_before"], data["profile"]]
        body = [[word, *(f"{p[name]:.2f}" for p in profiles)] for name, word in names.items()]
        table_of_both = table(["ms of a call on one of the two GPUs", "copies by element", "by eight bytes"], body)
        parts += ["First shape with the tail, by PyTorch's profiler:", "", table_of_both, ""]
    return "\n".join([*parts, facts(data)])


def timeline_section(data: dict[str, Any]) -> str:
    """Where a whole call's time goes, before and after launches were made cheap and few."""
    columns = {
        "ms": "call", "launches": "launches", "host_ms": "host", "before_ms": "before the first launch",
        "between_ms": "between kernels", "attention_ms": "attention",
    }  # fmt: skip
    body = []
    for row in data["rows"]:
        pairs = []
        for name in columns:
            digits = 0 if name == "launches" else 1 if name in ("ms", "attention_ms") else 2
            values = [f"{of[name]:.{digits}f}" for of in (row["earlier"], row) if name in of]
            pairs.append(" -> ".join(values))
        body.append([row["shape"], row["variant"], *pairs])
    header = ["shape", "variant", *(f"{word}{'' if word == 'launches' else ', ms'}" for word in columns.values())]
    text = (
        "Whole calls, each waited for. Left of the arrow: Triton's own launches, a map in its own memory in turns of "
        "32 MiB, small operations left to PyTorch. Right: launches by a kept key (triton_launch.py), one turn in the "
        "memory of the output, the small operations in the kernels. 'Attention' is the kernel in a call under the "
        "profiler, after a pause, at a higher clock than in the column 'call'. The host of these machines varies by a "
        "factor of two from minute to minute."
    )
    return "\n".join(
        ["## DraftAttention: where a call's time goes", "", table(header, body), "", text, "", facts(data)]
    )


def tried_section(data: dict[str, Any]) -> str:
    """What people try first."""
    body, dense, compiled = [], [], []
    for row in data["rows"]:
        if "cuDNN" in row:
            dense.append([row["tried"].split()[1], f"{row['ours']:.2f}", f"{row['cuDNN']:.2f}"])
        elif "eager" in row:
            compiled.append([row["tried"], f"{row['eager']:.2f}", f"{row['compiled']:.2f}"])
        else:
            body.append([row["tried"], f"{row['error']:.1e}"])
    return "\n".join(
        [
            "## DraftAttention: what people try first",
            "",
            table(["tried", "error against float64"], body),
            "",
            "Bounds: 2^-10 for float16, 2^-7 for bfloat16. Kernels that NVRTC builds gave the bits of nvcc's.",
            "",
            "Dense attention of 12 heads of 128, each call waited for:",
            "",
            table(["tokens", "ours, ms", "cuDNN, ms"], dense),
            "",
            table(["17 x 48 x 80, 12 heads, 90 % with the tail", "eager, ms", "compiled, ms"], compiled),
            "",
            facts(data),
        ]
    )


def attempts_section(data: dict[str, Any]) -> str:
    """What was changed in the kernels, what it was to bring, what it brought."""
    sides = ("before", "after")
    body = [
        [r["what"], r["change"], r["case"], *(f"{r[at]:.{2 if r[at] < 2 else 1}f}" for at in sides), r["kept"]]
        for r in data["rows"]
    ]
    return "\n".join(
        [
            "## DraftAttention: what was tried for speed",
            "",
            table(["kernel", "change", "timed", "before, ms", "after, ms", "kept"], body),
            "",
            "Attention alone, 90 %, the HunyuanVideo shape where none is named.",
            "",
            *data["remarks"],
            "",
            facts(data),
        ]
    )


def overhead_section(data: dict[str, Any]) -> str:
    rows: Rows = data["rows"]
    header = ["stage, ms", *(r["shape"] for r in rows)]
    body = [[name, *(f"{r['ms'][name]:.2f}" for r in rows)] for name in rows[0]["ms"]]
    body.append(["memory over q + k + v", *(f"{100 * r['memory_share']:.1f} %" for r in rows)])
    body.append(["host synchronisation", *("none" if r["no_synchronisation"] else "yes" for r in rows)])
    body.append(["same sets from a CUDA graph", *("yes" if r["graph_capture"] else "no" for r in rows)])
    body.append(["mask entries apart", *(f"{r['errors']['mask entries apart']:.0f}" for r in rows)])
    names = {"_pool_kernel": "pooling", "_draft_kernel": "draft", "_rank_kernel": "rank", "_count_kernel": "count"}
    names |= {"_row_sums_kernel": "row sums", "_error_kernel": "errors", "_sets_kernel": "sets"}
    names |= {"_probe_kernel": "trust: probes", "_slope_kernel": "trust: slopes", "_statistics_kernel": "tail"}
    kernels = [[word, *(f"{r['kernels'].get(name, 0.0):.2f}" for r in rows)] for name, word in names.items()]
    text = (
        "'Mask entries apart' compares with the rule on the kernels' own map; memory is that of a whole call with the "
        "tail beside its output, in which the map lies until attention writes it. The stages one by one: choice by "
        "mass, in turns of 32 MiB. Below, the selection with the tail, by the tail's error, by kernel, on the device "
        "alone (PyTorch's profiler; pooling of q, k and v together)."
    )
    return "\n".join(
        [
            "## DraftAttention: everything but attention",
            "",
            table(header, body),
            "",
            text,
            "",
            table(["kernel, ms", *header[1:]], kernels),
            "",
            facts(data),
        ]
    )


def three_digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def films(training: dict[str, dict[str, float]]) -> str:
    return ", ".join(f"{name} (loss {t['first_loss']:.2f} to {t['last_loss']:.3f})" for name, t in training.items())


def error_section(data: dict[str, Any]) -> str:
    rows: Rows = data["rows"]
    methods = list(dict.fromkeys(r["method"] for r in rows))
    parts = ["## DraftAttention: error against dense attention", ""]
    for sparsity in (0.75, 0.9):
        body = []
        for method in methods:
            means = [mean_errors(rows, method, sparsity, v, h) for h in (False, True) for v in (False, True)]
            if means[0] is not None:
                body.append([method, *(three_digits(m) for m in means)])
        header = ["method", "fields", "video", "held-out fields", "held-out video"]
        parts += [f"### {100 * sparsity:.0f} % sparsity, means", "", table(header, body), ""]
    names = list(dict.fromkeys(r["data"] for r in rows))
    shown = ("paper's rule", "ours, blocks of 128", "ours, blocks of 64", "64, by error, each row for itself")
    at = {(r["data"], r["method"]): r["error"] for r in rows if r["sparsity"] == 0.9}
    body = [[name, *(three_digits(at[name, method]) for method in shown)] for name in names]
    parts += ["### 90 %, one by one", "", table(["data", *shown], body), ""]
    eight_bit = data["eight_bit"]
    names = list(dict.fromkeys(r["data"] for r in eight_bit))
    body = [
        [
            f"{100 * s:.0f} %",
            *(f"{r['error']:.4f}" for n in names for r in eight_bit if (r["data"], r["sparsity"]) == (n, s)),
        ]
        for s in (0.75, 0.9)
    ]
    parts += ["### 8 bit against 16 bit, same sets, without the tail", "", table(["sparsity", *names], body), ""]
    parts += [
        "Relative L2 against float64 dense attention, every method under the same block kernel; '64' and '128': "
        "tokens in a block. Fields: 8 x 48 x 80 tokens, 8 heads of 128, held out: other seeds and heads of 64 "
        "(tests/gpu/draft_fields.py). Video: q, k, v of the four layers of small denoising transformers that are "
        f"trained in the run, 8 x 48 x 64 tokens: {films(data['training'])}; the last two, one of them with heads "
        "of 128, are held out. 'Steepness' is that of the rule which trusts the tail's variance "
        "(golden/draft_attention/trust.py): 0 always trusts it, 1e+09 hardly ever. It was fixed at 3, the "
        "smallest whole number within 2 % of the best sum of the first two columns. Training is not repeatable to "
        "the last digit: the video columns move by up to 0.01 from run to run.",
        "",
        facts(data),
    ]
    return "\n".join(parts)


def end_to_end_section(data: dict[str, Any]) -> str:
    body = []
    for row in data["rows"]:
        sparse = "mix_speedup" in row
        body.append(
            [
                row["model"],
                row["variant"],
                f"{row['step_s']:.2f}",
                f"{row['step_speedup']:.2f}x" if sparse else "",
                f"{row['mix_speedup']:.2f}x" if sparse else "",
                f"{row['error']:.3f}" if sparse else "",
            ]
        )
    header = ["model", "attention", "step s", "step", "mix with 25 % dense steps", "output against dense"]
    text = (
        "True dimensions, random weights, one denoising step; the mix also counts one dense block. Dense runs the "
        "same processor on cuDNN."
    )
    return "\n".join(["## DraftAttention: end to end", "", table(header, body), "", text, "", facts(data)])


def main() -> None:
    plt.switch_backend("Agg")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "measured"
    sections: dict[str, Callable[[dict[str, Any]], str]] = {
        "kernel": kernel_section,
        "masks": masks_section,
        "crossover": crossover_section,
        "attempts": attempts_section,
        "ulysses": ulysses_section,
        "overhead": overhead_section,
        "timeline": timeline_section,
        "tried": tried_section,
        "error": error_section,
        "end_to_end": end_to_end_section,
    }
    loaded = {}
    for name, section in sections.items():
        path = folder / f"draft_{name}.json"
        if path.exists():
            loaded[name] = json.loads(path.read_text())
            replace_section(f"draft-{name.replace('_', '-')}", section(loaded[name]))
    if not loaded:
        raise SystemExit(f"{folder} holds no draft_*.json: run a benchmark with --out first")
    if "kernel" in loaded:
        draw_speed(loaded["kernel"])
    if "crossover" in loaded:
        draw_crossover(loaded["crossover"])
    if "error" in loaded:
        draw_error(loaded["error"], loaded.get("kernel"))


if __name__ == "__main__":
    main()
