"""Co-simulation tests; COSIM_OPTIONS says what they run (see test_cosim.py)."""

from __future__ import annotations

import ctypes

import cocotb
import numpy as np
import pyuvm
from numpy.typing import NDArray
from pyuvm import *  # noqa: F403  (pyuvm finds its phases and classes through its own names)

from tests.hls.cosim_environment import KernelTest, StreamDriver, StreamMonitor
from tests.hls.lane_case import LaneCase
from tests.hls.reference import Case, differences
from triptych.golden.fastcar.config import TINY, Chooser, Controls, Policy
from triptych.golden.fastcar.integer import StepTrace
from triptych.sim.fastcar.csim import DECISION, StepResult, memory_of
from triptych.sim.fastcar.image import pack_rows

WORD = 64


def beats(array: NDArray[np.generic], size: int) -> list[bytes]:
    data = array.tobytes()
    return [data[i : i + size] for i in range(0, len(data), size)]


@pyuvm.test()
class LaneArray(KernelTest):
    """Random jobs through the lane array: every stream a port."""

    def port_sizes(self) -> tuple[int, tuple[int, ...]]:
        return 5, (4 * self.options["lanes"],)

    async def stimulus(self) -> None:
        for seed in range(self.options["cases"]):
            case = LaneCase.random(self.sim.limits, seed)
            with self.sim.fifo("weights", self.options["weights_depth"]):
                await self.start(lambda lib: lib.cosim_prepare_lane_array())
            streams = (case.jobs, case.passes, case.weights, case.scales, case.activations)
            sizes = (case.jobs.itemsize, 4 * self.options["lanes"], WORD, WORD, WORD)
            for driver, stream, size in zip(self.env.drivers, streams, sizes, strict=True):
                driver.send(beats(stream, size))
            await self.done()
            got = await self.env.monitors[0].take(len(case.expected))
            results = np.frombuffer(b"".join(got), np.int16).reshape(case.expected.shape)
            assert (results == case.expected).all(), f"case {seed}: {(results != case.expected).sum()} results differ"


class Steps(KernelTest):
    """Whole layers: x in, weights and scales in as DRS wants them, y out; DRAM behind m_axi is Python's.

    The decision must come while K and V still stream: TAS needs no more than Wq and one old key.
    """

    def port_sizes(self) -> tuple[int, tuple[int, ...]]:
        return 3, (WORD, 1, 1)

    async def step(self, case: Case, position: int) -> None:
        x = case.rows(position)
        shape = self.sim.shape(case.program, case.device, x, position)
        decisions = np.zeros(case.program.layers, DECISION)
        memory = memory_of(case.program, case.device, decisions)
        with self.sim.fifo("weights", 4):
            await self.start(lambda lib: lib.cosim_prepare_system(ctypes.byref(shape), ctypes.byref(memory)))
        rows = pack_rows(x)
        self.env.drivers[0].send(beats(rows, WORD))
        streams = [
            cocotb.start_soon(self.stream(case, self.env.drivers[1 + i], self.env.monitors[1 + i], image))
            for i, image in enumerate((case.program.weights, case.program.scales))
        ]
        await self.done()
        for stream in streams:
            await stream
        out = await self.env.monitors[0].take(rows.nbytes // WORD)
        y = np.frombuffer(b"".join(out), np.int16).reshape(rows.shape)[:, : x.shape[1]]
        self.check(case, case.golden(x, position), StepResult(y, decisions, np.zeros(1)[0]), position)

    def check(self, case: Case, traces: list[StepTrace], result: StepResult, position: int) -> None:
        found = differences(case, traces, result, self.options["lanes"])
        assert not found, f"position {position}: {'; '.join(found)}"

    @staticmethod
    async def stream(case: Case, driver: StreamDriver, monitor: StreamMonitor, image: NDArray[np.uint8]) -> None:
        """What the weight streamer does, with random gaps: a layer's attention, and its MLP when that is wanted."""
        layers = image.reshape(case.program.layers, -1, WORD)
        share = case.attention_share(image)
        for words in layers:
            sent = driver.sent + len(driver.queue)
            driver.send(beats(words[:share], WORD))
            wanted = (await monitor.take(1))[0][0]
            if image is case.program.weights:
                assert driver.sent < sent + case.before_o, "the decision came after the last of Q, K and V"
            if wanted:
                driver.send(beats(words[share:], WORD))


@pyuvm.test()
class System(Steps):
    """Random layers under every policy, token after token."""

    async def stimulus(self) -> None:
        for policy in Policy:
            controls = Controls(threshold=0, policy=policy, chooser=Chooser(policy % 3), chain_cap=2)
            case = Case.random(TINY, self.options["rows"], [controls] * 2, self.sim.limits, 7 + policy)
            for position in range(20, 20 + self.options["steps"]):
                await self.step(case, position)


@pyuvm.test()
class Deadlock(Steps):
    """A FIFO that is too shallow: the shell fails with the stream's name, and at once."""

    async def stimulus(self) -> None:
        case = Case.random(TINY, 2, [Controls()], self.sim.limits, 3)
        with self.sim.fifo("attention.scores", 4):
            try:
                await self.step(case, 20)
            except AssertionError as error:
                text = str(error)
            else:
                text = "it ran to its end"
        assert text.startswith("deadlock"), text
        assert "stream 'attention.scores'" in text, text
