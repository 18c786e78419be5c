"""What C simulation and co-simulation are both held against: golden steps, and a case of random everything."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar import drs, integer
from triptych.golden.fastcar.config import Chooser, Controls, LayerConfig, Policy
from triptych.golden.fastcar.integer import LayerState, LayerWeights, StepTrace
from triptych.golden.fastcar.random_layer import random_layer, random_rows, random_state
from triptych.sim.fastcar.csim import StepResult
from triptych.sim.fastcar.image import DeviceState, Limits, Program

ODD = LayerConfig(width=90, ffn=131, heads=6, kv_heads=1, head_dim=10, frame_tokens=5, context=40)
WIDE_HEADS = LayerConfig(width=65, ffn=40, heads=2, kv_heads=2, head_dim=128, frame_tokens=4, context=12)


@dataclass
class Case:
    """Layers, states and controls; `golden` and the kernels each take their own copy of the state."""

    config: LayerConfig
    layers: list[LayerWeights]
    states: list[LayerState]
    controls: list[Controls]
    program: Program
    device: DeviceState

    @classmethod
    def random(
        cls, config: LayerConfig, rows: int, controls: list[Controls], limits: Limits, seed: int, **constants: int
    ) -> Case:
        """As many layers as controls. constants: of their weights, instead of what fits their sizes."""
        layers = [replace(random_layer(config, 100 * seed + i), **constants) for i in range(len(controls))]
        states = [random_state(config, rows, 100 * seed + i) for i in range(len(controls))]
        program = Program.pack(config, layers, limits)
        program.steer(controls)
        return cls(config, layers, states, controls, program, DeviceState.of(config, states))

    def attention_share(self, image: NDArray[np.uint8]) -> int:
        """Words of a layer's image (weights or scales) that come before its MLP."""
        c, limits = self.config, self.program.limits
        if image is self.program.scales:
            return sum(map(self.tiles, (c.q_width, c.kv_width, c.kv_width, c.width))) * limits.scale_words
        return self.before_o + self.tiles(c.width) * -(-c.q_width // 64) * limits.window

    @property
    def before_o(self) -> int:
        """Weight words of Q, K and V."""
        c = self.config
        outputs = self.tiles(c.q_width) + 2 * self.tiles(c.kv_width)
        return outputs * -(-c.width // 64) * self.program.limits.window

    def tiles(self, outputs: int) -> int:
        return -(-outputs // (2 * self.program.limits.window))

    def rows(self, seed: int) -> NDArray[np.int16]:
        return random_rows(self.config, self.device.rows, seed)

    def golden(self, x: NDArray[np.int16], position: int) -> list[StepTrace]:
        """A trace a layer; changes `states`."""
        turns = integer.rope_tables(self.config)
        traces = []
        for layer, state, controls in zip(self.layers, self.states, self.controls, strict=True):
            traces.append(integer.layer_step(self.config, layer, turns, state, x, position, controls))
            x = traces[-1].y
        return traces


def random_case(limits: Limits, seed: int) -> tuple[Case, int, bool]:
    """Any shape, batch 1-8, policy, chooser, cap and window; the position, and whether DRS is on."""
    rng = np.random.default_rng([seed, 0xCA5E])
    kv_heads = int(rng.integers(1, 4))
    config = LayerConfig(
        width=int(rng.integers(1, 150)), ffn=int(rng.integers(1, 200)), heads=kv_heads * int(rng.integers(1, 7)),
        kv_heads=kv_heads, head_dim=2 * int(rng.integers(1, 65)), frame_tokens=int(rng.integers(1, 9)), context=32,
    )  # fmt: skip
    controls = [
        Controls(
            threshold=int(rng.normal(0, 3000)), policy=Policy(int(rng.integers(4))),
            chooser=Chooser(int(rng.integers(5))), chain_cap=int(rng.integers(0, 4)),
            window=int(rng.integers(0, 12)), sink=int(rng.integers(0, 4)),
        )
        for _ in range(int(rng.integers(1, 4)))
    ]  # fmt: skip
    case = Case.random(config, int(rng.integers(1, 9)), controls, limits, seed)
    return case, int(rng.integers(0, 24)), bool(rng.integers(4))


def differences(case: Case, traces: list[StepTrace], result: StepResult, lanes: int) -> list[str]:
    """One line for everything in which the kernels' step is not golden's; `==` throughout, DRAM included."""
    found = []
    if (result.y != traces[-1].y).any():
        found.append(f"y: {(result.y != traces[-1].y).sum()} elements")
    for number, (trace, decision) in enumerate(zip(traces, result.decisions, strict=True)):
        rows = len(trace.y)
        wanted = [255 if lane is None else lane for lane in drs.mapping(trace.index, lanes)]
        if int(decision["index"]) != trace.index:
            found.append(f"layer {number}: index register {int(decision['index']):#x}, not {trace.index:#x}")
        if decision["mapping"].tolist() != wanted:
            found.append(f"layer {number}: mapping table {decision['mapping'].tolist()}, not {wanted}")
        if decision["score"][:rows].tolist() != trace.score.tolist():
            found.append(f"layer {number}: score")
    if bad := case.device.mismatches(case.states):
        found.append(f"DRAM: {bad} elements")
    return found
