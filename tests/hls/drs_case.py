"""The DRS kernel alone: random TAS and chains in, jobs, passes and mapping table out, against golden's."""

from __future__ import annotations

import ctypes

import numpy as np

from tests.hls.lane_case import pass_records
from triptych.golden.fastcar import drs
from triptych.golden.fastcar.config import Policy
from triptych.sim.fastcar.csim import DECISION, DRS_COUNTERS, ENTRY, JOB, ROW_COMMAND, CSim, Shape
from triptych.sim.fastcar.image import REGISTERS

FRAME = 3
ATTENTION = (("q", 5), ("k", 2), ("v", 2), ("o", 5))
MLP = (("gate_up", 14), ("down", 5))


def drs_differences(sim: CSim, seed: int) -> list[str]:
    """One layer's decision, job by job; an empty list when all is as golden has it."""
    rng = np.random.default_rng([seed, 0xD25])
    lanes, rows = sim.limits.lanes, int(rng.integers(1, 33))
    position, scheduling = int(rng.integers(0, 12)), bool(rng.integers(4))
    registers = np.zeros(1, REGISTERS)
    policy = Policy(int(rng.integers(4)))
    threshold, cap = int(rng.integers(-50, 50)), int(rng.integers(0, 4))
    registers[0]["threshold"], registers[0]["policy"], registers[0]["chain_cap"] = threshold, policy, cap
    chains = rng.integers(0, 4, (rows, FRAME), dtype=np.uint8)
    chains[rng.random((rows, FRAME)) < 0.1] = 255
    before = chains.copy()
    tas = rng.integers(-100, 100, rows).astype(np.int32)

    replay = np.zeros(rows, bool)
    if position >= FRAME:
        may = (before[:, position % FRAME] < cap) | (cap == 0)
        replay = drs.replay_bits(tas, threshold, may, policy)
    index = drs.index_register(replay)

    commands = np.concatenate([_commands(rows, k, tiles) for k, (_, tiles) in enumerate(ATTENTION + MLP)])
    decisions, counters = np.zeros(1, DECISION), np.zeros(1, DRS_COUNTERS)
    jobs, passes = np.zeros(8, JOB), np.zeros((6 * 32, lanes), ENTRY)
    counts, wanted = np.zeros(2, np.uint64), np.zeros(1, np.bool_)
    shape = Shape(1, rows, position, 1, 1, 1, 1, 2, FRAME, 16, int(scheduling))
    scores = tas if position >= FRAME else tas[:0]
    sim.call(
        "drs", ctypes.byref(shape), registers, chains, commands, len(commands), scores, len(scores), decisions, jobs,
        len(jobs), passes, len(passes), counts, wanted, counters,
    )  # fmt: skip

    everyone = (1 << rows) - 1
    expected_jobs, expected_passes = [], []
    for k, (_, tiles) in enumerate(ATTENTION + MLP):
        who = everyone if k < len(ATTENTION) else index
        plan = (
            drs.assignments(who, lanes, sim.limits.window)
            if scheduling
            else drs.static_assignments(who, rows, lanes, sim.limits.window)
        )
        if who:
            expected_jobs.append((who, tiles, 7, len(plan), k in (0, 3, 4, 5), False))
            expected_passes.append(pass_records(plan, lanes))
    expected_jobs.append((0, 0, 0, 0, False, True))
    plans = np.concatenate(expected_passes)

    found = []
    if int(decisions[0]["index"]) != index or bool(wanted[0]) != bool(index):
        found.append(f"index register {int(decisions[0]['index']):#x}, not {index:#x}")
    table = [255 if lane is None else lane for lane in drs.mapping(index, lanes)]
    if decisions[0]["mapping"].tolist() != table:
        found.append("mapping table")
    if [tuple(j) for j in jobs[: int(counts[0])].tolist()] != expected_jobs:
        found.append("jobs")
    got = passes[: int(counts[1])]
    if got.shape != plans.shape or any(not _same(got, plans, name) for name in ("begin", "end")):
        found.append("passes")
    elif not (got["row"] == plans["row"])[plans["end"] > plans["begin"]].all():
        found.append("rows of the passes")
    slot = position % FRAME
    after = before.copy()
    after[:, slot] = np.where(replay, np.minimum(before[:, slot].astype(int) + 1, 255), 0)
    if (chains != after).any():
        found.append("chains")
    if tuple(int(v) for v in counters[0]) != (rows - replay.sum(), replay.sum(), 6 * rows, 2 * replay.sum()):
        found.append("counters")
    return found


def _same(got: np.ndarray, wanted: np.ndarray, name: str) -> bool:
    """Begin and end are equal where a lane works; where it idles, they are equal to each other."""
    works = wanted["end"] > wanted["begin"]
    return bool((got[name] == wanted[name])[works].all() and (got["begin"] == got["end"])[~works].all())


def _commands(rows: int, matrix: int, tiles: int) -> np.ndarray:
    out = np.zeros(rows, ROW_COMMAND)
    out["matrix"], out["row"], out["tiles"], out["segments"] = matrix, np.arange(rows), tiles, 7
    out["loads"], out["droppable"] = matrix in (0, 3, 4, 5), matrix >= len(ATTENTION)
    return out
