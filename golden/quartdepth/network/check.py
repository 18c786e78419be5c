"""What of a network runs on the chip and what does not, all of it at once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from torch import Tensor, nn
from torch.export import ExportedProgram

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.findings import Finding
from triptych.golden.quartdepth.network.float_graph import FloatGraph, GraphError


@dataclass(frozen=True)
class Report:
    """graph: what was captured, None if something has no layer. findings: what has none. error: another reason, one
    line."""

    graph: FloatGraph | None
    findings: tuple[Finding, ...]
    error: str

    @property
    def supported(self) -> bool:
        """All of it has a layer."""
        return self.graph is not None

    def text(self) -> str:
        """For a person: a line for each finding, and one that says how much there is."""
        if self.graph is not None:
            return f"all of it has layers on the chip: {len(self.graph.layers)}"
        if not self.findings:
            return self.error
        lines = []
        for f in self.findings:
            place = ", ".join(part for part in (f.module, f.source) if part) or f.node
            lines.append(f"{f.operator} ({place}): {f.reason}" + (f"; instead: {f.rewrite}" if f.rewrite else ""))
        return "\n".join([*lines, f"{len(self.findings)} operators without a layer"])

    def json(self) -> str:
        """The same as one JSON object."""
        layers = None if self.graph is None else len(self.graph.layers)
        found = [asdict(f) for f in self.findings]
        return json.dumps({"supported": self.supported, "layers": layers, "findings": found, "error": self.error})


def check(network: nn.Module | ExportedProgram, example: Tensor | None = None) -> Report:
    """All operators of a network that have no layer, with module, source line and the nearest rewrite; raises nothing
    for what a network may hold. example: as for `capture`."""
    try:
        return Report(capture(network, example), (), "")
    except GraphError as error:
        return Report(None, error.findings, str(error))
