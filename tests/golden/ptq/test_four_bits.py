"""Teaching in four bits: it starts where the method ended, comes nearer to the float network, and ends in integers that
do what was simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden.ptq.method_kit import images, small_graph
from triptych.golden.quartdepth.arithmetic.codetable import CodeTable
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.network.qparams import QParams, uniform_qparams
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.layerwise import weights_of
from triptych.golden.quartdepth.ptq.objective import Judge, Objective
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, Result, last_inputs, run
from triptych.golden.quartdepth.ptq.simulate import fake_quantise, simulate
from triptych.golden.quartdepth.train.four_bits import (
    Course,
    Learner,
    Lessons,
    _Apart,
    _Code,
    _coded,
    _even,
    movable,
    on_the_way,
    shape_error,
    widened,
)
from triptych.golden.quartdepth.train.stream import STRANGE, Stream, Variety, squeezed

SIZE = (16, 24)


@pytest.fixture(scope="module")
def start() -> Result:
    return run(small_graph(), images(8), Recipe(Widths.W4A4, Method.LOGNP), lambda text, done, total: None)


def _codes(start: Result) -> dict[str, QParams]:
    maps = start.network.maps
    return {name: maps[name].qparams for name in start.graph.shapes if name in maps}


def _learner(start: Result, lessons: Lessons) -> Learner:
    return Learner(start.graph, start.rounded, _codes(start), lessons, 7)


def _course(learner: Learner, **more: Any) -> Course:
    generator = torch.Generator().manual_seed(2)
    pictures = torch.cat(images(8, seed=5))

    def frames() -> Tensor:
        return pictures[torch.randint(len(pictures), (4,), generator=generator)]

    judge = Judge.of(Objective.LOG_DEPTH, learner.graph, pictures)
    return Course(learner, judge, frames, on_the_way(learner.known, learner.graph), generator, **more)


def _apart(learner: Learner, seed: int) -> float:
    pictures = torch.cat(images(8, seed=seed))
    judge = Judge.of(Objective.LOG_DEPTH, learner.graph, pictures)
    with torch.no_grad():
        wanted, found = judge.space(simulate(learner.graph, pictures)), judge.space(learner.run(pictures))
    return float(shape_error(found, wanted))


def test_it_starts_where_the_method_ended() -> None:
    """Rounding by Fisher information leaves codes that are not the nearest ones."""
    start = run(small_graph(), images(8), Recipe(Widths.W4A4, Method.FISHER), lambda text, done, total: None)
    learner = _learner(start, Lessons(steps=1))
    pictures = torch.cat(images(3))
    weights = {layer.name: weights_of(layer, start.rounded[layer.name]) for layer in learner.layers}
    with torch.no_grad():
        wanted = simulate(start.graph, pictures, learner.known, weights)
        found = learner.run(pictures)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert all(torch.equal(r.codes, start.rounded[n].codes) for n, r in learner.rounded().items())
    assert learner.codes_now() == learner.known


def test_lessons_bring_it_nearer_on_frames_that_it_did_not_see(start: Result) -> None:
    learner = _learner(start, Lessons(steps=120, code_rate=0.01, step_rate=3e-3, maps=0.3, warm_up=10))
    before = _apart(learner, 9)
    steps = [taken for taken, _, _ in _course(learner).run()]
    assert steps == list(range(1, 121))
    assert _apart(learner, 9) < 0.9 * before
    now = learner.codes_now()
    moved = [name for name in learner.moving if now[name].scale != learner.known[name].scale]
    assert set(moved) == set(learner.moving) == set(movable(start.graph, learner.known))
    tables = [(now[n], learner.known[n]) for n in moved if now[n].table is not None]
    assert tables
    for q, old in tables:  # only the step moved, and the encoder's unit with it
        assert (q.table, q.zero) == (old.table, old.zero)
        assert q.scale / q.unit == pytest.approx(old.scale / old.unit)


def test_the_integers_do_what_was_simulated(start: Result) -> None:
    learner = _learner(start, Lessons(steps=30, warm_up=5))
    for _ in _course(learner).run():
        pass
    pictures = images(4, seed=7)
    network = learner.network(pictures)
    scale = network.maps[network.output].qparams
    for picture in pictures:
        codes = network.maps[network.input].qparams.encode(picture[0].permute(1, 2, 0).double().numpy())
        found = scale.decode(network.run_integer(codes))[:, :, 0]
        with torch.no_grad():
            wanted = learner.run(picture)[0, 0].numpy()
        assert np.abs(found - wanted).max() < 0.06 * np.abs(wanted).max()
        assert np.abs(found - wanted).mean() < 0.015 * np.abs(wanted).mean()


def test_a_second_teacher_is_followed(start: Result) -> None:
    """One that sees everything twice as far away: the common factor moves towards it."""
    learner = _learner(start, Lessons(steps=80, code_rate=0.01, bias_rate=0.2, maps=0.0, warm_up=5))
    pictures = torch.cat(images(6, seed=3))

    def twice(image: Tensor) -> Tensor:
        return 2 * simulate(learner.graph, image)

    before = float(learner.run(pictures).detach().median())
    for _ in _course(learner, other=twice, share=1.0).run():
        pass
    assert float(learner.run(pictures).detach().median()) > 1.1 * before


def test_ranges_of_eight_bits_are_those_seen_and_four_bits_stay(start: Result) -> None:
    codes = _codes(start)
    wide = [(picture > 0.5).float() for picture in images(3)]
    found = widened(start.graph, codes, wide)
    assert found.keys() == codes.keys()
    for name, q in codes.items():
        if q.bits == 4 or q.narrow:
            assert found[name] == q
    plain = quantize(start.graph, wide, Widths.W4A4).maps
    others = [n for n, q in codes.items() if q.bits != 4 and n != start.graph.input]
    assert others
    assert all(found[n] == plain[n].qparams != codes[n] for n in others)


def test_a_fine_end_stays_fine_while_ranges_widen() -> None:
    recipe = Recipe(Widths.W4A4, Method.LOGNP, fine_end=True)
    start = run(small_graph(), images(8), recipe, lambda text, done, total: None)
    (end,) = last_inputs(start.graph)
    wide = [(picture > 0.5).float() for picture in images(3)]
    codes = widened(start.graph, _codes(start), wide)
    assert codes[end].format is Format.INT8
    assert codes[end].scale > _codes(start)[end].scale
    assert end in on_the_way(codes, start.graph)
    learner = Learner(start.graph, start.rounded, codes, Lessons(steps=0), 7)
    assert end not in learner.moving
    assert learner.network(images(2)).maps[end].qparams == codes[end]


def _table() -> QParams:
    table = CodeTable((-16, -12, -9, -7, -5, -3, -2, -1, 0, 1, 2, 3, 5, 8, 12, 15), tuple(range(-700, 800, 100)))
    return QParams(Format.TABLE4, 0.1, 0, table, 0.001)


@pytest.mark.parametrize("q", [_table(), uniform_qparams(-1.0, 2.0, Format.UINT4)])
def test_codes_of_a_moved_step(q: QParams) -> None:
    """Value and both gradients: as `fake_quantise` of x / s, times s; the step's by its definition."""
    torch.manual_seed(0)
    x = (torch.randn(200) * 1.5).requires_grad_(True)
    log = torch.tensor(0.2, requires_grad=True)
    if q.table is not None:
        levels = (torch.tensor(q.table.entries).float() - q.zero) * q.scale
        thresholds = (torch.tensor(q.table.thresholds).float() - q.zero - 0.5) * q.unit
        y = _Code.apply(x, log, torch.ones(()), _coded, levels, thresholds)
    else:
        ends = (torch.tensor(float(v - q.zero)) for v in q.limits)
        y = _Code.apply(x, log, torch.tensor(q.scale), _even, *ends)
    s = log.detach().exp()
    other = x.detach().clone().requires_grad_(True)
    wanted = fake_quantise(other / s, q) * s
    assert torch.allclose(y, wanted, atol=1e-6)
    weight = torch.randn(200)
    (y * weight).sum().backward()
    (wanted * weight).sum().backward()
    assert x.grad is not None
    assert other.grad is not None
    assert log.grad is not None
    assert torch.allclose(x.grad, other.grad)
    inside = other.grad != 0
    by_log = (weight * torch.where(inside, wanted - other, wanted)).sum()
    assert float(log.grad.detach()) == pytest.approx(float(by_log.detach()), rel=2e-2, abs=2e-2)  # kept in sixteen bits


