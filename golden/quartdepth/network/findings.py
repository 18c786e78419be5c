"""What of a module the chip cannot do: every operator, where it stands, why, and the nearest thing that would do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """operator: as ATen names it. node: in the exported graph. module: its path. source: file and line. reason: what is
    wrong. rewrite: what would do instead; "" if nothing is known."""

    operator: str
    node: str
    module: str
    source: str
    reason: str
    rewrite: str = ""

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.module, self.source) if part)
        return f"node '{self.node}'{f' ({place})' if place else ''}: {self.reason}"


# By ATen operator, without its overload: what to write instead today.
REWRITES: dict[str, str] = {
    "mul": "maps of one shape, or one of a value a channel or a pixel",
    "grid_sampler": "a resize by a fixed ratio, or run it on the host",
    "grid_sampler_2d": "a resize by a fixed ratio, or run it on the host",
    "upsample_bicubic2d": "a bilinear resize",
    "lstm": "a convolution or attention over the same pixels",
    "gru": "a convolution or attention over the same pixels",
    "sinh": "(x.exp() - (-x).exp()) / 2",
    "cosh": "(x.exp() + (-x).exp()) / 2",
    "softshrink": "(x - lambd).relu() - (-x - lambd).relu()",
    "topk": "run it on the host: the chip makes no choice of indices",
    "argmax": "return the map itself and take the largest on the host",
    "softmax": "softmax over all channels of a pixel, or return the map itself and take softmax on the host",
}


def rewrite(operator: str) -> str:
    """Of an ATen operator, "aten.name.overload"."""
    return REWRITES.get(operator.removeprefix("aten.").partition(".")[0], "")
