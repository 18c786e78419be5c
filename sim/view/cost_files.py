"""What `triptych area` leaves for the report: area.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triptych.sim.label import Label
from triptych.sim.view.records import Amount, Count, Name, to_json

if TYPE_CHECKING:
    from triptych.sim.model.area import AreaReport

AREA = "area.json"


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


def area_json(report: AreaReport) -> str:
    """The content of area.json."""
    label = Label.YOSYS_MAPPED if report.unit == "um^2" else Label.ESTIMATED
    instances = [Instance(**vars(i)) for i in report.instances]
    return json.dumps(
        to_json(AreaFile(report.config, report.library, report.unit, label.value, report.flops, instances))
    )
