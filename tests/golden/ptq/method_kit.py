"""A small network with every kind of layer that the method touches, and images for it."""

import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph

torch.set_num_threads(1)  # the tensors are tiny: a second thread only waits


class Small(nn.Module):
    """Convolution, depthwise, residual sum, concatenation, transposed convolution, linear output."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.up = nn.Conv2d(8, 16, 1)
        self.spread = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.down = nn.Conv2d(16, 8, 1)
        self.deep = nn.Conv2d(8, 12, 3, 2, 1)
        self.back = nn.ConvTranspose2d(12, 8, 3, 2, 1, output_padding=1)
        self.mix = nn.Conv2d(16, 8, 3, 1, 1)
        self.out = nn.Conv2d(8, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.stem(x).relu()
        b = a + self.down(self.spread(self.up(a).relu()).relu())
        c = self.back(self.deep(b).relu())
        return self.out(self.mix(torch.cat([c, b], 1)).relu())


def small_graph(seed: int = 0, size: tuple[int, int] = (16, 24)) -> FloatGraph:
    """The captured network: random weights whose channels differ in size, depths around two."""
    torch.manual_seed(seed)
    module = Small()
    with torch.no_grad():
        for layer in (module.stem, module.up, module.deep):
            layer.weight *= torch.logspace(-1, 0.7, len(layer.weight))[:, None, None, None]
        module.out.bias.fill_(2.0)
    return capture(module, torch.rand(1, 3, *size))


def images(count: int, size: tuple[int, int] = (16, 24), seed: int = 1) -> list[Tensor]:
    """Smooth random maps, [1,3,H,W] in 0..1, in steps of 1/255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, size[0] // 4, size[1] // 4, generator=generator)
    fine = nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    return list(((fine * 255).round() / 255).split(1))
