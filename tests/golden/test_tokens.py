"""What the compiler's tokens promise, by another way: who has retired when an instruction starts, and who has met whom.

Of any two instructions that meet at a word, one of which writes it, the later starts after the earlier has retired.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.isa import Opcode
from triptych.golden.quartdepth.compiler import schedule
from triptych.golden.quartdepth.compiler.effects import Effects, Memory
from triptych.golden.quartdepth.compiler.emitter import Op
from triptych.golden.quartdepth.compiler.interleave import Scheduled
from triptych.golden.quartdepth.compiler.schedule import WAITS

WORDS = 24
COMPUTING = (Opcode.LOAD, Opcode.MATMUL, Opcode.VECTOR, Opcode.STORE)

spans = st.lists(st.integers(0, WORDS), max_size=6, unique=True).map(
    lambda ends: np.array(sorted(ends)[: len(ends) // 2 * 2], np.int64).reshape(-1, 2)
)


@st.composite
def programs(draw: st.DrawFn) -> list[Scheduled]:
    """Instructions that read and write words at random, the first and the last ones of a memory too."""
    listed = []
    for _ in range(draw(st.integers(2, 14))):
        effects = Effects()
        for side in (effects.reads, effects.writes):
            for memory in (Memory.SPAD, Memory.DRAM):
                touched = draw(spans)
                if len(touched):
                    side[memory] = touched
        listed.append(Scheduled(Op(Instruction(draw(st.sampled_from(COMPUTING))), 0), effects))
    return listed


def words(entry: Scheduled, writes: bool) -> set[tuple[Memory, int]]:
    """Every word by itself."""
    side = entry.effects.writes if writes else entry.effects.reads
    return {(memory, word) for memory, found in side.items() for a, b in found.tolist() for word in range(a, b)}


def retired_before(listed: list[Scheduled]) -> list[set[int]]:
    """By instruction: which have surely retired when it starts."""
    by_engine: dict[object, list[int]] = {}
    before: list[set[int]] = []
    for number, entry in enumerate(listed):
        own = by_engine.setdefault(entry.engine, [])
        known = set(before[own[-1]]) if own else set()  # an engine starts in order
        for engine, field in WAITS.items():
            for other in by_engine.get(engine, [])[: entry.op.instruction[field]]:
                known |= {other} | before[other]
        before.append(known)
        own.append(number)
    return before


def unordered(listed: list[Scheduled]) -> list[tuple[int, int]]:
    """Pairs of different engines that meet at a word without a promise."""
    before = retired_before(listed)
    found = []
    for (i, first), (j, second) in combinations(enumerate(listed), 2):
        written, read = words(first, True), words(first, False)
        meet = written & (words(second, True) | words(second, False)) or read & words(second, True)
        if first.engine is not second.engine and meet and i not in before[j]:
            found.append((i, j))
    return found


@pytest.mark.parametrize("few", [0, schedule.FEW])
@settings(max_examples=150)
@given(listed=programs())
def test_what_meets_is_ordered(listed: list[Scheduled], few: int) -> None:
    """few: spans that are gone through one by one, which is only faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "FEW", few)
        schedule._set_waits(listed, dict.fromkeys(Memory, WORDS))
    assert not unordered(listed)


def test_one_word_at_either_end() -> None:
    """A reader of the first or the last word alone, and a writer of it."""
    for word in (0, WORDS - 1):
        one = {Memory.SPAD: np.array([[word, word + 1]])}
        whole = {Memory.SPAD: np.array([[0, WORDS]])}
        for reads, writes in ((one, whole), (whole, one)):
            first = Scheduled(Op(Instruction(Opcode.VECTOR), 0), Effects(writes=dict(writes)))
            second = Scheduled(Op(Instruction(Opcode.MATMUL), 0), Effects(reads=dict(reads)))
            third = Scheduled(Op(Instruction(Opcode.LOAD), 0), Effects(writes=dict(writes)))
            schedule._set_waits([first, second, third], dict.fromkeys(Memory, WORDS))
            assert second.op.instruction["wait_vpu"] == 1
            assert third.op.instruction["wait_mxu"] == 1, "which waits for the VPU by itself"