@pytest.mark.parametrize(("scales", "slopes"), [(1, 3 / 15), (2, 3 / 15 + 3 / 7), (3, 3 / 15 + 3 / 7 + 1)])
def test_slopes_of_the_error_count_at_every_scale(scales: int, slopes: float) -> None:
    """Blotches of 4x4 pixels, by hand: an edge at every fourth, second and single step of the three scales."""
    sign = torch.arange(16).div(4, rounding_mode="floor") % 2 * 2.0 - 1
    error = (sign[:, None] * sign)[None, None]
    assert float(shape_error(error, torch.zeros_like(error), scales)) == pytest.approx(1 + 2 * slopes)


def test_how_far_maps_are_apart() -> None:
    """Value and gradient as autograd has them."""
    torch.manual_seed(0)
    y, true = torch.randn((2, 3, 4, 5)).requires_grad_(True), torch.randn((2, 3, 4, 5))
    other = y.detach().clone().requires_grad_(True)
    share, wanted = _Apart.apply(y, true), (other - true).square().mean() / true.var()
    (3 * share).backward()
    (3 * wanted).backward()
    assert torch.allclose(share, wanted)
    assert y.grad is not None
    assert other.grad is not None
    assert torch.allclose(y.grad, other.grad)


def test_maps_of_the_first_quarter_count_more(start: Result) -> None:
    def first(early: float) -> Tensor:
        learner = _learner(start, Lessons(steps=1, maps=1.0, early=early))
        course = _course(learner)
        course.watched = tuple(layer.name for layer in learner.graph.layers)
        course.step()
        return torch.cat([c.grad.flatten() for c in learner.codes.values() if c.grad is not None])

    assert not torch.allclose(first(1.0), first(50.0))
    assert torch.equal(first(1.0), first(1.0))


