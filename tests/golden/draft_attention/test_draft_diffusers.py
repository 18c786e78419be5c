"""Draft attention inside tiny random `diffusers` transformers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from triptych.golden.draft_attention import DraftAttentionError, enable_draft_attention

diffusers = pytest.importorskip("diffusers", reason="the attention processors serve diffusers' transformers")

OPTIONS = {"pool": (4, 4)}


def _hunyuan():
    torch.manual_seed(1)
    return diffusers.HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=2,
        num_single_layers=2, num_refiner_layers=1, text_embed_dim=12, pooled_projection_dim=8, rope_axes_dim=(4, 6, 6),
    ).eval()  # fmt: skip


def _wan():
    torch.manual_seed(2)
    return diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=12, freq_dim=16,
        ffn_dim=32, num_layers=3, rope_max_seq_len=32,
    ).eval()  # fmt: skip


def _hunyuan_inputs(text_lengths, timestep=500.0):
    batch = len(text_lengths)
    mask = torch.arange(9)[None] < torch.tensor(text_lengths)[:, None]
    return {
        "hidden_states": torch.randn(batch, 4, 2, 14, 18),
        "timestep": torch.full((batch,), timestep),
        "encoder_hidden_states": torch.randn(batch, 9, 12),
        "encoder_attention_mask": mask.long(),
        "pooled_projections": torch.randn(batch, 8),
        "guidance": torch.full((batch,), 6000.0),
    }


def _wan_inputs(batch=2, timestep=500.0):
    return {
        "hidden_states": torch.randn(batch, 4, 3, 14, 18),
        "timestep": torch.full((batch,), timestep),
        "encoder_hidden_states": torch.randn(batch, 7, 12),
    }


CASES = [
    pytest.param(_hunyuan, _hunyuan_inputs([9]), id="HunyuanVideo"),
    pytest.param(_hunyuan, _hunyuan_inputs([3]), id="HunyuanVideo, padded text"),
    pytest.param(_hunyuan, _hunyuan_inputs([9, 4, 1]), id="HunyuanVideo, guidance batch of different texts"),
    pytest.param(_wan, _wan_inputs(), id="Wan, guidance batch"),
]


def _output(model, inputs):
    with torch.no_grad():
        return model(**inputs, return_dict=False)[0]


@pytest.mark.parametrize(("make", "inputs"), CASES)
def test_zero_sparsity_equals_the_stock_processor_and_disable_restores_it(make, inputs):
    model = make()
    stock = _output(model, inputs)
    handle = enable_draft_attention(model, sparsity=0.0, dense_steps=0, dense_blocks=0, **OPTIONS)
    ours = _output(model, inputs)
    assert not torch.equal(ours, stock)  # another order of the same sums: it did run
    assert (ours - stock).norm() / stock.norm() < 1e-6
    handle.disable()
    assert torch.equal(_output(model, inputs), stock)


@pytest.mark.parametrize(("make", "inputs"), [CASES[0].values, CASES[3].values], ids=["HunyuanVideo", "Wan"])
def test_schedule_by_block_and_step(make, inputs):
    model = make()
    stock = _output(model, inputs)
    n_blocks = 4 if make is _hunyuan else 3
    handle = enable_draft_attention(model, sparsity=0.7, dense_steps=0, dense_blocks=n_blocks, tail=False, **OPTIONS)
    assert torch.equal(_output(model, inputs), stock)
    handle.disable()
    handle = enable_draft_attention(model, sparsity=0.7, dense_steps=2, dense_blocks=0, tail=False, **OPTIONS)
    plain, seen = make(), []
    for time in (900.0, 900.0, 700.0, 500.0, 500.0, 950.0):  # 900 and 500 twice: two passes of guidance
        at_this_time = {**inputs, "timestep": torch.full_like(inputs["timestep"], time)}
        ours = _output(model, at_this_time)
        seen.append(handle.schedules[0].step)
        assert torch.equal(ours, _output(plain, at_this_time)) == (seen[-1] < 2)
    assert seen == [0, 0, 1, 2, 2, 0]


def test_a_pipeline_counts_steps_by_its_scheduler():
    model, inputs = _wan(), _wan_inputs(1)
    stock = _output(model, inputs)
    scheduler = SimpleNamespace(step_index=None, timesteps=torch.arange(10))
    pipe = SimpleNamespace(scheduler=scheduler, transformer=model, transformer_2=None)
    enable_draft_attention(pipe, sparsity=0.7, dense_steps=0.25, dense_blocks=0, tail=False, **OPTIONS)
    for step, is_dense in ((None, True), (2, True), (3, False), (9, False)):
        scheduler.step_index = step
        assert torch.equal(_output(model, inputs), stock) == is_dense


def test_fused_projections_serve_too():
    model, inputs = _wan(), _wan_inputs()
    stock = _output(model, inputs)
    for block in model.blocks:
        block.attn1.fuse_projections()
    enable_draft_attention(model, sparsity=0.0, dense_steps=0, dense_blocks=0, **OPTIONS)
    assert (_output(model, inputs) - stock).norm() / stock.norm() < 1e-6


def test_what_cannot_be_served_is_refused():
    with pytest.raises(DraftAttentionError, match="HunyuanVideoTransformer3DModel and WanTransformer3DModel"):
        enable_draft_attention(torch.nn.Linear(2, 2), dense_steps=0)
    with pytest.raises(DraftAttentionError, match="needs a scheduler"):
        enable_draft_attention(_wan(), dense_steps=0.25)
    with pytest.raises(DraftAttentionError, match="dense_steps"):
        enable_draft_attention(_wan(), dense_steps=-1)
    with pytest.raises(DraftAttentionError, match="dense_blocks"):
        enable_draft_attention(_wan(), dense_steps=1, dense_blocks=-1)
