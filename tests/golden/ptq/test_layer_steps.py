"""The closed form, Fisher's factors and rounding, each against an independent computation."""

import pytest
import torch
from method_kit import images, small_graph
from scipy.optimize import minimize

from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.ops.conv2d import Conv2d
from triptych.golden.quartdepth.network.ops.conv_transpose2d import ConvTranspose2d
from triptych.golden.quartdepth.network.shapes import Shape
from triptych.golden.quartdepth.ptq.compensate import Sums, closed_form, compensate
from triptych.golden.quartdepth.ptq.fisher import estimate
from triptych.golden.quartdepth.ptq.matrix import second_moment
from triptych.golden.quartdepth.ptq.objective import Judge, Objective
from triptych.golden.quartdepth.ptq.rounding import (
    Metric,
    adaround,
    best_scales,
    by_columns,
    by_rows_and_columns,
    descend,
    fisher_rounding,
    nearest,
)
from triptych.golden.quartdepth.ptq.simulate import product, simulate


def _problem(seed: int, k: int = 5, o: int = 3, n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(1, s, n, generator=generator, dtype=torch.float64) for s in (k, o))  # type: ignore[return-value]


@pytest.mark.parametrize("damping", [1e-4, 0.01, 1.0])
def test_closed_form_is_the_minimum_that_a_solver_finds(damping: float) -> None:
    x, error = _problem(0)
    sums = Sums.of(x, error)
    ridge = damping * float(sums.moment[0].diagonal().mean())

    def objective(flat: object) -> tuple[float, object]:
        d = torch.tensor(flat, dtype=torch.float64).reshape(1, 3, 5).requires_grad_(True)
        value = (error - d @ x).square().sum() + ridge * d.square().sum()
        value.backward()
        return float(value.detach()), d.grad.flatten().numpy()  # type: ignore[union-attr]

    found = minimize(objective, torch.zeros(15).numpy(), jac=True, method="BFGS", options={"gtol": 1e-10})
    assert torch.allclose(closed_form(sums, damping).flatten(), torch.tensor(found.x), atol=1e-6)


def test_what_is_left_is_counted_right() -> None:
    x, error = _problem(1)
    sums, change = Sums.of(x, error), torch.ones(1, 3, 5, dtype=torch.float64) * 0.1
    assert float(sums.left(change)) == pytest.approx(float((error - change @ x).square().sum()))


def test_no_change_is_kept_when_none_helps_on_held_out_images() -> None:
    x, _ = _problem(2)
    fit = Sums.of(x, x[:, :3])
    held = Sums.of(x, -x[:, :3])  # what helps there harms here
    change, damping = compensate(fit, held, (0.01, 0.1))
    assert damping == float("inf")
    assert not change.any()
    change, damping = compensate(fit, fit, (0.1, 0.01))
    assert damping == 0.01
    assert change.any()


def test_an_input_that_is_always_zero_gets_no_change() -> None:
    x, error = _problem(3)
    x[:, 2] = 0
    change = closed_form(Sums.of(x, error), 0.01)
    assert torch.isfinite(change).all()
    assert not change[:, :, 2].any()


def _layers() -> list[tuple[Conv2d | ConvTranspose2d, torch.Tensor]]:
    graph, held = small_graph(), {}
    simulate(graph, torch.cat(images(2)), observe=lambda name, y: held.update({name: y.detach()}))
    held[graph.input] = torch.cat(images(2))
    return [(layer, held[layer.source]) for layer in graph.layers if isinstance(layer, Conv2d | ConvTranspose2d)]


def test_a_convolution_is_its_matrix() -> None:
    kinds = set()
    for layer, x in _layers():
        matrix = layer.to_matrix(layer.weight)
        assert torch.equal(layer.from_matrix(matrix), layer.weight)
        made = product(layer, x) - layer.bias[None, :, None, None]
        assert torch.allclose(matrix @ layer.patches(x), layer.outputs(made), atol=1e-5)
        kinds.add((type(layer).__name__, isinstance(layer, Conv2d) and layer.depthwise))
    assert len(kinds) == 3


def test_fisher_factors_of_one_place_are_the_exact_fisher_matrix() -> None:
    """One pixel and one output: there F = J^T J is a Kronecker product, so the factors must give it exactly."""
    torch.manual_seed(0)
    first = Conv2d("first", "x", torch.randn(2, 3, 1, 1), torch.rand(2) + 1)
    last = Conv2d("last", "first", torch.rand(1, 2, 1, 1), torch.ones(1) * 3)
    shapes = {"x": Shape(1, 1, 3), "first": Shape(1, 1, 2), "last": Shape(1, 1, 1)}
    graph = FloatGraph("x", "last", shapes, [first, last])
    x = torch.rand(1, 3, 1, 1)
    factors = estimate(graph, x, 1, 5, lambda: None)
    kfac = torch.kron(factors.layers["first"][0], second_moment(first, x)[0])

    weight = first.weight.clone().requires_grad_(True)
    hidden = torch.nn.functional.conv2d(x, weight, first.bias)
    out = Judge.of(Objective.LOG_DEPTH, graph, x).space(torch.nn.functional.conv2d(hidden, last.weight, last.bias))
    out.sum().backward()
    jacobian = weight.grad.flatten()
    exact = torch.outer(jacobian, jacobian)
    assert torch.allclose(kfac / kfac.trace(), exact / exact.trace(), atol=1e-6)


