"""The vector engine's functions: closeness to float64, the documented ranges, drift of the generated files."""

import numpy as np
import pytest

from triptych.golden.quartdepth.arithmetic import function_tables, functions
from triptych.golden.quartdepth.chip.isa import Function

ALL_INT16 = np.arange(-(1 << 15), 1 << 15)


def test_worst_errors_are_below_three_quarters_of_a_unit():
    errors = functions.worst_errors()
    assert set(errors) == {"EXP2N", "GELU", "RECIP", "RSQRT"}
    assert max(errors.values()) < 0.75, errors


def test_fit_gives_the_checked_in_tables():
    fitted = functions.fit()
    assert fitted == {"LANE": function_tables.LANE, "ROW": function_tables.ROW}


def test_no_generated_file_is_stale():
    assert functions.drift() == []


def test_drift_is_seen(tmp_path, monkeypatch):
    changed = functions.PACKAGE_FILE.read_text().replace("'sd", "'sd1", 1)
    assert changed != functions.PACKAGE_FILE.read_text()
    other = tmp_path / "function_pkg.sv"
    other.write_text(changed)
    monkeypatch.setattr(functions, "PACKAGE_FILE", other)
    assert functions.main(["--check"]) == 1
    assert functions.main(["--write"]) == 0
    assert functions.main(["--check"]) == 0


def test_exp2n_edges():
    got = functions.exp2n(np.array([32767, 0, -1024, -2048, -32768]))
    assert got.tolist() == [32767, 32767, 16384, 8192, 0]
    assert (np.diff(functions.exp2n(ALL_INT16)) >= 0).all()


def test_gelu_edges():
    got = functions.gelu(np.array([0, 8192, 32767, -8192, -32768]))
    assert got.tolist() == [0, 8192, 32767, 0, 0]


@pytest.mark.parametrize("function", [functions.recip, functions.rsqrt])
def test_mantissa_range_and_clamp_below_one(function):
    y = np.concatenate([np.arange(1, 1 << 12), (1 << np.arange(31)), (1 << np.arange(1, 32)) - 1])
    packed = function(y)
    assert ((packed & 0xFFFF) >= 16384).all()
    assert ((packed & 0xFFFF) <= 32767).all()
    assert (function(np.array([0, -1, -(1 << 31)])) == function(1)).all()


def test_powers_of_two_are_the_clamp():
    powers = 1 << np.arange(31)
    assert (functions.recip(powers) == ((15 + np.arange(31)) << 16 | 32767)).all()
    assert (functions.rsqrt(powers[::2]) == ((15 + np.arange(16)) << 16 | 32767)).all()


def test_lookup_dispatches():
    y = np.array([-700, 0, 5, 1234])
    assert (functions.lookup(Function.IDENT.name, y) == y).all()
    for fn, direct in ((Function.EXP2N, functions.exp2n), (Function.GELU, functions.gelu),
                       (Function.RECIP, functions.recip), (Function.RSQRT, functions.rsqrt)):  # fmt: skip
        assert (functions.lookup(fn.name, y) == direct(y)).all()


@pytest.mark.parametrize("function", [functions.exp2n, functions.gelu])
def test_wide_input_is_refused(function):
    with pytest.raises(ValueError, match="int16"):
        function(np.array([1 << 15]))


@pytest.mark.parametrize("function", [functions.recip, functions.rsqrt])
def test_input_beyond_int32_is_refused(function):
    with pytest.raises(ValueError, match="int32"):
        function(np.array([1 << 31]))
