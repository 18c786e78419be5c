"""What both trainings share: a running mean of weights, steps that a CUDA device records, the weight file."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.zoo.meter import METADATA_KEY


class RunningMean:
    """Exponential mean of a model's state, warming up so that early weights do not linger."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.count = decay, 0
        live = model.state_dict()  # shares its memory with the model
        self.state = {key: value.detach().clone() for key, value in live.items()}
        keys = [key for key, value in live.items() if value.is_floating_point()]
        self.pairs = [self.state[key] for key in keys], [live[key] for key in keys]

    @torch.no_grad()
    def update(self) -> None:
        self.count += 1
        rate = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(*self.pairs, rate)


def npz_bytes(state: dict[str, Tensor], metadata: dict[str, Any]) -> bytes:
    """A weight file: float16 arrays (BatchNorm counters int64) and the metadata; the same input, the same bytes."""
    arrays = {k: v.detach().cpu().numpy() for k, v in state.items()}
    named: dict[str, Any] = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in arrays.items()}
    named[METADATA_KEY] = np.array(json.dumps(metadata, sort_keys=True))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """A CUDA stream that is not the default one: recording needs it. On a CPU nothing."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)


class RecordedStep:
    """A training step that a CUDA device records once and replays.

    A step is some thousand small kernels, and launching them one by one from Python costs several times what they
    compute. The first calls run plainly (they set up optimizer state and cuDNN), then the recording is made. On a
    CPU every call runs plainly.
    """

    WARM_UP = 3

    def __init__(self, step: Callable[[], Tensor], generator: torch.Generator) -> None:
        self.step, self.generator = step, generator
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.loss = torch.zeros(())

    def __call__(self) -> Tensor:
        self.calls += 1
        if self.generator.device.type != "cuda" or self.calls <= self.WARM_UP:
            return self.step()
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            self.graph.register_generator_state(self.generator)
            with torch.cuda.graph(self.graph, stream=torch.cuda.current_stream()):
                self.loss = self.step()
        self.graph.replay()
        return self.loss
