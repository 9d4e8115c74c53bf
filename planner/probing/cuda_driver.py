"""What the CUDA driver itself calls a device's total, without making a context.

Only integrated GPUs under Windows need it, where NVML tells the part that firmware set aside and
nothing else does better. `cuInit` and the calls below read properties; none allocates on a device.
"""

from __future__ import annotations

import ctypes
import sys

from hardware_db.records import frozen

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_INTEGRATED = 18  # CU_DEVICE_ATTRIBUTE_INTEGRATED
_SUCCESS = 0


@frozen
class CudaDevice:
    """One device in CUDA's order.

    Attributes:
        total_bytes: cuDeviceTotalMem, which cudaMemGetInfo and torch call the total too.
        integrated: whether it shares the system's memory.
    """

    total_bytes: int
    integrated: bool


def cuda_devices(library: str = _LIBRARY) -> tuple[CudaDevice, ...]:
    """Every device that CUDA shows this process; empty without a working driver."""
    try:
        cuda = ctypes.CDLL(library)
        count = ctypes.c_int()
        if cuda.cuInit(0) != _SUCCESS or cuda.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
            return ()
        found = []
        for ordinal in range(count.value):
            device, integrated, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
            answers = (
                cuda.cuDeviceGet(ctypes.byref(device), ordinal),
                cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device),
                cuda.cuDeviceGetAttribute(ctypes.byref(integrated), _INTEGRATED, device),
            )
            if all(answer == _SUCCESS for answer in answers):
                found.append(CudaDevice(total_bytes=total.value, integrated=bool(integrated.value)))
    except (OSError, AttributeError):
        return ()
    return tuple(found)
