"""The few CUDA driver calls the kernels need: load a module, encode a tensor map, launch on torch's stream."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import torch

from triptych.golden.draft_attention.hopper.build import build
from triptych.golden.draft_attention.hopper.errors import HopperError

TENSOR_MAP_BYTES = 128
_MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_ELEMENT_CODES = {torch.uint8: 0, torch.int8: 0, torch.float8_e4m3fn: 0, torch.float16: 6, torch.bfloat16: 9}
_SWIZZLE_CODES = {64: 2, 128: 3}
_PROMOTE_TO_256_BYTES = 3


class TensorMap(ctypes.Structure):
    """A CUtensorMap; all zeros where a call has no use for it."""

    _fields_ = (("bytes", ctypes.c_ubyte * TENSOR_MAP_BYTES),)


@cache
def _cuda() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise HopperError(f"no CUDA driver: {error}") from None


def _check(code: int, what: str) -> None:
    if code != 0:
        text = ctypes.c_char_p()
        _cuda().cuGetErrorString(code, ctypes.byref(text))
        raise HopperError(f"{what} failed: {(text.value or b'unknown error').decode()} (CUDA error {code})")


@lru_cache(maxsize=512)
def encode_tensor_map(
    address: int,
    dtype: torch.dtype,
    sizes: tuple[int, ...],
    strides: tuple[int, ...],
    box: tuple[int, ...],
) -> TensorMap:
    """A tensor map over `sizes` elements (innermost first), read or written in tiles of `box`.

    `strides` are in elements, for every axis but the innermost, which is dense. The innermost side of the box, 64 or
    128 bytes long, is swizzled over its own length. Positions outside `sizes` read as zero and are not written.
    Kept: memory that is handed out again, as in the layers and steps of a model, is described once.
    Raises HopperError when the copy engine cannot address the tensor so (16-byte alignment).
    """
    rank, element = len(sizes), torch.empty(0, dtype=dtype).element_size()
    raw = (ctypes.c_ubyte * (TENSOR_MAP_BYTES + 64))()
    aligned = (ctypes.addressof(raw) + 63) // 64 * 64
    code = _cuda().cuTensorMapEncodeTiled(
        ctypes.c_void_p(aligned),
        _ELEMENT_CODES[dtype],
        ctypes.c_uint32(rank),
        ctypes.c_void_p(address),
        (ctypes.c_uint64 * rank)(*sizes),
        (ctypes.c_uint64 * (rank - 1))(*(stride * element for stride in strides)),
        (ctypes.c_uint32 * rank)(*box),
        (ctypes.c_uint32 * rank)(*([1] * rank)),
        0,
        _SWIZZLE_CODES[box[0] * element],
        _PROMOTE_TO_256_BYTES,
        0,
    )
    _check(code, f"a tensor map over sizes {tuple(sizes)}, strides {tuple(strides)}")
    return TensorMap.from_buffer_copy(ctypes.string_at(aligned, TENSOR_MAP_BYTES))


@dataclass(frozen=True)
class Kernel:
    """A loaded kernel of one device."""

    function: ctypes.c_void_p
    shared_bytes: int

    def launch(self, grid: int, threads: int, arguments: Sequence[ctypes._SimpleCData | ctypes.Structure]) -> None:
        """Launches on torch's current stream; the arguments are copied."""
        pointers = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(a) for a in arguments))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        code = _cuda().cuLaunchKernel(
            self.function, grid, 1, 1, threads, 1, 1, self.shared_bytes, stream, pointers, None
        )
        _check(code, "a kernel launch")


@cache
def load_kernel(
    device: int, source: str, name: str, defines: tuple[str, ...] = (), shared_bytes: int | None = None
) -> Kernel:
    """The kernel `name` of `kernels/<source>`, built if need be, loaded on CUDA device `device` (the current one).

    `shared_bytes` is the dynamic shared memory of a launch; without it the module's variable `<name>_shared_bytes`
    tells. Raises HopperError when it cannot be built or loaded.
    """
    image = build(source, defines)
    cuda = _cuda()
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    _check(cuda.cuModuleLoadData(ctypes.byref(module), image), f"loading {source}")
    _check(cuda.cuModuleGetFunction(ctypes.byref(function), module, name.encode()), f"finding {name}")
    if shared_bytes is None:
        address, size, value = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_uint32()
        code = cuda.cuModuleGetGlobal_v2(
            ctypes.byref(address), ctypes.byref(size), module, f"{name}_shared_bytes".encode()
        )
        _check(code, f"finding {name}_shared_bytes")
        _check(cuda.cuMemcpyDtoH_v2(ctypes.byref(value), address, 4), f"reading {name}_shared_bytes")
        shared_bytes = value.value
    _check(cuda.cuFuncSetAttribute(function, _MAX_DYNAMIC_SHARED, shared_bytes), f"{name}: its shared memory")
    return Kernel(function, shared_bytes)
