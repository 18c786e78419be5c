"""The error at depth edges and the labelled pairs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.golden.photo import LOOKED_AT, shipped_photo
from triptych.golden.quartdepth.data.judged import at, coarsened, edge_error, edges, read_pairs


def _step(at_column: int, far: float = 3.0) -> np.ndarray:
    depth = np.ones((20, 30))
    depth[:, at_column:] = far
    return depth


def test_edges_are_steps_between_known_neighbours() -> None:
    depth = _step(10)
    assert np.flatnonzero(edges(depth).all(0)).tolist() == [8, 9, 10, 11]
    assert not edges(_step(10, 1.09)).any()
    assert edges(_step(10, 1.12)).any()
    depth[:, 9:12] = 0  # a hole between the two: nobody knows where the edge is
    assert not edges(depth).any()
    slope = np.tile(1.05 ** np.arange(30), (20, 1))
    assert not edges(slope).any()


def test_edge_error_sees_blur_and_shift_but_no_factor() -> None:
    depth = _step(16)
    assert edge_error(depth * 7, depth) == pytest.approx(0, abs=1e-6)
    shifted = edge_error(_step(17), depth)
    assert shifted == pytest.approx(np.log(3) / 4)  # one of the four columns is off by the whole step
    blurred = depth.copy()
    blurred[:, 13:19] = np.linspace(1, 3, 6)
    error = edge_error(blurred, depth)
    assert error is not None
    assert error > 0.1
    assert edge_error(depth, np.ones((20, 30))) is None
    with pytest.raises(ValueError, match="not finite"):
        edge_error(depth * np.nan, depth)


def test_what_a_coarser_map_can_say() -> None:
    """The geometric mean of what is known; where nothing is, the middle of all."""
    depth = np.array([[1.0, 4.0, 3.0, 0.0], [1.0, 4.0, 3.0, 3.0]])
    assert np.allclose(coarsened(depth, (1, 2)), [[2.0, 3.0]])
    assert np.allclose(coarsened(depth, (2, 4)), [[1, 4, 3, 3], [1, 4, 3, 3]])
    with pytest.raises(ValueError, match="no depth is known"):
        coarsened(np.zeros((2, 2)), (1, 1))


def test_depth_at_a_point() -> None:
    depth = np.tile(np.arange(4.0), (2, 1))
    assert at(depth, (2.5 / 4, 0.3)) == pytest.approx(2)
    assert at(depth, (3 / 4, 0.5)) == pytest.approx(2.5)


def test_the_pairs() -> None:
    """Forty a photo, within it, and on the motorcycle as the true disparity has it."""
    pairs = read_pairs()
    assert Counter(p.photo for p in pairs) == dict.fromkeys(LOOKED_AT, 40)
    assert len(set(pairs)) == 200
    for pair in pairs:
        width, height = Image.open(shipped_photo(pair.photo)).size
        assert all(0 <= x < width and 0 <= y < height for x, y in (pair.near, pair.far))
    with np.load(shipped_photo("motorcycle_disp.npz")) as arrays:
        disparity = arrays["arr_0"]
    checked = 0
    for pair in pairs:
        near, far = (disparity[y, x] for x, y in (pair.near, pair.far))
        if pair.photo == "motorcycle_left.png" and np.isfinite(near) and np.isfinite(far):
            assert near > far * 1.005, pair
            checked += 1
    assert checked == 32


def test_a_damaged_file_of_pairs(tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    file.write_text("# nothing\ncoffee.png 1 2 3\n")
    with pytest.raises(ValueError, match="no pair"):
        read_pairs(file)
