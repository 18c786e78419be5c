"""The census: a fixed list that holds every depth model class of transformers; what is kept, judged and printed."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest
from torch import nn

from triptych.sim.bench.census import one, page, run
from triptych.sim.bench.census.entry import Entry
from triptych.sim.bench.census.networks import networks
from triptych.sim.bench.census.one import Outcome, Stage
from triptych.sim.errors import TriptychError

LISTED = 132  # when it was fixed, before the first operation was added: it may grow


def test_list_is_fixed_and_wide() -> None:
    listed = networks()
    assert len(listed) >= LISTED
    families = Counter(entry.family for entry in listed.values())
    assert len(families) == 3
    assert sum(entry.depth for entry in listed.values()) >= 45
    assert all(name == entry.name and entry.source for name, entry in listed.items())


def test_every_depth_class_of_transformers_is_listed() -> None:
    pytest.importorskip("transformers", reason="pip install 'triptych[census]'")
    from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES

    sources = {entry.source for entry in networks().values()}
    assert {f"transformers.{name}" for name in MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES.values()} <= sources


def _entry(module: nn.Module) -> Entry:
    return Entry("it", "some", "test.it", (8, 8), False, module.eval)


def test_a_network_that_runs() -> None:
    out = one.judge(_entry(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))), "tiny")
    assert out.stage is Stage.EXACT
    assert out.cycles > 0
    assert 0 < out.utilization < 1
    assert out.error_w8a8 is not None
    assert out.error_w8a8 < 0.1


def test_a_network_that_is_refused_names_all_operators() -> None:
    out = one.judge(_entry(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Softshrink(), nn.CELU())), "tiny")
    assert out.stage is Stage.REFUSED
    assert set(out.operators) == {"aten.softshrink.default", "aten.celu.default"}


def test_differing_codes_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = one.run_on_machine
    monkeypatch.setattr(one, "run_on_machine", lambda *a, **k: real(*a, **k) ^ 1)
    out = one.judge(_entry(nn.Conv2d(3, 8, 1)), "tiny")
    assert out.stage is Stage.COMPILED
    assert "differ" in out.error


def test_what_is_done_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = []

    def once(entry: Entry, chip: str, limit: int) -> Outcome:
        ran.append(entry.name)
        return Outcome(entry.name, chip, Stage.EXACT, macs=5, cycles=10, utilization=0.5)

    monkeypatch.setattr(run, "check_extras", lambda: None)
    monkeypatch.setattr(run, "_one", once)
    names = list(networks())[:3]
    for _ in range(2):
        found = run.run_census("small", names, tmp_path, lambda *_: None)
        assert [o.name for o in found] == names == ran
        assert all(o.stage is Stage.EXACT for o in found)
    with next(tmp_path.glob("*.jsonl")).open("a") as file:
        file.write('{"name": "cut o')
    assert len(run.run_census("small", names, tmp_path, lambda *_: None)) == len(ran) == 3
    with pytest.raises(TriptychError, match="no network 'nobody'"):
        run.run_census("small", ["nobody"], tmp_path, lambda *_: None)


def test_outcomes_of_earlier_code_say_so(tmp_path: Path) -> None:
    names = list(networks())
    old = [Outcome(name, "small", Stage.REFUSED, operators={"aten.elu.default": 1}) for name in names]
    lines = [json.dumps(vars(o)) for o in old]
    (tmp_path / "0123-small.jsonl").write_text("\n".join(lines[1:]))
    with pytest.raises(TriptychError, match=f"1 networks were never run: {names[0]}"):
        run.earlier("small", tmp_path)
    new = Outcome(names[0], "small", Stage.EXACT, macs=5, cycles=10, utilization=0.5)
    (tmp_path / f"{run.fingerprint()}-small.jsonl").write_text(json.dumps(vars(new)))
    found = run.earlier("small", tmp_path)
    assert [o.stage for o in found[:2]] == [Stage.EXACT, Stage.REFUSED]
    text = page.page(found, run.of_this_code("small", tmp_path))
    assert f"{len(names) - 1} of the {len(names)} outcomes are of earlier code" in text
    assert text.count("*earlier* |") == len(names) - 1


def test_page_counts() -> None:
    names = list(networks())
    done = [Outcome(name, "small", Stage.EXACT, macs=5, cycles=10, utilization=0.5) for name in names[:-2]]
    done.append(Outcome(names[-2], "small", Stage.REFUSED, operators={"aten.elu.default": 2, "aten.sin.default": 1}))
    done.append(Outcome(names[-1], "small", Stage.QUANTISED, error="CompileError: 'x' | does not fit"))
    text = page.page(done)
    assert f"| **all** | {len(names)} | {len(names) - 2} |" in text
    assert "| `elu` | 1 | 0 |" in text
    assert "`elu` x2, `sin`" in text
    assert "quantised: CompileError: 'x' / does not fit" in text


DOZEN = (
    "dpt", "depth-anything", "glpn", "Monodepth2", "FastDepth", "PyD-Net", "DPT readout of timm's ViT",
    "Depth Anything V2", "inception_next_atto", "mobilenetv4_conv_small_035", "fasternet_t0", "vit_tiny_patch16_224",
)  # fmt: skip


@pytest.mark.parametrize("name", [*DOZEN[:8], *(pytest.param(name, marks=pytest.mark.slow) for name in DOZEN[8:])])
def test_a_dozen_run(name: str) -> None:
    """Captured, quantised, compiled, machine == integers."""
    if any(importlib.util.find_spec(library) is None for library in run.NEEDED):
        pytest.skip("the networks' libraries are missing: pip install 'triptych[census]'")
    out = one.judge(networks()[name], "small")
    assert out.stage is Stage.EXACT, f"{out.stage}: {out.error}"


def test_a_page_that_is_not_of_its_outcomes_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "census.md")
    monkeypatch.setattr(page, "OUTCOMES", tmp_path / "census.jsonl")
    assert "is not of the list" in page.drift()
    names = list(networks())
    page.publish(
        [Outcome(name, "small", Stage.REFUSED, operators={"aten.elu.default": 1}) for name in names], names[1:]
    )
    assert page.drift() == ""
    assert page.PAGE.read_text().count("*earlier* |") == 1
    page.PAGE.write_text(page.PAGE.read_text().replace("`elu`", "`relu`", 1))
    assert "drifted" in page.drift()
    page.OUTCOMES.write_text("\n".join(page.OUTCOMES.read_text().splitlines()[:-1]))
    assert f"not of the list ('{names[-1]}')" in page.drift()


def test_the_page_has_every_network_once() -> None:
    text = page.PAGE.read_text()
    for name in networks():
        assert text.count(f"\n| {name} |") == 1, name
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ") and "`" in line]
    running = sum(row[4].strip().startswith("yes") for row in rows if len(row) > 8)
    assert f"| **all** | {len(networks())} | {running} |" in text
