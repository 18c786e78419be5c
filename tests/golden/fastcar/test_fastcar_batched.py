"""Many videos at once against `decode`, bit for bit: every chooser, in context and running free; levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from triptych.golden.fastcar.batched import Batched, Scores, Way
from triptych.golden.fastcar.calibrate import calibrated, level_of
from triptych.golden.fastcar.config import Chooser, Controls, LayerConfig, ModelConfig
from triptych.golden.fastcar.generation import Sampling, decode
from triptych.golden.fastcar.integer import Linear
from triptych.golden.fastcar.model import SKIP_TARGETS, Content, IntegerModel
from triptych.golden.fastcar.random_layer import random_layer

CONFIG = ModelConfig(LayerConfig(48, 40, 4, 2, 8, frame_tokens=8, context=32), layers=2, tokens=50, conditions=3)
ROWS = 3


@pytest.fixture(scope="module")
def model() -> IntegerModel:
    rng = np.random.default_rng(0)
    head = Linear(
        rng.integers(-127, 128, (50, 48), dtype=np.int8), np.full(50, 20000, np.int16), np.full(50, 16, np.uint8)
    )
    return IntegerModel(
        CONFIG, rng.integers(-3000, 3000, (53, 48)).astype(np.int16),
        tuple(random_layer(CONFIG.layer, i) for i in (4, 5)),
        rng.integers(6000, 16000, 48).astype(np.int16), 6, head, 1.0, np.ones((5, 2)), np.zeros((4, 5, 2, 0), np.int64),
    )  # fmt: skip


KINDS = torch.tensor([0, 1, 2])
TOKENS = torch.randint(50, (ROWS, 32), generator=torch.Generator().manual_seed(1))


def middle_levels(engine: Batched, chooser: Chooser) -> list[int]:
    found: list[int] = []

    def find(i: int, scores: Scores) -> Way:
        found.append(int(scores.of(chooser, engine.head_weights[i]).double().median()))
        return Way.uniform(chooser, [found[-1]] * 2, ROWS, "cpu")

    engine.context(KINDS, TOKENS, find)
    return found


@pytest.mark.parametrize("chooser", Chooser)
def test_equal_to_decoding(model: IntegerModel, chooser: Chooser) -> None:
    engine = Batched(model)
    levels = middle_levels(engine, chooser)
    way = Way.uniform(chooser, levels, ROWS, "cpu")
    controls = [Controls(level, chooser=chooser) for level in levels]
    wanted = decode(model, KINDS.numpy(), TOKENS.numpy(), controls, Sampling())
    made, replayed = engine.context(KINDS, TOKENS, way)
    np.testing.assert_array_equal(made, wanted.made)
    np.testing.assert_array_equal(replayed.transpose(1, 2), wanted.replayed)
    assert 0.2 < wanted.skip_ratio < 0.8
    given = TOKENS[:, :11]
    wanted = decode(model, KINDS.numpy(), given.numpy(), controls, Sampling())
    tokens, replayed = engine.free(KINDS, given, way, 32)
    np.testing.assert_array_equal(tokens, wanted.tokens)
    np.testing.assert_array_equal(replayed.transpose(1, 2), wanted.replayed)


def test_rows_choose_each_in_their_way(model: IntegerModel) -> None:
    """A batch of ways is the ways one by one; draws have their share; a window hides what it hides in decoding."""
    engine = Batched(model)
    ways = [Way.uniform(c, middle_levels(engine, c), ROWS, "cpu") for c in (Chooser.VALUE, Chooser.HEADS)]
    both = Way(torch.cat([w.chooser for w in ways]), torch.cat([w.levels for w in ways], 1))
    made, replayed = engine.context(KINDS.repeat(2), TOKENS.repeat(2, 1), both)
    for number, way in enumerate(ways):
        one = engine.context(KINDS, TOKENS, way)
        mine = slice(number * ROWS, (number + 1) * ROWS)
        assert torch.equal(one[0], made[mine])
        assert torch.equal(one[1], replayed[:, mine])
    shares = torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.25, 0.0]])
    drawn = engine.context(KINDS, TOKENS, Way.random(shares))[1][:, :, 8:].float().mean(2)
    assert (drawn - shares).abs().max() < 0.25
    assert torch.equal(drawn[shares == 1], torch.ones(2))
    assert not drawn[shares == 0].any()
    local = decode(model, KINDS.numpy(), TOKENS.numpy(), [Controls(window=5, sink=2)] * 2, Sampling())
    made, _ = engine.context(KINDS, TOKENS, Way.dense(2, ROWS, "cpu", 5, 2))
    np.testing.assert_array_equal(made, local.made)


@pytest.mark.slow
def test_levels_reach_their_share_with_replay_running(model: IntegerModel) -> None:
    given = (KINDS, TOKENS)
    model = calibrated(model, dict.fromkeys(Content, given), "cpu")
    assert all(1 <= np.abs(layer.head_weights).max() <= 7 for layer in model.layers)
    for chooser in Chooser:
        for skip in SKIP_TARGETS[1:-1]:
            controls = model.controls(skip, Content.DRIFT, chooser=chooser)
            got = decode(model, KINDS.numpy(), TOKENS.numpy(), controls, Sampling()).skip_ratio
            assert abs(got - skip) < 0.03, (chooser, skip, got)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        model.threshold(0, Chooser.KEY, 1.2)


def test_level_of_scores_that_tie() -> None:
    score = torch.tensor([0] * 7 + [-5, -6, -9])
    assert level_of(score, 0.6) == (-1, pytest.approx(0.7)) or level_of(score, 0.6)[1] == pytest.approx(0.7)
    assert level_of(score, 0.2)[1] == 0.0
    level, reached = level_of(score, 0.9)
    assert (reached, int((score > level).sum())) == (pytest.approx(0.9), 9)
