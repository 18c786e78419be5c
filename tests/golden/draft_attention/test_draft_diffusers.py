"""Draft attention inside tiny random `diffusers` transformers."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest
import torch
from diffusers_models import MODELS, Tiny, flux, hunyuan_video, ltx, sky_reels, wan
from torch import nn

from triptych.golden.draft_attention import DraftAttentionError, draft_attention, enable_draft_attention
from triptych.golden.draft_attention.pipelines import layers
from triptych.golden.draft_attention.pipelines.models import KNOWN_MODELS
from triptych.golden.draft_attention.pipelines.schedule import DenseSchedule, StepClock

diffusers = pytest.importorskip("diffusers", reason="the attention processors serve diffusers' transformers")

ALWAYS = {"pool": (4, 4), "dense_steps": 0, "dense_blocks": 0}


def _make(make, *arguments) -> Tiny:
    torch.manual_seed(1)
    tiny = make(diffusers, *arguments)
    tiny.model.eval()
    return tiny


def _output(tiny, **changed):
    with torch.no_grad():
        return tiny.model(**{**tiny.inputs, **changed}, return_dict=False)[0]


def _relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_zero_sparsity_is_stock_sparse_runs_and_disable_restores(name):
    tiny = _make(MODELS[name])
    stock = _output(tiny)
    handle = enable_draft_attention(tiny.model, sparsity=0.0, strict=True, **ALWAYS)
    ours = _output(tiny)
    assert handle.report().sparse == tiny.layers
    assert handle.report().dense == {}
    assert not torch.equal(ours, stock)  # another order of the same sums: it did run
    assert _relative(ours, stock) < 1e-6
    handle.disable()
    assert torch.equal(_output(tiny), stock)
    handle = enable_draft_attention(tiny.model, sparsity=0.7, strict=True, **{**ALWAYS, "dense_blocks": 1})
    assert 1e-3 < _relative(_output(tiny), stock) < 0.5
    first = {"Wan VACE": 2, "Mochi": 2}.get(name, 1)  # VACE's blocks run beside others, Mochi calls once a sample
    assert handle.report().dense == {"dense block": first}
    assert handle.report().sparse == tiny.layers - first
    handle.disable()
    handle.disable()
    assert torch.equal(_output(tiny), stock)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_tells_its_grid_and_where_its_text_stands(name, monkeypatch):
    """Zero sparsity would not show either: what each layer asks for is written down."""
    asked = set()

    def spy(*tensors, grid, text, **options):
        asked.add((grid, text))
        return draft_attention(*tensors, grid=grid, text=text, **options)

    monkeypatch.setattr(layers, "draft_attention", spy)
    tiny = _make(MODELS[name])
    enable_draft_attention(tiny.model, sparsity=0.5, strict=True, **ALWAYS)
    _output(tiny)
    grid = (1, 11, 13) if name in ("Flux", "Qwen-Image") else (3, 7, 9)
    assert asked == {(grid, "before" if name in ("CogVideoX", "Flux", "Qwen-Image") else "after")}


def test_every_model_of_the_table_is_tried():
    tried = {type(_make(make).model).__name__ for make in MODELS.values()}
    assert tried == set(KNOWN_MODELS)


@pytest.mark.parametrize("lengths", [(9,), (3,), (9, 4, 1)])
def test_padded_text_is_neither_seen_nor_written(lengths):
    tiny = _make(hunyuan_video, lengths)
    stock = _output(tiny)
    enable_draft_attention(tiny.model, sparsity=0.0, **ALWAYS)
    assert _relative(_output(tiny), stock) < 1e-6


@pytest.mark.parametrize("make", [hunyuan_video, wan])
def test_schedule_by_block_and_step(make):
    tiny, plain = _make(make), _make(make)
    stock = _output(tiny)
    options = {"pool": (4, 4), "sparsity": 0.7, "tail": False}
    handle = enable_draft_attention(tiny.model, dense_steps=0, dense_blocks=tiny.layers, **options)
    assert torch.equal(_output(tiny), stock)
    assert handle.report().dense == {"dense block": tiny.layers}
    handle.disable()
    handle = enable_draft_attention(tiny.model, dense_steps=2, dense_blocks=0, **options)
    seen = []
    for time in (900.0, 900.0, 700.0, 500.0, 500.0, 950.0):  # 900 and 500 twice: two passes of guidance
        timestep = torch.full_like(tiny.inputs["timestep"], time)
        ours = _output(tiny, timestep=timestep)
        seen.append(handle.models[0].state.step)
        assert torch.equal(ours, _output(plain, timestep=timestep)) == (seen[-1] < 2)
    assert seen == [0, 0, 1, 2, 2, 0]
    assert handle.report().dense == {"dense step": 4 * tiny.layers}
    assert handle.report().sparse == 2 * tiny.layers
    assert str(handle.report()) == f"{2 * tiny.layers} sparse, {4 * tiny.layers} dense ({4 * tiny.layers} dense step)"


def _denoise(tiny, scheduler, steps, guidance):
    """A pipeline's loop; `guidance`: "batch", "calls" or None."""
    scheduler.set_timesteps(steps)
    torch.manual_seed(7)
    latent = torch.randn(1, 4, 3, 14, 18)
    texts = torch.randn(2, 7, 12)
    for t in scheduler.timesteps:

        def run(hidden, text, t=t):
            timestep = torch.full((len(hidden),), float(t))
            return _output(tiny, hidden_states=hidden, timestep=timestep, encoder_hidden_states=text)

        if guidance == "batch":
            good, bad = run(torch.cat([latent, latent]), texts).chunk(2)
        else:
            good, bad = run(latent, texts[:1]), run(latent, texts[1:])
        latent = scheduler.step(bad + 2.0 * (good - bad), t, latent, return_dict=False)[0]
    return latent


