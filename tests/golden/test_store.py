"""Stored values come back as they were, and whatever is damaged or foreign is refused without running it."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from triptych.golden import store
from triptych.golden.quartdepth.chip.config import chip_config
from triptych.golden.quartdepth.chip.isa import Format
from triptych.golden.quartdepth.compiler.compile import compile_network
from triptych.golden.quartdepth.vectors import single
from triptych.golden.store import StoreError, pack, unpack

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.sampled_from(Format)
)
KEYS = st.one_of(st.integers(), st.text(), st.tuples(st.text(), st.integers()))
VALUES = st.recursive(
    LEAVES,
    lambda v: st.one_of(st.lists(v), st.tuples(v, v), st.dictionaries(KEYS, v), st.frozensets(KEYS), st.sets(KEYS)),
    max_leaves=20,
)


@given(VALUES)
def test_plain_values(value: Any) -> None:
    back = unpack(pack(value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "float64", ">i4"])
def test_arrays(dtype: str) -> None:
    for shape in ((), (0, 3), (5, 7)):
        array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        back = unpack(pack([array, array]))
        assert back[0] is back[1]  # stored once
        assert back[0].dtype == array.dtype.newbyteorder("=")
        assert back[0].shape == shape
        assert (back[0] == array).all()
    assert unpack(pack(np.float32(0.1))) == np.float32(0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8, torch.bool], ids=str)
def test_tensors(dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 4).to(dtype).t()
    back = unpack(pack({"t": tensor}))["t"]
    assert back.dtype == dtype
    assert torch.equal(back, tensor)


def test_not_a_number_and_infinity() -> None:
    back = unpack(pack([float("inf"), float("-inf"), float("nan")]))
    assert back[:2] == [float("inf"), float("-inf")]
    assert back[2] != back[2]


def test_a_compiled_network() -> None:
    compiled = compile_network(single.conv2d((9, 11, 24), 16, (3, 3), seed=1), chip_config("tiny"))
    content = pack(compiled)
    assert pack(compiled) == content
    back = unpack(content)
    assert pack(back) == content
    assert back.program == compiled.program
    assert back.image == compiled.image
    codes = single.random_codes(compiled.network, 3)
    assert back.memory(codes) == compiled.memory(codes)
    assert (back.network.run_integer(codes) == compiled.network.run_integer(codes)).all()


def test_every_damage_is_refused() -> None:
    content = pack({"weights": np.arange(100), "name": "a"})
    rng = np.random.default_rng(1)
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        with pytest.raises(StoreError):
            unpack(bytes(damaged))
    for length in (0, 7, 8, 39, 40, 47, 48, len(content) - 1):
        with pytest.raises(StoreError):
            unpack(content[:length])
    with pytest.raises(StoreError):
        unpack(pickle.dumps({"weights": 1}))


@dataclass
class Foreign:
    """Not of the package."""

    value: int


def test_only_our_own_types(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not Triptych's"):
        pack(Foreign(1))
    with pytest.raises(TypeError, match="cannot be stored"):
        pack(object())
    monkeypatch.setattr(store, "_name", lambda kind: f"{kind.__module__}:{kind.__qualname__}")
    content = pack(Foreign(1))  # as somebody would who wants other code to run
    monkeypatch.undo()
    with pytest.raises(StoreError, match="none of Triptych's"):
        unpack(content)


def test_a_type_that_is_gone_or_has_changed() -> None:
    content = pack(chip_config("tiny"))
    assert unpack(content) == chip_config("tiny")
    body = content[40:].replace(b"ChipConfig", b"GoneConfig")
    with pytest.raises(StoreError, match="another version"):
        unpack(store.MAGIC + hashlib.sha256(body).digest() + body)
    assert replace(chip_config("tiny"), name="x").name == "x"
