"""Cells that belong together, for parts of a chip that are too large to be placed cell by cell.

Neighbours are joined, pair by pair, where they share most for their area (best-choice clustering, Nam et al., ISPD
2005, in rounds). The groups are placed like large cells; inside of one, cells stand in rows by where their nets pull.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

CLIQUE = 8
"""Pins of a net that joins cells at most; larger ones say little about who belongs together."""

ROUNDS = 24
SEED = 1
DRAWN = 0.3
"""Share of a pair's score that is drawn by lot: without, each cell's best is its smaller neighbour, and few are each
other's."""
PULLS = 3
"""Rounds in which cells inside their groups follow their nets."""

Nets = list[list[int]]


def cluster(area: NDArray[np.float64], nets: Nets, wanted: int) -> NDArray[np.int64]:
    """The group of each cell, some `wanted` groups, none larger than twice their mean area. nets: cells of each."""
    label = np.arange(len(area))
    graph, size = _graph(len(area), nets), area.astype(float)
    most, rng = 2 * area.sum() / wanted, np.random.default_rng(SEED)
    for _ in range(ROUNDS):
        if len(size) <= wanted:
            break
        pair = _pairs(graph, size, most, rng)
        if pair.max(initial=-1) + 1 > 0.99 * len(size):
            break
        join = sparse.csr_matrix((np.ones(len(size)), (np.arange(len(size)), pair)))
        graph = (join.T @ graph @ join).tocsr()
        graph.setdiag(0)
        graph.eliminate_zeros()
        size, label = np.bincount(pair, size), pair[label]
    return label


def _graph(cells: int, nets: Nets) -> sparse.csr_matrix:
    """Weights between cells: of a net of n pins 1 / (n - 1) for each pair."""
    one, other, weight = [], [], []
    for pins in nets:
        if len(pins) <= CLIQUE:
            for a, left in enumerate(pins):
                for right in pins[a + 1 :]:
                    one.append(left)
                    other.append(right)
                    weight.append(1 / (len(pins) - 1))
    half = sparse.coo_matrix((weight, (one, other)), shape=(cells, cells))
    return (half + half.T).tocsr()


def _pairs(
    graph: sparse.csr_matrix, size: NDArray[np.float64], most: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """New numbers: the same for two nodes that are each other's best."""
    links = graph.tocoo()
    fits = size[links.row] + size[links.col] <= most
    row, col = links.row[fits], links.col[fits]
    both = np.minimum(row, col) * np.int64(len(size)) + np.maximum(row, col)
    mix = (both * np.int64(2654435761) + rng.integers(1 << 31)) % 1009  # seen alike from both sides
    score = links.data[fits] / (size[row] + size[col]) * (1 + DRAWN * mix / 1009)
    best = np.full(len(size), -1)
    order = np.lexsort((score, row))
    best[row[order]] = col[order]  # the last one of a row stays
    mutual = (best >= 0) & (best[best] == np.arange(len(size)))
    leader = np.where(mutual, np.minimum(best, np.arange(len(size))), np.arange(len(size)))
    return np.unique(leader, return_inverse=True)[1]


def spread(
    label: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64], width: NDArray[np.float64], nets: Nets,
    rows: int, row: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Places of the cells inside their groups. x, y: of the groups' middles; width: of the cells; rows: of cells in a
    group, `row` high. Cells of a row overlap by no more than a row is too full."""
    cell = np.repeat(np.arange(len(nets)), [len(pins) for pins in nets])  # the net of each pin
    pin = np.concatenate([np.asarray(pins) for pins in nets]) if nets else np.zeros(0, np.int64)
    count = np.maximum(np.bincount(pin, minlength=len(label)), 1)
    of_net = np.maximum(np.bincount(cell, minlength=len(nets)), 1)
    px, py = x[label], y[label]
    for _ in range(PULLS):
        pulls = []
        for at in (px, py):
            middle = np.bincount(cell, at[pin], minlength=len(nets)) / of_net
            pulls.append(np.bincount(pin, middle[cell], minlength=len(label)) / count)
        px, py = _in_rows(label, x, y, width, rows, row, pulls[0], pulls[1])
    return px, py


def _in_rows(
    label: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64], width: NDArray[np.float64], rows: int,
    row: float, to_x: NDArray[np.float64], to_y: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    whole = np.bincount(label, width)
    first = np.concatenate([[0.0], np.cumsum(whole)[:-1]])
    order = np.lexsort((to_y, label))
    end = np.empty(len(label))
    end[order] = np.cumsum(width[order])
    into = (end - width / 2 - first[label]) / whole[label]  # 0 to 1, from the lowest on
    line = np.minimum((into * rows).astype(np.int64), rows - 1)
    key = label * rows + line
    full = np.bincount(key, width, minlength=len(whole) * rows)
    before = np.concatenate([[0.0], np.cumsum(full)[:-1]])
    order = np.lexsort((to_x, key))
    end[order] = np.cumsum(width[order])
    px = x[label] + end - width / 2 - before[key] - full[key] / 2
    return px, y[label] + (line - (rows - 1) / 2) * row
