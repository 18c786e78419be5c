"""The widths that a whole network is quantised to: one name for the command, model files, run files and tables."""

from enum import StrEnum


class Widths(StrEnum):
    """Bits of weights and activations. MIXED: w4a4, but eight bits into the first and last layer and into maps
    that a method chooses. In every width what docs/compiler.md names keeps eight bits."""

    W4A8 = "w4a8"
    W4A4 = "w4a4"
    MIXED = "mixed"
    W8A8 = "w8a8"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"no widths {value!r}: choose one of {', '.join(cls)}")

    @property
    def weight_top(self) -> int:
        """The largest weight code; the smallest is its negative."""
        return 127 if self is Widths.W8A8 else 7

    @property
    def narrow(self) -> bool:
        """Whether what a product reads has four-bit codes, unless it is said otherwise."""
        return self in (Widths.W4A4, Widths.MIXED)
