"""Where a LOAD goes, by hand: ahead of as much computation as its own time asks for, and not past what it meets; and
where a program that is too long is cut."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import ENGINE_OF, HEADER, Engine, Opcode, Space
from triptych.golden.quartdepth.compiler.effects import Effects, Memory
from triptych.golden.quartdepth.compiler.emitter import Op
from triptych.golden.quartdepth.compiler.interleave import Scheduled, mxu_cycles
from triptych.golden.quartdepth.compiler.schedule import MAX_TOKENS, STORE_SLACK, WAITS, _cut, _load_early

CHIP = chip_config("tiny")
PAIRS = 12  # of MATMUL and VECTOR, in front of a LOAD


def _entry(opcode: Opcode, reads: int | None = None, writes: int | None = None, early: bool = False,
           **fields: int) -> Scheduled:  # fmt: skip
    """reads, writes: one word of the scratchpad."""
    spans = [{} if word is None else {Memory.SPAD: np.array([[word, word + 1]])} for word in (reads, writes)]
    return Scheduled(Op(Instruction(opcode, fields), 0, early=early), Effects(*spans))


def _pairs(pixels: int = 100) -> list[Scheduled]:
    """Products of `pixels` cycles each, in front of the VECTOR that takes their rows."""
    matmul = {"out_h": 1, "out_w": pixels, "kernel_h": 1, "kernel_w": 1, "chunks": 1, "n": CHIP.cols}
    return [
        entry for k in range(PAIRS)
        for entry in (_entry(Opcode.MATMUL, reads=k, **matmul), _entry(Opcode.VECTOR, writes=100 + k))
    ]  # fmt: skip


def _load(cycles: int = 200, space: Space = Space.SPAD, writes: int = 50, early: bool = False) -> Scheduled:
    """A LOAD whose bytes are `cycles` / 2 words of a bus as wide as the array is deep."""
    return _entry(
        Opcode.LOAD, writes=writes, early=early, space=space, rows=cycles // 2, row_bytes=CHIP.depth
    )  # fmt: skip


def _passed(before: list[Scheduled], load: Scheduled) -> int:
    """Products that it moves ahead of."""
    assert all(mxu_cycles(entry.op, CHIP) == 100 for entry in before if entry.engine is Engine.MXU)
    found = _load_early([*before, load], CHIP)
    place = next(n for n, entry in enumerate(found) if entry is load)
    assert [entry for entry in found if entry is not load] == before  # nothing else moves
    return sum(entry.engine is Engine.MXU for entry in found[place:])


@pytest.mark.parametrize(("cycles", "pairs"), [(200, 6), (100, 5), (202, 7), (0, 4)])
def test_twice_its_own_time_and_the_slack_lie_between(cycles: int, pairs: int) -> None:
    """200 and 400 cycles of slack: six products of a hundred, and not one more."""
    assert _passed(_pairs(), _load(cycles)) == pairs


def test_few_bytes_may_come_long_before() -> None:
    assert _passed(_pairs(), _load(space=Space.PROG)) == PAIRS
    assert _passed(_pairs(), _load(early=True)) == PAIRS
    assert STORE_SLACK > 100 * PAIRS


def test_not_past_what_it_meets() -> None:
    """Word 7 is what the eighth product reads; it goes behind that one's VECTOR, which follows its product at once."""
    assert _passed(_pairs(), _load(space=Space.PROG, writes=7)) == PAIRS - 8
    assert _passed(_pairs(), _load(2, writes=9)) == PAIRS - 10


@pytest.mark.parametrize(
    ("load", "passes"), [(_load(), False), (_load(early=True), True), (_load(space=Space.PROG), True)]
)
def test_loads_of_data_keep_their_order(load: Scheduled, passes: bool) -> None:
    first, pairs = _load(writes=60), _pairs()
    found = _load_early([*pairs[:2], first, *pairs[2:4], load], CHIP)
    first_place, place = (next(n for n, entry in enumerate(found) if entry is one) for one in (first, load))
    assert (place < first_place) == passes


@pytest.mark.parametrize("most", [1, 3, 5])
def test_no_program_has_more_of_an_engine(most: int) -> None:
    """As few programs as there can be: in each but the last some engine has just so many."""
    loads = [_load(writes=60 + k) for k in range(7)]
    listed = [entry for pair, load in zip(_pairs()[:14:2], loads, strict=True) for entry in (load, pair)]
    listed += _pairs()[:6]
    programs = _cut(listed, most)
    assert [entry for program in programs for entry in program] == listed
    counts = [Counter(entry.engine for entry in program) for program in programs]
    assert all(max(count.values()) <= most for count in counts)
    assert all(max(count.values()) == most for count in counts[:-1])


def test_a_program_is_as_long_as_its_waits_can_count() -> None:
    widths = {f.name: f.width for f in HEADER}
    assert {2 ** widths[wait] - 1 for wait in WAITS.values()} == {MAX_TOKENS}
    assert set(WAITS) == set(ENGINE_OF.values())
