"""A whole step in RTL (`rtl/fastcar/fastcar_step.sv`): the images of `image.py` in one memory, tokens in, rows out.

The same `Program` and `DeviceState` run in C simulation (`csim.py`) and here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.golden.fastcar.config import MAX_ROWS, LayerConfig
from triptych.golden.files import scratch
from triptych.sim.build import children
from triptych.sim.build.sources import ROOT, checker, fastcar_sources
from triptych.sim.build.verilate import Build
from triptych.sim.errors import TriptychError
from triptych.sim.fastcar.image import BYTES, DeviceState, Limits, Program, pack_rows
from triptych.sim.rtl.orders import WriteOrder

MAIN = ROOT / "sim" / "rtl" / "cpp" / "fastcar_step_main.cpp"
CHECKED = ("-O3", "--assert", "--x-assign", "unique", "--x-initial", "unique", "--unroll-count", "1")
FAST = ("-O3", "--no-assert", "--x-assign", "fast", "--x-initial", "fast", "--unroll-count", "1")
PHASES = (
    "idle", "setup", "turns", "record", "chains", "gain", "rows", "heads", "score", "keys", "values", "stored",
    "attend", "output", "add", "mlp_gain", "hidden", "down", "ring", "counts", "result", "flush", "done", "stopped",
)  # fmt: skip
REST = ("index", "computed", "replayed", "delivered", "skipped")
ARRAYS = ("weights", "scales", "registers", "gains", "turns", "keys", "values", "ring", "chains", "x", "y")
SHAPE_AT, ARRAYS_AT = 0x10, 0x40
PAGE = 4096
ADDRESSES, SLOT = 1 << 40, 1 << 32  # bytes of the bus; arrays that lie apart have a slot each


class Fault(IntEnum):
    """Why a step stopped: `step_fault_e` of rtl/fastcar/step_pkg.sv."""

    NONE = 0
    WEIGHT_SLAVE = 1
    WEIGHT_DECODE = 2
    NO_ROOM = 3
    SCALE_SLAVE = 4
    SCALE_DECODE = 5
    READ_SLAVE = 6
    READ_DECODE = 7
    WRITE_SLAVE = 8
    WRITE_DECODE = 9
    SHAPE = 10


def _power(value: int) -> int:
    return 1 << (value - 1).bit_length()


@dataclass(frozen=True)
class StepSize:
    """Parameters of fastcar_step. words: pairs of outputs of a tile, a power of two. inputs: segments that a lane
    stores, 0 for all rows of the longest product. fabric: scores without DSPs. lut_chains: of the first
    lane, without DSPs. checked: with assertions and random power-on values."""

    lanes: int = 4
    words: int = 4
    chain: int = 8
    width: int = 128
    ffn: int = 256
    head_dim: int = 64
    head_words: int = 8
    tokens: int = 64
    group: int = 1
    vector: int = 8
    depth: int = 128
    burst: int = 64
    inputs: int = 0
    fabric: bool = False
    lut_chains: int = 0
    checked: bool = True

    @classmethod
    def of(cls, config: LayerConfig, **rest: Any) -> StepSize:
        """The least that holds a layer of this shape."""
        head_words = config.heads * -(-config.head_dim // BYTES)
        return cls(
            width=max(64, _power(max(config.width, config.q_width))), ffn=config.ffn,
            head_dim=max(2, config.head_dim), head_words=_power(head_words), tokens=_power(config.context), **rest,
        )  # fmt: skip

    @property
    def limits(self) -> Limits:
        """As the images want them."""
        scale_words = -(-6 * self.words // BYTES)
        return Limits(
            self.lanes, self.words, scale_words, MAX_ROWS, self.width, max(self.ffn, self.width), self.head_dim,
            self.tokens,
        )  # fmt: skip

    def parameters(self) -> dict[str, int]:
        """By the names of the RTL."""
        named = {
            "Chain": self.chain, "Lanes": self.lanes, "Words": self.words, "MaxWidth": self.width, "MaxFfn": self.ffn,
            "MaxHeadDim": self.head_dim, "HeadWords": self.head_words, "Tokens": self.tokens, "Group": self.group,
            "Vector": self.vector, "Depth": self.depth, "MaxBurst": self.burst, "Fabric": int(self.fabric),
            "LutChains": self.lut_chains,
        }  # fmt: skip
        return named | ({"Inputs": self.inputs} if self.inputs else {})

    def build(self, sources: Sequence[Path] | None = None) -> Build:
        """The step with its bench. sources: instead of those of `rtl/fastcar`."""
        return Build(
            top="fastcar_step",
            sources=tuple(sources or (*fastcar_sources(), *checker("fastcar_step"))),
            cpp=(MAIN,),
            parameters=self.parameters(),
            flags=CHECKED if self.checked else FAST,
            headers=(MAIN.with_name("memory_model.h"), MAIN.with_name("coverage.h")),
            cxxflags=("-std=c++20",),
        )


@dataclass(frozen=True)
class Memory:
    """What is behind the ports: cycles from an address to its first beat, words a cycle (all ports together), bursts
    taken at once, chances in 256 that a channel holds back, what it waits for before it takes a write."""

    latency: int = 20
    rate: float = 1.0
    outstanding: int = 32
    stall: int = 0
    seed: int = 1
    writes: WriteOrder = WriteOrder.ADDRESS_FIRST


PLAIN = Memory()


@dataclass(frozen=True)
class Token:
    """A step's input: x int16[rows, width] at a position; scheduling: DRS. registers: instead of the program's."""

    x: NDArray[np.int16]
    position: int
    scheduling: bool = True
    registers: NDArray[np.void] | None = None


@dataclass(frozen=True)
class Made:
    """What a step made. y: int16[rows, width]. cycles: from the start's write to the interrupt; phases: of them by
    phase. counters: REST."""

    y: NDArray[np.int16]
    fault: Fault
    cycles: int
    phases: dict[str, int]
    counters: dict[str, int]


@dataclass(frozen=True)
class Model:
    """A network in memory: its images, and the caches of its rows."""

    program: Program
    state: DeviceState

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By the names of `ARRAYS`."""
        p, s = self.program, self.state
        rows = pack_rows(np.zeros((s.rows, p.config.width), np.int16))
        return dict(zip(ARRAYS, (
            p.weights, p.scales, p.registers, p.gains, p.turns, s.keys, s.values, s.ring, s.chains, rows, rows.copy(),
        ), strict=True))  # fmt: skip


