"""Networks of full size run bit by bit, within the time and memory that their users have."""

from __future__ import annotations

import sys

import pytest

from triptych.sim.bench.full_size import CASES, Outcome, child, main, section

GIB = 1 << 30
LIMITS = {  # seconds of a core from PyTorch to the machine's result; bytes
    "Depth Anything V2-S, 252x252": (300, 12 * GIB),
    "Depth Anything V2-S, 518x518": (900, 12 * GIB),
    "Depth Anything V2-B, 252x252": (600, 16 * GIB),
    "MiDaS v2.1 small, 256x256": (600, 12 * GIB),
    "ResNet-18 U-Net, 480x640": (600, 12 * GIB),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_network(name: str) -> None:
    found = child(name)
    seconds, peak = LIMITS[name]
    assert (found.different, found.rtl and found.rtl[0]) in {(0, None), (0, 0)}
    assert found.values > 20
    assert sum(found.seconds.values()) <= seconds
    assert found.peak <= peak
    if name.startswith("ResNet-18"):
        assert found.seconds["compile"] <= 20
        assert found.capture_bytes <= 500e6


def test_section() -> None:
    seconds = dict.fromkeys(("capture", "quantise", "compile", "integers", "machine"), 1.0)
    right = Outcome(10**9, seconds, 10**8, 10**9, 5000, 500.0, 1000, 0, 99)
    name = next(iter(CASES))
    assert "| 50.0% | true | estimated |" in section({name: right})
    layers = [("blocks.*.fc1", "w4a8", 12, 300.0, 600), ("head", "vector", 1, 0.0, 194)]
    layers += [(f"small{n}", "vector", 1, 0.0, 2) for n in range(3)]
    text = section({name: Outcome(**{**vars(right), "rtl": (3, 2000), "layers": layers})})
    assert "| 25.0% | false | rtl-simulated |" in text
    assert "| `blocks.*.fc1` | w4a8 | 12 | 600 | 75.0% | 50.0% |" in text
    assert "| `head` | vector | 1 | 194 | 24.2% |  |" in text
    assert "| less than 1 % each |  |  | 6 | 0.8% |  |" in text
    assert "small" not in text.split("layer by layer")[1]


def test_unknown_name_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["full_size", "ResNet"])
    with pytest.raises(SystemExit, match=r"^no network 'ResNet': Depth Anything[^\n]*$"):
        main()