def test_fisher_is_the_mean_over_noise() -> None:
    """With many draws the gradient's second moment nears the sum over outputs of J^T J."""
    graph, batch = small_graph(), torch.cat(images(1))
    factors = estimate(graph, batch, 400, 6, lambda: None)
    held: dict[str, torch.Tensor] = {}

    def keep(name: str, y: torch.Tensor) -> None:
        if name == "mix":
            y.retain_grad()
            held[name] = y

    out = Judge.of(Objective.LOG_DEPTH, graph, batch).space(
        simulate(graph, batch.clone().requires_grad_(True), observe=keep)
    )
    total = torch.zeros(8)
    for value in out.flatten():
        held["mix"].grad = None
        value.backward(retain_graph=True)
        total += held["mix"].grad.square().mean((0, 2, 3))  # type: ignore[union-attr]
    assert torch.allclose(factors.maps["mix"], total, rtol=0.2)


def _rounding(seed: int) -> tuple[torch.Tensor, torch.Tensor, Metric]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(1, 6, 20, generator=generator, dtype=torch.float64)
    x = torch.randn(20, 20, generator=generator, dtype=torch.float64) @ torch.randn(
        20, 60, generator=generator, dtype=torch.float64
    )
    g = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    metric = Metric.damped((g @ g.T)[None], (x @ x.T)[None])
    return weight, best_scales(weight, metric, 7), metric


@pytest.mark.parametrize("seed", range(4))
def test_learned_rounding_is_never_worse_than_nearest(seed: int) -> None:
    weight, scale, metric = _rounding(seed)
    plain = nearest(weight, scale, 7)
    annealed = adaround(weight, scale, metric, 7, 60)
    final = descend(weight, scale, annealed, metric, 7)
    costs = [float(metric.of(weight - scale * q)) for q in (plain, annealed, final)]
    assert costs[0] >= costs[1] >= costs[2]
    assert costs[2] < 0.7 * costs[0]
    assert torch.equal(final, final.round())
    assert float(final.abs().max()) <= 7


def test_descent_ends_where_no_single_change_helps() -> None:
    weight, scale, metric = _rounding(9)
    q = descend(weight, scale, nearest(weight, scale, 7), metric, 7)
    cost = float(metric.of(weight - scale * q))
    for o in range(6):
        for k in range(20):
            for sign in (1, -1):
                other = q.clone()
                other[0, o, k] += sign
                if float(other.abs().max()) <= 7:
                    assert float(metric.of(weight - scale * other)) >= cost * (1 - 1e-9)


def test_weights_that_are_zero_or_one_outlier_round_sensibly() -> None:
    weight, _, metric = _rounding(1)
    weight[0, 0] = 0
    weight[0, 1] = 0
    weight[0, 1, 3] = 50.0
    scale = best_scales(weight, metric, 7)
    q = descend(weight, scale, nearest(weight, scale, 7), metric, 7)
    assert torch.isfinite(scale).all()
    assert (scale > 0).all()
    assert float((scale[0, 1] * q[0, 1, 3] - 50).abs()) < 10


def test_columns_are_rounded_as_the_best_free_columns_ask() -> None:
    """Against the definition: round a column, then solve for the free ones anew."""
    weight, scale, metric = _rounding(2)
    a, order = metric.moment[0], metric.moment[0].diagonal().argsort(descending=True, stable=True)
    q, w = torch.zeros_like(weight[0]), weight[0].clone()
    for i, j in enumerate(order):
        q[:, j] = nearest(w[:, j : j + 1], scale[0], 7)[:, 0]
        fixed, free = order[: i + 1], order[i + 1 :]
        error = weight[0][:, fixed] - scale[0] * q[:, fixed]
        made_good = torch.linalg.solve(a[free][:, free], a[free][:, fixed] @ error.T).T
        w[:, free] = weight[0][:, free] + made_good
    assert torch.equal(by_columns(weight, scale, metric.moment, 7)[0], q)


@pytest.mark.parametrize("seed", range(4))
def test_rows_make_good_what_other_rows_lose(seed: int) -> None:
    weight, scale, metric = _rounding(seed)
    plain = float(metric.of(weight - scale * nearest(weight, scale, 7)))
    alone = float(metric.of(weight - scale * by_columns(weight, scale, metric.moment, 7)))
    together = float(metric.of(weight - scale * by_rows_and_columns(weight, scale, metric, 7)))
    assert together <= alone < plain
    assert float(metric.of(weight - scale * fisher_rounding(weight, scale, metric, 7))) <= together
    separate = Metric(torch.diag_embed(metric.gradient.diagonal(dim1=1, dim2=2)), metric.moment)
    assert torch.equal(by_rows_and_columns(weight, scale, separate, 7), by_columns(weight, scale, metric.moment, 7))


def test_some_rows_gain_by_the_others() -> None:
    gains = []
    for seed in range(20):
        weight, scale, metric = _rounding(seed)
        alone, together = by_columns(weight, scale, metric.moment, 7), by_rows_and_columns(weight, scale, metric, 7)
        gains.append(float(metric.of(weight - scale * together) / metric.of(weight - scale * alone)))
    assert sum(gains) / len(gains) < 0.9  # 0.81; passed on with the wrong sign 0.99
