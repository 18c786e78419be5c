"""One denoising step of the HunyuanVideo and Wan transformers at their true size, random weights, dense and sparse.

    python tests/gpu/draft_end_to_end.py --out DIR

Dense is the same attention processor with cuDNN's dense attention (the stock HunyuanVideo processor passes a mask,
which keeps PyTorch from its fast kernels). The mix folds in a schedule of 25 % dense steps and one dense block.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from draft_bench import HUNYUAN, WAN, Shape, output_folder, random_inputs, save
from draft_peers import cudnn_dense

from triptych.golden.draft_attention import draft_attention, enable_draft_attention
from triptych.golden.draft_attention.pipelines import layers

DENSE_SHARE = 0.25


def hunyuan() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """13 B parameters, 33 x 48 x 80 video tokens and 256 of text."""
    inputs = {
        "hidden_states": torch.randn(1, 16, 33, 96, 160),
        "timestep": torch.full((1,), 500.0),
        "encoder_hidden_states": torch.randn(1, 256, 4096),
        "encoder_attention_mask": torch.ones(1, 256, dtype=torch.int64),
        "pooled_projections": torch.randn(1, 768),
        "guidance": torch.full((1,), 6000.0),
    }
    return diffusers.HunyuanVideoTransformer3DModel(), inputs


def wan() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """14 B parameters, 21 x 45 x 80 video tokens."""
    inputs = {
        "hidden_states": torch.randn(1, 16, 21, 90, 160),
        "timestep": torch.full((1,), 500.0),
        "encoder_hidden_states": torch.randn(1, 512, 4096),
    }
    return diffusers.WanTransformer3DModel(), inputs


def timed(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[float, torch.Tensor]:
    """Seconds of one forward pass, and its output."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    with torch.no_grad():
        out = model(**inputs, return_dict=False)[0]
    torch.cuda.synchronize()
    return time.perf_counter() - start, out


def rows_for(
    name: str, make: Callable[[], Any], shape: Shape, variants: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Dense and sparse steps of one model, whose self-attention has this shape."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model, inputs = make()
    torch.set_default_dtype(torch.float32)
    model.eval().requires_grad_(False)
    rows = []
    handle = enable_draft_attention(model, sparsity=0.9, dense_steps=0, dense_blocks=0)

    def dense_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **_: Any) -> torch.Tensor:
        return cudnn_dense(q, k, v)

    timed(model, inputs)  # compiles, and warms up every layer
    layers.draft_attention = dense_attention
    dense, exact = timed(model, inputs)
    layers.draft_attention = draft_attention
    handle.disable()
    rows.append({"model": name, "variant": "cuDNN dense", "step_s": dense})
    for variant, options in variants.items():
        handle = enable_draft_attention(model, sparsity=0.9, dense_steps=0, dense_blocks=0, **options)
        draft_attention(*random_inputs(shape, 0), grid=shape.geometry.grid, sparsity=0.9, **options)  # compiles
        sparse, out = timed(model, inputs)
        handle.disable()
        blocks = len(getattr(model, "blocks", [])) or len(model.transformer_blocks) + len(
            model.single_transformer_blocks
        )
        with_dense_block = sparse + (dense - sparse) / blocks
        mix = DENSE_SHARE * dense + (1 - DENSE_SHARE) * with_dense_block
        finite = bool(torch.isfinite(out).all())
        rows.append(
            {
                "model": name,
                "variant": variant,
                "step_s": sparse,
                "finite": finite,
                "error": float((out.float() - exact.float()).norm() / exact.float().norm()),
                "step_speedup": dense / sparse,
                "mix_speedup": dense / mix,
            }
        )
        if not finite:
            raise AssertionError(f"{name}, {variant}: NaN or inf in the output")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default="hunyuan,wan")
    options = parser.parse_known_args()[0]
    folder = output_folder()
    every = {
        "90 %": {"tail": False},
        "90 %, pooled tail": {},
        "90 %, 8 bit": {"eight_bit": True},
    }
    rows: list[dict[str, Any]] = []
    models = {"hunyuan": ("HunyuanVideo", hunyuan, HUNYUAN), "wan": ("Wan2.1-14B", wan, WAN)}
    for key in options.models.split(","):
        name, make, shape = models[key]
        rows += rows_for(name, make, shape, every if key == "hunyuan" else dict(list(every.items())[:2]))
        for row in rows:
            print(row, flush=True)
        save(folder, "draft_end_to_end", rows)
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