@pytest.mark.parametrize(
    "kind", ["FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler", "CogVideoXDDIMScheduler"]
)
def test_a_schedulers_steps_first_and_last_with_either_form_of_guidance(kind):
    outputs, counts = [], []
    for guidance in ("batch", "calls"):
        tiny, scheduler = _make(wan), getattr(diffusers, kind)()
        pipe = SimpleNamespace(scheduler=scheduler, transformer=tiny.model, transformer_2=None)
        handle = enable_draft_attention(pipe, sparsity=0.7, dense_steps=(1, 0.25), dense_blocks=0, pool=(4, 4))
        for _ in range(2):  # the second video starts from step 0 again
            outputs.append(_denoise(tiny, scheduler, 4, guidance))
        calls = 1 if guidance == "batch" else 2
        counts.append((handle.report().sparse / calls, handle.report().dense["dense step"] / calls))
    assert counts == [(2 * 2 * 3, 2 * 2 * 3)] * 2  # two of four steps, three layers, two videos
    assert torch.equal(outputs[0], outputs[1])
    assert _relative(outputs[2], outputs[0]) < 1e-4


def test_dense_steps_as_counts_and_shares():
    def dense(steps, total):
        schedule = DenseSchedule.of(steps, 0, has_scheduler=True)
        return [step for step in range(total) if schedule.is_dense_step(step, total)]

    assert dense(0.25, 4) == [0]
    assert dense((0.25, 1), 4) == [0, 3]
    assert dense((1, 0.25), 4) == [0, 3]
    assert dense((0, 2), 5) == [3, 4]
    assert dense(0.1, 50) == [0, 1, 2, 3, 4]
    assert dense(0.3, 4) == [0, 1]
    assert dense(0.0, 4) == []
    assert dense(1.0, 3) == [0, 1, 2]


def test_a_clock_without_a_counting_scheduler():
    for times in ([9, 9, 7, 5, 9, 7], [1, 1, 3, 5, 1, 3]):  # Mochi's timesteps rise
        clock = StepClock(None)
        assert [clock.step(torch.tensor([0.0, t])) for t in times] == [0, 0, 1, 2, 0, 1]
    scheduler = SimpleNamespace(step_index=None, timesteps=torch.arange(10))
    clock = StepClock(scheduler)
    seen = []
    times = (500.0, 500.0, 400.0, 300.0, 450.0, 350.0)  # the second video has another schedule
    for index, time in zip((None, None, 1, 2, None, 1), times, strict=True):  # None before a video's first step
        scheduler.step_index = index
        seen.append(clock.step(torch.tensor(time)))
    assert seen == [0, 0, 1, 2, 0, 1]
    assert clock.total == 10


def test_both_transformers_of_a_pipeline_are_served():
    first, second = _make(wan), _make(wan)
    pipe = SimpleNamespace(scheduler=None, transformer=first.model, transformer_2=second.model)
    handle = enable_draft_attention(pipe, sparsity=0.7, **ALWAYS)
    _output(first)
    _output(second)
    assert handle.report().sparse == first.layers + second.layers


