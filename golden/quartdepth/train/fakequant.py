"""Simulated W4A8 / W4A4 of a fused METER in floating point: for training and for accuracy forecasts.

This is a forecast of the integer network, not its definition (that is docs/numerics.md): weights int4, symmetric,
one scale per output channel, min-max; activations uniform, asymmetric, one scale per tensor, min-max. Quantised is
every tensor that a product reads, and every residual or skip that a block reads; at 8 bits in either mode stay the
photo (it is 8-bit), softmax's probabilities and the token stream in front of LayerNorm. Keys and values are int4,
symmetric, in both modes, as they take the weights' side of the array. The last convolution's sum is not rounded.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.zoo.meter import METER, MV2, Attention, MViT, PreNorm, Tap

WEIGHT_BITS = 4
_RANGE_MOMENTUM = 0.05


def round_ste(x: Tensor) -> Tensor:
    """Rounds half to even; the gradient passes as if it did not."""
    return x + (x.round() - x).detach()


def fake_weight(weight: Tensor, output_dim: int, bits: int = WEIGHT_BITS) -> Tensor:
    """Symmetric min-max per output channel: codes -(2^(bits-1)-1) .. 2^(bits-1)-1."""
    top = 2 ** (bits - 1) - 1
    dims = [d for d in range(weight.ndim) if d != output_dim]
    scale = (weight.detach().abs().amax(dims, keepdim=True) / top).clamp(min=1e-12)
    return round_ste(weight / scale) * scale


class ActivationQuantizer(nn.Module):
    """One tensor's min-max range and its rounding. `fixed` bits win over the mode's bits."""

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self, fixed: int | None = None, symmetric: bool = False) -> None:
        super().__init__()
        self.fixed, self.symmetric = fixed, symmetric
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))

    def observe(self, x: Tensor, running: bool) -> None:
        """Widens the range to x's (calibration), or moves it there by a running mean (training)."""
        low, high = x.detach().amin().clamp(max=0).float(), x.detach().amax().clamp(min=0).float()
        if running:
            rate = torch.where(self.seen > 0, _RANGE_MOMENTUM, 1.0)
            self.low.lerp_(low, rate)
            self.high.lerp_(high, rate)
        else:
            self.low.copy_(torch.minimum(self.low, low))
            self.high.copy_(torch.maximum(self.high, high))
        self.seen.fill_(1.0)

    def forward(self, x: Tensor, bits: int) -> Tensor:
        bits = self.fixed or bits
        if self.symmetric:
            top = 2 ** (bits - 1) - 1
            scale = (torch.maximum(-self.low, self.high) / top).clamp(min=1e-12)
            return round_ste((x / scale).clamp(-top, top)) * scale
        top = 2**bits - 1
        scale = ((self.high - self.low) / top).clamp(min=1e-12)
        zero = (-self.low / scale).round()
        return (round_ste((x / scale + zero).clamp(0, top)) - zero) * scale


class QuantSim(nn.Module):
    """Hooks quantisers into a fused METER. `mode`: None (float), 8 or 4 activation bits."""

    def __init__(self, network: METER) -> None:
        super().__init__()
        self.network = network
        self.mode: int | None = None
        self.observing: str | None = None  # None | "minmax" | "running"
        self.quantizers = nn.ModuleDict()
        read_by_block = set()
        for name, module in network.named_modules():
            if isinstance(module, MV2):
                read_by_block.add(f"{name}.conv.0")
            elif isinstance(module, MViT):
                read_by_block.add(f"{name}.conv1.0")
        for name, module in network.named_modules():
            fixed = 8 if name == "encoder.conv1.0" or isinstance(module, PreNorm) else None
            if isinstance(module, Tap):
                parent, _, operand = name.rpartition(".")
                assert isinstance(network.get_submodule(parent), Attention)
                fixed = {"q": None, "k": WEIGHT_BITS, "v": WEIGHT_BITS, "p": 8}[operand]
                self._add(name, module, fixed, symmetric=operand in "kv")
            elif isinstance(module, MV2 | MViT | PreNorm) or (
                isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and name not in read_by_block
            ):
                self._add(name, module, fixed)

    def _add(self, name: str, module: nn.Module, fixed: int | None, symmetric: bool = False) -> None:
        quantizer = ActivationQuantizer(fixed, symmetric)
        self.quantizers[name.replace(".", "/")] = quantizer

        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            x = args[0]
            if self.observing is not None:
                quantizer.observe(x, running=self.observing == "running")
            return None if self.mode is None else (quantizer(x, self.mode), *args[1:])

        module.register_forward_pre_hook(hook)

    def quantized_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The fused state with convolution and linear weights rounded to int4 (as floats)."""
        out = dict(state)
        for name, module in self.network.named_modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                output_dim = 1 if isinstance(module, nn.ConvTranspose2d) else 0
                out[f"{name}.weight"] = fake_weight(state[f"{name}.weight"], output_dim)
        return out

    def run(self, x: Tensor, state: Mapping[str, Tensor], mode: int | None) -> Tensor:
        """Forward pass with `state` as weights: float (mode None), or W4 with `mode` activation bits."""
        self.mode = mode
        weights = state if mode is None else self.quantized_weights(state)
        return torch.func.functional_call(self.network, dict(weights), (x,))

    @contextmanager
    def observe(self, how: str) -> Iterator[None]:
        self.observing = how
        try:
            yield
        finally:
            self.observing = None
