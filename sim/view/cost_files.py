"""What `triptych area`, `timing` and `energy` leave for the report: area.json, timing.json, energy.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triptych.sim.label import Label
from triptych.sim.view.records import Amount, Count, Name, Rate, to_json

if TYPE_CHECKING:
    from triptych.sim.model.area import AreaReport
    from triptych.sim.model.energy import EnergyReport
    from triptych.sim.model.timing import TimingReport

AREA, TIMING, ENERGY = "area.json", "timing.json", "energy.json"


@dataclass(frozen=True)
class Instance:
    """As `sim.model.area.Area`."""

    path: Name
    module: Name
    own: Amount
    total: Amount
    memory_bits: Count
    memory_area: Amount


@dataclass(frozen=True)
class AreaFile:
    """As `sim.model.area.AreaReport`; label: where the figures come from."""

    config: Name
    library: Name
    unit: Name
    label: Name
    flops: Count
    instances: list[Instance]


@dataclass(frozen=True)
class Path:
    """As `sim.model.timing.SlowPath`: delay in ns."""

    part: Name
    delay: Rate
    start: Name
    end: Name
    modules: list[str]


@dataclass(frozen=True)
class Place:
    """As `sim.model.place.Box`: in um."""

    what: Name
    x: float
    y: float
    width: Rate
    height: Rate


@dataclass(frozen=True)
class TimingFile:
    """As `sim.model.timing.TimingReport`: the slowest path into each part, and the floorplan."""

    config: Name
    library: Name
    paths: list[Path]
    boxes: list[Place]
    memories: list[Place]


@dataclass(frozen=True)
class Part:
    """As `sim.model.energy.PartEnergy`: changes and pJ a cycle in each window, mJ a frame."""

    name: Name
    rates: list[float]
    pj: list[float]
    mj: Amount


@dataclass(frozen=True)
class EnergyFile:
    """As `sim.model.energy.EnergyReport`, of one frame. kinds: of layers, a window each. memories: mJ by kind."""

    config: Name
    library: Name
    network: Name
    kinds: list[str]
    macs: Count
    cycles: Count
    parts: list[Part]
    memories: dict[str, float]


def area_json(report: AreaReport) -> str:
    """The content of area.json."""
    label = Label.YOSYS_MAPPED if report.unit == "um^2" else Label.ESTIMATED
    instances = [Instance(**vars(i)) for i in report.instances]
    return json.dumps(
        to_json(AreaFile(report.config, report.library, report.unit, label.value, report.flops, instances))
    )


def timing_json(report: TimingReport) -> str:
    """The content of timing.json."""
    paths = [Path(**vars(p)) for p in report.paths]
    boxes, memories = ([Place(**vars(b)) for b in part] for part in (report.boxes, report.memories))
    return json.dumps(to_json(TimingFile(report.config, report.library, paths, boxes, memories)))


def energy_json(report: EnergyReport) -> str:
    """The content of energy.json."""
    parts = [Part(**vars(p)) for p in report.parts]
    kinds = [window.kind for window in report.windows]
    return json.dumps(to_json(
        EnergyFile(report.config, report.library, report.network, kinds, report.macs, report.cycles, parts,
                   report.memories)
    ))  # fmt: skip