def _causal(tiny):
    """SkyReels' block-causal mask, which its forward makes when frames come in blocks."""
    return _output(tiny)


def _with_mask(tiny):
    """A key mask that leaves out video tokens, handed to the first self-attention layer."""
    mask = torch.ones(1, 1, 1, 3 * 7 * 9, dtype=torch.bool)
    mask[..., 5:40] = False
    hook = tiny.model.blocks[0].attn1.register_forward_pre_hook(lambda module, args: (args[0], None, mask, args[3]))
    out = _output(tiny)
    hook.remove()
    return out


def _two_images(tiny):
    """Flux Kontext: a reference image behind the one to make."""
    ids = tiny.inputs["img_ids"]
    reference = ids[:40].clone()
    reference[:, 0] = 1
    hidden = torch.cat([tiny.inputs["hidden_states"], tiny.inputs["hidden_states"][:, :40]], dim=1)
    return _output(tiny, hidden_states=hidden, img_ids=torch.cat([ids, reference]))


def _coordinates(tiny):
    """LTX given coordinates instead of sides."""
    coordinates = torch.rand(2, 3, 3 * 7 * 9)
    return _output(tiny, num_frames=None, height=None, width=None, video_coords=coordinates)


@pytest.mark.parametrize(
    ("make", "run", "reason", "dense"),
    [
        (lambda d: sky_reels(d, 3), _causal, "attention mask", 3),
        (wan, _with_mask, "attention mask", 1),
        (flux, _two_images, "tokens beyond the grid", 4),
        (ltx, _coordinates, "grid unknown", 2),
    ],
)
def test_what_cannot_be_sparse_is_dense_and_said(make, run, reason, dense):
    tiny = _make(make)
    torch.manual_seed(3)
    stock = run(tiny)
    handle = enable_draft_attention(tiny.model, sparsity=0.7, **ALWAYS)
    torch.manual_seed(3)
    with pytest.warns(RuntimeWarning, match=reason):
        out = run(tiny)
    assert handle.report().dense == {reason: dense}
    assert handle.report().sparse == tiny.layers - dense
    assert torch.equal(out, stock) == (dense == tiny.layers)
    with warnings.catch_warnings():  # said once
        warnings.simplefilter("error")
        run(tiny)
    handle.disable()
    handle = enable_draft_attention(tiny.model, sparsity=0.7, strict=True, **ALWAYS)
    with pytest.raises(DraftAttentionError, match=f"runs dense: {reason}"):
        run(tiny)


def test_shards_of_a_sequence_are_refused():
    tiny = _make(wan)
    enable_draft_attention(tiny.model, sparsity=0.7, **ALWAYS)
    tiny.model.blocks[0].attn1.register_forward_pre_hook(lambda module, args: (args[0][:, :100], None, None, None))
    with pytest.raises(DraftAttentionError, match=r"sees 100 tokens of 189.*shard"):
        _output(tiny)
    state = layers.ForwardState("Mochi", {}, False, 0, False, (3, 7, 9), None)  # whose text differs from call to call
    shard = torch.randn(1, 100, 2, 16)
    with pytest.raises(DraftAttentionError, match="shard"):
        layers.Layer(0, state).attend(shard, shard, shard, mask=None, scale=None, plain=True, dense=pytest.fail)
    tiny = _make(wan)
    enable_draft_attention(tiny.model, sparsity=0.7, **ALWAYS)
    for block in tiny.model.blocks:
        block.attn1.processor._parallel_config = object()
    with pytest.raises(DraftAttentionError, match="context parallelism"):
        _output(tiny)
    tiny.model._parallel_config = SimpleNamespace(context_parallel_config=object())
    with pytest.raises(DraftAttentionError, match="context parallelism"):
        enable_draft_attention(tiny.model, dense_steps=0)


def test_gradients_are_refused():
    tiny = _make(wan)
    enable_draft_attention(tiny.model, sparsity=0.7, **ALWAYS)
    with pytest.raises(DraftAttentionError, match="no gradient"):
        tiny.model(**tiny.inputs)


