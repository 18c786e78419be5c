"""The quantisation method: polishing, compensation, Fisher-guided rounding, reconstruction."""

from triptych.golden.quartdepth.ptq.objective import Objective
from triptych.golden.quartdepth.ptq.quantized import Quantized, quantize
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe

__all__ = ["Method", "Objective", "Quantized", "Recipe", "quantize"]