def test_a_stream_mixes_pools_and_pastes() -> None:
    dark, light = torch.zeros(3, 3, 32, 48, dtype=torch.uint8), torch.full((2, 3, 20, 60), 255, dtype=torch.uint8)
    stream = Stream([(dark, 3), (light, 5)], SIZE, torch.Generator().manual_seed(1))
    photos = stream.photos()
    assert photos.shape == (8, 3, *SIZE)
    assert float(photos.min()) >= 0
    assert float(photos.max()) <= 1
    assert photos[:3].mean() < photos[3:].mean() - 0.3
    again = Stream([(dark, 3), (light, 5)], SIZE, torch.Generator().manual_seed(1)).photos()
    assert torch.equal(photos, again)
    x = torch.arange(400.0)[:, None, None, None].expand(-1, 3, *SIZE)
    pasted = stream.pasted(x)
    strange = (pasted != x).flatten(1)
    assert 0.15 < float(strange.any(1).float().mean()) < Variety().pasted + 0.1
    assert float(strange.float().mean(1).max()) <= 0.8
    assert set(pasted[5].unique().tolist()) <= {4.0, 5.0}
    assert squeezed(light, SIZE).shape == (2, 3, *SIZE)


def test_stranger_pictures() -> None:
    """Another one shines through by half at most, in steps of 1/255 still, and parts shown are smaller."""
    light = torch.full((2, 3, 20, 60), 255, dtype=torch.uint8)
    stream = Stream([(light, 5)], SIZE, torch.Generator().manual_seed(1), STRANGE)
    photos = stream.photos()
    assert torch.equal((photos * 255).round() / 255, photos)
    x = (torch.rand((400, 3, *SIZE), generator=torch.Generator().manual_seed(2)) * 255).round() / 255
    apart, between = (stream.shining(x) - x).flatten(1), (x.roll(2, 0) - x).flatten(1)
    moved = apart.abs().amax(1) > 0.02
    assert 0.08 < float(moved.float().mean()) < STRANGE.shining + 0.05
    assert bool((apart.abs() <= 0.5 * between.abs() + 0.003).all())