def test_fused_projections_and_a_changed_backend_do_not_drop_it():
    tiny = _make(wan)
    stock = _output(tiny)
    handle = enable_draft_attention(tiny.model, sparsity=0.0, strict=True, **ALWAYS)
    for block in tiny.model.blocks:
        block.attn1.fuse_projections()
    tiny.model.set_attention_backend("_native_math")  # what dense steps run on from now on
    assert _relative(_output(tiny), stock) < 1e-6
    assert handle.report().sparse == tiny.layers
    handle.disable()
    assert {block.attn1.processor._attention_backend.value for block in tiny.model.blocks} == {"_native_math"}
    tiny = _make(MODELS["CogVideoX"])
    stock = _output(tiny)
    handle = enable_draft_attention(tiny.model, sparsity=0.0, strict=True, **ALWAYS)
    tiny.model.fuse_qkv_projections()  # puts other processors in
    assert _relative(_output(tiny), stock) < 1e-6
    assert handle.report().sparse == tiny.layers


class _Adapted(nn.Module):
    """A linear layer with a low-rank adapter beside it, as PEFT puts in its place."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.base_layer = base
        self.down = nn.Parameter(0.3 * torch.randn(2, base.in_features, generator=generator))
        self.up = nn.Parameter(0.3 * torch.randn(base.out_features, 2, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + x @ self.down.T @ self.up.T


def _load_lora(model):
    for block in model.transformer_blocks:
        block.attn.to_q = _Adapted(block.attn.to_q)


def test_lora_loaded_before_or_after():
    plain = _output(_make(hunyuan_video))
    outputs = []
    for before in (True, False):
        tiny = _make(hunyuan_video)
        if before:
            _load_lora(tiny.model)
        handle = enable_draft_attention(tiny.model, sparsity=0.6, **ALWAYS)
        if not before:
            _load_lora(tiny.model)
        outputs.append(_output(tiny))
        assert handle.report().sparse == tiny.layers
    assert torch.equal(*outputs)
    assert not torch.equal(outputs[0], plain)


def test_dense_steps_use_our_kernel_where_it_pays(monkeypatch):
    tiny = _make(hunyuan_video)
    stock = _output(tiny)
    asked, called = [], []

    def spy(*tensors, **options):
        called.append(options["sparsity"])
        return draft_attention(*tensors, **options)

    monkeypatch.setattr(layers, "dense_kernel_pays", lambda q: asked.append(q.shape[2]) or True)
    monkeypatch.setattr(layers, "draft_attention", spy)
    handle = enable_draft_attention(tiny.model, dense_steps=5, pool=(4, 4))
    assert _relative(_output(tiny), stock) < 1e-6
    assert called == [0.0] * 8  # four layers, two samples of different text lengths
    assert handle.report().dense == {"dense step": 4}
    assert set(asked) == {3 * 7 * 9 + 9}


def test_regional_compilation_is_one_graph_for_all_blocks_and_steps():
    from torch._dynamo.utils import counters

    tiny, plain = _make(wan), _make(wan)
    options = {"sparsity": 0.7, "dense_steps": 1, "dense_blocks": 1, "pool": (4, 4)}
    handle = enable_draft_attention(tiny.model, **options)
    enable_draft_attention(plain.model, **options)
    torch._dynamo.reset()
    counters.clear()
    tiny.model.compile_repeated_blocks(fullgraph=True, backend="aot_eager")
    for time in (900.0, 800.0, 700.0, 600.0):
        timestep = torch.full((2,), time)
        assert _relative(_output(tiny, timestep=timestep), _output(plain, timestep=timestep)) < 1e-6
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert handle.report().dense == {"dense step": 3, "dense block": 3}
    assert handle.report().sparse == 6
    handle.disable()
    plain = _make(wan)
    assert _relative(_output(tiny), _output(plain)) < 1e-6


def test_what_cannot_be_served_is_refused():
    with pytest.raises(DraftAttentionError, match=r"draft attention knows CogVideoX.*WanVACE.*got Linear"):
        enable_draft_attention(nn.Linear(2, 2), dense_steps=0)
    tiny = _make(wan)
    for options, message in (
        ({"dense_steps": 0.25}, "need a scheduler"),
        ({"dense_steps": (1, 1)}, "need a scheduler"),
        ({"dense_steps": -1}, "dense_steps"),
        ({"dense_steps": 1, "dense_blocks": -1}, "dense_blocks"),
    ):
        with pytest.raises(DraftAttentionError, match=message):
            enable_draft_attention(tiny.model, **options)
    tiny.model.set_attention_backend("draft")
    with pytest.raises(DraftAttentionError, match="enable_draft_attention"):
        _output(tiny)