class _Layout:
    """Where the arrays of each model lie. at: in the image, at page boundaries with a gap that moves them against each
    other. bus: there as well, or `apart` anywhere, every second one over a boundary of `SLOT`. windows: (address, place
    in the image, bytes)."""

    def __init__(self, models: Sequence[dict[str, NDArray[Any]]], apart: int | None) -> None:
        self.at: list[dict[str, int]] = [{} for _ in models]
        self.bus: list[dict[str, int]] = [{} for _ in models]
        self.windows: list[tuple[int, int, int]] = []
        rng = np.random.default_rng(apart)
        count = sum(map(len, models))
        slots = iter(rng.choice(np.arange(1, ADDRESSES // SLOT), count, replace=False).tolist())
        parts, end = [bytes(PAGE)], PAGE
        for number, arrays in enumerate(models):
            for place, (name, array) in enumerate(arrays.items()):
                gap = BYTES * (7 * (number + place) % 64)
                length = -(-(gap + array.nbytes + BYTES) // PAGE) * PAGE
                parts.append((bytes(gap) + array.tobytes()).ljust(length, b"\0"))
                address = end
                if apart is not None:
                    over = len(self.windows) % 2
                    pages = -int(rng.integers(length // PAGE)) if over else int(rng.integers(SLOT // 2 // PAGE))
                    address = next(slots) * SLOT + pages * PAGE
                self.windows.append((address, end, length))
                self.at[number][name], self.bus[number][name] = end + gap, address + gap
                end += length
        self.image = b"".join(parts)


def run_steps(
    size: StepSize,
    program: Program,
    state: DeviceState,
    tokens: Sequence[Token],
    memory: Memory = PLAIN,
    *,
    executable: Path | None = None,
    error: tuple[str, int, int] | None = None,
    limit: int = 20_000_000,
    fields: Mapping[str, int] | None = None,
) -> list[Made]:
    """Token steps of one network, one after the other: `run_turns`."""
    turns = [(0, token) for token in tokens]
    return run_turns(
        size, [Model(program, state)], turns, memory, executable=executable, error=error, limit=limit, fields=fields
    )


def run_turns(
    size: StepSize,
    models: Sequence[Model],
    turns: Sequence[tuple[int, Token]],
    memory: Memory = PLAIN,
    *,
    executable: Path | None = None,
    apart: int | None = None,
    error: tuple[str, int, int] | None = None,
    limit: int = 20_000_000,
    fields: Mapping[str, int] | None = None,
) -> list[Made]:
    """Token steps one after the other, each of one of the models; their states become what lies in memory behind the
    last.

    apart: seed of arrays that lie anywhere in the address space. error: (array of the first model, byte, response), a
    beat that answers 2 (SLVERR) or 3 (DECERR). limit: cycles of a step. fields: of the shape that are written otherwise
    than they are, for the hardware to refuse. Raises TriptychError for shapes beyond the size, when a step hangs, or
    when an assertion fails.
    """
    for model in models:
        size.limits.check(model.program.config, model.state.rows)
        if replace(model.program.limits, lanes=size.lanes) != size.limits:
            raise TriptychError("the program was packed for another size of the step")
    arrays = [model.arrays() for model in models]
    layout = _Layout(arrays, apart)
    bad, response = -1, 2
    if error:
        bad, response = layout.at[0][error[0]] + error[1], error[2]
    header = [
        memory.seed, memory.stall, memory.latency, round(64_000 * memory.rate), memory.outstanding, len(turns),
        len(layout.image), limit, bad, response, memory.writes, len(layout.windows),
    ]  # fmt: skip
    parts = [np.array(header, "<i4").tobytes(), layout.image, np.array(layout.windows, "<i8").tobytes()]
    kept = [(number, name) for number in range(len(models)) for name in ("keys", "values", "ring", "chains")]
    for turn, (number, token) in enumerate(turns):
        program, at = models[number].program, layout.at[number]
        c = program.config
        shape = {
            "layers": program.layers, "rows": models[number].state.rows, "position": token.position, "width": c.width,
            "ffn": c.ffn, "heads": c.heads, "kv_heads": c.kv_heads, "head_dim": c.head_dim,
            "frame_tokens": c.frame_tokens, "context": c.context, "scheduling": int(token.scheduling),
        } | dict(fields or {})  # fmt: skip
        writes = [(SHAPE_AT + 4 * i, value) for i, value in enumerate(shape.values())]
        for i, name in enumerate(ARRAYS):
            high, low = divmod(layout.bus[number][name], 1 << 32)
            writes += [(ARRAYS_AT + 8 * i, low), (ARRAYS_AT + 8 * i + 4, high)]
        parts.append(np.array([len(writes), *(v for pair in writes for v in pair)], "<u4").tobytes())
        pokes = [("x", pack_rows(token.x).tobytes())]
        if token.registers is not None:
            pokes.append(("registers", token.registers.tobytes()))
        parts.append(np.array([len(pokes)], "<i4").tobytes())
        for name, text in pokes:
            parts += [np.array([at[name], len(text)], "<i4").tobytes(), text]
        peeks = [(number, "y"), *(kept if turn == len(turns) - 1 else ())]
        told = [v for n, name in peeks for v in (layout.at[n][name], arrays[n][name].nbytes)]
        parts.append(np.array([len(peeks), *told], "<i4").tobytes())
    with scratch() as folder:
        before, after = folder / "scenario.bin", folder / "seen.bin"
        before.write_bytes(b"".join(parts))
        run = children.run([executable or size.build().executable(), before, after])
        if run.status:
            raise TriptychError(f"the step did not run to its end: {run.text[-2000:]}")
        data = after.read_bytes()
    shapes = [(arrays[number]["y"].shape, models[number].program.config.width) for number, _ in turns]
    return _read(data, shapes, [arrays[number][name] for number, name in kept])


def _read(data: bytes, shapes: Sequence[tuple[tuple[int, ...], int]], kept: Sequence[NDArray[Any]]) -> list[Made]:
    """What the bench wrote. shapes: of each step's packed rows, and their width."""
    made, at = [], 0
    for shape, width in shapes:
        numbers = np.frombuffer(data, "<i4", 3 + len(PHASES) + len(REST), at)
        at += numbers.nbytes
        y = np.frombuffer(data, np.int16, int(np.prod(shape)), at).reshape(shape)
        at += y.nbytes
        phases = dict(zip(PHASES, map(int, numbers[2 : 2 + len(PHASES)]), strict=True))
        rest = dict(zip(REST, (int(v) & 0xFFFFFFFF for v in numbers[2 + len(PHASES) : -1]), strict=True))
        made.append(Made(y[:, :width].copy(), Fault(int(numbers[0])), int(numbers[1]), phases, rest))
    for array in kept:
        array[...] = np.frombuffer(data, array.dtype, array.size, at).reshape(array.shape)
        at += array.nbytes
    return made
