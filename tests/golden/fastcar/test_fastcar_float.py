"""The float decoder: steps equal whole sequences, replay, and its judgement of the integer model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from triptych.golden.fastcar import decoder as float_decoder
from triptych.golden.fastcar.config import Chooser, LayerConfig, ModelConfig
from triptych.golden.fastcar.decoder import Cache, Decoder, Int4Linear, Replay, layer_step
from triptych.golden.fastcar.fixed_point import fixed_point
from triptych.golden.fastcar.model import Session
from triptych.golden.fastcar.quantize import integer_model
from triptych.golden.fastcar.train import activation_ranges

CONFIG = ModelConfig(LayerConfig(64, 96, 4, 2, 16, frame_tokens=8, context=40), layers=3, tokens=50, conditions=3)


@pytest.fixture(scope="module")
def model() -> Decoder:
    torch.manual_seed(3)
    model = Decoder(CONFIG).eval()
    model.blend_int4(1.0)
    return model


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.randint(50, (3, 40), generator=torch.Generator().manual_seed(1))


KINDS = torch.tensor([0, 1, 2])


def steps(model: Decoder, tokens: torch.Tensor, replay: Replay) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (b, t, tokens), TAS and replays (t, layers, b) of token-by-token decoding."""
    caches = [Cache.empty(CONFIG.layer, len(tokens)) for _ in model.layers]
    logits, scores, replays = [], [], []
    rows = model.inputs(KINDS, tokens)
    for position in range(tokens.shape[1]):
        x = model.table()[rows[:, position]]
        seen = []
        for layer, cache in zip(model.layers, caches, strict=True):
            x, tas, replayed = layer_step(layer, model.cos, model.sin, cache, x, position, replay)
            seen.append((tas, replayed))
        logits.append(model.logits(x))
        scores.append(torch.stack([t for t, _ in seen]))
        replays.append(torch.stack([r for _, r in seen]))
    return torch.stack(logits, 1), torch.stack(scores), torch.stack(replays)


@torch.no_grad()
def test_steps_equal_the_whole_sequence(model: Decoder, tokens: torch.Tensor) -> None:
    logits, _, replays = steps(model, tokens, Replay())
    torch.testing.assert_close(logits, model(KINDS, tokens), rtol=1e-4, atol=1e-5)
    assert not replays.any()


def test_int4_weights_are_sixteen_values() -> None:
    torch.manual_seed(0)
    linear = Int4Linear(40, 7)
    linear.blend.fill_(1.0)
    x = torch.eye(40)
    rounded = linear(x).T
    torch.testing.assert_close(rounded, linear.codes() * linear.scale())
    assert linear.codes().abs().max() == 7
    linear(x).sum().backward()
    assert linear.weight.grad is not None
    assert (linear.weight.grad == 1).all()  # straight through


@torch.no_grad()
def test_replayed_rows_are_not_computed(model: Decoder, tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    _, dense, _ = steps(model, tokens, Replay())
    threshold = float(dense[8:].median())
    seen: list[int] = []
    mlp = float_decoder.Layer.mlp
    monkeypatch.setattr(float_decoder.Layer, "mlp", lambda self, x: (seen.append(len(x)), mlp(self, x))[1])
    _, _, replays = steps(model, tokens, Replay(threshold))
    assert sum(seen) == int((~replays).sum())
    assert 0.2 < float(replays[8:].float().mean()) < 0.8
    assert not replays[:8].any()


@torch.no_grad()
def test_always_replaying_repeats_the_first_frame(model: Decoder, tokens: torch.Tensor) -> None:
    layer, cache = model.layers[0], Cache.empty(CONFIG.layer, 3)
    rows = model.inputs(KINDS, tokens)
    added = []
    for position in range(40):
        x = model.table()[rows[:, position]]
        layer_step(layer, model.cos, model.sin, cache, x, position, Replay(-math.inf))
        added.append(cache.ring[:, position % 8].clone())
    for position in range(8, 40):
        torch.testing.assert_close(added[position], added[position % 8])
    assert (cache.chain == 4).all()


@torch.no_grad()
@pytest.mark.parametrize("chooser", Chooser)
def test_float_judges_the_integers(model: Decoder, tokens: torch.Tensor, chooser: Chooser) -> None:
    """Logits and scores of the integer model against float, the same int4 weights in both.

    Activations are int8 whose range is about four deviations, so a rounding has a relative size of
    4 / 127 / sqrt(12) = 0.9 %. Between the embedding and the logits a value passes at most six roundings in a row in
    each of three layers (norm, v, attention, norm, hidden, and the scores' q and k as one) and the last norm's; they
    are independent and add in squares: 0.9 % sqrt(19) = 4 %. TAS has three roundings more; a distance doubles the
    relative error, being a square. Twice that is the bound.
    """
    for layer in model.layers:
        layer.head_weights = torch.tensor([3.0, -7.0, 1.0, 5.0])
    integers = integer_model(model, activation_ranges(model, tokens, KINDS))
    wanted, scores, _ = steps(model, tokens, Replay(chooser=chooser))
    session = Session(integers, 3)
    controls = integers.controls(0.0, chooser=chooser)
    rows = model.inputs(KINDS, tokens).numpy()
    logits, seen = [], []
    for position in range(40):
        got, traces = session.step(rows[:, position], controls)
        logits.append(got / 1024)
        seen.append([t.score * u for t, u in zip(traces, integers.score_units[chooser], strict=True)])
    error = np.stack(logits, 1) - wanted.numpy()
    assert np.linalg.norm(error) / np.linalg.norm(wanted) < 0.08
    gap = np.array(seen)[8:] - scores.numpy()[8:]
    assert np.linalg.norm(gap) / np.linalg.norm(scores.numpy()[8:]) < 0.10


def test_fixed_point() -> None:
    factors = 2.0 ** np.random.default_rng(0).uniform(-30, 14, 1000)
    multiplier, shift = fixed_point(factors)
    np.testing.assert_allclose(multiplier * 2.0 ** -shift.astype(float), factors, rtol=2.0**-15)
    assert fixed_point(np.array([0.9999999]))[0][0] == 1 << 14
    with pytest.raises(ValueError, match="out of reach"):
        fixed_point(np.array([2.0**16]))
