"""The committed video model, decoding, tokenizer, clips and a training in miniature."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych.golden.fastcar import train
from triptych.golden.fastcar.checkpoint import load_checkpoint
from triptych.golden.fastcar.clips import FRAMES, Clips, Condition, photo, prepare
from triptych.golden.fastcar.config import ALWAYS_REPLAY, VIDEO, Chooser, Controls, LayerConfig, ModelConfig
from triptych.golden.fastcar.decoder import Cache, Decoder, Replay, layer_step
from triptych.golden.fastcar.generation import Sampling, decode, guided, gumbel
from triptych.golden.fastcar.integer import LayerWeights, Linear
from triptych.golden.fastcar.model import WEIGHTS, IntegerModel, Session
from triptych.golden.fastcar.random_layer import random_layer
from triptych.golden.fastcar.scenes import Scenes
from triptych.golden.fastcar.tokenizer import Tokenizer, load_tokenizer
from triptych.golden.fastcar.tune import Runner, training_score
from triptych.golden.paths import shared_dir

SMALL = ModelConfig(LayerConfig(16, 24, 2, 1, 8, frame_tokens=4, context=20), layers=2, tokens=30, conditions=3)


@pytest.fixture(scope="module")
def small() -> IntegerModel:
    rng = np.random.default_rng(0)
    head = Linear(
        rng.integers(-127, 128, (30, 16), dtype=np.int8), np.full(30, 20000, np.int16), np.full(30, 16, np.uint8)
    )
    return IntegerModel(
        SMALL,
        rng.integers(-3000, 3000, (33, 16)).astype(np.int16),
        tuple(random_layer(SMALL.layer, i) for i in range(2)),
        rng.integers(6000, 16000, 16).astype(np.int16),
        6,
        head,
        1.0,
        np.ones((5, 2)),
        np.zeros((4, 5, 2, 0), dtype=np.int64),
    )


def test_the_file_holds_the_model(small: IntegerModel, tmp_path: Path) -> None:
    small.save(tmp_path / "a.npz")
    small.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = IntegerModel.load(tmp_path / "a.npz", SMALL)
    np.testing.assert_array_equal(again.embedding, small.embedding)
    for a, b in zip(again.layers, small.layers, strict=True):
        for field in fields(LayerWeights):
            x, y = getattr(a, field.name), getattr(b, field.name)
            for one, two in zip(*(vars(v).values() if isinstance(v, Linear) else [v] for v in (x, y)), strict=False):
                np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match="no FastCar model"):
        IntegerModel.load(WEIGHTS / "training.json")


def test_decoding_goes_on_from_its_own_tokens(small: IntegerModel) -> None:
    kinds, given = np.array([1, 2]), np.array([[3, 4, 5, 6], [6, 5, 4, 3]])
    free = decode(small, kinds, given, small.controls(), Sampling())
    np.testing.assert_array_equal(free.tokens[:, :4], given)
    np.testing.assert_array_equal(free.tokens[:, 4:], free.made[:, 4:])
    forced = decode(small, kinds, free.tokens, small.controls(), Sampling())
    np.testing.assert_array_equal(forced.made, free.made)
    hole = free.tokens.copy()
    hole[:, 9:] = -1
    np.testing.assert_array_equal(decode(small, kinds, hole, small.controls(), Sampling()).tokens, free.tokens)
    session, entry = Session(small, 1), 31
    for position in range(20):
        logits, _ = session.step(np.array([entry]), small.controls())
        assert logits.argmax() == free.made[0, position]
        entry = int(free.tokens[0, position])


def test_seeds_and_temperature(small: IntegerModel) -> None:
    def tokens(temperature: float, seed: int) -> list[int]:
        given = np.zeros((1, 0), dtype=np.int64)
        return decode(small, np.array([0]), given, small.controls(), Sampling(temperature, seed)).tokens[0].tolist()

    assert tokens(1.0, 1) == tokens(1.0, 1)
    assert tokens(50.0, 1) != tokens(50.0, 2)
    assert tokens(0.0, 1) == tokens(0.0, 2)
    assert abs(float(gumbel(0, 0, 100000, 1.0).mean()) / 1024 - 0.5772) < 0.02


def test_guidance_pairs(small: IntegerModel) -> None:
    logits = np.random.default_rng(0).integers(-9999, 9999, (4, 30))
    np.testing.assert_array_equal(guided(logits, 16), logits[0::2])
    np.testing.assert_array_equal(guided(logits, 0), logits[1::2])
    given = np.array([[1, 2, 3, 4]])
    alone = decode(small, np.array([1]), given, small.controls(), Sampling())
    paired = decode(small, np.array([1]), given, small.controls(), Sampling(guidance=16))
    np.testing.assert_array_equal(paired.tokens, alone.tokens)
    assert paired.replayed.shape == (2, 20, 2)
    same = decode(small, np.array([0]), given, small.controls(), Sampling(guidance=80))
    np.testing.assert_array_equal(same.tokens, decode(small, np.array([0]), given, small.controls(), Sampling()).tokens)


def test_replay_and_choosers(small: IntegerModel) -> None:
    given = np.array([[1, 2, 3, 4]])
    always = decode(small, np.array([0]), given, [Controls(ALWAYS_REPLAY)] * 2, Sampling())
    assert always.skip_ratio == 1.0
    assert not always.replayed[:, :4].any()

    def chooser(position: int, entries: np.ndarray) -> np.ndarray:
        assert entries.shape == (position + 1, 1)
        return np.array([[True], [position % 2 == 0]])

    got = decode(small, np.array([0]), given, small.controls(), Sampling(), chooser=chooser)
    assert got.replayed[0, 4:].all()
    np.testing.assert_array_equal(got.replayed[1, 4:, 0], np.arange(4, 20) % 2 == 0)


def test_bad_tokens_are_refused(small: IntegerModel) -> None:
    with pytest.raises(ValueError, match=r"tokens lie in 0\.\.29"):
        decode(small, np.array([0]), np.array([[30]]), small.controls(), Sampling())
    with pytest.raises(ValueError, match=r"conditions lie in 0\.\.2"):
        decode(small, np.array([3]), np.array([[0]]), small.controls(), Sampling())
    with pytest.raises(ValueError, match="context holds 20"):
        decode(small, np.array([0]), np.zeros((1, 21), np.int64), small.controls(), Sampling())


def test_the_committed_model_knows_video() -> None:
    """Greedy answers in the context of a pan over a photo that it never saw: 1 token in 1024 by chance."""
    assert sum(p.stat().st_size for p in WEIGHTS.iterdir()) < 10_000_000
    report = json.loads((WEIGHTS / "training.json").read_text())
    assert report["tokenizer_parameters"] + report["decoder_parameters"] < 30_000_000
    model, tokenizer = IntegerModel.load(), load_tokenizer()
    cat = photo("chelsea")[40:168]
    pictures = torch.from_numpy(np.stack([cat[:, 60 : 60 + 128]] * 2)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        tokens = tokenizer.encode(pictures)
        made = tokenizer.decode(tokens)
    assert -10 * np.log10(float(((made - pictures) ** 2).mean())) > 22
    got = decode(model, np.array([0]), tokens.reshape(1, -1)[:, :384].numpy(), model.controls(), Sampling(), 384)
    assert (got.made == got.tokens)[:, 256:].mean() > 0.5


def test_tokens_and_pictures() -> None:
    torch.manual_seed(0)
    model = Tokenizer().eval()
    pictures = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        tokens = model.encode(pictures)
        torch.testing.assert_close(model.decode(tokens), model(pictures))
    assert tokens.shape == (2, 256)
    assert 0 <= tokens.min() <= tokens.max() < VIDEO.tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        squares = rng.integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
        np.save(folder / f"video_{split}.npy", rng.integers(0, 256, (30, 128, 171, 3), dtype=np.uint8))
        np.save(folder / f"photos_{split}.npy", squares)
        np.savez(folder / f"squares_{split}.npz", photos=squares, frames=squares)
    (folder / "segments.json").write_text(
        json.dumps({"train": [[0, 8, 1], [8, 30, 2]], "test": [[0, 8, 1], [8, 30, 2]]})
    )
    return folder


def test_clips_are_seeded_and_in_range(folder: Path) -> None:
    one, two = (Clips.load(folder, "cpu", 5).sample(9) for _ in range(2))
    torch.testing.assert_close(one, two)
    pictures, kinds = one
    assert pictures.shape == (9, FRAMES, 3, 128, 128)
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert set(kinds[:6].tolist()) <= {1, 2}
    assert (kinds[6:] >= 3).all()
    with pytest.raises(ValueError, match="holds no clips"):
        Clips.load(folder / "nothing", "cpu", 0)


def test_scenes_are_seeded_and_move_where_they_should(folder: Path) -> None:
    one, two = (Scenes.load(folder, "test", "cpu", 5).sample(4) for _ in range(2))
    torch.testing.assert_close(one, two)
    assert 0 <= one[0].min() <= one[0].max() <= 1
    assert set(one[1].tolist()) <= {Condition.STILL, Condition.DRIFT}
    scenes = Scenes.load(folder, "train", "cpu", 6)
    still, drift = (scenes.sample(4, share)[0] for share in (0.0, 1.0))
    change = [(c[:, 1:] - c[:, :-1]).abs().mean((2, 3, 4)).min() for c in (still, drift)]
    assert change[0] < change[1]
    half, kinds = scenes.half_still(3)
    moved = (half[:, 1:] - half[:, :-1]).abs()
    assert moved[..., 64:].mean() < 0.02 < moved[..., :64].mean()
    assert not kinds.any()
    with pytest.raises(ValueError, match="holds no squares"):
        Scenes.load(folder / "nothing", "test", "cpu", 0)


@pytest.mark.slow
def test_training_in_miniature(folder: Path, tmp_path: Path) -> None:
    arguments = (
        "--tokenizer-steps 1 --decoder-steps 2 --tuning-steps 2 --store 2 --batch 2 --device cpu --eager --smoke"
    )
    arguments += " --tunings consistent,value-key"
    assert train.main([*arguments.split(), "--clips", str(folder), "--out", str(tmp_path)]) == 0
    for name in ("consistent", "value-key"):
        model = load_checkpoint(tmp_path / f"decoder_{name}.npz", train.SMOKE)
        assert model.layers[0].q.codes().abs().max() == 7
        ranges = json.loads((tmp_path / f"ranges_{name}.json").read_text())
        assert {"0.hidden", "0.hidden.most", "2.final_norm"} <= set(ranges)
    assert (tmp_path / "samples.png").stat().st_size > 0
    load_tokenizer(tmp_path / "tokenizer.npz")
    with pytest.raises(ValueError, match="no checkpoint"):
        load_checkpoint(tmp_path / "decoder_consistent.npz", VIDEO)
    with pytest.raises(ValueError, match="no tuning 'sometimes'"):
        train.choosers_of("sometimes")


@torch.no_grad()
def test_training_replays_as_decoding_does() -> None:
    """A pass with replay in the loop against token-by-token decoding at the levels that gave its share."""
    config = ModelConfig(LayerConfig(32, 40, 4, 2, 8, frame_tokens=8, context=32), layers=1, tokens=50, conditions=3)
    torch.manual_seed(2)
    model, tokens, kinds = Decoder(config), torch.randint(50, (2, 32)), torch.tensor([0, 1])
    runner = Runner(model, compiled=False)
    logits, _ = runner.replayed(kinds, tokens, Chooser.CONSISTENT, 0.4)
    assert torch.equal(runner.replayed(kinds, tokens, Chooser.CONSISTENT, 0.0)[0], runner.dense(kinds, tokens))
    rows = model.inputs(kinds, tokens)
    front = model.layers[0].front(model.table()[rows], model.cos, model.sin)
    flat = training_score(Chooser.CONSISTENT, front, 8).flatten()
    first = int(len(flat) * 0.6)
    level = float(flat.sort().values[first : first + 2].mean())  # no score's own: a last bit would move it across
    cache, made = Cache.empty(config.layer, 2), []
    for position in range(32):
        replay = Replay(level, chooser=Chooser.CONSISTENT)
        y, _, _ = layer_step(
            model.layers[0], model.cos, model.sin, cache, model.table()[rows[:, position]], position, replay
        )
        made.append(model.logits(y))
    torch.testing.assert_close(torch.stack(made, 1), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_clips_from_the_research_data(tmp_path: Path) -> None:
    if shared_dir() is None:
        pytest.skip("needs the research data (shared/data/indoor)")
    prepare(tmp_path)
    clips = Clips.load(tmp_path, "cpu", 0)
    assert len(clips.video) == 438
    assert [int(c) for c in clips.starts[:, 2]] == [1, 2]
