"""`triptych fastcar layer`: a LLaMA-7B layer with random weights through the HLS kernels, held against golden.

The rows replay at a TAS threshold that is found for the wanted skip ratio; cycles are the model's, everything else is
what the kernels did.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar import drs, integer
from triptych.golden.fastcar.config import LLAMA_7B, NEVER_REPLAY, Chooser, Controls, LayerConfig, Policy
from triptych.golden.fastcar.integer import LayerState, LayerWeights, StepTrace
from triptych.golden.fastcar.random_layer import random_layer, random_rows, random_state
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.boards import Board, board
from triptych.sim.fastcar.csim import StepResult, simulator
from triptych.sim.fastcar.image import BYTES, DeviceState, Program
from triptych.sim.fastcar.performance import dense_cycles, index_cycles, kv_share, mlp_share


@dataclass(frozen=True)
class LayerReport:
    """What a run found; figures a token step are means over the steps.

    mismatches: elements of output, DRAM and decisions that are not golden's. modelled_cycles: of a step, by the cycle
    model of the board. speedup_over_dense: of those cycles. closed_form: the same speed-up by the closed form of the
    same decisions. bytes_streamed: weights and scales of a step. rows_replayed: of all steps, of batch * steps.
    csim_seconds: a step of C simulation. skip: the ratio that came out. k, ridge_batch: of the closed form.
    """

    bit_exact: bool
    mismatches: int
    modelled_cycles: float
    speedup_over_dense: float
    closed_form: float
    bytes_streamed: float
    rows_replayed: int
    csim_seconds: float
    board: str
    lanes: int
    policy: str
    batch: int
    steps: int
    skip: float
    k: float
    ridge_batch: float

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def policy_of(name: str) -> Policy:
    """By name, in any case. Raises TriptychError naming those that there are."""
    try:
        return Policy[name.upper()]
    except KeyError:
        raise TriptychError(f"no policy '{name}': take one of {', '.join(p.name for p in Policy)}") from None


def find_threshold(
    layer: LayerWeights, state: LayerState, steps: list[NDArray[np.int16]], first: int, skip: float, policy: Policy
) -> int:
    """The TAS threshold at which a share `skip` of the groups of all steps replays, as near as their number allows.

    first: position of the first step. Steps are a frame at most, so that none writes a key that another's TAS reads.
    """
    decisive: list[float] = []
    for number, x in enumerate(steps):
        normed = integer.rms_norm(x, layer.attention_gain, layer.attention_norm_shift)
        heads = integer.sat16(integer.project(normed, layer.q)).astype(np.int16)
        query = integer.sat8(integer.rs(heads, integer.ROPE_GUARD)).reshape(len(x), -1, state.keys.shape[-1])
        before = state.keys[:, :, first + number - state.ring.shape[1]]
        tas = integer.temporal_score(query, before)
        for group in drs.groups(policy, len(x)):
            members = tas[group.start : group.stop]
            decisive.append(float(members.min() if policy is Policy.ALL else members.mean()))
    ordered = sorted(decisive, reverse=True)
    replays = round(skip * len(ordered))
    if replays == 0:
        return NEVER_REPLAY
    least = ordered[replays - 1]
    return int(np.ceil(least)) - 1 if replays == len(ordered) else int(np.floor((least + ordered[replays]) / 2))


def closed_speedup(config: LayerConfig, machine: Board, rows: int, computing: list[int], attended: float) -> float:
    """The closed form's dense time over its time for these numbers of computing rows, a step each."""
    m, k, ridge = mlp_share(config), kv_share(config, attended), machine.ridge_batch
    common = (1 - m) * max(1.0, rows / ridge) + k * rows
    mlp = sum(max(1.0, n / ridge) for n in computing if n) / len(computing)
    return (common + m * max(1.0, rows / ridge)) / (common + m * mlp)


def count_mismatches(trace: StepTrace, result: StepResult, device: DeviceState, state: LayerState) -> int:
    """Elements of output, DRAM, index register and TAS that differ."""
    decision = result.decisions[0]
    wrong = int((result.y != trace.y).sum()) + device.mismatches([state])
    wrong += int(decision["index"]) != trace.index
    return wrong + int((decision["score"][: len(trace.score)] != trace.score).sum())


def run_layer(
    batch: int = 4,
    skip: float = 0.8,
    policy: str = "PAIR",
    *,
    board_name: str = "KV260",
    steps: int = 5,
    seed: int = 0,
    config: LayerConfig = LLAMA_7B,
) -> LayerReport:
    """Runs `steps` token steps of `batch` rows, from the middle of the context on, and compares each with golden.

    Raises TriptychError for a batch outside 1..32, a skip ratio outside 0..1, steps outside 1..256, an unknown policy
    or board.
    """
    if not 1 <= batch <= 32:
        raise TriptychError(f"a batch has 1..32 rows, not {batch}")
    if not 0 <= skip <= 1:
        raise TriptychError(f"a skip ratio must be in 0..1, not {skip}")
    if not 1 <= steps <= config.frame_tokens:
        raise TriptychError(f"steps must be in 1..{config.frame_tokens} (a frame), not {steps}")
    who = policy_of(policy)
    try:
        machine = board(board_name)
    except ValueError as error:
        raise TriptychError(str(error)) from None
    first = config.context // 2
    sim = simulator(machine.lanes)
    layer, state = random_layer(config, seed), random_state(config, batch, seed)
    state.chain[:] = 0
    rows = [random_rows(config, batch, 1000 * seed + number) for number in range(steps)]
    threshold = find_threshold(layer, state, rows, first, skip, who)
    controls = Controls(threshold=threshold, policy=who, chooser=Chooser.PUBLISHED)
    program = Program.pack(config, [layer], sim.limits)
    program.steer([controls])
    device, turns = DeviceState.of(config, [state]), integer.rope_tables(config)

    seconds, cycles, dense, words, wrong = 0.0, 0.0, 0.0, 0, 0
    computing: list[int] = []
    for number, x in enumerate(rows):
        position = first + number
        start = time.perf_counter()
        result = sim.step(program, device, x, position)
        seconds += time.perf_counter() - start
        trace = integer.layer_step(config, layer, turns, state, x, position, controls)
        wrong += count_mismatches(trace, result, device, state)
        index = int(result.decisions[0]["index"])
        computing.append(index.bit_count())
        words += int(result.counters["weights"]["streamed"]) + int(result.counters["scales"]["streamed"])
        cycles += index_cycles(config, machine, index, rows=batch, position=position).cycles
        dense += dense_cycles(config, machine, rows=batch, position=position).cycles
    attended = first + (steps + 1) / 2
    replayed = batch * steps - sum(computing)
    return LayerReport(
        bit_exact=wrong == 0,
        mismatches=wrong,
        modelled_cycles=cycles / steps,
        speedup_over_dense=dense / cycles,
        closed_form=closed_speedup(config, machine, batch, computing, attended),
        bytes_streamed=words * BYTES / steps,
        rows_replayed=replayed,
        csim_seconds=seconds / steps,
        board=machine.name,
        lanes=machine.lanes,
        policy=who.name,
        batch=batch,
        steps=steps,
        skip=replayed / (batch * steps),
        k=kv_share(config, attended),
        ridge_batch=machine.ridge_batch,
    )
